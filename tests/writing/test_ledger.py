"""The audit that the kill test relies on sees each kind of damage: otherwise its zeros would mean nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.writing.api import OverHttp
from tests.writing.ledger import Change, Client, Entry, Ledger, Verdict, audit
from tests.writing.lots import archived


@pytest.fixture
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path
) -> Iterator[tuple[LiveServer, Ledger, Entry]]:
    """A server on SQLite with one acknowledged lot of two documents, one of them changed since, in a ledger."""
    folder = tmp_path / "registry"
    shutil.copytree(key_folder, folder / "keys")
    copy = copy_of_world(request, "sqlite", folder)
    server = start_server(folder, next(copy))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    client = Client(OverHttp(server), ledger, "only", "seed", [])
    entry = Entry("only", "lot", [b"first", b"second"])
    client.submit(entry)
    assert entry.documents is not None
    answer = client.api.patch(entry.documents[0], archived(True))
    ledger.changed(Change(entry.documents[0], answer.version, answer.tree))
    yield server, ledger, entry
    ledger.close()
    stop_server(server)
    next(copy, None)


def damage(server: LiveServer, sql: str) -> None:
    """What the guards of the database forbid: done with its triggers removed."""
    connection = apsw.Connection(str(server.data_folder / "registry.sqlite"))
    connection.set_busy_timeout(5000)
    for (name,) in list(connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(sql)
    assert connection.changes()
    connection.close()


def test_what_is_sound_is_found_sound(kept: tuple[LiveServer, Ledger, Entry]) -> None:
    server, ledger, _ = kept
    assert audit(server, ledger) == Verdict()


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
def test_each_damage_is_seen(kept: tuple[LiveServer, Ledger, Entry], sql: str, seen: str) -> None:
    server, ledger, entry = kept
    document = (entry.documents or [""])[0]
    damage(server, sql.format(id=document, other=hashlib.sha256(b"second").hexdigest()))
    verdict = audit(server, ledger)
    assert getattr(verdict, seen), verdict


def test_a_lost_payload_is_seen(kept: tuple[LiveServer, Ledger, Entry]) -> None:
    server, ledger, _ = kept
    digest = hashlib.sha256(b"first").hexdigest()
    (server.data_folder / "documents" / digest[:2] / digest).unlink()
    assert len(audit(server, ledger).lost) == 1
