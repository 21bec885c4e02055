"""Sessions, retries, connections, on both databases."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psycopg
import pytest

from dmp_fhir.store.database import (
    ConstraintViolation,
    Database,
    StoreUnavailable,
    Transaction,
    TransactionConflict,
    UniqueViolation,
    connected_here,
)
from dmp_fhir.store.sqlite import SqliteConnection
from tests.store import rows

INS = {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989", "record_id": "a"}


def records(database: Database) -> list[str]:
    with database.snapshot() as reader:
        return [row[0] for row in reader.rows("SELECT id FROM record WHERE id <> '' ORDER BY id")]


def run_together(*works: object) -> list[object]:
    """Run functions in threads that start together; their results, exceptions included, in order."""
    results: list[object] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = works[index]()  # type: ignore[operator]
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def test_a_transaction_commits_when_its_block_ends(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))
    assert records(database) == ["a"]


def test_anything_raised_rolls_back(database: Database) -> None:
    def work(reason: BaseException) -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record("a"))
            assert tx.row("SELECT 1 FROM record WHERE id = 'a'") == (1,)
            raise reason

    for reason in (ValueError("bug"), KeyboardInterrupt()):
        with pytest.raises(type(reason)):
            work(reason)
    assert records(database) == []


def test_a_session_left_with_a_return_commits(database: Database) -> None:
    def work(tx: Transaction) -> str:
        tx.insert("record", rows.record("a"))
        return "done"

    assert database.write(work) == "done"
    assert records(database) == ["a"]


def test_values_come_back_as_they_went(database: Database) -> None:
    document = rows.document(
        "é", "d", title="naïve 100 % :title ::x '' 🩺", archived=True, date_low=-(2**62), type_code=None
    )
    binary = rows.payload("é", "b", "d", b"x" * 3, bytes(range(32)))
    with database.transaction() as tx:
        tx.insert("document", document)
        tx.insert("payload", binary)
        found = tx.row(
            "SELECT title, archived, masked_professionals, date_low, type_code, ':no', '100%' FROM document"
            " WHERE record_id = :record AND archived AND NOT masked_professionals AND title LIKE '%100 !%%' ESCAPE '!'",
            {"record": "é"},
        )
        digest = tx.row("SELECT sha256, size FROM payload WHERE sha256 = :digest", {"digest": bytes(range(32))})
    assert found == (document["title"], True, False, -(2**62), None, ":no", "100%")
    assert digest == (bytes(range(32)), 3)
    assert type(digest[0]) is bytes


def test_row_answers_one_row_or_none_and_execute_counts(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert_many("record", [rows.record("a"), rows.record("b"), rows.record("c")])
        tx.insert_many("record", [])
        assert tx.row("SELECT id FROM record WHERE id = :id", {"id": "z"}) is None
        assert tx.row("SELECT id FROM record WHERE id <> '' ORDER BY id") == ("a",)
        assert tx.execute("UPDATE record SET status = 'closed' WHERE id > :id", {"id": "a"}) == 2
        assert tx.execute("DELETE FROM record WHERE id = :id", {"id": "z"}) == 0


def test_text_is_ordered_byte_by_byte(database: Database) -> None:
    names = ["Z", "a", "B", "é", "e", "_", "10", "9", "à"]
    with database.transaction() as tx:
        tx.insert_many("record", [rows.record(name) for name in names])
    assert records(database) == sorted(names, key=str.encode)


def test_only_tables_and_columns_of_the_schema_are_written(database: Database) -> None:
    for table, values in (("nowhere", {"id": "a"}), ("record", {'id") --': "a"})):
        with pytest.raises(KeyError), database.transaction() as tx:
            tx.insert(table, values)


def test_a_snapshot_does_not_move_and_does_not_write(database: Database) -> None:
    def add(name: str) -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record(name))

    add("a")
    with database.snapshot() as reader:
        first = reader.rows("SELECT id FROM record ORDER BY id")
        assert run_together(lambda: add("b")) == [None]
        assert reader.rows("SELECT id FROM record ORDER BY id") == first
    assert records(database) == ["a", "b"]
    if database.dialect == "postgresql":
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), database.snapshot() as reader:
            reader.rows("DELETE FROM record")


def test_a_second_session_of_a_thread_is_a_bug(database: Database) -> None:
    with database.snapshot(), pytest.raises(RuntimeError, match="still open"), database.transaction():
        pass
    assert records(database) == []


def test_a_taken_key_is_told_with_its_table(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("ins", INS)

    def take() -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record("b"))
            tx.insert("ins", INS | {"record_id": "b"})

    with pytest.raises(UniqueViolation) as caught:
        take()
    assert caught.value.table == "ins"
    assert INS["value"] not in str(caught.value)
    assert records(database) == []


def test_a_refused_statement_cannot_be_swallowed(database: Database) -> None:
    """PostgreSQL would answer such a commit with a silent rollback, SQLite would commit the rest."""
    with database.transaction() as tx:
        tx.insert("ins", INS)

    def swallow() -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record("b"))
            try:
                tx.insert("ins", INS)
            except UniqueViolation:
                pass

    with pytest.raises(RuntimeError, match="has to leave the session"):
        swallow()
    assert records(database) == []


def test_claim_tells_winner_from_loser(database: Database) -> None:
    with database.transaction() as tx:
        assert tx.claim("ins", INS)
        assert not tx.claim("ins", INS | {"record_id": "b"})
        assert tx.row("SELECT record_id FROM ins WHERE value = :value", INS) == ("a",)


def test_simultaneous_claims_have_one_winner(database: Database) -> None:
    for turn in range(10):
        value = INS | {"value": str(turn)}

        def claim(owner: str, value: dict[str, str] = value) -> tuple[bool, object]:
            def work(tx: Transaction) -> tuple[bool, object]:
                won = tx.claim("ins", value | {"record_id": owner})
                return won, tx.row("SELECT record_id FROM ins WHERE value = :value", value)

            return database.write(work)

        answers = run_together(*(lambda owner=str(n): claim(owner) for n in range(8)))
        assert sorted(won for won, _ in answers) == [False] * 7 + [True]
        assert len({owner for _, owner in answers}) == 1


def test_write_runs_the_loser_of_a_race_again_so_that_it_sees_the_winner(database: Database) -> None:
    def take(owner: str) -> str:
        def work(tx: Transaction) -> str:
            found = tx.row("SELECT record_id FROM ins WHERE value = :value", INS)
            if found is None:
                tx.insert("ins", INS | {"record_id": owner})
                return owner
            return found[0]

        return database.write(work)

    answers = run_together(*(lambda owner=str(n): take(owner) for n in range(8)))
    assert len(set(answers)) == 1
    with database.snapshot() as reader:
        assert reader.rows("SELECT record_id FROM ins") == [(answers[0],)]


def test_write_gives_a_taken_key_back_after_the_second_run(database: Database) -> None:
    runs = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        tx.insert("ins", INS)

    database.write(work)
    with pytest.raises(UniqueViolation):
        database.write(work)
    assert len(runs) == 3


@pytest.mark.parametrize("failures", [3, 4])
def test_conflicts_are_run_again_three_times(database: Database, failures: int) -> None:
    runs = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        tx.insert("record", rows.record("a"))
        if len(runs) <= failures:
            raise TransactionConflict("forced")

    if failures > 3:
        with pytest.raises(TransactionConflict):
            database.write(work)
    else:
        database.write(work)
    assert len(runs) == 4
    assert records(database) == (["a"] if failures == 3 else [])


def test_opposite_lock_orders_both_succeed_once(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert_many("record", [rows.record("a"), rows.record("b")])

    def add_to(*order: str) -> None:
        def work(tx: Transaction) -> None:
            for name in order:
                tx.execute("UPDATE record SET version = version + 1 WHERE id = :id", {"id": name})
                time.sleep(0.05)

        database.write(work)

    assert run_together(lambda: add_to("a", "b"), lambda: add_to("b", "a")) == [None, None]
    with database.snapshot() as reader:
        assert reader.rows("SELECT version FROM record WHERE id <> ''") == [(3,), (3,)]


def test_other_constraints_are_told_apart_from_taken_keys(database: Database) -> None:
    for bad in (rows.record("a", status="unknown"), rows.record("a", clock=None)):
        with pytest.raises(ConstraintViolation) as caught, database.transaction() as tx:
            tx.insert("record", bad)
        assert not isinstance(caught.value, UniqueViolation)


def test_a_lock_held_too_long_is_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmp_fhir.store.database.BUSY_SECONDS", 0.2)
    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))

    def want() -> None:
        with database.transaction() as tx:
            if database.dialect == "postgresql":
                tx.execute("SET LOCAL lock_timeout = '200ms'")
            tx.execute("UPDATE record SET version = 2 WHERE id = 'a'")

    with database.transaction() as tx:
        tx.execute("UPDATE record SET version = 3 WHERE id = 'a'")
        (answer,) = run_together(want)
    assert isinstance(answer, StoreUnavailable)
    want()


def test_a_lock_that_another_process_holds_too_long_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Database on the same address waits as another process does: for the engine alone."""
    monkeypatch.setattr("dmp_fhir.store.sqlite.BUSY_SECONDS", 0.2)
    other = Database(database.url)

    def want() -> None:
        with other.transaction() as tx:
            if tx.dialect == "postgresql":
                tx.execute("SET LOCAL lock_timeout = '200ms'")
            tx.execute("UPDATE record SET version = 2 WHERE id = 'a'")

    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))
    with database.transaction() as tx:
        tx.execute("UPDATE record SET version = 3 WHERE id = 'a'")
        (answer,) = run_together(want)
    assert isinstance(answer, StoreUnavailable)
    want()
    other.close()


