"""Forwarding to an ATNA repository, as FHIR or syslog: over TLS, in order, at least once, never blocking (TF-166)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from dmp_fhir.audit import forwarding, log, syslog_feed
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.forwarding import BATCH, LONGEST_WAIT_MS, Forwarded, forward
from dmp_fhir.audit.repository import FILE_NAME, Repository, reached
from dmp_fhir.store.database import Database
from tests.support import tally
from tests.support.atna import RECEIVERS, Receiver, SyslogReceiver, certificates, start_process
from tests.support.server import free_port

NOW = 1_790_000_000_000


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    certificates(folder)
    return folder


@pytest.fixture
def place(pki: Path, tmp_path: Path) -> Path:
    """A folder of a receiver, with its certificates."""
    folder = tmp_path / "receiver"
    folder.mkdir()
    for each in pki.iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    return folder


@pytest.fixture(params=RECEIVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver(kind: str, place: Path) -> Iterator[Receiver]:
    made = RECEIVERS[kind](place)
    made.up()
    yield made
    made.down()


@pytest.fixture
def syslog(place: Path) -> Iterator[SyslogReceiver]:
    made = SyslogReceiver(place)
    made.up()
    yield made
    made.down()


def fill(database: Database, number: int) -> list[str]:
    acts = [Act("read", "R", record_id=f"r{n % 3}", entities=(("Patient", f"r{n % 3}", 1),)) for n in range(number)]
    return database.write(lambda tx: log.append_many(tx, acts, None, NOW))


def in_order(ids: list[str]) -> list[str]:
    """Each once, where it came first."""
    return list(dict.fromkeys(ids))


def test_everything_is_forwarded_once_in_order(database: Database, receiver: Receiver, tmp_path: Path) -> None:
    made = fill(database, BATCH + 7)
    folder = tmp_path / "data"
    assert forward(database, receiver.repository, folder, NOW) == Forwarded(BATCH + 7, 0)
    assert receiver.ids == made
    assert forward(database, receiver.repository, folder, NOW) == Forwarded(0, 0)
    made += fill(database, 3)
    assert str(forward(database, receiver.repository, folder, NOW)) == "forwarded 3, waiting 0"
    assert receiver.ids == made
    assert reached(folder, receiver.repository.address) == len(made)
    assert (folder / FILE_NAME).stat().st_mode & 0o077 == 0
    if receiver.scheme == "https":
        assert receiver.tokens == {"Bearer repository-token"}
    else:
        header = {(each[0], *each[2:]) for each in receiver.headers}
        assert header == {(b"85", b"dmp-fhir.example", b"dmp-fhir", b"-", b"IHE+RFC-3881")}


def test_what_is_lost_is_sent_again(database: Database, receiver: Receiver, tmp_path: Path) -> None:
    made = fill(database, 10)
    receiver.lose = True
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(0, 10)
    receiver.lose, receiver.most = False, 4
    taken = 4 if receiver.scheme == "https" else 0  # syslog can't say which
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(taken, 10 - taken)
    receiver.most = BATCH
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(10 - taken, 0)
    assert in_order(receiver.ids) == made


def test_a_repository_that_is_away_blocks_nothing(
    database: Database, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Down and up again; the log tells of it by the kind of the error only."""
    made = fill(database, 5)
    receiver.down()
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(0, 5)
    made += fill(database, 1)
    receiver.up()
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(6, 0)
    assert receiver.ids == made
    away = "ConnectionError" if receiver.scheme == "https" else "ConnectionRefusedError"
    assert [each.getMessage() for each in caplog.records if each.name == "dmp_fhir.alert"] == [
        f"the audit repository is away: {away}"
    ]


