"""The instants of a record strictly increase, whatever the machine's clock and however many write."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.store.clock import RecordClock, lock_record
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.store.tables import DIRECTORY
from tests.store import rows


class Notebook:
    """A transaction that only remembers what was written."""

    def __init__(self) -> None:
        self.written: list[int] = []

    def execute(self, sql: str, params: dict[str, object]) -> int:
        self.written.append(params["clock"])  # type: ignore[arg-type]
        return 1


@given(st.integers(0, 2**42), st.lists(st.integers(0, 2**42), min_size=1, max_size=20))
def test_a_tick_is_never_before_now_and_always_after_the_latest(latest: int, machine: list[int]) -> None:
    for now in machine:
        notebook = Notebook()
        clock = RecordClock(notebook, "a", "open", latest)  # type: ignore[arg-type]
        instant = clock.tick(now)
        assert instant > latest
        assert instant == now or instant == latest + 1
        assert clock.tick(now + 5) == instant
        assert notebook.written == [instant]
        latest = instant


def test_the_clock_is_kept_and_a_rollback_gives_the_instant_back(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("record", rows.record("a", clock=1000))

    def tick(now: int, fail: bool = False) -> int:
        with database.transaction() as tx:
            clock = lock_record(tx, "a")
            assert (clock.record_id, clock.status) == ("a", "open")
            instant = clock.tick(now)
            if fail:
                raise ValueError("the work failed")
        return instant

    assert tick(5000) == 5000
    assert tick(4000) == 5001
    with pytest.raises(ValueError, match="the work failed"):
        tick(9000, fail=True)
    assert tick(4000) == 5002


def test_the_directory_has_a_clock_and_an_unknown_record_has_none(database: Database) -> None:
    with database.transaction() as tx:
        assert lock_record(tx, DIRECTORY).tick(7) == 7
        with pytest.raises(LookupError):
            lock_record(tx, "nobody")


def add_version(database: Database, now: int) -> int:
    """One more version of a list, as an interaction does it: lock, look, write."""

    def work(tx: Transaction) -> int:
        clock = lock_record(tx, "a")
        (number,) = tx.row("SELECT COALESCE(MAX(version), 0) + 1 FROM resource_version WHERE resource_id = 'l'")
        tx.insert("resource_version", rows.version("a", "List", "l", number, last_updated=clock.tick(now)))
        return number

    return database.write(work)


def _write_in_another_process(url: str, count: int) -> None:
    database = Database.open(url)
    for _ in range(count):
        add_version(database, 1000)
    database.close()


def test_versions_and_instants_under_many_writers(database: Database) -> None:
    """TF-190, on a machine whose clock stands still."""
    with database.transaction() as tx:
        tx.insert("record", rows.record("a", clock=1000))
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=_write_in_another_process, args=(database.url, 30)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(3) as pool:
        numbers = list(pool.map(lambda _: add_version(database, 1000), range(40)))
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(set(numbers)) == 40
    with database.snapshot() as reader:
        stored = reader.rows("SELECT version, last_updated FROM resource_version ORDER BY version")
    assert stored == [(number, 1000 + number) for number in range(1, 101)]