def test_writers_of_one_process_wait_for_each_other_without_asking_sqlite(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    if database.dialect == "sqlite":
        begin = SqliteConnection.begin
        monkeypatch.setattr(
            SqliteConnection, "begin", lambda self, write: (begun.append("begin"), begin(self, write))[1]
        )

    def want() -> None:
        with database.transaction() as tx:
            tx.insert("record", rows.record("b"))
            begun.append("second")

    with database.turns.turn(), database.transaction() as tx:
        tx.insert("record", rows.record("a"))
        thread = threading.Thread(target=want)
        thread.start()
        time.sleep(0.05)
        begun.append("first")
    thread.join(20)
    assert records(database) == ["a", "b"]
    if database.dialect == "sqlite":
        assert begun == ["begin", "first", "begin", "second", "begin"]


def test_a_writer_that_failed_lets_the_next_one_begin(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="ours"), database.transaction():
            raise RuntimeError("ours")
    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))
    assert records(database) == ["a"]


def test_a_child_writes_though_a_writer_of_its_parent_had_begun(database: Database) -> None:
    if database._writer is not None:
        database._writer.acquire()  # as another thread of the parent would have
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with database.transaction() as tx:
                tx.insert("record", rows.record("child"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert records(database) == ["child"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "registry.db", ""])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Database.open(url)


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", f"postgresql://postgres@/none?host={tmp_path}"):
        with pytest.raises(StoreUnavailable):
            Database.open(url)
    assert not (tmp_path / "none.db").exists()


def test_a_closed_database_opens_again_when_used(database: Database) -> None:
    assert connected_here(database.url)
    database.close()
    assert not connected_here(database.url)
    assert records(database) == []
    assert connected_here(database.url)


def test_parent_and_child_write_side_by_side_after_a_fork(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("record", rows.record("parent-0"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(20):
                with database.transaction() as tx:
                    tx.insert("record", rows.record(f"child-{number}"))
            status = 0 if "parent-0" in records(database) else 2
        finally:
            os._exit(status)
    for number in range(1, 20):
        with database.transaction() as tx:
            tx.insert("record", rows.record(f"parent-{number}"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(records(database)) == 40
