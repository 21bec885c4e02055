"""Client certificates: whether one may be relied on at all (TF-072).

The chain to the authorities of the settings, validity, usage, strength and revocation are judged here for every
certificate, wherever TLS ended, so that a refusal is answered and traced like any other. Chain: RFC 5280. Thumbprint:
RFC 8705, section 3.1.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from dmp_fhir.identity.refusals import unauthorised
from dmp_fhir.identity.watched import Watched

LONGEST_DER = 16_384
_ALERT_EVERY = timedelta(minutes=1)
_WEAK_HASHES = frozenset({"md5", "sha1"})
_PEM_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_log = logging.getLogger(__name__)

REASONS = {
    "ILLISIBLE": ("il n'est pas lisible", "it can't be read"),
    "PERIODE": ("il n'est pas ou plus valable à cette date", "it is not, or no longer, valid at this date"),
    "FAIBLE": ("sa clé ou sa signature est trop faible", "its key or signature is too weak"),
    "USAGE": ("il ne sert pas à authentifier un client", "it is not for authenticating a client"),
    "AUTORITE": ("son autorité n'est pas reconnue ici", "its authority is not trusted here"),
    "REVOQUE": ("il est révoqué", "it is revoked"),
    "REVOCATION_INCONNUE": (
        "sa liste de révocation manque ou est périmée ; prévenir l'exploitant",
        "its revocation list is missing or stale; tell the operator",
    ),
}
"""Why a certificate is refused: internal code, French, English."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that may be relied on. `thumbprint` is its x5t#S256; `known_until_ms` when it must be judged
    again; `ends_ms` when its time is over."""

    thumbprint: str
    subject: x509.Name
    known_until_ms: int
    ends_ms: int

    @property
    def name(self) -> str:
        common = self.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else self.subject.rfc4514_string()


Authorities = tuple[x509.Certificate, ...]
Revocations = tuple[x509.CertificateRevocationList, ...]


def read_certificates(path: Path) -> Authorities:
    """The certificates of a PEM file. ValueError when it holds none."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except ValueError as bad:
        raise ValueError(f"{path} holds no certificate in PEM") from bad


