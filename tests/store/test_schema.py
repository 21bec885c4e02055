"""Migrations on both databases: up, down, on data, in step with the tables the program knows."""

from __future__ import annotations

import subprocess
import sys
import warnings
from unittest.mock import patch

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.store import schema
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import ConstraintViolation, Database, StoreUnavailable
from dmp_fhir.store.errors import MigrationRefused
from dmp_fhir.store.tables import metadata
from tests.store import rows
from tests.support.keys import with_new_keys

CONTENT = b"compte rendu"


# What a migration makes anew when the log gets its places: the nonces, and what is hashed with them.
MADE_ANEW = {"audit_event": {"nonce", "leaf"}, "audit_tree": {"frontier"}}
# Added by 0007, with a place for each entry.
PLACES = ("position", "sequence", "nonce", "digest", "marks", "leaf")


def populate(url: str) -> None:
    before_places = (schema.current(url) or "") < "0007"
    database = with_new_keys(url)
    with database.transaction() as tx:
        for number in range(20):
            record_id = f"r{number}"
            rows.whole_record(tx, record_id)
            rows.whole_document(tx, record_id, f"d{number}", CONTENT, bytes(32))
            row = rows.trace(record_id, "t") | {"recorded": number}
            if before_places:
                packed = row | {"body": pack(b"{}")}
                tx.insert("audit_event", {name: value for name, value in packed.items() if name not in PLACES})
            else:
                tx.at_the_end(append_rows, [row])
        # Entries as they were before migration 0012, which can be taken back.
        with patch("dmp_fhir.audit.placing.seal_of", lambda *_: None):
            tx.finish()
            tx._last.clear()
    database.close()


Contents = dict[str, list[dict[str, object]]]


def contents(url: str) -> Contents:
    """Every row of every table that the database has at its version, by the names of its columns."""
    engine = schema.migration_engine(url)
    inspector = inspect(engine)
    present = set(inspector.get_table_names())
    columns = {name: [c["name"] for c in inspector.get_columns(name)] for name in metadata.tables if name in present}
    engine.dispose()
    database = Database.open(url)
    with database.snapshot() as reader:
        found = {}
        for table, names in columns.items():
            rows_found = reader.rows(f'SELECT {", ".join(names)} FROM "{table}"')
            found[table] = sorted((dict(zip(names, row, strict=True)) for row in rows_found), key=repr)
    database.close()
    return found


def lasting(found: Contents) -> Contents:
    """Without what a migration makes anew."""
    return {
        table: sorted(
            ({k: v for k, v in row.items() if k not in MADE_ANEW.get(table, ())} for row in rows_of), key=repr
        )
        for table, rows_of in found.items()
    }


def common(one: Contents, other: Contents) -> Contents:
    """The part of `one` whose tables and columns `other` has too."""
    return {
        table: [{name: row[name] for name in row if name in (other[table] or [row])[0]} for row in found]
        for table, found in one.items()
        if table in other
    }


def test_a_new_database_becomes_current(empty_url: str) -> None:
    assert schema.current(empty_url) is None
    assert not schema.is_current(empty_url)
    schema.upgrade(empty_url)
    assert schema.current(empty_url) == schema.head()
    assert schema.is_current(empty_url)
    schema.upgrade(empty_url)
    assert schema.is_current(empty_url)


def test_migrations_make_the_tables_the_program_knows(database_url: str) -> None:
    engine = schema.migration_engine(database_url)
    with engine.connect() as connection, warnings.catch_warnings():
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        inspector = inspect(connection)
        for name, table in metadata.tables.items():
            key = inspector.get_pk_constraint(name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key.columns], name
    engine.dispose()


def test_down_and_up_one_step_keeps_every_row(database_url: str) -> None:
    populate(database_url)
    database = Database.open(database_url)
    with database.transaction() as tx:
        for number in range(0, 20, 2):
            rows.authored(tx, f"r{number}", f"d{number}")
    database.close()
    before = contents(database_url)
    assert len(before["document"]) == 20
    schema.downgrade(database_url, "-1")
    assert not schema.is_current(database_url)
    older = contents(database_url)
    assert len(older["document"]) == 20
    # What a step down adds again (payload.sha1) is empty: its values are gone.
    assert common(older, before) == common(before, older)
    schema.upgrade(database_url)
    assert schema.is_current(database_url)
    assert lasting(contents(database_url)) == lasting(before)
    database = Database.open(database_url)
    with pytest.raises(ConstraintViolation), database.transaction() as tx:
        tx.execute("DELETE FROM audit_event")
    database.close()


def test_sealed_entries_keep_their_seals(database_url: str) -> None:
    database = with_new_keys(database_url)
    with database.transaction() as tx:
        rows.whole_record(tx, "r")
        tx.at_the_end(append_rows, [rows.trace("r", "t") | {"words": "[]"}])
    database.close()
    for revision in ("0011", "0010", "0001", "base"):
        with pytest.raises(MigrationRefused, match="could not be proven"):
            schema.downgrade(database_url, revision)
        assert schema.is_current(database_url)
    schema.drop(database_url)  # what `restore --replace` does
    assert schema.current(database_url) is None
    schema.upgrade(database_url)
    assert schema.is_current(database_url)


def test_down_to_nothing_and_up_again_on_a_populated_database(database_url: str) -> None:
    populate(database_url)
    schema.downgrade(database_url, "base")
    assert schema.current(database_url) is None
    engine = schema.migration_engine(database_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
    schema.upgrade(database_url)
    populate(database_url)
    assert len(contents(database_url)["document"]) == 20


def test_a_migration_that_fails_leaves_the_version_before(database_url: str) -> None:
    schema.downgrade(database_url, "0001")
    populate(database_url)
    before = contents(database_url)
    # A trigger of the same name as the last one that 0002 creates: it fails at its end.
    obstacle = {
        "sqlite": ["CREATE TRIGGER resource_version_sequence BEFORE INSERT ON ins BEGIN SELECT 1; END"],
        "postgresql": [
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER resource_version_sequence BEFORE INSERT ON resource_version EXECUTE FUNCTION nothing()",
        ],
    }
    database = Database.open(database_url)
    with database.transaction() as tx:
        for statement in obstacle[database.dialect]:
            tx.execute(statement)
    database.close()
    with pytest.raises(Exception, match="already exists"):
        schema.upgrade(database_url)
    assert schema.current(database_url) == "0001"
    assert contents(database_url) == before
    database = Database.open(database_url)
    with database.transaction() as tx:
        assert tx.execute("DELETE FROM audit_event") == 20  # none of the guards of 0002 is half there
    database.close()


def test_two_programs_may_migrate_at_once(empty_url: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from dmp_fhir.store import schema; schema.upgrade(sys.argv[1])",
        empty_url,
    ]
    programs = [subprocess.Popen(command) for _ in range(2)]
    assert [program.wait(60) for program in programs] == [0, 0]
    assert schema.is_current(empty_url)


def test_a_connected_process_does_not_migrate_its_sqlite_file(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    schema.upgrade(url)
    database = Database.open(url)
    with pytest.raises(RuntimeError, match="close the database"):
        schema.downgrade(url, "base")
    assert schema.is_current(url)
    database.close()
    schema.downgrade(url, "base")


def test_a_database_that_cannot_be_reached_is_unavailable(tmp_path) -> None:
    for url in (f"sqlite:///{tmp_path}/no/such/folder.db", f"postgresql://postgres@/none?host={tmp_path}"):
        with pytest.raises(StoreUnavailable):
            schema.upgrade(url)


def test_head_is_what_alembic_says() -> None:
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_current_head() == schema.head()
