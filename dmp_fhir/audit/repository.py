"""Where the trace is forwarded to: an ATNA audit repository, by one of the two feeds of ITI-20."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import orjson

SYSLOG = "syslog-tls"
SYSLOG_PORT = 6514
FILE_NAME = "audit-forwarded.json"


@dataclass(frozen=True, slots=True)
class Repository:
    """`address` is the base of a FHIR endpoint (https://…) or a syslog receiver (syslog-tls://HOST[:PORT]).
    `authorities` is a PEM file, `certificate` a PEM file with the certificate and key of this server (node
    authentication, ITI-19), `token` a bearer token for FHIR."""

    address: str
    authorities: Path | None = None
    certificate: Path | None = None
    token: str | None = None

    @classmethod
    def of(cls, address: str, authorities: str = "", certificate: str = "", token_file: str = "") -> Repository:
        """From the settings; ValueError or OSError when they don't say enough, or files can't be used."""
        kind, host, _ = place_of(address)
        if not host:
            raise ValueError("a host is missing")
        if kind == SYSLOG and token_file:
            raise ValueError("syslog takes no token: the certificate tells who we are")
        for path in filter(None, (authorities, certificate)):
            Path(path).open("rb").close()  # an error that names the file
        made = cls(
            address.rstrip("/"),
            Path(authorities) if authorities else None,
            Path(certificate) if certificate else None,
            Path(token_file).read_text("utf-8").strip() if token_file else None,
        )
        made.tls()
        return made

    def tls(self) -> ssl.SSLContext:
        """TLS 1.2 or later, the host's certificate checked."""
        context = ssl.create_default_context(cafile=self.authorities)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            context.load_cert_chain(self.certificate)
        return context


def place_of(address: str) -> tuple[str, str, int]:
    """Scheme, host and port; ValueError for any address that is not over TLS."""
    parts = urlsplit(address)
    if parts.scheme not in ("https", SYSLOG):
        raise ValueError("https://… or syslog-tls://HOST[:PORT] is expected: the trace never goes in the clear")
    if parts.scheme == SYSLOG and (parts.path not in ("", "/") or parts.query or parts.username is not None):
        raise ValueError("syslog-tls://HOST[:PORT] has neither path nor user")
    return parts.scheme, parts.hostname or "", parts.port or (SYSLOG_PORT if parts.scheme == SYSLOG else 443)


def reached(folder: Path, address: str) -> int:
    """The first position of the log that the repository has not yet, by the file in the data folder."""
    try:
        return int(orjson.loads((folder / FILE_NAME).read_bytes()).get(address, 0))
    except (FileNotFoundError, ValueError):
        return 0  # from the beginning: sent twice is better than lost


class Feed(Protocol):
    """A way to hand events over."""

    def hand_over(self, bodies: list[bytes]) -> int:
        """How many of these AuditEvents (FHIR JSON), from the first, the repository has now; OSError when that is not
        known."""

    def close(self) -> None: ...
