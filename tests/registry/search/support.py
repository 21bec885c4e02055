"""Resources put straight into the tables, and searches run on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.canonicals import IDNPS, INS_NIR_TEST, LOINC, MHD_LIST_TYPES, URI
from dmp_fhir.registry.columns import (
    consent_columns,
    document_columns,
    list_columns,
    party_columns,
    record_columns,
)
from dmp_fhir.registry.index import extract
from dmp_fhir.registry.search.execute import Cursor, Page, Scope, execute
from dmp_fhir.registry.search.parse import parse
from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.wire.json import dump_json

BASE = "https://registry.test/fhir"
RECORD, OTHER_RECORD = "record-a", "record-b"
INS = "199999999999999"
Tree = dict[str, Any]

_TABLES = {
    "DocumentReference": ("document", document_columns),
    "List": ("document_list", list_columns),
    "Consent": ("consent", consent_columns),
    "Patient": ("record", record_columns),
}


@dataclass(frozen=True)
class Condition:
    sql: str = "1 = 1"
    params: Mapping[str, Any] = field(default_factory=dict)


EVERYTHING: dict[str, Condition] = {
    name: Condition() for name in ("DocumentReference", "List", "Consent", "AuditEvent")
}


def put(tx: Transaction, tree: Tree, record_id: str = RECORD, instant: int = 1_000, version: int = 1) -> None:
    """Store version 1 of a resource, or its next version, with its index."""
    resource_type, resource_id = tree["resourceType"], tree["id"]
    table, columns = _TABLES.get(resource_type, ("party", party_columns))
    row = columns(tree) | {"id": resource_id, "version": version, "last_updated": instant}
    if table == "party":
        row["resource_type"] = resource_type
    if table == "document_list":
        row |= {"depositor_kind": "person", "depositor_id": "899700000112"}
    if table != "record":
        row["record_id"] = record_id
    if version == 1:
        if table == "record":
            row["clock"] = instant
        tx.insert(table, row | {"created": instant})
    else:
        key = " AND ".join(f"{name} = :{name}" for name in ("record_id", "id") if name in row)
        tx.execute(f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in row)} WHERE {key}", row)
    tx.insert(
        "resource_version",
        {
            "record_id": record_id,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "version": version,
            "last_updated": instant,
            "method": "POST" if version == 1 else "PUT",
            "body": pack(dump_json(tree)),
        },
    )
    owner = {"record_id": record_id, "resource_type": resource_type, "resource_id": resource_id}
    found = extract(tree)
    for name, names, values in (
        ("search_token", ("parameter", "system", "code"), found.tokens),
        ("search_text", ("parameter", "folded", "exact"), found.texts),
        (
            "search_reference",
            ("parameter", "target_type", "target_id", "identifier_system", "identifier_value"),
            found.references,
        ),
    ):
        if version > 1:
            where = " AND ".join(f"{column} = :{column}" for column in owner)
            tx.execute(f"DELETE FROM {name} WHERE {where}", owner)
        tx.insert_many(name, [owner | dict(zip(names, value, strict=True)) for value in values])
    if resource_type == "List":
        tx.insert_many(
            "list_entry",
            [
                {
                    "record_id": record_id,
                    "list_id": resource_id,
                    "position": position,
                    "target_type": entry["item"]["reference"].split("/")[0],
                    "target_id": entry["item"]["reference"].split("/")[1],
                }
                for position, entry in enumerate(tree.get("entry", []))
            ],
        )
    tx.execute(
        "UPDATE record SET clock = :clock WHERE id = :id AND clock < :clock", {"clock": instant, "id": record_id}
    )


def event(tx: Transaction, event_id: str, recorded: int, **columns: Any) -> None:
    """A row of the trace of the record."""
    body = dump_json({"resourceType": "AuditEvent", "id": event_id})
    row = {
        "record_id": RECORD,
        "id": event_id,
        "recorded": recorded,
        "type": "rest",
        "subtype": "read",
        "action": "R",
        "outcome": "0",
        "agent_category": "PS",
        "agent_id": "899700000112",
        "agent_name": "Dr Élodie MOREAU",
        "structure_id": "1990000010",
        "purpose": "normal",
        "entity_type": "DocumentReference",
        "entity_id": "d1",
        "words": None,
        "secret": False,
        "body": body,
        "digest": sha256(body).digest(),
    } | columns
    tx.at_the_end(append_rows, [row])


def patient(record_id: str = RECORD, ins: str = INS, **more: Any) -> Tree:
    return {
        "resourceType": "Patient",
        "id": record_id,
        "active": True,
        "identifier": [{"system": INS_NIR_TEST, "value": ins}],
        "name": [{"use": "official", "family": "Lefèvre", "given": ["Anne-Sophie", "Marie"]}],
        "gender": "female",
        "birthDate": "1980-05-17",
    } | more


def document(document_id: str, **more: Any) -> Tree:
    return {
        "resourceType": "DocumentReference",
        "id": document_id,
        "masterIdentifier": {"system": URI, "value": f"urn:oid:1.2.3.{document_id.encode().hex()}"},
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "11488-4"}]},
        "subject": {"reference": f"Patient/{RECORD}"},
        "content": [{"attachment": {"contentType": "text/plain", "url": f"Binary/{document_id}"}}],
    } | more


def submission_set(list_id: str, *documents: str, **more: Any) -> Tree:
    tree = {
        "resourceType": "List",
        "id": list_id,
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": MHD_LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": f"Patient/{RECORD}"},
        "date": "2024-03-01T10:00:00+01:00",
    }
    if documents:
        tree["entry"] = [{"item": {"reference": f"DocumentReference/{each}"}} for each in documents]
    return tree | more


def practitioner(resource_id: str, family: str, given: str, number: str) -> Tree:
    return {
        "resourceType": "Practitioner",
        "id": resource_id,
        "active": True,
        "identifier": [{"system": IDNPS, "value": number}],
        "name": [{"family": family, "given": [given]}],
    }


def search(
    database: Database,
    resource_type: str,
    *pairs: tuple[str, str],
    record_id: str = RECORD,
    predicates: Mapping[str, Any] = EVERYTHING,
    cursor: Cursor | None = None,
    snapshot: int | None = None,
) -> Page:
    query = parse(resource_type, list(pairs), lenient=False, base_url=BASE)
    with database.snapshot() as reader:
        return execute(reader, query, Scope(record_id, predicates, snapshot), cursor)


def ids(page: Page) -> set[str]:
    return {each.id for each in page.matches}


def pairs_of(text: str) -> list[tuple[str, str]]:
    """`a=1&b=2`, not percent-encoded."""
    return [(name, value) for name, _, value in (each.partition("=") for each in text.split("&"))]
