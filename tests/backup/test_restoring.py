"""Restore drills between both databases, and every way in which a backup can be bad (TF-235, TF-236, TF-240)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.backup import archive, restoring
from dmp_fhir.backup.archive import verify
from dmp_fhir.backup.restoring import NotRestored, make, restore
from dmp_fhir.backup.sealed import CHUNK, BackupDamaged, SealedWriter
from dmp_fhir.cli import main
from dmp_fhir.store import dump, schema
from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database, _open
from dmp_fhir.store.dump import LEFT_OUT, shapes
from dmp_fhir.store.payloads import PayloadStore
from dmp_fhir.store.tables import metadata
from tests.backup.conftest import KEY, NewUrl, content_of, differences
from tests.conftest import DIALECTS
from tests.rest.bodies import CLAIRE
from tests.store import rows
from tests.store.bulk import put
from tests.support import tally
from tests.support.keys import reopened, with_keys, with_new_keys
from tests.writing.campaigns import Figures

NOW = 1_795_000_000_000
NAMES_OF_TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'public'",
}


def fill(database: Database, payloads: PayloadStore) -> None:
    with database.transaction() as tx:
        for number in range(3):
            content = b"canary content %d" % (number // 2)
            rows.whole_record(tx, f"r{number}")
            rows.whole_document(tx, f"r{number}", f"d{number}", content, payloads.put(content))
        tx.execute("UPDATE document SET title = 'canary title' WHERE id = 'd1'")
        tx.at_the_end(append_rows, [rows.trace("r1", "t1")])


@pytest.fixture
def small(database: Database, payloads: PayloadStore, tmp_path: Path) -> Path:
    """A backup of a small registry."""
    fill(database, payloads)
    make(tmp_path / "backup", KEY, database, payloads, NOW)
    return tmp_path / "backup"


def with_its_keys(tmp_path: Path) -> Callable[[str], Database]:
    """Opens a registry with the keys that the fixture `database` has: they are in no backup."""
    keys = tmp_path / "record_keys"
    return lambda url: with_keys(url, keys, keys)


@pytest.mark.parametrize("target", DIALECTS)
def test_restore_drill(
    seeded_url: str, data_folder: Path, tmp_path: Path, new_url: NewUrl, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each database into each: every row of every table and every document is the same; a backup of the copy has
    the same digests as the first one."""
    monkeypatch.setattr(archive, "_PART", 50_000)
    payloads, there = PayloadStore(data_folder / "documents"), PayloadStore(tmp_path / "there")
    database = Database.open(seeded_url)
    manifest = make(tmp_path / "first", KEY, database, payloads, NOW)
    url = new_url(target)
    restored = restore(tmp_path / "first", KEY, url, there, opening=lambda copied: reopened(copied, data_folder))
    found = differences(seeded_url, payloads, url, there)
    tally.count("K", "restore drills")
    tally.count("K", "differences", len(found))
    assert found == []
    assert restored.findings == ()
    assert restored.manifest == manifest
    assert restored.rows > 3000
    assert manifest.documents.count == 72
    copy = reopened(url, data_folder)
    assert make(tmp_path / "second", KEY, copy, there, NOW) == manifest
    with copy.transaction() as tx:  # the copy works, guards included
        tx.at_the_end(append_rows, [rows.trace("", "t1")])
    with pytest.raises(Exception, match="append-only"), copy.transaction() as tx:
        tx.execute("DELETE FROM audit_event")
    copy.close()
    database.close()


def test_every_table_is_in_a_backup_or_left_out_with_a_reason(database: Database) -> None:
    with database.snapshot() as reader:
        there = {row[0] for row in reader.rows(NAMES_OF_TABLES[reader.dialect])} - {"alembic_version"}
    held = {shape.name for shape in shapes()}
    assert held | set(LEFT_OUT) == there
    assert held & set(LEFT_OUT) == set()
    assert all(LEFT_OUT.values())
    for shape in shapes():
        assert set(shape.columns) == set(metadata.tables[shape.name].c.keys())


def test_values_that_databases_write_differently(
    database: Database, payloads: PayloadStore, tmp_path: Path, new_url: NewUrl
) -> None:
    """Case, accents, signs and long numbers are ordered and kept alike; absent values stay absent."""
    names = ["a", "B", "é", "Z", "_", "ß", "\U0001f600", "日本", "0", "-", "~", "aa", "a b"]
    with database.transaction() as tx:
        for n, name in enumerate(names):
            changes: dict[str, Any] = {
                "title": None if n % 2 else name * 3,
                "archived": bool(n % 2),
                "date_low": 2**53 + n,
            }
            tx.insert("document", rows.document(name, f"x{name}", **changes))
            tx.insert("document", rows.document(name, "y", date_low=-1, type_code=name))
    make(tmp_path / "backup", KEY, database, payloads, NOW)
    for dialect in DIALECTS:
        url = new_url(dialect)
        restored = restore(tmp_path / "backup", KEY, url, payloads, opening=with_its_keys(tmp_path))
        assert len(restored.findings) == 2 * len(names)  # these documents have no versions: `check` says so
        assert content_of(url) == content_of(database.url)


