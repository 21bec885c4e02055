"""A registry whose keys go away, or turn out to be wrong, while it runs (TF-242): it answers 503, shows and writes
nothing, and goes on when they are back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from dmp_fhir.store import key_ring
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.store.key_store import KeyStore
from dmp_fhir.store.masters import MasterKeyFiles
from tests.backup.conftest import content_of
from tests.rest.bodies import CLAIRE, JULIEN, simple
from tests.rest.caller import Answer, Caller
from tests.rest.test_create import BODIES
from tests.support import tally
from tests.support.server import MakeApp, MakeToken, copy_of_world

STORE = "record-keys.sqlite"
CANARY = "CANARI-CONTENU-242"
SEARCH = f"DocumentReference?patient.identifier={CLAIRE}&status=current"


@contextmanager
def aside(path: Path, instead: bytes | None = None, mode: int = 0o600) -> Iterator[None]:
    """A file taken away, or another one in its place; then put back."""
    kept = path.rename(path.with_name("aside"))
    if instead is not None:
        path.write_bytes(instead)
        path.chmod(mode)
    yield
    kept.replace(path)


@contextmanager
def rotated(keys: Path, change: Callable[[bytes], bytes] | None = None, mode: int = 0o600) -> Iterator[None]:
    """What `dmp-fhir keys rotate` does in another process; the server has not seen the new master key, and what is
    there for it meanwhile is none, or another file."""
    store = KeyStore.open(f"sqlite:///{keys}/{STORE}", MasterKeyFiles(keys))
    version = store.begin_rotation(2)[0]
    store.rewrap(version)
    store.close()
    path = keys / f"master-{version}.key"
    with aside(path, change and change(path.read_bytes()), mode):
        yield


def insert(tx: Transaction, table: str, names: tuple[str, ...], row: tuple[Any, ...]) -> None:
    places = ", ".join(f":{name}" for name in names)
    tx.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", dict(zip(names, row, strict=True)))


@contextmanager
def altered(keys: Path, statement: str, record_id: str) -> Iterator[None]:
    """The key of a record as somebody else changed it; then as it was."""
    store, where = KeyStore.open(f"sqlite:///{keys}/{STORE}", MasterKeyFiles(keys)), {"id": record_id}
    with store.database.transaction() as tx:
        names = ("record_id", "master", "wrapped", "created")
        (before,) = tx.rows(f"SELECT {', '.join(names)} FROM record_key WHERE record_id = :id", where)
        assert tx.execute(f"{statement} WHERE record_id = :id", where) == 1
    yield
    with store.database.transaction() as tx:
        tx.execute("DELETE FROM record_key WHERE record_id = :id", where)
        insert(tx, "record_key", names, before)
    store.close()


def other_store(keys: Path) -> bytes:
    """The key store of another registry, under the same master keys."""
    path = keys / "other.sqlite"
    KeyStore.create(f"sqlite:///{path}", MasterKeyFiles(keys), 1).close()
    return path.read_bytes()


Trouble = Callable[[Path], Any]
TROUBLES: dict[str, Trouble] = {
    "key store gone": lambda keys: aside(keys / STORE),
    "another key store": lambda keys: aside(keys / STORE, other_store(keys)),
    "empty key store": lambda keys: aside(keys / STORE, b""),
    "truncated key store": lambda keys: aside(keys / STORE, (keys / STORE).read_bytes()[:5000]),
    "new master key not here": lambda keys: rotated(keys),
    "new master key wrong": lambda keys: rotated(keys, lambda key: bytes(reversed(key[:64]))),
    "new master key empty": lambda keys: rotated(keys, lambda key: b""),
    "new master key truncated": lambda keys: rotated(keys, lambda key: key[:40]),
    "new master key that others read": lambda keys: rotated(keys, lambda key: key, 0o644),
}
OF_ONE_RECORD = {
    "lost": "DELETE FROM record_key",
    "damaged": "UPDATE record_key SET wrapped = SUBSTR(wrapped, 1, 59)",
    "of an unknown master key": "UPDATE record_key SET master = 9",
}


def refused(registry: Caller, address: str) -> None:
    """What needs the key of the record is answered 503, and to come again."""
    answers = [
        registry.get(SEARCH),
        registry.get(address),
        registry.create(simple("meanwhile", content=CANARY.encode())),
    ]
    for answer in answers:
        of_a_trouble(answer)


def of_a_trouble(answer: Answer) -> None:
    assert answer.status == 503, answer.content
    assert answer.headers["Retry-After"].isdigit()
    assert answer.tree["resourceType"] == "OperationOutcome"
    assert answer.tree["issue"][0]["code"] == "transient"
    assert CANARY.encode() not in answer.content


@pytest.fixture
def planted(
    make_app: MakeApp, token: MakeToken, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Caller, FlaskClient, str]]:
    """`planted(url, **settings)`: an application that remembers no key, with a document in it."""
    monkeypatch.setattr(key_ring, "LIFE_S", 0.0)

    def start(url: str, **settings: Any) -> tuple[Caller, FlaskClient, str]:
        client = make_app(url, **settings).test_client()
        registry = Caller(client, token)
        address = registry.create(simple("before", content=CANARY.encode())).address
        return registry, client, address

    return start


def test_keys_that_go_away_while_it_runs(
    planted: Callable[..., tuple[Caller, FlaskClient, str]], seeded_url: str, data_folder: Path
) -> None:
    registry, client, address = planted(seeded_url)
    keys, (body, by) = data_folder / "keys", BODIES["Patient"]
    content = registry.get(address).tree["content"][0]["attachment"]["url"].partition("/fhir/")[2]
    shown, before = registry.get(address).tree, content_of(seeded_url)
    for name, trouble in TROUBLES.items():
        with trouble(keys):
            refused(registry, address)
            of_a_trouble(registry.get(content))
            of_a_trouble(registry.create(body, by=by))
            assert client.get("/fhir/metadata").status_code == 200
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 503
            tally.count("K", "keys away or wrong while it runs")
        assert registry.get(address).tree == shown, name
        assert client.get("/health/ready").status_code == 200
    nothing_but_traces(before, content_of(seeded_url), len(TROUBLES))
    assert registry.create(body, by=by).status == 201
    for path in (path for path in data_folder.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes(), path.name


def nothing_but_traces(before: dict[str, list[bytes]], after: dict[str, list[bytes]], reads: int) -> None:
    """Nothing was written but the entries of the reads that were answered."""
    changed = {table for table in after if after[table] != before[table]}
    assert changed <= {"audit_event", "audit_node", "audit_tree", "audit_head", "record"}, changed
    assert set(before["audit_event"]) <= set(after["audit_event"])
    assert len(after["audit_event"]) == len(before["audit_event"]) + reads


def test_the_key_of_one_record(
    planted: Callable[..., tuple[Caller, FlaskClient, str]], seeded_url: str, data_folder: Path
) -> None:
    """Lost or damaged: that record is not served and gets no other key; the others are."""
    registry, client, address = planted(seeded_url)
    database = client.application.extensions["dmp_fhir"].database
    with database.snapshot() as reader:
        ((record_id,),) = reader.rows(
            "SELECT record_id FROM resource_home WHERE id = :id", {"id": address.rpartition("/")[2]}
        )
    before = content_of(seeded_url)
    for name, statement in OF_ONE_RECORD.items():
        with altered(data_folder / "keys", statement, record_id):
            refused(registry, address)
            assert registry.get(f"DocumentReference?patient.identifier={JULIEN}&status=current").matches
            assert client.get("/health/ready").status_code == 200
            tally.count("K", "keys away or wrong while it runs")
        assert registry.get(address).status == 200, name
    nothing_but_traces(before, content_of(seeded_url), 2 * len(OF_ONE_RECORD))


def test_a_key_database_that_is_away(
    planted: Callable[..., tuple[Caller, FlaskClient, str]],
    request: pytest.FixtureRequest,
    postgres_server: Any,
    data_folder: Path,
) -> None:
    """Shut, then held by somebody who does not end."""
    copy = copy_of_world(request, "sqlite", data_folder)
    url, key_url = next(copy), postgres_server.create_database("keys_of_a_server")
    moved(data_folder / "keys" / STORE, key_url, data_folder / "keys")
    registry, client, address = planted(url, key_database=key_url)
    before = content_of(url)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER DATABASE keys_of_a_server ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'keys_of_a_server'")
        refused(registry, address)
        assert client.get("/health/ready").status_code == 503
        admin.execute("ALTER DATABASE keys_of_a_server ALLOW_CONNECTIONS true")
    assert registry.get(address).status == 200
    with psycopg.connect(key_url) as holder:
        holder.execute("LOCK TABLE record_key")
        of_a_trouble(registry.get(address))
    tally.count("K", "keys away or wrong while it runs", 2)
    assert registry.get(address).status == 200
    nothing_but_traces(before, content_of(url), 2)
    client.application.extensions["dmp_fhir"].database.close()
    postgres_server.drop_database("keys_of_a_server")


def moved(path: Path, key_url: str, keys: Path) -> None:
    """A key store in SQLite, row by row into PostgreSQL."""
    old, new = Database(f"sqlite:///{path}"), KeyStore.create(key_url, MasterKeyFiles(keys), 1).database
    with old.snapshot() as reader, new.transaction() as tx:
        for table, names in {
            "key_store": ("id",),
            "master_key": ("version", "proof", "created", "retired"),
            "record_key": ("record_id", "master", "wrapped", "created", "destroyed"),
        }.items():
            tx.execute(f"DELETE FROM {table}")
            for row in reader.rows(f"SELECT {', '.join(names)} FROM {table}"):
                insert(tx, table, names, row)
    old.close()
    new.close()
