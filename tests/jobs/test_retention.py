"""Destroyed neither too early nor never (TF-245), and the trace outlives what it tells of (TF-180)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from dmp_fhir import jobs, retention
from dmp_fhir.audit.placing import append_rows
from dmp_fhir.audit.verification import verify
from dmp_fhir.notify.sender import FileSender
from dmp_fhir.policy.settings import DEFAULT_SETTINGS
from dmp_fhir.registry import lifecycle
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.access.consents import Office, closing
from tests.jobs.conftest import Run
from tests.readme.tour import ROOT
from tests.rest.bodies import CLAIRE
from tests.rest.caller import Caller
from tests.store import rows
from tests.support import tally
from tests.support.server import TickingClock

CLOSED = "2024-02-29T15:30:00"


def instant(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1000)


@pytest.fixture
def closed(database: Database, payloads: PayloadStore) -> Database:
    """A record that was closed on a leap day, with a document and a trace."""
    with database.transaction() as tx:
        rows.whole_record(tx, "r")
        rows.whole_document(tx, "r", "d", b"x", payloads.put(b"x"))
        append_rows(tx, [rows.trace("r", "t")])
        tx.execute("UPDATE record SET status = 'closed' WHERE id = 'r'")
        lifecycle.follow_status(tx, "r", "open", "closed", instant(CLOSED))
    return database


def erased_at(database: Database, payloads: PayloadStore, tmp_path: Path, now: str) -> int:
    return jobs.run(database, payloads, FileSender(tmp_path / "outbox"), instant(now), DEFAULT_SETTINGS).erased


def remains(database: Database) -> tuple[int, int]:
    """Rows of content, and of the trace."""
    with database.snapshot() as reader:
        content = sum(reader.row(f"SELECT COUNT(*) FROM {t} WHERE record_id = 'r'")[0] for t in lifecycle.CONTENT)
        return content, reader.row("SELECT COUNT(*) FROM audit_event WHERE record_id = 'r'")[0]


@pytest.mark.parametrize(
    ("now", "erased"),
    [
        ("2024-03-01T00:00:00", 0),
        ("2033-02-28T15:30:00", 0),
        ("2034-02-27T23:59:59", 0),
        ("2034-02-28T15:29:59", 0),
        ("2034-03-01T15:30:00", 1),
        ("2034-03-30T00:00:00", 1),
        ("2044-02-29T00:00:00", 1),
    ],
)
def test_tf_245_ten_years_to_the_day(
    closed: Database, payloads: PayloadStore, tmp_path: Path, now: str, erased: int
) -> None:
    assert erased_at(closed, payloads, tmp_path, now) == erased
    content, traces = remains(closed)
    assert (content == 0) == bool(erased)
    assert traces == 1 + erased  # the certificate: a trace of the erasure, in the name of the jobs
    tally.count("K", "dates of retention tried")


def test_tf_245_reopened_in_between(closed: Database, payloads: PayloadStore, tmp_path: Path) -> None:
    with closed.transaction() as tx:
        tx.execute("UPDATE record SET status = 'open' WHERE id = 'r'")
        lifecycle.follow_status(tx, "r", "closed", "open", instant("2030-01-01T00:00:00"))
    assert erased_at(closed, payloads, tmp_path, "2040-01-01T00:00:00") == 0
    with closed.transaction() as tx:
        tx.execute("UPDATE record SET status = 'closed' WHERE id = 'r'")
        lifecycle.follow_status(tx, "r", "open", "closed", instant("2041-01-01T00:00:00"))
    assert erased_at(closed, payloads, tmp_path, "2050-12-31T23:00:00") == 0
    assert erased_at(closed, payloads, tmp_path, "2051-01-02T00:00:00") == 1
    tally.count("K", "dates of retention tried", 3)


@pytest.mark.parametrize("asked", [False, True])
def test_tf_245_a_held_record_is_kept(closed: Database, payloads: PayloadStore, tmp_path: Path, asked: bool) -> None:
    """Whether its time is over or its holder asks."""
    with closed.transaction() as tx:
        if asked:
            lifecycle.ask_erasure(tx, "r", instant("2025-01-01T00:00:00"))
        assert lifecycle.hold(tx, "r", instant("2025-01-02T00:00:00"))
        assert not lifecycle.hold(tx, "r", instant("2025-01-03T00:00:00"))
    for now in ("2025-02-01T00:00:00", "2034-03-31T00:00:00", "2060-01-01T00:00:00"):
        assert erased_at(closed, payloads, tmp_path, now) == 0
    with closed.transaction() as tx:
        assert lifecycle.hold(tx, "r", None)
        assert not lifecycle.hold(tx, "r", None)
    assert erased_at(closed, payloads, tmp_path, "2060-01-02T00:00:00") == 1
    tally.count("K", "dates of retention tried", 4)


def test_tf_245_a_deceased_holder(registry: Caller, office: Office, run: Run, clock: TickingClock) -> None:
    """A death ends nothing by itself: the ten years run from the closing (CSP R1111-34), whatever its motive and
    however long ago the holder died."""
    record_id = office.record(CLAIRE)
    address = f"Patient/{record_id}"
    patient = registry.get(address, by="exploitant").tree | {"deceasedDateTime": "2010-05-03"}
    assert registry.ask("PUT", address, patient, by="exploitant").status == 200
    run()
    assert registry.create(closing(CLAIRE, "DECES", "Décès du titulaire."), by="exploitant").status == 201
    for now, kept in (("2026-12-31T00:00:00", True), ("2036-11-21T08:00:00", True), ("2036-11-23T08:00:00", False)):
        clock.now = instant(now)
        run()
        assert bool(office.rows("SELECT 1 FROM ins WHERE record_id = :id", id=record_id)) is kept
        tally.count("K", "dates of retention tried")


def test_tf_180_the_trace_outlives_the_record(closed: Database, payloads: PayloadStore, tmp_path: Path) -> None:
    for now in ("2025-01-01T00:00:00", "2027-03-01T00:00:00", "2034-03-02T00:00:00", "2064-01-01T00:00:00"):
        erased_at(closed, payloads, tmp_path, now)
        with closed.snapshot() as reader:
            assert reader.row("SELECT COUNT(*) FROM audit_event WHERE record_id = 'r' AND id = 't'") == (1,)
        # The log is proven without what only the key of the record opened.
        report = verify(closed, {}, None, 0)
        assert (report.findings, report.erased > 0) == ([], now > "2034-03")
        tally.count("G", "dates of retention of the trace tried")


def test_the_page_tells_the_rules_of_the_code() -> None:
    """docs/operating.md has the table of retention.describe()."""
    assert retention.describe() in (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