# --- bad backups ----------------------------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[list[tuple[str, bytes]]], object]) -> None:
    """The same backup with other parts, sealed by somebody who has the key."""
    parts: list[tuple[str, bytes]] = []
    with archive.opened(path, KEY) as backup:
        parts += [("backup.json", orjson.dumps(asdict(backup.head))), *backup._parts()]
    change(parts)
    with path.open("wb") as file:
        sealed = SealedWriter(file, KEY)
        writer = archive._Writer(sealed)
        for name, content in parts:
            writer.add(name, content)
        writer.close()
        sealed.close()


def position(parts: list[tuple[str, bytes]], start: str) -> int:
    return next(n for n, (name, _) in enumerate(parts) if name.startswith(start))


def without(start: str) -> Callable[[list[tuple[str, bytes]]], object]:
    return lambda parts: parts.pop(position(parts, start))


def edited(start: str) -> Callable[[list[tuple[str, bytes]]], object]:
    def change(parts: list[tuple[str, bytes]]) -> None:
        n = position(parts, start)
        parts[n] = (parts[n][0], parts[n][1].replace(b"canary", b"wanary"))

    return change


def cut(share: float) -> Callable[[Path], object]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def flip(share: float) -> Callable[[Path], object]:
    def act(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(len(content) * share)] ^= 4
        path.write_bytes(content)

    return act


