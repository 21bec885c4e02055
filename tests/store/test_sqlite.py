"""What is SQLite's own: settings, full disks, forks."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

from dmp_fhir.store import schema
from dmp_fhir.store.database import Database, StoreUnavailable
from tests.store import rows
from tests.store.test_database import records


def test_a_full_disk_is_unavailable_and_recovers(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "small.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    with database.snapshot() as reader:
        (pages,) = reader.row("PRAGMA page_count")
        reader.rows(f"PRAGMA max_page_count = {pages + 10}")
    with pytest.raises(StoreUnavailable), database.transaction() as tx:
        tx.insert("resource_version", rows.version("a", "Binary", "b", body=bytes(200_000)))
    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))
    assert records(database) == ["a"]
    database.close()


def test_sqlite_loses_nothing_and_trusts_nothing(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "settings.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "recursive_triggers": 1,
    }
    with database.snapshot() as reader:
        assert {name: reader.row(f"PRAGMA {name}")[0] for name in expected} == expected
    database.close()


def test_an_unsafe_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    schema.upgrade(url)
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(RuntimeError, match="install apsw"):
        Database.open(url)


def test_a_child_forked_inside_a_session_cannot_harm_the_file(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "fork.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    with database.transaction() as tx:
        tx.insert("record", rows.record("a"))
        child = os.fork()
        if child == 0:
            try:
                database._local.__dict__.clear()
                database.transaction().__enter__()
            except RuntimeError:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert records(database) == ["a"]
    database.close()
