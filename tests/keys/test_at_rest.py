"""A whole registry at rest: what its files hold (TF-159), sealed things that changed places (TF-243), and a record that
was destroyed and comes back with an old backup (TF-246)."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from flask.testing import FlaskClient

from dmp_fhir import jobs
from dmp_fhir.app import open_database
from dmp_fhir.audit.events import THIS_SERVER
from dmp_fhir.backup.restoring import make, restore
from dmp_fhir.registry import lifecycle
from dmp_fhir.settings import Settings
from dmp_fhir.store.bodies import _DICTIONARIES
from dmp_fhir.store.check import check
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.store.dump import lines_of, shapes
from dmp_fhir.store.payloads import PayloadStore
from tests.access.consents import Office, closing
from tests.rest.bodies import CLAIRE, lot
from tests.rest.caller import Caller
from tests.support import tally
from tests.support.server import MakeToken, TickingClock

CONTENT = "CANARI-CONTENU-d8f1"
NARRATIVE = "CANARI-NARRATIF-77ac"
BODY = "CANARI-CORPS-31be"
QUERY = "CANARI-REQUETE-5e02"
MATRICULE = CLAIRE.rpartition("|")[2]
TITLE = "CANARI-TITRE-c0da"
MOTIVE = "CANARI-MOTIF-90ab, patiente inconsciente"
SEALED = (CONTENT, NARRATIVE, BODY, QUERY, TITLE, MOTIVE)
# What is readable in the database all the same, with the columns that hold it (decision record 0038).
RESIDUE = {
    MATRICULE: {
        "audit_event.agent_id",
        "audit_event.agent_name",
        "consent.actor_id",
        "document_author.identifier",
        "document_list.depositor_id",
        "emergency_grant.person",
        "notification.recipient_id",
        "search_reference.identifier_value",
        "search_token.code",
    },
}
CLAIRE_HERSELF = "patient-claire-martin"


@pytest.fixture
def registry(client: FlaskClient, token: MakeToken) -> Caller:
    return Caller(client, token)


@pytest.fixture
def office(client: FlaskClient, clock: TickingClock) -> Office:
    return Office(client.application.extensions["dmp_fhir"], clock)


def plant(registry: Caller) -> str:
    """A document full of canaries; its address."""
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{NARRATIVE}</div>'}
    sent = lot("canary", content=CONTENT.encode(), text=text, description=BODY)
    for entry in sent["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "DocumentReference":
            resource["content"][0]["attachment"]["title"] = TITLE
    answer = registry.provide(sent)
    assert answer.status == 200, answer.content
    address = next(each for each in answer.addresses if each.startswith("DocumentReference/"))
    registry.get(f"DocumentReference?patient.identifier={CLAIRE}&status=current&description={QUERY}")
    assert registry.get(address, by=CLAIRE_HERSELF).status == 200
    emergency = {"purpose": "bris_de_glace", "reason": MOTIVE, "token_id": "canary"}
    path = f"DocumentReference?patient.identifier={CLAIRE}&status=current"
    assert registry.get(path, by="dr-chevalier", claims=emergency).status == 200
    return address


# --- TF-159 ---------------------------------------------------------------------------------------


def forms(canary: str) -> list[bytes]:
    """A text as it may lie in a file."""
    plain = canary.encode()
    encoded = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, canary.encode("utf-16-le"), canary.encode("utf-16-be"), plain.hex().encode(), *encoded]


def inflated(data: bytes) -> Iterator[bytes]:
    """Every zstd frame inside, decompressed."""
    at = data.find(b"\x28\xb5\x2f\xfd")
    while at >= 0:
        for dictionary in (None, *_DICTIONARIES.values()):
            try:
                yield zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data[at:], max_output_size=1 << 20)
                break
            except zstandard.ZstdError:
                continue
        at = data.find(b"\x28\xb5\x2f\xfd", at + 1)


def holds(data: bytes, canary: str) -> bool:
    return any(form in piece for piece in (data, *inflated(data)) for form in forms(canary))


def test_what_the_files_and_the_database_hold(registry: Caller, office: Office, data_folder: Path) -> None:
    plant(registry)
    database = office.services.database
    found: dict[str, set[str]] = {}
    with database.snapshot() as reader:
        for shape in shapes():
            for line in lines_of(reader, shape):
                for name, kind, value in zip(shape.columns, shape.kinds, json.loads(line), strict=True):
                    data = base64.b64decode(value) if kind == "bytes" and value else str(value).encode()
                    for canary in (*SEALED, MATRICULE):
                        if holds(data, canary):
                            found.setdefault(canary, set()).add(f"{shape.name}.{name}")
    database.close()
    files = [path for path in data_folder.rglob("*") if path.is_file()]
    in_files = [path.name for path in files for canary in SEALED if holds(path.read_bytes(), canary)]
    residue = {canary: columns - RESIDUE.get(canary, set()) for canary, columns in found.items()}
    beyond = {canary: columns for canary, columns in residue.items() if columns}
    tally.count("K", "files looked through at rest", len(files))
    tally.count("K", "canaries found at rest", len(in_files) + len(beyond))
    assert in_files == []
    assert beyond == {}
    assert found.keys() == RESIDUE.keys(), "the search sees what it looks for"
    assert "ins.value" not in found.get(MATRICULE, set())
    documents = [path for path in files if "documents" in path.parts]
    assert documents
    assert not any(MATRICULE.encode() in path.read_bytes() for path in documents)
    assert registry.get(f"DocumentReference?patient.identifier={CLAIRE}&status=current").status == 200


# --- TF-243 ---------------------------------------------------------------------------------------


def altered(database: Database, act: Callable[[Transaction], object]) -> None:
    """What somebody with all rights on the database does, who took the guards away first."""
    with database.transaction() as tx:
        if tx.dialect == "sqlite":
            for (name,) in tx.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
                tx.execute(f"DROP TRIGGER {name}")
        else:
            tx.execute("SET LOCAL session_replication_role = replica")
        act(tx)


SHIFTS = 6


def test_what_changed_places_is_never_served(
    registry: Caller, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies and documents of one record, each put in the place of another one: the next, the one after it…"""
    database, record_id = office.services.database, office.record(CLAIRE)
    versions = office.rows(
        "SELECT resource_id, body FROM resource_version WHERE record_id = :record"
        " AND resource_type = 'DocumentReference' AND version = 1 ORDER BY resource_id",
        record=record_id,
    )[:10]
    payloads = office.rows(
        "SELECT id, sha256 FROM payload WHERE record_id = :record AND resource_type = 'Binary' ORDER BY id",
        record=record_id,
    )[:10]
    addresses = [f"DocumentReference/{name}/_history/1" for name, _ in versions]
    addresses += [f"Binary/{name}" for name, _ in payloads]

    def put(shift: int) -> Callable[[Transaction], None]:
        def act(tx: Transaction) -> None:
            for n, (name, _) in enumerate(versions):
                where = {"body": versions[(n + shift) % len(versions)][1], "name": name, "record": record_id}
                tx.execute(
                    "UPDATE resource_version SET body = :body WHERE record_id = :record AND resource_id = :name"
                    " AND version = 1",
                    where,
                )
            for n, (name, _) in enumerate(payloads):
                where = {"digest": payloads[(n + shift) % len(payloads)][1], "name": name, "record": record_id}
                tx.execute("UPDATE payload SET sha256 = :digest WHERE record_id = :record AND id = :name", where)

        return act

    for shift in range(1, SHIFTS + 1):
        altered(database, put(shift))
        answers = [registry.get(address, by=CLAIRE_HERSELF) for address in addresses]
        served = [address for address, answer in zip(addresses, answers, strict=True) if answer.status == 200]
        tally.count("K", "ciphertexts moved or damaged", len(addresses))
        tally.count("K", "served", len(served))
        assert served == []
        assert any(answer.status == 500 for answer in answers)
    assert any("does not open" in record.getMessage() for record in caplog.records if record.name == "dmp_fhir.alert")
    assert len(check(database, office.services.payloads)) >= len(addresses)