def move(name: str, last: str) -> Callable[[list[tuple[str, bytes]]], object]:
    return lambda parts: parts.insert(position(parts, last), parts.pop(position(parts, name)))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.write_bytes(b""), "no backup of dmp-fhir"),
    "something else": (lambda path: path.write_bytes(b"PK\3\4" * 100), "no backup of dmp-fhir"),
    "head only": (lambda path: os.truncate(path, 42), "truncated"),
    "a third": (cut(0.3), "truncated"),
    "all but a byte": (lambda path: os.truncate(path, path.stat().st_size - 1), "truncated"),
    "flip in the key id": (flip(0.0), "no backup of dmp-fhir"),
    "flip early": (flip(0.05), "damaged between"),
    "flip in the middle": (flip(0.5), "damaged between"),
    "flip at the end": (lambda path: flip(1 - 1 / path.stat().st_size)(path), "damaged between"),
    "more at the end": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "something follows"),
    "no manifest": (lambda path: rewritten(path, without("manifest")), "no manifest"),
    "a document less": (lambda path: rewritten(path, without("documents/")), "documents are not those"),
    "another document": (lambda path: rewritten(path, edited("documents/")), "documents are not those"),
    "a table less": (lambda path: rewritten(path, without("tables/document/")), "table document is not that"),
    "rows after documents": (lambda path: rewritten(path, move("tables/ins/", "manifest")), "not expected here"),
    "a stranger": (lambda path: rewritten(path, lambda parts: parts.append(("../x", b""))), "not expected here"),
    "no head": (lambda path: rewritten(path, without("backup.json")), "not with backup.json"),
    "another format": (
        lambda path: rewritten(
            path, lambda parts: parts.__setitem__(0, (parts[0][0], parts[0][1].replace(b'"format":1', b'"format":2')))
        ),
        "reads format 1",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_tf_235_a_bad_backup_is_found_before_anything_is_touched(
    kind: str, small: Path, database: Database, payloads: PayloadStore
) -> None:
    act, cause = BAD[kind]
    before = content_of(database.url)
    verify(small, KEY)
    act(small)
    database.close()
    for attempt in (
        lambda: verify(small, KEY),
        lambda: restore(small, KEY, database.url, payloads, replace=True, opening=with_its_keys(small.parent)),
    ):
        with pytest.raises(BackupDamaged, match=cause):
            attempt()
    tally.count("K", "bad backups tried")
    tally.count("K", "bad backups detected")
    assert content_of(database.url) == before


def test_tf_235_two_backups_mixed(database: Database, payloads: PayloadStore, tmp_path: Path) -> None:
    """Parts of one in the other, at every chunk; and the manifest of one with the parts of the other."""
    payloads_size = 3 * CHUNK
    with database.transaction() as tx:
        rows.whole_record(tx, "r")
        content = os.urandom(payloads_size)
        rows.whole_document(tx, "r", "d", content, payloads.put(content))
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        make(path, KEY, database, payloads, NOW)
    first, second = one.read_bytes(), two.read_bytes()
    for n in range(1, 4):
        at = 42 + n * (CHUNK + 20)
        for mixed in (first[:at] + second[at:], second[:at] + first[at:]):
            one.write_bytes(mixed)
            with pytest.raises(BackupDamaged, match="damaged between"):
                verify(one, KEY)
            tally.count("K", "bad backups tried")
            tally.count("K", "bad backups detected")
    one.write_bytes(first)
    with database.transaction() as tx:
        tx.execute("UPDATE document SET title = 'later' WHERE id = 'd'")
    two.unlink()
    make(two, KEY, database, payloads, NOW)
    manifests: list[bytes] = []
    rewritten(two, lambda parts: manifests.append(parts[-1][1]))
    rewritten(one, lambda parts: parts.__setitem__(-1, ("manifest.json", manifests[0])))
    with pytest.raises(BackupDamaged, match="table document is not that"):
        verify(one, KEY)


def test_tf_235_wrong_key(small: Path, database: Database) -> None:
    with pytest.raises(BackupDamaged, match="another key"):
        verify(small, bytes(32))


def test_tf_236_a_stolen_backup_tells_nothing(small: Path) -> None:
    content = small.read_bytes()
    names = [
        b"canary",
        b"tables/",
        b"documents/",
        b"manifest",
        b"audit_event",
        KEY,
        b"urn:oid:1.2.250",
        b"SQLite format",
    ]
    for name in names:
        for form in (name, b64encode(name)[:-2], name.hex().encode(), name.decode("latin-1").encode("utf-16-le")):
            assert form not in content
            tally.count("K", "canaries looked for in a backup")
    assert small.stat().st_mode & 0o777 == 0o600


# --- restoring ------------------------------------------------------------------------------------------------------


def test_a_registry_that_is_there_stays_unless_asked(small: Path, database: Database, payloads: PayloadStore) -> None:
    with database.transaction() as tx:
        rows.whole_record(tx, "later")
    before = content_of(database.url)
    database.close()
    with pytest.raises(NotRestored, match="not empty"):
        restore(small, KEY, database.url, payloads, opening=with_its_keys(small.parent))
    assert content_of(database.url) == before
    assert restore(small, KEY, database.url, payloads, replace=True, opening=with_its_keys(small.parent)).findings == ()
    assert "later" not in str(content_of(database.url)["record"])


def test_a_registry_that_was_served_is_replaced(
    seeded_url: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the commands: refused with what would be lost; then dropped, though no migration leads down from it."""
    monkeypatch.setenv("DATABASE_URL", seeded_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(data_folder))
    file = str(tmp_path / "backup")

    def command(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, list(arguments))
        for each in list(_open):
            each.close()
        return done.exit_code, done.output

    assert command("backup", file)[0] == 0
    assert command("record", "hold", CLAIRE)[0] == 0
    before = content_of(seeded_url)
    code, said = command("restore", file)
    assert code == 1
    assert "it holds 12 records, 72 documents" in said
    assert re.search(r"Since the backup, made on .*, there are 0 records, 0 documents, 2 entries of the trace", said)
    assert content_of(seeded_url) == before
    code, said = command("restore", "--replace", file)
    assert code == 0, said
    assert "same as the backup, sound" in said
    assert command("check")[1] == "sound\n"
    with Database.open(seeded_url).snapshot() as reader:
        assert reader.rows("SELECT 1 FROM record_state WHERE held IS NOT NULL") == []


def test_an_empty_registry_is_no_obstacle(small: Path, empty_url: str, tmp_path: Path) -> None:
    schema.upgrade(empty_url)
    there = PayloadStore(tmp_path / "there")
    assert restore(small, KEY, empty_url, there, opening=with_its_keys(small.parent)).findings == ()


def test_a_restore_that_breaks_off_leaves_an_empty_registry(
    small: Path, new_url: NewUrl, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, there = new_url(database.dialect), PayloadStore(tmp_path / "there")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(PayloadStore, "adopt", fail)
    with pytest.raises(OSError, match="disk full"):
        restore(small, KEY, url, there, opening=with_its_keys(small.parent))
    monkeypatch.undo()
    assert content_of(url)["document"] == []
    assert restore(small, KEY, url, there, opening=with_its_keys(small.parent)).findings == ()


KILLED = """
import os, sys
from dmp_fhir.backup import restoring
from dmp_fhir.store.payloads import PayloadStore
PayloadStore.adopt = lambda *_: os._exit(9)
restoring.restore(sys.argv[1], bytes(range(32)), sys.argv[2], PayloadStore(sys.argv[3]))
"""


def test_a_restore_that_is_killed_is_run_again(
    small: Path, new_url: NewUrl, tmp_path: Path, database: Database
) -> None:
    url = new_url(database.dialect)
    arguments = [sys.executable, "-c", KILLED, str(small), url, str(tmp_path / "there")]
    assert subprocess.run(arguments, check=False).returncode == 9
    assert (
        restore(small, KEY, url, PayloadStore(tmp_path / "there"), opening=with_its_keys(small.parent)).findings == ()
    )


def test_a_backup_of_a_later_program_is_refused(
    small: Path, new_url: NewUrl, payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "head", lambda: "0000")
    with pytest.raises(NotRestored, match="later than this one"):
        restore(small, KEY, new_url("sqlite"), payloads, opening=with_its_keys(small.parent))


def as_it_was(database: Database, shape: dump.Shape) -> dump.Shape | None:
    """A table at the revision where the database is; None when there was none."""
    columns = {
        "sqlite": "SELECT name FROM pragma_table_info(:name)",
        "postgresql": "SELECT column_name FROM information_schema.columns WHERE table_name = :name",
    }
    with database.snapshot() as reader:
        there = {row[0] for row in reader.rows(columns[reader.dialect], {"name": shape.name})}
    if not there:
        return None
    kept = [n for n, column in enumerate(shape.columns) if column in there]
    gone = sorted(there.difference(shape.columns))
    kinds = [*(shape.kinds[n] for n in kept), *("bytes" for _ in gone)]  # payload.sha1, of before 0007
    key = tuple(name for name in shape.key if name in there) or ("record_id", "id")
    return dump.Shape(shape.name, key, (*(shape.columns[n] for n in kept), *gone), tuple(kinds))


def test_a_backup_of_an_earlier_schema_is_brought_to_this_one(
    database: Database, payloads: PayloadStore, tmp_path: Path, new_url: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made before migration 0006, which computes `document.author_key`, and 0007, which gives entries their places."""
    with database.transaction() as tx:
        rows.whole_record(tx, "r")
        rows.whole_document(tx, "r", "d", b"x", payloads.put(b"x"))
        rows.authored(tx, "r", "d")
    expected = content_of(database.url)
    database.close()
    schema.downgrade(database.url, "0005")
    earlier = [found for shape in shapes() if (found := as_it_was(database, shape))]
    monkeypatch.setattr(archive, "shapes", lambda: earlier)
    monkeypatch.setattr(restoring.schema, "head", lambda: "0005")
    make(tmp_path / "old", KEY, database, payloads, NOW)
    monkeypatch.undo()
    for dialect in DIALECTS:
        url = new_url(dialect)
        assert restore(tmp_path / "old", KEY, url, payloads, opening=with_its_keys(tmp_path)).findings == ()
        assert schema.is_current(url)
        assert content_of(url)["document"] == expected["document"]


def test_damage_in_the_registry_is_told_and_does_not_stop_the_backup(
    small: Path, database: Database, payloads: PayloadStore, tmp_path: Path
) -> None:
    damaged = next(payloads.folder.glob("??/*"))
    damaged.write_bytes(b"altered")
    manifest = make(tmp_path / "another", KEY, database, payloads, NOW)
    assert manifest.documents.absent == (damaged.name,)
    assert verify(tmp_path / "another", KEY)[1] == manifest
    assert len(check(database, payloads)) > 0


def test_a_file_that_is_there_is_not_written_over(small: Path, database: Database, payloads: PayloadStore) -> None:
    before = small.read_bytes()
    with pytest.raises(FileExistsError):
        make(small, KEY, database, payloads, NOW)
    assert small.read_bytes() == before
    assert [path.name for path in small.parent.glob(".*.part")] == []


@pytest.mark.campaign
@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_tf_240_thousands_of_documents(source: str, target: str, tmp_path: Path, new_url: NewUrl) -> None:
    documents, url, other = 50_000, new_url(source), new_url(target)
    schema.upgrade(url)
    count = put(url, documents, "moved")
    payloads, there = PayloadStore(tmp_path / "documents"), PayloadStore(tmp_path / "there")
    for number in range(documents):
        payloads.put(b"moved-d%d" % number)  # the content that bulk.py gives the hash of
    database = with_new_keys(url, tmp_path / "record_keys")
    for number in range(100):
        with database.transaction() as tx:
            tx.at_the_end(append_rows, [rows.trace("moved-r1", f"t{number}-{n}") for n in range(20)])
    manifest = make(tmp_path / "backup", KEY, database, payloads, NOW)
    assert (manifest.documents.count, manifest.documents.absent) == (documents, ())
    restore(tmp_path / "backup", KEY, other, there, opening=with_its_keys(tmp_path))
    found = differences(url, payloads, other, there)
    copy = with_its_keys(tmp_path)(other)
    assert make(tmp_path / "again", KEY, copy, there, NOW) == manifest
    copy.close()
    database.close()
    assert found == []
    counted = (
        f"{documents:,} documents, {count + 2_000:,} rows, differences {len(found)}; a backup of the copy is the same"
    )
    Figures().add(f"moved from {source} to {target} (TF-240)", counted, seed="none")
