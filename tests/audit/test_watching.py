"""The running server looks at its trace (TF-169, TF-172): what an insider does is an alert within a sealing period."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.audit.heads import SEAL_EVERY_MS
from dmp_fhir.audit.sealer import Sealer
from dmp_fhir.audit.tree import Frontier
from dmp_fhir.audit.watching import Watch
from dmp_fhir.registry.alerts import alerts_to_review
from tests.audit.logs import Log, disarm
from tests.support.tally import count

SIZE = 2_600


@pytest.fixture
def log(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr("dmp_fhir.audit.watching.NEWEST", 512)
    monkeypatch.setattr("dmp_fhir.audit.watching.OLDER", 512)
    made = Log.made(database_url, tmp_path)
    made.grow(SIZE, at_once=500)
    made.seal()
    disarm(made.database)
    yield made
    made.database.close()


def watch_of(log: Log) -> Watch:
    return Watch(log.database, log.sealing, log.folder / "watch.lock")


def look(log: Log, watch: Watch) -> list[tuple[str, int | None]]:
    log.clock.now += SEAL_EVERY_MS
    return [(each.kind, each.position) for each in watch.look(log.clock.now)]


def cut(tx: Any, size: int) -> None:
    """The log as it was when it had `size` entries."""
    frontier = Frontier()
    for (leaf,) in tx.rows(f"SELECT leaf FROM audit_event WHERE position < {size} ORDER BY position"):
        frontier.append(leaf)
    tx.execute(f"DELETE FROM audit_event WHERE position >= {size}")
    tx.execute(f"UPDATE audit_tree SET size = {size}, frontier = :f", {"f": bytes(frontier)})


def test_a_log_that_grows_is_what_it_was(log: Log) -> None:
    watch = watch_of(log)
    for _ in range(6):  # all of the older entries too
        assert look(log, watch) == []
        log.grow(700, at_once=350)
        log.seal()
    with log.database.snapshot() as reader:
        assert alerts_to_review(reader) == []


ALTERATIONS: dict[str, tuple[Callable[[Any], object], str, int]] = {
    "a column": (lambda tx: tx.execute("UPDATE audit_event SET outcome = '8' WHERE position = 2555"), "altered", 2555),
    "gone": (lambda tx: tx.execute("DELETE FROM audit_event WHERE position = 2555"), "missing", 2555),
    "the last one gone": (lambda tx: tx.execute("DELETE FROM audit_event WHERE position = 2599"), "missing", 2599),
    "without seal": (lambda tx: tx.execute("UPDATE audit_event SET seal = NULL WHERE position = 2555"), "forged", 2555),
    "cut back": (lambda tx: cut(tx, 2_590), "missing", 2590),
    "a head": (lambda tx: tx.execute("UPDATE audit_head SET root = leaf FROM audit_event"), "outside", SIZE),
    "no head": (lambda tx: tx.execute("DELETE FROM audit_head"), "outside", SIZE),
    "a tile": (lambda tx: tx.execute("DELETE FROM audit_tile WHERE number = 8"), "tile", 2048),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_what_an_insider_does_is_an_alert_at_the_next_look(
    log: Log, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    act, kind, position = ALTERATIONS[name]
    watch = watch_of(log)
    assert look(log, watch) == []
    log.as_insider(act)
    count("G", "alterations made")
    with caplog.at_level(logging.CRITICAL, "dmp_fhir.alert"):
        found = look(log, watch)
        count("G", "alterations detected", bool(found))
        assert (kind, position) in found
        told = len(caplog.records)
        look(log, watch)
    assert len(caplog.records) == told  # once
    assert f"{kind} at position {position}" in caplog.text
    with log.database.snapshot() as reader:
        assert [each.kind for each in alerts_to_review(reader)] in (["trace"], [])
        raised = alerts_to_review(reader)
    # An alert is traced itself, which a trace without its last entries does not allow.
    assert bool(raised) != ("could not be kept" in caplog.text)


def test_older_entries_have_their_turn(log: Log) -> None:
    log.as_insider(lambda tx: tx.execute("UPDATE audit_event SET agent_name = 'X' WHERE position = 700"))
    watch = watch_of(log)
    looks = [look(log, watch) for _ in range(7)]
    assert [("altered", 700)] in looks


def test_what_is_written_after_the_last_head_is_remembered(log: Log) -> None:
    """Entries that no head holds yet are taken away, by the rules: this process knows that they were there."""
    watch = watch_of(log)
    log.grow(30)
    assert look(log, watch) == []
    log.as_insider(lambda tx: cut(tx, SIZE + 10))
    assert look(log, watch) == [("missing", SIZE + 10)]


def test_one_process_looks_and_another_takes_over(log: Log) -> None:
    one, two = watch_of(log), watch_of(log)
    assert look(log, one) == []
    log.as_insider(lambda tx: tx.execute("UPDATE audit_event SET action = 'D' WHERE position = 2570"))
    assert look(log, two) == []
    assert one._lock is not None
    one.close()
    assert look(log, two) == [("altered", 2570)]


def test_the_sealer_looks(log: Log) -> None:
    watch = watch_of(log)
    sealer = Sealer(log.database, log.clock, watch=watch.look)
    sealer.look()
    log.as_insider(lambda tx: tx.execute("UPDATE audit_event SET purpose = 'x' WHERE position = 2598"))
    for _ in range(6):
        log.clock.now += SEAL_EVERY_MS // 6
        sealer.look()
    with log.database.snapshot() as reader:
        assert [(each.kind, each.most) for each in alerts_to_review(reader)] == [("trace", 2598)]
