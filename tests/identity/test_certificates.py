"""Any certificate from somewhere is not enough (TF-072)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from dmp_fhir.identity.certificates import REASONS, CertificateChecker
from dmp_fhir.outcome import Refused
from tests.support import tally
from tests.support.pki import SERVER, Authority, Issued, rsa_key, signed_with_sha1

NOW = 1_790_000_000_000
DAY = 86_400_000


class Here:
    """A checker with its authorities, and a clock to turn."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.root = Authority("Racine de test", NOW)
        self.authority = Authority("Autorité de test", NOW, self.root)
        self.stranger = Authority("Autorité de test", NOW)
        self.trusted, self.lists = folder / "authorities.pem", folder / "lists"
        self.trusted.write_bytes(self.root.pem + self.authority.pem)
        self.lists.mkdir()
        self.publish(self.authority.revocations())

    def clock(self) -> int:
        return self.now

    def publish(self, pem: bytes, name: str = "authority.crl") -> None:
        path = self.lists / name
        path.write_bytes(pem)
        # The file system's clock is coarse: what is written again at once must be seen all the same.
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + self.now))

    def checker(self, *, grace_s: int = 0, revocations: bool = True) -> CertificateChecker:
        return CertificateChecker(self.trusted, self.lists if revocations else None, self.clock, grace_s=grace_s)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def refused(checker: CertificateChecker, der: bytes) -> str:
    """The internal reason of a refusal, which must be a 401 in both languages."""
    tally.count("B", "bad certificates tried")
    tally.count("B", "bad certificates accepted", 0)
    try:
        checker.checked(der)
    except Refused as caught:
        refusal = caught.refusal
        assert refusal.status == 401
        assert refusal.issues[0].code == "login"
        assert refusal.headers[0][0] == "WWW-Authenticate"
        assert refusal.headers[0][1].isascii()
        return (refusal.reason or "").removeprefix("CERTIFICAT_")
    tally.count("B", "bad certificates accepted")
    pytest.fail("accepted")


def test_a_good_certificate(here: Here) -> None:
    issued = here.authority.issue("dmp.chu-test.example")
    found = here.checker().checked(issued.der)
    assert (found.thumbprint, found.name) == (issued.thumbprint, "dmp.chu-test.example")
    assert found.subject == issued.certificate.subject


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa_key(2048)], ids=["P-384", "RSA 2048"])
def test_other_good_keys(here: Here, key: object) -> None:
    here.checker().checked(here.authority.issue("client", key=key).der)  # type: ignore[arg-type]


BAD: dict[str, tuple[str, Callable[[Here], Issued]]] = {
    "self-signed": ("AUTORITE", lambda here: _self_signed()),
    "other authority": ("AUTORITE", lambda here: Authority("Ailleurs", NOW).issue("client")),
    "an authority that took the name": ("AUTORITE", lambda here: here.stranger.issue("client")),
    "intermediate missing": ("AUTORITE", lambda here: Authority("Fille", NOW, here.authority).issue("client")),
    "expired": ("PERIODE", lambda here: here.authority.issue("client", days=(-400, -1))),
    "expired this second": ("PERIODE", lambda here: here.authority.issue("client", days=(-400, 0))),
    "not yet valid": ("PERIODE", lambda here: here.authority.issue("client", days=(1, 400))),
    "server only": ("USAGE", lambda here: here.authority.issue("client", usage=(SERVER,))),
    "without usage": ("USAGE", lambda here: here.authority.issue("client", usage=None)),
    "not for signatures": ("USAGE", lambda here: here.authority.issue("client", key_usage=False)),
    "RSA 1024": ("FAIBLE", lambda here: here.authority.issue("client", key=rsa_key(1024))),
    "P-192": ("FAIBLE", lambda here: here.authority.issue("client", key=ec.generate_private_key(ec.SECP192R1()))),
    "P-224": ("FAIBLE", lambda here: here.authority.issue("client", key=ec.generate_private_key(ec.SECP224R1()))),
    "an authority as client": ("USAGE", lambda here: Issued(here.authority.certificate, here.authority.key)),
}


def _self_signed() -> Issued:
    return Authority("client", NOW).issue("client")


@pytest.mark.parametrize("name", BAD)
def test_bad_certificates(here: Here, name: str) -> None:
    reason, make = BAD[name]
    assert refused(here.checker(), make(here).der) == reason


def test_sha_1(here: Here) -> None:
    key = rsa_key(2048)
    authority = Authority("Ancienne", NOW, key=key)
    here.trusted.write_bytes(authority.pem)
    here.publish(authority.revocations())
    issued = authority.issue("client")
    here.checker().checked(issued.der)
    der = signed_with_sha1(issued, key)
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    assert isinstance(algorithm, hashes.SHA1)
    assert refused(here.checker(), der) == "FAIBLE"


