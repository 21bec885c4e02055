"""Certificates and revocation lists of a small public key infrastructure, good ones and bad ones."""

from __future__ import annotations

import itertools
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_serials = itertools.count(1000)
_SHA256 = hashes.SHA256()


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def moment(now_ms: int, *, days: float = 0) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC).replace(microsecond=0) + timedelta(days=days)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def thumbprint(self) -> str:
        return urlsafe_b64encode(sha256(self.der).digest()).rstrip(b"=").decode()

    @property
    def fingerprint(self) -> str:
        return sha256(self.der).hexdigest()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Its PEM files, certificate and key."""
        kind = serialization.PrivateFormat.PKCS8
        key = self.key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_bytes(self.pem)
        paths[1].write_bytes(key)
        return paths


class Authority:
    """A certificate authority whose certificates are good around `now_ms`."""

    def __init__(self, name: str, now_ms: int, parent: Authority | None = None, *, key: Key | None = None) -> None:
        self.now_ms = now_ms
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        builder = _builder(self.name, signer.name, self.key, moment(now_ms, days=-900), moment(now_ms, days=900))
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        builder = builder.add_extension(_authority_key(signer.key), False)
        self.certificate = builder.sign(signer.key, _SHA256)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        *,
        organisation: str = "CHU de Test",
        days: tuple[float, float] = (-10, 300),
        usage: Iterable[ObjectIdentifier] | None = (CLIENT,),
        key: Key | None = None,
        key_usage: bool = True,
        algorithm: hashes.HashAlgorithm = _SHA256,
        server_name: str | None = None,
    ) -> Issued:
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        first, last = (moment(self.now_ms, days=each) for each in days)
        builder = _builder(subject, self.name, own, first, last)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(_authority_key(self.key), False)
        builder = builder.add_extension(_key_usage(digital_signature=key_usage, key_agreement=True), True)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
        if server_name:
            names: list[x509.GeneralName] = [x509.DNSName(server_name)]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return Issued(builder.sign(self.key, algorithm), own)

    def revocations(
        self, *revoked: Issued | Authority, days: tuple[float, float] = (-1, 6), signer: Authority | None = None
    ) -> bytes:
        """A revocation list in PEM."""
        first, last = (moment(self.now_ms, days=each) for each in days)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(first).next_update(last)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(first).build())
        return builder.sign((signer or self).key, _SHA256).public_bytes(serialization.Encoding.PEM)


def signed_with_sha1(issued: Issued, signer: rsa.RSAPrivateKey) -> bytes:
    """The same certificate as nobody makes them any more: its two names of the algorithm are changed and it is signed
    again."""
    old, new = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))
    content = issued.certificate.tbs_certificate_bytes.replace(old, new)
    signature = signer.sign(content, padding.PKCS1v15(), hashes.SHA1())
    der = issued.der.replace(issued.certificate.tbs_certificate_bytes, content).replace(old, new)
    return der.replace(issued.certificate.signature, signature)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, first: datetime, last: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(first)
        .not_valid_after(last)
    )


def _authority_key(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(**on: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
        " encipher_only decipher_only"
    )
    return x509.KeyUsage(**(dict.fromkeys(names.split(), False) | on))
