"""Certificates are renewed before they end: who has to is told 30 days before, and nothing is cut meanwhile
(TF-249)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dmp_fhir.cli import main
from dmp_fhir.identity.certificates import CertificateChecker
from dmp_fhir.identity.expiring import DAY_MS, ExpiryWatch, Seen, endings
from dmp_fhir.instants import system_clock
from dmp_fhir.limits.requests import RequestRates
from dmp_fhir.outcome import Refused
from dmp_fhir.settings import Settings
from tests.support import tally
from tests.support.pki import SERVER, Authority, Issued

NOW = 1_790_000_000_000


class House:
    """The files of a server with certificates, whose authority ends in 900 days."""

    def __init__(self, folder: Path, now: int = NOW) -> None:
        self.folder, self.now = folder, now
        self.authority = Authority("Clients", now)
        self.write("ca.pem", self.authority.pem)
        self.write("lists.crl", self.authority.revocations(days=(-1, 6)))
        self.renew_server(300)
        self.settings = Settings(
            data_folder=folder,
            client_ca=str(folder / "ca.pem"),
            client_crl=str(folder / "lists.crl"),
            tls_certificate=str(folder / "server.pem"),
        )
        self.seen = Seen(self.settings.seen_folder)

    def clock(self) -> int:
        return self.now

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def renew_server(self, days: float) -> None:
        issued = self.authority.issue("registry.example", usage=(SERVER,), days=(-10, days))
        self.write("server.pem", issued.pem + self.authority.pem)

    def comes(self, issued: Issued) -> None:
        checker = CertificateChecker(self.folder / "ca.pem", self.folder / "lists.crl", self.clock, grace_s=10**9)
        self.seen.note(checker.checked(issued.der))

    def told(self) -> list[str]:
        tally.count("K", "ends of certificates looked at (TF-249)")
        return [each.told(self.now) for each in endings(self.settings, self.now)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_has_time_is_not_told(house: House) -> None:
    house.comes(house.authority.issue("lps", days=(-10, 30.1)))
    house.renew_server(30.1)
    assert house.told() == []


SOON: dict[str, tuple[str, Callable[[House], None]]] = {
    "server": ("this server's certificate CN=registry.example", lambda house: house.renew_server(30)),
    "server today": ("ends today", lambda house: house.renew_server(0.5)),
    "server, ended": ("ended", lambda house: house.renew_server(-0.5)),
    "client": ("the client certificate ", lambda house: house.comes(house.authority.issue("lps", days=(-10, 30)))),
    "list": (
        "the revocation list of CN=Clients: ends in 1 days",
        lambda house: house.write("lists.crl", house.authority.revocations(days=(-6, 1.5))),
    ),
    "list, late": (
        "the revocation list of CN=Clients: ended",
        lambda house: house.write("lists.crl", house.authority.revocations(days=(-8, -1))),
    ),
}


@pytest.mark.parametrize("name", SOON)
def test_what_ends_soon_is_told(house: House, name: str) -> None:
    words, ages = SOON[name]
    ages(house)
    (told,) = house.told()
    assert words in told
    assert "put the next one in its place" in told


def test_an_authority_at_the_end_of_its_time_beside_the_next_one(house: House) -> None:
    """Both are in the file while clients move from one to the other: none is cut off, and the old one is told about
    until it is taken out."""
    house.now = NOW + 880 * DAY_MS
    following = Authority("Clients", house.now)
    house.write("ca.pem", house.authority.pem + following.pem)
    house.write("lists.crl", following.revocations() + house.authority.revocations(days=(879, 886)))
    house.renew_server(980)
    checker = CertificateChecker(house.folder / "ca.pem", house.folder / "lists.crl", house.clock)
    for issued in (house.authority.issue("old", days=(600, 899)), following.issue("new")):
        assert checker.checked(issued.der).name in ("old", "new")
    assert [each.partition(":")[0] for each in house.told()] == ["the authority CN=Clients"]
    house.now = NOW + 901 * DAY_MS
    house.write("lists.crl", Authority("Clients", house.now, key=following.key).revocations())
    checker.checked(following.issue("newer").der)
    with pytest.raises(Refused):
        checker.checked(house.authority.issue("late", days=(600, 990)).der)


def test_who_has_renewed_is_not_told_about(house: House) -> None:
    old, new = house.authority.issue("lps", days=(-10, 20)), house.authority.issue("lps", days=(-1, 300))
    house.comes(old)
    assert len(house.told()) == 1
    house.comes(new)  # both are good meanwhile
    house.comes(old)
    assert house.told() == []
    house.comes(house.authority.issue("other", days=(-10, 20)))
    house.now += 49 * DAY_MS
    house.write("lists.crl", house.authority.revocations(days=(48, 55)))
    assert [each.split()[0] for each in house.told()] == ["the"]
    house.now += 2 * DAY_MS  # gone for 31 days
    house.write("lists.crl", house.authority.revocations(days=(50, 57)))
    assert house.told() == []


def test_of_several_lists_of_an_authority_the_last_counts(house: House) -> None:
    late, fresh = house.authority.revocations(days=(-8, -1)), house.authority.revocations(days=(-1, 6))
    house.write("lists.crl", fresh + late)
    assert house.told() == []


def test_one_line_a_day_whatever_the_workers(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.comes(house.authority.issue("Dr Anne Moreau 899700000112", days=(-10, 20)))
    house.renew_server(20)
    rates = [RequestRates(house.settings) for _ in range(3)]
    workers = [ExpiryWatch(house.settings, house.clock, each.first_in_the_day) for each in rates]
    for lines in (2, 4):
        for worker in workers * 2:
            worker.look()
        assert [record.levelname for record in caplog.records] == ["CRITICAL"] * lines
        house.now += DAY_MS
        house.write("lists.crl", house.authority.revocations(days=(0, 7)))
    assert "Moreau" not in caplog.text
    ExpiryWatch(house.settings, house.clock, rates[0].first_in_the_day).look()
    assert len(caplog.records) == 6
    ExpiryWatch(house.settings, house.clock, rates[1].first_in_the_day).look()  # started again the same day
    assert len(caplog.records) == 6


def test_a_file_that_can_t_be_read_hides_no_other(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.renew_server(20)
    house.write("ca.pem", b"half")
    assert len(house.told()) == 1
    assert "ca.pem" in caplog.text


def test_dmp_fhir_callers_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path, system_clock())
    house.comes(house.authority.issue("lps", days=(-10, 20)))
    (tmp_path / "clients.json").write_text(json.dumps([{"client_id": "lps", "name": "LPS"}]))
    for name, value in {
        "DMP_FHIR_DATA": str(tmp_path),
        "DMP_FHIR_CLIENT_CA": house.settings.client_ca,
        "DMP_FHIR_CLIENT_CRL": house.settings.client_crl,
        "DMP_FHIR_CLIENTS": str(tmp_path / "clients.json"),
    }.items():
        monkeypatch.setenv(name, value)
    logging.getLogger().setLevel(logging.WARNING)
    found = CliRunner().invoke(main, ["callers"])
    assert found.exit_code == 0, found.output
    assert "soon: the client certificate" in found.output
    assert "(CN=lps,O=CHU de Test,C=FR)" in found.output
