"""Where each type of resource is kept: one typed row for its current state, and all its versions.

A shelf is the typed table of store/tables.py with the columns that come from the resource itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dmp_fhir.policy.predicate import Predicate
from dmp_fhir.policy.second_look import columns as deciding_columns
from dmp_fhir.registry.columns import (
    consent_columns,
    document_columns,
    list_columns,
    party_columns,
    record_columns,
)
from dmp_fhir.registry.search.shown import NAMED_DOCUMENTS, without_query
from dmp_fhir.registry.versions import Found, add_version, opened, settle, stamp
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Reader, Transaction

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shelf:
    """`alias` is what predicates call the table (policy/predicate.py)."""

    table: str
    alias: str
    columns: Callable[[Tree], dict[str, Any]]

    def key(self, record_id: str, resource_type: str, resource_id: str) -> dict[str, str]:
        if self.table == "record":
            return {"id": resource_id}
        key = {"record_id": record_id, "id": resource_id}
        return key | {"resource_type": resource_type} if self.table == "party" else key


_PARTY = Shelf("party", "p", party_columns)

SHELVES: dict[str, Shelf] = {
    "Patient": Shelf("record", "r", record_columns),
    "DocumentReference": Shelf("document", "d", document_columns),
    "List": Shelf("document_list", "l", list_columns),
    "Consent": Shelf("consent", "c", consent_columns),
    "Practitioner": _PARTY,
    "PractitionerRole": _PARTY,
    "Organization": _PARTY,
    "Device": _PARTY,
    "RelatedPerson": _PARTY,
    "CareTeam": _PARTY,
}

# What belongs to no record.
DIRECTORY_TYPES = frozenset({"Practitioner", "PractitionerRole", "Organization", "Device"})


def put_new(
    tx: Transaction, record_id: str, tree: Tree, instant: int, more_columns: dict[str, Any] | None = None
) -> Found:
    """Store version 1 of a resource whose tree already has its id."""
    resource_type, resource_id = tree["resourceType"], tree["id"]
    shelf = SHELVES[resource_type]
    tree = stamp(tree, resource_id, 1, instant)
    settle(tx, record_id, resource_type, resource_id)
    row = shelf.columns(tree) | shelf.key(record_id, resource_type, resource_id) | (more_columns or {})
    tx.insert(shelf.table, row | {"version": 1, "created": instant, "last_updated": instant})
    body = add_version(tx, record_id, tree, 1, instant, "POST")
    return Found(resource_type, resource_id, 1, instant, body)


def put_next(
    tx: Transaction,
    record_id: str,
    tree: Tree,
    version: int,
    instant: int,
    method: str,
    more_columns: dict[str, Any] | None = None,
) -> Found:
    """Store version `version` + 1 of a resource whose current version is `version`."""
    resource_type, resource_id = tree["resourceType"], tree["id"]
    shelf = SHELVES[resource_type]
    tree = stamp(tree, resource_id, version + 1, instant)
    row = shelf.columns(tree) | (more_columns or {}) | {"version": version + 1, "last_updated": instant}
    key = shelf.key(record_id, resource_type, resource_id)
    tx.execute(
        f"UPDATE {shelf.table} SET {', '.join(f'{name} = :{name}' for name in row)}"
        f" WHERE {' AND '.join(f'{name} = :key_{name}' for name in key)}",
        row | {f"key_{name}": value for name, value in key.items()},
    )
    body = add_version(tx, record_id, tree, version + 1, instant, method)
    return Found(resource_type, resource_id, version + 1, instant, body, method)


def current(
    reader: Reader, record_id: str, resource_type: str, resource_id: str, predicate: Predicate | None = None
) -> Found | None:
    """The current version of a resource, if the predicate lets it be seen; a document is then decided again."""
    shelf = SHELVES[resource_type]
    again = predicate.again if predicate else None
    key = shelf.key(record_id, resource_type, resource_id)
    row = reader.row(
        f"SELECT {shelf.alias}.version, v.last_updated, v.body, v.method"
        + (f", {deciding_columns(shelf.alias)}" if again else "")
        + f" FROM {shelf.table} {shelf.alias} JOIN resource_version v ON v.record_id = :home"
        f" AND v.resource_type = :type AND v.resource_id = {shelf.alias}.id AND v.version = {shelf.alias}.version"
        f" WHERE {' AND '.join(f'{shelf.alias}.{name} = :{name}' for name in key)}"
        + (f" AND ({predicate.sql})" if predicate else ""),
        key | {"home": record_id, "type": resource_type} | (dict(predicate.params) if predicate else {}),
    )
    if row and again:
        again.check(reader, record_id, resource_id, row[4:])
    if row is None:
        return None
    body = opened(reader, record_id, resource_type, resource_id, row[0], row[2])
    return Found(resource_type, resource_id, row[0], row[1], body, row[3])


def audit_event(reader: Reader, record_id: str, event_id: str, predicate: Predicate) -> Found | None:
    """An entry of the trace, if the predicate lets it be seen."""
    row = reader.row(
        f"SELECT a.recorded, a.body, {NAMED_DOCUMENTS} FROM audit_event a WHERE a.record_id = :record_id AND a.id = :id"
        f" AND ({predicate.sql})",
        {"record_id": record_id, "id": event_id} | dict(predicate.params),
    )
    if row is None:
        return None
    body = open_body(reader.keys, record_id, event_place(record_id, event_id), row[1])
    return Found("AuditEvent", event_id, 1, row[0], without_query(body) if row[2] else body)
