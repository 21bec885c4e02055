"""Versions of resources, and which record a resource lives in.

The current state of a resource is its highest version; its typed row (store/tables.py) names it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.instants import instant_text
from dmp_fhir.registry.index import extract
from dmp_fhir.store.bodies import open_body, seal_body, version_place
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.store.identifiers import hidden
from dmp_fhir.wire.json import dump_json

Tree = dict[str, Any]


class Found(NamedTuple):
    """A resource that was found and may leave: `body` is the exact JSON served, `last_updated` in milliseconds."""

    resource_type: str
    id: str
    version: int
    last_updated: int
    body: bytes
    method: str = "POST"


def home_of(reader: Reader, resource_type: str, resource_id: str) -> str | None:
    """The record a resource lives in (`DIRECTORY` for none), or None when there is no such resource."""
    row = reader.row(
        "SELECT record_id FROM resource_home WHERE id = :id AND resource_type = :resource_type",
        {"id": resource_id, "resource_type": resource_type},
    )
    return row[0] if row else None


def settle(tx: Transaction, record_id: str, resource_type: str, resource_id: str) -> None:
    tx.insert("resource_home", {"id": resource_id, "resource_type": resource_type, "record_id": record_id})


def stamp(tree: Tree, resource_id: str, version: int, instant: int) -> Tree:
    """The resource with the id and meta that only the server sets (TF-043); profiles, tags and labels of the client
    stay."""
    meta = {name: value for name, value in tree.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    meta = {"versionId": str(version), "lastUpdated": instant_text(instant), **meta}
    head = {"resourceType": tree["resourceType"], "id": resource_id, "meta": meta}
    return head | {name: value for name, value in tree.items() if name not in head}


def add_version(tx: Transaction, record_id: str, tree: Tree, version: int, instant: int, method: str) -> bytes:
    """Store one more version and what searches look for in it; returns the bytes that will be served."""
    body = dump_json(tree)
    place = version_place(record_id, tree["resourceType"], tree["id"], version)
    tx.insert(
        "resource_version",
        {
            "record_id": record_id,
            "resource_type": tree["resourceType"],
            "resource_id": tree["id"],
            "version": version,
            "last_updated": instant,
            "method": method,
            "body": seal_body(tx.keys, record_id, place, body),
        },
    )
    _index(tx, record_id, tree, fresh=version == 1)
    return body


# What a resource is found by, in three tables of the same shape: owner, parameter, and these columns.
_VALUE_COLUMNS = {
    "search_token": ("parameter", "system", "code"),
    "search_text": ("parameter", "folded", "exact"),
    "search_reference": ("parameter", "target_type", "target_id", "identifier_system", "identifier_value"),
}


def _index(tx: Transaction, record_id: str, tree: Tree, *, fresh: bool) -> None:
    owner = {"record_id": record_id, "resource_type": tree["resourceType"], "resource_id": tree["id"]}
    extracted = extract(tree)
    values: tuple[list[tuple[str, ...]], ...] = (
        _looked_up(tx, tree["resourceType"], extracted.tokens),
        [*extracted.texts],
        [*extracted.references],
    )
    for (table, columns), wanted in zip(_VALUE_COLUMNS.items(), values, strict=True):
        known = set() if fresh else _indexed(tx, table, columns, owner)
        tx.insert_many(
            table,
            [owner | dict(zip(columns, value, strict=True)) for value in dict.fromkeys(wanted) if value not in known],
        )
        for value in known.difference(wanted):
            if not _stays_findable(tree, value):
                _forget(tx, table, columns, owner, value)


def _looked_up(tx: Transaction, resource_type: str, tokens: list[tuple[str, str, str]]) -> list[tuple[str, ...]]:
    """The tokens as they are kept: the matricule of a patient as its keyed hash, which searches look for too."""
    if resource_type != "Patient":
        return [*tokens]
    return [
        (parameter, system, hidden(tx, code) if parameter == "identifier" and system in INS_SYSTEMS else code)
        for parameter, system, code in tokens
    ]


def _indexed(tx: Transaction, table: str, columns: tuple[str, ...], owner: Tree) -> set[tuple[str, ...]]:
    return set(
        tx.rows(
            f"SELECT {', '.join(columns)} FROM {table} WHERE record_id = :record_id"
            " AND resource_type = :resource_type AND resource_id = :resource_id",
            owner,
        )
    )


def _stays_findable(tree: Tree, value: tuple[str, ...]) -> bool:
    """Old entryUUIDs lead to the current version (D2)."""
    return tree["resourceType"] == "DocumentReference" and value[0] == "identifier"


def _forget(tx: Transaction, table: str, columns: tuple[str, ...], owner: Tree, value: tuple[str, ...]) -> None:
    tx.execute(
        f"DELETE FROM {table} WHERE record_id = :record_id AND resource_type = :resource_type"
        " AND resource_id = :resource_id AND " + " AND ".join(f"{column} = :{column}" for column in columns),
        owner | dict(zip(columns, value, strict=True)),
    )


def version_of(reader: Reader, record_id: str, resource_type: str, resource_id: str, version: int) -> Found | None:
    row = reader.row(
        "SELECT last_updated, body, method FROM resource_version WHERE record_id = :record_id"
        " AND resource_type = :resource_type AND resource_id = :resource_id AND version = :version",
        {
            "record_id": record_id,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "version": version,
        },
    )
    if row is None:
        return None
    body = opened(reader, record_id, resource_type, resource_id, version, row[1])
    return Found(resource_type, resource_id, version, row[0], body, row[2])


def versions_of(reader: Reader, record_id: str, resource_type: str, resource_id: str) -> list[Found]:
    """Every version, newest first (FHIR history)."""
    rows = reader.rows(
        "SELECT version, last_updated, body, method FROM resource_version WHERE record_id = :record_id"
        " AND resource_type = :resource_type AND resource_id = :resource_id ORDER BY version DESC",
        {"record_id": record_id, "resource_type": resource_type, "resource_id": resource_id},
    )
    return [
        Found(
            resource_type,
            resource_id,
            version,
            last_updated,
            opened(reader, record_id, resource_type, resource_id, version, body),
            method,
        )
        for version, last_updated, body, method in rows
    ]


def opened(reader: Reader, record_id: str, resource_type: str, resource_id: str, version: int, stored: bytes) -> bytes:
    """The JSON of a stored version."""
    return open_body(reader.keys, record_id, version_place(record_id, resource_type, resource_id, version), stored)
