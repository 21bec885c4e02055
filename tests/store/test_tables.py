"""What the database itself refuses, whatever program asks, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import pytest

from dmp_fhir.store.database import ConstraintViolation, Database, Transaction, UniqueViolation
from dmp_fhir.store.sqlite import path_of
from dmp_fhir.store.tables import DIRECTORY
from tests.store import rows


def refused(database: Database, act: Callable[[Transaction], Any]) -> ConstraintViolation:
    with pytest.raises(ConstraintViolation) as caught, database.transaction() as tx:
        act(tx)
    return caught.value


def test_the_directory_has_its_row(database: Database) -> None:
    with database.snapshot() as reader:
        assert reader.rows("SELECT id, status, clock FROM record") == [(DIRECTORY, "directory", 0)]


@pytest.mark.parametrize(
    ("table", "first", "second"),
    [
        ("ins", {"system": "s", "value": "1", "record_id": "a"}, {"system": "s", "value": "1", "record_id": "b"}),
        ("unique_identifier", rows.unique_id("urn:oid:1", "a", "d1"), rows.unique_id("urn:oid:1", "b", "d2")),
        ("resource_home", rows.home("a", "Binary", "x"), rows.home("b", "Binary", "x")),
        ("resource_version", rows.version("a", "List", "l"), rows.version("a", "List", "l", method="PUT")),
        ("document", rows.document("a", "d"), rows.document("a", "d", status="superseded")),
        ("audit_event", rows.placed("a", "t"), rows.placed("a", "t", 1, 2)),
    ],
)
def test_one_owner_for_each_key(database: Database, table: str, first: rows.Row, second: rows.Row) -> None:
    with database.transaction() as tx:
        tx.insert(table, first)
    error = refused(database, lambda tx: tx.insert(table, second))
    assert isinstance(error, UniqueViolation)
    assert error.table == table
    with database.snapshot() as reader:
        columns = ", ".join(first)
        (kept,) = reader.rows(f"SELECT {columns} FROM {table}")
    assert kept == tuple(first.values())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE resource_version SET body = CAST('x' AS {blob}) WHERE resource_id = 'l'",
        "UPDATE resource_version SET version = 7 WHERE resource_id = 'l'",
        "DELETE FROM resource_version WHERE resource_id = 'l'",
        "UPDATE audit_event SET outcome = '0'",
        "DELETE FROM audit_event",
    ],
)
def test_versions_and_traces_are_never_rewritten(database: Database, statement: str) -> None:
    with database.transaction() as tx:
        tx.insert("resource_version", rows.version("a", "List", "l"))
        tx.insert("audit_event", rows.placed("a", "t"))
    blob = "BLOB" if database.dialect == "sqlite" else "bytea"
    error = refused(database, lambda tx: tx.execute(statement.format(blob=blob)))
    assert "append-only" in str(error)
    with database.snapshot() as reader:
        assert reader.row("SELECT version, body FROM resource_version") == (1, rows.version("a", "List", "l")["body"])
        assert reader.row("SELECT outcome FROM audit_event") == ("0",)


def test_nor_by_the_ways_round(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("resource_version", rows.version("a", "List", "l"))
        tx.insert("audit_event", rows.placed("a", "t"))
    for table in ("resource_version", "audit_event"):
        columns = ", ".join(rows.version("a", "List", "l") if table == "resource_version" else rows.placed("a", "t"))
        round_about = {
            "sqlite": f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}",
            "postgresql": f"TRUNCATE {table}",
        }
        error = refused(database, lambda tx, sql=round_about[database.dialect]: tx.execute(sql))
        assert "append-only" in str(error) or "grows at its end" in str(error)


def test_versions_are_numbered_without_a_gap(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("resource_version", rows.version("a", "List", "l", 1))
        tx.insert("resource_version", rows.version("a", "List", "l", 2))
    for bad in (
        rows.version("a", "List", "l", 4),
        rows.version("a", "List", "m", 2),
        rows.version("b", "List", "l", 3),
    ):
        refused(database, lambda tx, bad=bad: tx.insert("resource_version", bad))
    refused(database, lambda tx: tx.insert("resource_version", rows.version("a", "List", "n", 0)))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("record", rows.record("a", status="gone")),
        ("record", rows.record("a", version=-1)),
        ("document", rows.document("a", "d", status="draft")),
        ("document", rows.document("a", "d", archived=None)),
        ("document", rows.document("a", "d", hidden_patient=None)),
        ("resource_version", rows.version("a", "List", "l", method="GET")),
        ("resource_version", rows.version("a", "List", "l", body=None)),
        ("payload", rows.payload("a", "b", "d", b"", bytes(32)) | {"size": -1}),
        ("payload", rows.payload("a", "b", "d", b"", bytes(32)) | {"resource_type": "Patient"}),
    ],
)
def test_values_that_a_right_or_a_proof_depends_on_are_checked(database: Database, table: str, row: rows.Row) -> None:
    refused(database, lambda tx: tx.insert(table, row))


def test_a_flag_is_true_or_false_on_sqlite_too(tmp_path, sqlite_template) -> None:
    path = tmp_path / "flags.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    refused(database, lambda tx: tx.insert("document", rows.document("a", "d", masked_professionals=2)))
    database.close()
    # The guards are in the file, not in our connection.
    foreign = apsw.Connection(path_of(database.url))
    with pytest.raises(apsw.ConstraintError):
        foreign.execute("UPDATE record SET status = 'x'")
    foreign.close()
