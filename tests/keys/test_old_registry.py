"""A registry older than keys at rest: migrated, given keys, its documents encrypted; cut off and taken up again.

What was written before in tables that only grow (versions, trace) stays in clear, and `dmp-fhir keys status` says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from dmp_fhir.cli import main
from dmp_fhir.registry.payloads import encrypt_documents, in_clear, opened
from dmp_fhir.store import schema
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore
from tests.audit.test_places import PLACES
from tests.store import rows
from tests.support import tally
from tests.support.keys import looked_up, reopened

CANARY = b"CANARI-DOCUMENT-4e1f"
SYSTEM = "urn:oid:1.2.250.1.213.1.4.10"
MATRICULES = [f"2740369123901{n:02}" for n in range(4)]
DOCUMENTS = {f"d{n}": b"%s %d " % (CANARY, n) + bytes([n]) * (n * 1000) for n in range(12)}
HOUR_S = 3_600


class Cut(BaseException):
    """The power goes."""


@pytest.fixture
def folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a registry of before: records, documents and trace in clear."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(data))
    payloads = PayloadStore(data / "documents")
    schema.downgrade(database_url, "0006")
    database = Database.open(database_url)
    with database.transaction() as tx:
        for number, matricule in enumerate(MATRICULES):
            record = f"r{number}"
            tx.insert("record", rows.record(record))
            tx.insert("resource_home", rows.home(record, "Patient", record))
            tx.insert("resource_version", rows.version(record, "Patient", record))
            tx.insert("ins", {"system": SYSTEM, "value": matricule, "record_id": record})
            token = {"record_id": record, "resource_type": "Patient", "resource_id": record, "parameter": "identifier"}
            tx.insert("search_token", token | {"system": SYSTEM, "code": matricule})
            trace = rows.trace(record, "t") | {"recorded": number, "body": pack(b"{}")}
            tx.insert("audit_event", {name: value for name, value in trace.items() if name not in PLACES})
        for number, (name, content) in enumerate(DOCUMENTS.items()):
            digest = payloads.put_pieces([content])
            assert digest == sha256(content).digest()
            rows.whole_document(tx, f"r{number % len(MATRICULES)}", name, content, digest)
    database.close()
    return data


def command(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    from dmp_fhir.store import database

    for each in list(database._open):
        each.close()
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_an_old_registry_is_encrypted(
    folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command("init")
    said = command("keys", "status")
    assert f"documents in clear: {len(DOCUMENTS)}" in said
    assert "stay as they are" in said
    payloads = PayloadStore(folder / "documents")
    database = reopened(database_url, folder)
    assert read(database, payloads) == DOCUMENTS

    # Cut off between two documents, then between a file and its row, then in the middle of a file.
    with pytest.raises(Cut):
        encrypt_documents(database, payloads, stop_after(3))
    assert left(database) == len(DOCUMENTS) - 3
    assert read(database, payloads) == DOCUMENTS
    for piecemeal in (False, True):
        with monkeypatch.context() as patched:
            patched.setattr(PayloadStore, "put_pieces", cut_off(PayloadStore.put_pieces, piecemeal=piecemeal))
            with pytest.raises(Cut):
                encrypt_documents(database, payloads)
        assert left(database) == len(DOCUMENTS) - 3
        assert read(database, payloads) == DOCUMENTS
    database.close()

    assert f"{len(DOCUMENTS) - 3} documents encrypted" in command("keys", "encrypt")
    assert "documents in clear: 0" in command("keys", "status")
    assert "0 documents encrypted" in command("keys", "encrypt")
    database = reopened(database_url, folder)
    assert read(database, payloads) == DOCUMENTS
    with database.snapshot() as reader:
        found = {row[0] for row in reader.rows("SELECT value FROM ins")}
        codes = {row[0] for row in reader.rows("SELECT code FROM search_token WHERE parameter = 'identifier'")}
    assert found == codes == {looked_up(database, f"{SYSTEM}|{each}") for each in MATRICULES}
    database.close()

    old = time.time() - 2 * HOUR_S
    for path in (folder / "documents").rglob("*"):
        if path.is_file():
            os.utime(path, (old, old))
    assert command("collect").startswith(f"{len(DOCUMENTS) + 1} files")
    assert command("check").strip() == "sound"
    assert command("audit", "verify").strip().endswith("proven")
    searched = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in searched if "documents" in path.parts]) == len(DOCUMENTS)
    contents = {path.name: path.read_bytes() for path in [*searched, *files_of(database_url)]}
    where = {name for name, data in contents.items() if CANARY in data or any(m.encode() in data for m in MATRICULES)}
    tally.count("K", "documents of an old registry encrypted and read back", len(DOCUMENTS))
    tally.count("K", "canaries found at rest", len(where))
    assert where == set()


def files_of(url: str) -> list[Path]:
    """The files of the tables and indexes of a PostgreSQL database."""
    if url.startswith("sqlite"):
        return []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        found = connection.execute(
            "SELECT pg_relation_filepath(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i')"
        ).fetchall()
    assert len(found) > 40
    return [Path(folder, path) for (path,) in found]


def stop_after(documents: int) -> Any:
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        if done == documents:
            raise Cut

    return one_more


def cut_off(put: Any, *, piecemeal: bool) -> Any:
    """Keeping a file, but the power goes once it is there, or `piecemeal` after its first piece."""

    def first(pieces: Any) -> Iterator[bytes]:
        yield next(iter(pieces))
        raise Cut

    def cut(self: PayloadStore, pieces: Any) -> bytes:
        put(self, first(pieces) if piecemeal else pieces)
        raise Cut

    return cut


def left(database: Database) -> int:
    with database.snapshot() as reader:
        return in_clear(reader)


def read(database: Database, payloads: PayloadStore) -> dict[str, bytes]:
    """Every document, opened as a retrieval does."""
    with database.snapshot() as reader:
        return {
            row[0]: opened(reader, row[1], row[2], row[3], row[4], payloads.get(row[4]), sealed=bool(row[5]))
            for row in reader.rows("SELECT document_id, record_id, resource_type, id, sha256, sealed FROM payload")
        }
