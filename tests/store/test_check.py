"""The consistency check says nothing of a sound registry and names every kind of damage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dmp_fhir.store import check as module
from dmp_fhir.store import schema
from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.store.payloads import PayloadStore
from tests.store import rows


@pytest.fixture
def sound(database: Database, payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(module, "_BATCH", 3)
    with database.transaction() as tx:
        for number in range(5):
            record_id, content = f"r{number}", b"content %d" % (number // 2)
            rows.whole_record(tx, record_id)
            rows.whole_document(tx, record_id, f"d{number}", content, payloads.put(content))
            rows.authored(tx, record_id, f"d{number}")
        tx.execute("UPDATE document SET version = 2 WHERE id = 'd1'")
        tx.insert("resource_version", rows.version("r1", "DocumentReference", "d1", 2))
    return database


def test_a_sound_registry(sound: Database, payloads: PayloadStore) -> None:
    payloads.put(b"an orphan is not damage: it waits for its collection")
    assert check(sound, payloads) == []


def damage(**values: Any) -> rows.Row:
    return values


@pytest.mark.parametrize(
    ("act", "finding"),
    [
        (lambda tx: tx.execute("UPDATE document SET version = 1 WHERE id = 'd1'"), "current version in document"),
        (lambda tx: tx.execute("UPDATE record SET version = 2 WHERE id = 'r2'"), "current version in record"),
        (lambda tx: tx.insert("document", rows.document("r1", "new")), "current version in document"),
        (lambda tx: tx.execute("DELETE FROM resource_home WHERE id = 'd3'"), "versions of a resource that is not"),
        (lambda tx: tx.execute("DELETE FROM resource_home WHERE id = 'd3'"), "identifier owned by a resource"),
        (lambda tx: tx.execute("DELETE FROM record WHERE id = 'r3'"), "registered in a record that does not exist"),
        (lambda tx: tx.execute("DELETE FROM record WHERE id = 'r3'"), "INS that leads to a record"),
        (lambda tx: tx.execute("DELETE FROM document WHERE id = 'd3'"), "payload of a document that does not exist"),
        (lambda tx: tx.execute("UPDATE document SET submission_set_id = 's'"), "submission set does not exist"),
        (
            lambda tx: tx.insert(
                "document_author", damage(record_id="r1", document_id="x", kind="person", identifier="8")
            ),
            "author of a document that does not exist",
        ),
        (
            lambda tx: tx.execute("DELETE FROM document_author WHERE document_id = 'd3' AND kind = 'person'"),
            "names others than the authors",
        ),
        (lambda tx: tx.execute("UPDATE document SET author_key = 'person:8' WHERE id = 'd3'"), "does not name"),
        (
            lambda tx: tx.insert(
                "list_entry", damage(record_id="r1", list_id="x", position=0, target_type="y", target_id="z")
            ),
            "entry of a list that does not exist",
        ),
        (lambda tx: tx.execute("UPDATE payload SET size = 1 WHERE id = 'b-d3'"), "1 bytes announced, 9 stored"),
        (
            lambda tx: tx.insert("resource_version", rows.version("r1", "DocumentReference", "d1", 3, last_updated=2)),
            "lastUpdated does not increase",
        ),
        (
            lambda tx: tx.insert("resource_version", rows.version("r1", "DocumentReference", "d1", 3, body=b"?")),
            "version 3 in record r1: ",
        ),
    ],
)
def test_rows_that_disagree(
    sound: Database, payloads: PayloadStore, act: Callable[[Transaction], object], finding: str
) -> None:
    with sound.transaction() as tx:
        act(tx)
    assert any(finding in line for line in check(sound, payloads))


def test_payloads_that_are_missing_or_altered(sound: Database, payloads: PayloadStore) -> None:
    first, second, third = sorted(path for path in payloads.folder.rglob("*") if path.is_file())
    first.unlink()
    second.write_bytes(b"other")
    third.rename(third.with_name("swapped"))
    findings = check(sound, payloads)
    assert len(findings) == 5
    assert sum("altered" in line for line in findings) + sum("missing" in line for line in findings) == 5


def test_a_hole_made_behind_the_guards(sound: Database, payloads: PayloadStore) -> None:
    sound.close()
    schema.downgrade(sound.url, "0001")
    with sound.transaction() as tx:
        tx.execute("DELETE FROM resource_version WHERE resource_id = 'd1' AND version = 1")
    sound.close()
    schema.upgrade(sound.url)
    assert any("version numbers are not 1 to n" in line for line in check(sound, payloads))


def test_a_damaged_page(tmp_path, sqlite_template, payloads: PayloadStore) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    with database.transaction() as tx:
        rows.whole_record(tx, "r1")
        (page_size,) = tx.row("PRAGMA page_size")
        (root,) = tx.row("SELECT rootpage FROM sqlite_schema WHERE name = 'ins'")
    database.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * page_size : root * page_size] = bytes(page_size)
    path.write_bytes(content)
    findings = check(database, payloads)
    database.close()
    assert findings
    assert all(line.startswith("engine: ") for line in findings)
