"""The other end of a connection: its address and its client certificate.

TLS ends here (`dmp-fhir serve --tls-cert`), and the certificate is that of the socket; or at a proxy that the
settings name, which hands both on in two headers. From anybody else these headers are ignored, and X-Forwarded-For,
Forwarded and the like always are (TF-073).

The headers' names have letters and digits only. WSGI writes `Client-Cert` and `Client_Cert` alike, so that a proxy
that sets one but lets the other through would hand on what a client wrote; a name without hyphen has no such twin.
"""

from __future__ import annotations

import re
import ssl
from base64 import b64decode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dmp_fhir.identity.certificates import LONGEST_DER, CertificateChecker, ClientCertificate
from dmp_fhir.identity.refusals import unauthorised

HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,40}")
_BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/]+={0,2}):")
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*")
_SOCKET = "gunicorn.socket"


class Peers:
    """Tells the other end of each connection.

    `proxies` are the networks whose word is taken for the certificate (URL-encoded PEM, as nginx's
    `$ssl_client_escaped_cert`, or the `:base64:` of RFC 9440) and the address of the client. Without `checker` no
    certificate is accepted from anybody.
    """

    def __init__(
        self,
        checker: CertificateChecker | None = None,
        proxies: Iterable[IPv4Network | IPv6Network] = (),
        *,
        certificate_header: str = "ClientCert",
        origin_header: str = "ClientAddress",
    ) -> None:
        self._checker = checker
        self._proxies = tuple(proxies)
        self._certificate_key = f"HTTP_{certificate_header.upper()}"
        self._origin_key = f"HTTP_{origin_header.upper()}"
        self._is_proxy = lru_cache(1024)(self._named)
        self._der = lru_cache(1024)(_der_of)

    def origin(self, environ: Mapping[str, Any]) -> str | None:
        """The address of the client: as TCP knows it, or as a named proxy knows it."""
        address: str | None = environ.get("REMOTE_ADDR")
        if not self._proxies or not address or not self._is_proxy(address):
            return address
        stated = str(environ.get(self._origin_key, "")).strip()
        return stated if _is_address(stated) else address

    def certificate(self, environ: Mapping[str, Any]) -> ClientCertificate | None:
        """The client's certificate, None without one. Raises Refused 401 when it can't be relied on."""
        der = self._presented(environ)
        if der is None or self._checker is None:
            return None
        return self._checker.checked(der)

    def _presented(self, environ: Mapping[str, Any]) -> bytes | None:
        connection = environ.get(_SOCKET)
        if isinstance(connection, ssl.SSLSocket):
            return connection.getpeercert(binary_form=True)
        if not self._proxies or not self._is_proxy(environ.get("REMOTE_ADDR") or ""):
            return None
        text = str(environ.get(self._certificate_key, "")).strip()
        if not text:
            return None
        der = self._der(text)
        if der is None:
            unauthorised(
                "Le certificat client transmis par le serveur mandataire n'est pas lisible.",
                "The client certificate that the proxy handed on can't be read.",
                reason="CERTIFICAT_ILLISIBLE",
            )
        return der

    def _named(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._proxies)


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks with commas between. ValueError for another text."""
    return [ip_network(each.strip()) for each in text.split(",") if each.strip()]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _der_of(text: str) -> bytes | None:
    if len(text) > 3 * LONGEST_DER:
        return None
    try:
        if sequence := _BYTE_SEQUENCE.fullmatch(text):
            return b64decode(sequence[1], validate=True)
        pem = unquote_to_bytes(text)
        if not _PEM.fullmatch(pem):
            return None
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        return None