def test_many_waiting_events_and_long_waits_are_alerts(
    database: Database,
    receiver: Receiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(database, 5)
    receiver.down()

    def alerts(now_ms: int) -> list[str]:
        caplog.clear()
        assert forward(database, receiver.repository, tmp_path, now_ms) == Forwarded(0, 5)
        return [each.getMessage() for each in caplog.records if each.levelno == logging.CRITICAL]

    assert alerts(NOW + LONGEST_WAIT_MS) == []
    told = ["5 events wait for the audit repository, since 2026-09-21T14:13:20.000Z"]
    assert alerts(NOW + LONGEST_WAIT_MS + 1) == told
    monkeypatch.setattr(forwarding, "MOST_WAITING", 4)
    assert alerts(NOW) == told
    receiver.up()


def test_a_stranger_gets_nothing(database: Database, receiver: Receiver, tmp_path: Path) -> None:
    """Neither a repository that no authority vouches for, nor one that we show no certificate to, or a wrong one."""
    fill(database, 2)
    repository = receiver.repository
    stranger = tmp_path / "stranger.pem"
    trustme.CA().issue_cert("registry.example").private_key_and_cert_chain_pem.write_to_path(stranger)
    others = (
        Repository(repository.address, None, repository.certificate),
        Repository(repository.address, repository.authorities),
        Repository(repository.address, repository.authorities, stranger),
        Repository(
            repository.address.replace("127.0.0.1", "localhost"), repository.authorities, repository.certificate
        ),
    )
    for each in others:
        assert forward(database, each, tmp_path, NOW) == Forwarded(0, 2)
    assert receiver.ids == []


def test_a_slow_repository_gets_everything(database: Database, receiver: Receiver, tmp_path: Path) -> None:
    made = fill(database, 30)
    receiver.seconds = 0.01
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(30, 0)
    assert receiver.ids == made


def test_a_repository_killed_in_the_middle_misses_nothing(
    database: Database, kind: str, place: Path, tmp_path: Path
) -> None:
    made = fill(database, BATCH + 40)
    stored = place / "stored"
    stored.touch()
    process, port = start_process(kind, place, 0, 0.005)
    repository = RECEIVERS[kind](place, port).repository
    outcome: list[Forwarded] = []
    work = threading.Thread(target=lambda: outcome.append(forward(database, repository, tmp_path, NOW)))
    work.start()
    while len(stored.read_text().split()) < BATCH + 5:
        time.sleep(0.005)
    process.kill()
    process.wait()
    work.join()
    assert outcome == [Forwarded(BATCH, 40)]
    process, _ = start_process(kind, place, port, 0)
    assert forward(database, repository, tmp_path, NOW) == Forwarded(40, 0)
    process.kill()
    process.wait()
    found = stored.read_text().split()
    tally.count("G", "events forwarded, repository killed", len(made))
    tally.count("G", "of these missing at the repository", len(set(made) - set(found)))
    assert in_order(found) == made


def test_a_sender_killed_before_it_noted_the_place_sends_again(
    database: Database, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(database, BATCH + 5)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forwarding, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            forward(database, receiver.repository, tmp_path, NOW)
    assert receiver.ids == made[:BATCH]
    assert forward(database, receiver.repository, tmp_path, NOW) == Forwarded(BATCH + 5, 0)
    assert receiver.ids == made[:BATCH] + made


def test_a_connection_that_is_half_open_is_given_up(
    database: Database, syslog: SyslogReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver neither closes nor answers: what was sent counts as lost."""
    fill(database, 3)
    monkeypatch.setattr(syslog_feed, "CLOSE_S", 0.2)
    syslog.seconds = 0.3
    assert forward(database, syslog.repository, tmp_path, NOW) == Forwarded(0, 3)
    syslog.seconds = 0
    assert forward(database, syslog.repository, tmp_path, NOW) == Forwarded(3, 0)


def test_a_connection_without_farewell_counts_as_cut_off(
    database: Database, syslog: SyslogReceiver, tmp_path: Path
) -> None:
    """Closed without close_notify, it may have been cut by anybody, or the receiver is dead."""
    made = fill(database, 3)
    syslog.farewell = False
    assert forward(database, syslog.repository, tmp_path, NOW) == Forwarded(0, 3)
    syslog.farewell = True
    assert forward(database, syslog.repository, tmp_path, NOW) == Forwarded(3, 0)
    assert syslog.ids == made + made


@pytest.mark.parametrize(
    "address",
    [
        "http://x",
        "syslog://x:514",
        "syslog-tcp://x",
        "tcp://x",
        "syslog-tls://",
        "syslog-tls://u@x",
        "syslog-tls://x/y",
        "x",
    ],
)
def test_the_trace_never_goes_in_the_clear(address: str) -> None:
    with pytest.raises(ValueError):
        Repository.of(address)


def test_settings_that_cannot_work_are_told(pki: Path, tmp_path: Path) -> None:
    address = f"syslog-tls://127.0.0.1:{free_port()}"
    assert Repository.of(f"{address}/", str(pki / "ca.pem"), str(pki / "node.pem")).address == address
    for files in ((str(tmp_path / "none.pem"), ""), ("", str(tmp_path / "none.pem")), ("", "", str(pki / "ca.pem"))):
        with pytest.raises((ValueError, OSError)):
            Repository.of(address, *files)
    with pytest.raises(OSError):
        Repository.of(address, "", str(pki / "ca.pem"))  # no key in it
