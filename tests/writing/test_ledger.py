"""The audit that the kill test relies on sees each kind of damage: otherwise its zeros would mean nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from dmp_fhir.app import create_app
from dmp_fhir.settings import Settings
from tests.support.server import MakeToken, copy_of_world
from tests.writing.api import InProcess, count
from tests.writing.ledger import Change, Client, Entry, Ledger, Verdict, audit
from tests.writing.lots import archived


@dataclass
class Kept:
    """One acknowledged lot of two documents, one of them changed since, in a registry on SQLite and in a ledger."""

    api: InProcess
    folder: Path
    ledger: Ledger
    entry: Entry

    @property
    def database(self) -> Path:
        return self.folder / "registry.sqlite"

    def audit(self) -> Verdict:
        return audit(self.api, f"sqlite:///{self.database}", self.folder, self.ledger)


@pytest.fixture
def kept(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path, token: MakeToken) -> Iterator[Kept]:
    folder = tmp_path / "registry"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, "sqlite", folder)
    app = create_app(Settings(data_folder=folder, database_url=next(copy)), request.getfixturevalue("clock"))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    entry = Entry("only", "lot", [b"first", b"second"])
    client = Client(InProcess(app.test_client(), token), ledger, "only", "seed", [])
    client.submit(entry)
    assert entry.documents is not None
    answer = client.api.patch(entry.documents[0], archived(True))
    ledger.changed(Change(entry.documents[0], answer.version, answer.tree))
    yield Kept(client.api, folder, ledger, entry)
    ledger.close()
    app.extensions["dmp_fhir"].database.close()
    next(copy, None)


def damage(database: Path, sql: str) -> None:
    """What the guards of the database forbid: done with its triggers removed."""
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(5000)
    for (name,) in list(connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(sql)
    assert connection.changes()
    connection.close()


def file_of(kept: Kept, number: int) -> str:
    """The name of the file of a document of the lot."""
    document = (kept.entry.documents or [])[number]
    return str(
        count(
            f"sqlite:///{kept.database}", "SELECT LOWER(HEX(sha256)) FROM payload WHERE document_id = :id", id=document
        )
    )


def test_what_is_sound_is_found_sound(kept: Kept) -> None:
    assert kept.audit() == Verdict()


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ("DELETE FROM document WHERE id = '{id}'", "lost"),
        ("DELETE FROM resource_version WHERE resource_id = '{id}' AND version = 2", "lost"),
        ("UPDATE payload SET sha256 = x'{other}' WHERE document_id = '{id}'", "half_written"),
        ("DELETE FROM unique_identifier WHERE resource_id = '{id}'", "half_written"),
        ("DELETE FROM unique_identifier WHERE resource_type = 'List'", "half_written"),
        ("INSERT INTO search_token SELECT record_id, resource_type, parameter, code, system, 'copy'"
         " FROM search_token WHERE resource_id = '{id}' AND parameter = 'identifier'", "doubled"),
        ("DELETE FROM audit_event WHERE entity_id = '{id}' AND action = 'C'", "untraced"),
        ("DELETE FROM audit_event WHERE entity_id = '{id}' AND action = 'U'", "untraced"),
        ("DELETE FROM resource_home WHERE id = '{id}'", "untraced"),
    ],
)  # fmt: skip
def test_each_damage_is_seen(kept: Kept, sql: str, seen: str) -> None:
    document = (kept.entry.documents or [""])[0]
    damage(kept.database, sql.format(id=document, other=file_of(kept, 1)))
    verdict = kept.audit()
    assert getattr(verdict, seen), verdict


def test_a_lost_payload_is_seen(kept: Kept) -> None:
    digest = file_of(kept, 0)
    (kept.folder / "documents" / digest[:2] / digest).unlink()
    assert len(kept.audit().lost) == 1
