"""Reads that wait for their trace together share a commit; one that can't be kept fails them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dmp_fhir.audit import keeping
from dmp_fhir.audit.keeping import TraceKeeper
from dmp_fhir.audit.placing import append_rows
from dmp_fhir.store.database import Database, StoreUnavailable, Transaction
from tests.store import rows


def together(database: Database, count: int, act: Callable[[int], None]) -> list[BaseException | None]:
    """Run `act` in `count` threads that come for their turn while somebody works."""
    found: list[BaseException | None] = [None] * count

    def run(n: int) -> None:
        with database.turns.turn():
            try:
                act(n)
            except BaseException as failure:
                found[n] = failure

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    with database.turns.turn():
        for thread in threads:
            thread.start()
        while len(database.turns._queue) < count:
            time.sleep(0.001)
    for thread in threads:
        thread.join(20)
    return found


def counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    commits: list[int] = []
    write = database.write

    def counting(work: Any) -> Any:
        commits.append(1)
        return write(work)

    monkeypatch.setattr(database, "write", counting)
    return commits


def test_all_rows_are_kept_in_one_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits, keeper = counted(database, monkeypatch), TraceKeeper(database)
    failures = together(database, 6, lambda n: keeper.keep([rows.trace("r", f"t{n}")]))
    assert failures == [None] * 6
    assert len(commits) == 1
    with database.snapshot() as reader:
        assert sorted(reader.rows("SELECT id FROM audit_event")) == [(f"t{n}",) for n in range(6)]


def test_who_comes_while_a_lot_is_committed_goes_along_with_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lot is held at its commit until three more came: they are one lot, whoever of them came first."""
    lots: list[list[str]] = []
    came = threading.Semaphore(0)

    def appending(tx: Transaction, kept: list[dict[str, Any]]) -> None:
        append_rows(tx, kept)
        lots.append(sorted(row["id"] for row in kept))
        if len(lots) == 1:
            with database.turns.waiting():
                for _ in range(3):
                    assert came.acquire(timeout=20)
                while keeper._open is None or len(keeper._open.rows) < 3:
                    time.sleep(0.001)

    monkeypatch.setattr(keeping, "append_rows", appending)
    keeper = TraceKeeper(database)

    def read(number: int) -> None:
        with database.turns.turn():
            came.release()
            keeper.keep([rows.trace("r", f"t{number}")])

    first = threading.Thread(target=lambda: keeper.keep([rows.trace("r", "t0")]))
    first.start()
    while not lots:
        time.sleep(0.001)
    others = [threading.Thread(target=read, args=(number,)) for number in (1, 2, 3)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join(30)
    assert lots == [["t0"], ["t1", "t2", "t3"]]


def test_who_comes_alone_waits_for_nobody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits, keeper = counted(database, monkeypatch), TraceKeeper(database)
    keeper.keep([rows.trace("r", "t1")])
    keeper.keep([rows.trace("r", "t2")])
    keeper.keep([])
    assert len(commits) == 2


def test_a_trace_that_is_not_kept_fails_everybody_and_the_next_works(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = TraceKeeper(database)
    with monkeypatch.context() as broken:

        def away(work: Any) -> None:
            raise StoreUnavailable("away")

        broken.setattr(database, "write", away)
        failures = together(database, 4, lambda n: keeper.keep([rows.trace("r", f"t{n}")]))
    assert [type(each) for each in failures] == [StoreUnavailable] * 4
    with database.snapshot() as reader:
        assert reader.rows("SELECT id FROM audit_event") == []
    keeper.keep([rows.trace("r", "after")])
    with database.snapshot() as reader:
        assert reader.rows("SELECT id FROM audit_event") == [("after",)]