@pytest.mark.parametrize("der", [b"", b"\x30", b"x" * 100_000, b"0" * 2000], ids=["empty", "cut", "large", "digits"])
def test_unreadable(here: Here, der: bytes) -> None:
    assert refused(here.checker(), der) == "ILLISIBLE"


def test_a_cut_or_flipped_certificate(here: Here) -> None:
    der = here.authority.issue("client").der
    checker = here.checker()
    assert refused(checker, der[:-1]) == "ILLISIBLE"
    flipped = bytearray(der)
    flipped[-5] ^= 1  # in the signature
    assert refused(checker, bytes(flipped)) in ("AUTORITE", "ILLISIBLE")


def test_revoked(here: Here) -> None:
    issued, other = here.authority.issue("client"), here.authority.issue("other")
    here.publish(here.authority.revocations(issued))
    checker = here.checker()
    assert refused(checker, issued.der) == "REVOQUE"
    checker.checked(other.der)


def test_an_authority_between_is_revoked(here: Here) -> None:
    """The root's list is looked at when there is one; it may be signed by nobody else."""
    issued = here.authority.issue("client")
    here.checker().checked(issued.der)
    here.publish(here.root.revocations(here.authority, signer=here.stranger), "root.crl")
    here.checker().checked(issued.der)
    here.publish(here.root.revocations(), "root.crl")
    here.checker().checked(issued.der)
    here.publish(here.root.revocations(here.authority), "root.crl")
    assert refused(here.checker(), issued.der) == "REVOQUE"


def test_a_new_list_is_seen_without_a_restart(here: Here) -> None:
    issued, checker = here.authority.issue("client"), here.checker()
    checker.checked(issued.der)
    here.now += 3000
    here.publish(here.authority.revocations(issued))
    assert refused(checker, issued.der) == "REVOQUE"


def test_lists_missing_stale_foreign_or_of_the_future(here: Here) -> None:
    issued = here.authority.issue("client")
    other = Authority("Autre", NOW)
    for pem in (
        other.revocations(),  # of somebody else
        here.authority.revocations(days=(-8, -1)),  # stale
        here.authority.revocations(days=(1, 8)),  # of tomorrow
        here.authority.revocations(signer=here.stranger),  # signed by somebody else
    ):
        here.publish(pem)
        assert refused(here.checker(), issued.der) == "REVOCATION_INCONNUE"


def test_a_list_gets_stale_while_the_certificate_is_remembered(here: Here) -> None:
    issued, checker = here.authority.issue("client"), here.checker()
    checker.checked(issued.der)
    here.now += 6 * DAY
    assert refused(checker, issued.der) == "REVOCATION_INCONNUE"


def test_the_grace_is_the_only_exception(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    issued, checker = here.authority.issue("client"), here.checker(grace_s=3600)
    checker.checked(issued.der)
    here.now = NOW + 6 * DAY + 3_599_000
    checker.checked(issued.der)
    assert "stale" in caplog.text
    here.now += 1000
    assert refused(checker, issued.der) == "REVOCATION_INCONNUE"


def test_a_certificate_expires_while_it_is_remembered(here: Here) -> None:
    issued, checker = here.authority.issue("client", days=(-1, 0.5)), here.checker()
    checker.checked(issued.der)
    here.now += DAY // 2
    assert refused(checker, issued.der) == "PERIODE"


def test_an_authority_that_is_no_longer_trusted(here: Here) -> None:
    issued, checker = here.authority.issue("client"), here.checker()
    checker.checked(issued.der)
    here.trusted.write_bytes(Authority("Autre", NOW).pem)
    here.now += 3000
    assert refused(checker, issued.der) == "AUTORITE"


def test_a_list_that_can_t_be_read_leaves_the_last_one(here: Here, caplog: pytest.LogCaptureFixture) -> None:
    revoked, issued = here.authority.issue("revoked"), here.authority.issue("client")
    here.publish(here.authority.revocations(revoked))
    checker = here.checker()
    here.now += 3000
    here.publish(b"half a list")
    checker.checked(issued.der)
    assert refused(checker, revoked.der) == "REVOQUE"
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_files_that_stop_the_start(here: Here, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError):
        CertificateChecker(here.trusted, empty, here.clock)
    (tmp_path / "text.pem").write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"text\.pem"):
        CertificateChecker(tmp_path / "text.pem", None, here.clock)
    (empty / "page.crl").write_text("<html>")
    with pytest.raises(ValueError, match=r"page\.crl is no revocation list"):
        CertificateChecker(here.trusted, empty, here.clock)
    with pytest.raises(OSError):
        CertificateChecker(tmp_path / "nothing.pem", None, here.clock)


def test_every_reason_has_its_sentences() -> None:
    assert {reason for reason, _ in BAD.values()} < REASONS.keys()
    assert all(fr and en for fr, en in REASONS.values())