# --- TF-246 ---------------------------------------------------------------------------------------


def test_a_destroyed_record_is_unreadable_in_an_older_backup(
    registry: Caller, office: Office, data_folder: Path, seeded_url: str, tmp_path: Path
) -> None:
    address, key = plant(registry), bytes(range(32))
    record_id, services = office.record(CLAIRE), office.services
    make(tmp_path / "older", key, services.database, services.payloads, office.clock())
    assert registry.create(closing(CLAIRE), by=CLAIRE_HERSELF).status == 201
    services.database.write(lambda tx: lifecycle.ask_erasure(tx, record_id, office.clock()))
    others = [row[0] for row in office.rows("SELECT id FROM record WHERE status = 'open' ORDER BY id")][:4]

    def close(tx: Transaction) -> None:
        for other in others:
            tx.execute("UPDATE record SET status = 'closed' WHERE id = :id", {"id": other})
            lifecycle.follow_status(tx, other, "open", "closed", office.clock())
            lifecycle.ask_erasure(tx, other, office.clock())

    services.database.write(close)
    assert jobs._Jobs(services.database, office.clock(), services.policy, THIS_SERVER).erase() == 5
    ((event_id,),) = office.rows(
        "SELECT id FROM audit_event WHERE record_id = :record AND action = 'D'", record=record_id
    )
    services.database.close()

    copy = tmp_path / "copy"
    shutil.copytree(data_folder / "keys", copy / "keys")
    url, payloads = f"sqlite:///{copy}/registry.sqlite", PayloadStore(copy / "documents")
    settings = Settings(data_folder=copy, database_url=url)
    restored = restore(tmp_path / "older", key, url, payloads, opening=lambda _: open_database(settings))
    unreadable = [each for each in restored.findings if "erased" in each]
    assert len(unreadable) == len(restored.findings) > 20, "nothing of that record opens, everything else does"
    database = open_database(settings)
    with database.snapshot() as reader:
        wanted = {"record": record_id}
        assert reader.row("SELECT 1 FROM record WHERE id = :record", wanted)
    tally.count("K", "destroyed records in older backups", 1 + len(others))
    tally.count("K", "bodies of destroyed records in backups", len(unreadable))
    tally.count("K", "of them readable", 0)
    assert jobs.erase_again(database, office.clock()) == 5
    with database.snapshot() as reader:
        assert reader.row("SELECT 1 FROM record WHERE id = :record", {"record": record_id}) is None
    assert check(database, payloads) == []
    assert jobs.erase_again(database, office.clock()) == 0
    database.close()
    assert address
    assert event_id
