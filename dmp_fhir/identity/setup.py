"""Who may call, as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dmp_fhir.identity.certificates import CertificateChecker, read_certificates
from dmp_fhir.identity.clients import Clients
from dmp_fhir.identity.issuers import TrustedIssuer, trusted_issuers
from dmp_fhir.identity.outbound import Waiting
from dmp_fhir.identity.peers import HEADER_NAME, Peers, networks
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.identity.watched import Watched
from dmp_fhir.settings import BadSetting, Settings

T = TypeVar("T")


def verifier(settings: Settings, clock: Callable[[], int], waiting: Waiting) -> TokenVerifier:
    """What tells who asks. `waiting` lets other requests work while an issuer is asked. Raises BadSetting."""
    clients: Clients | None = None
    if settings.clients_file:
        path = Path(settings.clients_file)
        clients = _read("DMP_FHIR_CLIENTS", lambda: Clients(path, clock))
    return TokenVerifier(
        _issuers(settings, clock, waiting),
        clock,
        clients=clients,
        bound=settings.binds_software,
        leeway_s=settings.clock_leeway,
    )


def issuers(settings: Settings, clock: Callable[[], int], waiting: Waiting) -> list[TrustedIssuer]:
    """The issuers in force now: those of the file, or the sandbox when there is none. Raises BadSetting."""
    source = _issuers(settings, clock, waiting)
    return source() if callable(source) else source


def _issuers(
    settings: Settings, clock: Callable[[], int], waiting: Waiting
) -> list[TrustedIssuer] | Callable[[], list[TrustedIssuer]]:
    """Those of the file, read again when it changes; the sandbox when there is none."""
    if not settings.issuers_file:
        return [Sandbox(settings.key_folder).trusted()]

    def read(path: Path) -> list[TrustedIssuer]:
        return trusted_issuers(path, clock, production=settings.profile == "production", waiting=waiting)

    return _read("DMP_FHIR_ISSUERS", lambda: Watched(Path(settings.issuers_file), read, clock)).current


def peers(settings: Settings, clock: Callable[[], int]) -> Peers:
    """What tells the other end of a connection. Raises BadSetting."""
    for variable, name in (
        ("DMP_FHIR_CERTIFICATE_HEADER", settings.certificate_header),
        ("DMP_FHIR_ORIGIN_HEADER", settings.origin_header),
    ):
        if not HEADER_NAME.fullmatch(name):
            raise BadSetting(
                f"{variable}: letters and digits only; a name with a hyphen has a twin with an underscore that a client"
                " could send through the proxy"
            )
    if settings.tls_certificate:
        _read("DMP_FHIR_TLS_CERT", lambda: read_certificates(Path(settings.tls_certificate)))
    return Peers(
        _checker(settings, clock),
        _read("DMP_FHIR_PROXIES", lambda: networks(settings.proxies)),
        certificate_header=settings.certificate_header,
        origin_header=settings.origin_header,
    )


def _checker(settings: Settings, clock: Callable[[], int]) -> CertificateChecker | None:
    if not settings.client_ca:
        return None
    revocations = Path(settings.client_crl) if settings.client_crl else None
    return _read(
        "DMP_FHIR_CLIENT_CA or DMP_FHIR_CLIENT_CRL",
        lambda: CertificateChecker(Path(settings.client_ca), revocations, clock, grace_s=settings.crl_grace),
    )


def _read(variable: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (OSError, ValueError) as bad:
        raise BadSetting(f"{variable}: {bad}") from bad