def read_revocations(path: Path) -> Revocations:
    """The CRLs (PEM or DER) of a file, or of every file of a folder. ValueError when there is none, or a wrong one."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = tuple(each for file in files for each in _crls(file))
    if not found:
        raise ValueError(f"{path} holds no revocation list")
    return found


def _crls(file: Path) -> Iterator[x509.CertificateRevocationList]:
    data = file.read_bytes()
    texts = _PEM_CRL.findall(data)
    try:
        if not texts:
            yield x509.load_der_x509_crl(data)
        for text in texts:
            yield x509.load_pem_x509_crl(text)
    except ValueError as bad:
        raise ValueError(f"{file} is no revocation list") from bad


class CertificateChecker:
    """Judges client certificates. Files are read again when they change.

    `authorities` is a PEM file of every authority, intermediate ones included: a certificate is only followed to what
    is in it. `revocations` is a file or folder of CRLs; None looks at no revocation. `grace_s` is for how long a list
    is still good after its nextUpdate.
    """

    def __init__(
        self, authorities: Path, revocations: Path | None, clock: Callable[[], int], *, grace_s: int = 0
    ) -> None:
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._authorities = Watched(authorities, read_certificates, clock)
        self._revocations = Watched(revocations, read_revocations, clock) if revocations else None
        self._judged_with: tuple[object, object] = (None, None)
        self._known: OrderedDict[bytes, ClientCertificate] = OrderedDict()
        self._lock = Lock()

    def checked(self, der: bytes) -> ClientCertificate:
        """The certificate, once it may be relied on. Raises Refused 401, which says why."""
        now = self._clock()
        authorities = self._authorities.current()
        revocations = self._revocations.current() if self._revocations else None
        digest = sha256(der).digest()
        with self._lock:
            if self._judged_with[0] is not authorities or self._judged_with[1] is not revocations:
                self._known.clear()
                self._judged_with = (authorities, revocations)
            known = self._known.get(digest)
        if known is not None and now < known.known_until_ms:
            return known
        found = self._judged(der, digest, authorities, revocations, now)
        with self._lock:
            self._known[digest] = found
            while len(self._known) > 10_000:
                self._known.popitem(last=False)
        return found

    def _judged(
        self, der: bytes, digest: bytes, authorities: Authorities, revocations: Revocations | None, now: int
    ) -> ClientCertificate:
        try:
            certificate = x509.load_der_x509_certificate(der[: LONGEST_DER + 1])
            extensions = certificate.extensions
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            _refuse("ILLISIBLE")
        at = datetime.fromtimestamp(now / 1000, UTC)
        if not certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc:
            _refuse("PERIODE")
        if _is_weak(certificate):
            _refuse("FAIBLE")
        if not _is_for_clients(extensions):
            _refuse("USAGE")
        issuer = _verified_issuer(certificate, authorities, at)
        until = certificate.not_valid_after_utc
        if revocations is not None:
            if _has_revoked_authority(issuer, authorities, revocations):
                _refuse("REVOQUE")
            until = min(until, self._not_revoked(certificate, issuer, revocations, at))
        thumbprint = urlsafe_b64encode(digest).rstrip(b"=").decode()
        until_ms, ends_ms = (int(each.timestamp() * 1000) for each in (until, certificate.not_valid_after_utc))
        return ClientCertificate(thumbprint, certificate.subject, until_ms, ends_ms)

    def _not_revoked(
        self, certificate: x509.Certificate, issuer: x509.Certificate, revocations: Revocations, at: datetime
    ) -> datetime:
        """Until when that it is not revoked may be relied on."""
        until: datetime | None = None
        for crl in _lists_of(issuer, revocations):
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                _refuse("REVOQUE")
            if crl.next_update_utc is not None and crl.last_update_utc <= at:
                until = max(until or crl.next_update_utc, crl.next_update_utc)
        if until is None or at >= until + self._grace:
            _log.critical("the revocation list of %s is missing or stale", issuer.subject.rfc4514_string())
            _refuse("REVOCATION_INCONNUE")
        if at < until:
            return until
        _log.error("the revocation list of %s is stale, still good by the grace", issuer.subject.rfc4514_string())
        return min(until + self._grace, at + _ALERT_EVERY)


def _refuse(reason: str) -> NoReturn:
    fr, en = REASONS[reason]
    unauthorised(
        f"Le certificat client n'est pas accepté : {fr}.",
        f"The client certificate is not accepted: {en}.",
        reason=f"CERTIFICAT_{reason}",
    )


def _is_weak(certificate: x509.Certificate) -> bool:
    key, algorithm = certificate.public_key(), certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in _WEAK_HASHES:
        return True
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < 2048
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size < 256
    return not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)


def _is_for_clients(extensions: x509.Extensions) -> bool:
    """Its extended usage names clients, and its usage, when there, allows signatures."""
    try:
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    return ExtendedKeyUsageOID.CLIENT_AUTH in extended and (usage is None or usage.digital_signature)


def _any_usage(_policy: Policy, _certificate: x509.Certificate, _value: x509.BasicConstraints | None) -> None:
    return None


# Certificates of organisations name no host, so no subject alternative name is asked of them; their usage is judged
# above.
_LEAF = ExtensionPolicy.permit_all().may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _any_usage)


def _verified_issuer(certificate: x509.Certificate, authorities: Authorities, at: datetime) -> x509.Certificate:
    builder = PolicyBuilder().store(Store(list(authorities))).time(at.replace(tzinfo=None))
    policies = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
    try:
        chain = policies.build_client_verifier().verify(certificate, list(authorities)).chain
    except VerificationError:
        _refuse("AUTORITE")
    return chain[1]


_AUTHORITY = ExtensionPolicy.webpki_defaults_ca()


def _lists_of(issuer: x509.Certificate, revocations: Revocations) -> Iterator[x509.CertificateRevocationList]:
    return (each for each in revocations if each.issuer == issuer.subject and _signed_by(each, issuer))


def _has_revoked_authority(issuer: x509.Certificate, authorities: Authorities, revocations: Revocations) -> bool:
    """Whether an authority on the way up is on a list of the one above it. No such list is asked for: an authority is
    also revoked by taking it out of the file."""
    others = tuple(each for each in authorities if each != issuer)
    above = [each for each in others if each.subject == issuer.issuer]
    serial = issuer.serial_number
    revoked = any(
        crl.get_revoked_certificate_by_serial_number(serial) for each in above for crl in _lists_of(each, revocations)
    )
    return revoked or any(_has_revoked_authority(each, others, revocations) for each in above)


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError, ValueError):
        return False
