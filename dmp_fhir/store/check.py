"""What must always be true of a registry's data, looked at from outside (`dmp-fhir check`, and
after every kill in the tests).

Nothing is repaired and nothing is changed. Findings name ids and digests, never health data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmp_fhir.store.bodies import BodyDamaged, document_place, event_place, open_body, version_place
from dmp_fhir.store.database import Database, Reader, StoreDamaged
from dmp_fhir.store.errors import KeyDestroyed, KeysUnavailable
from dmp_fhir.store.identifiers import keys_of
from dmp_fhir.store.payloads import PayloadDamaged, PayloadStore
from dmp_fhir.store.sealing import SealBroken

# Each statement answers the rows that should not exist: record, resource type, id.
_RULES = {
    "version numbers are not 1 to n": """
        SELECT record_id, resource_type, resource_id FROM resource_version
        GROUP BY record_id, resource_type, resource_id HAVING MIN(version) <> 1 OR MAX(version) <> COUNT(*)
    """,
    "lastUpdated does not increase with the version": """
        SELECT a.record_id, a.resource_type, a.resource_id FROM resource_version a
        JOIN resource_version b ON b.record_id = a.record_id AND b.resource_type = a.resource_type
            AND b.resource_id = a.resource_id AND b.version = a.version + 1
        WHERE b.last_updated <= a.last_updated
    """,
    "versions of a resource that is not registered": """
        SELECT DISTINCT v.record_id, v.resource_type, v.resource_id FROM resource_version v
        WHERE NOT EXISTS (SELECT 1 FROM resource_home h WHERE h.id = v.resource_id
            AND h.resource_type = v.resource_type AND h.record_id = v.record_id)
    """,
    "a resource registered in a record that does not exist": """
        SELECT h.record_id, h.resource_type, h.id FROM resource_home h
        WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.id = h.record_id)
    """,
    "an INS that leads to a record that does not exist": """
        SELECT i.record_id, 'Patient', i.record_id FROM ins i
        WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.id = i.record_id)
    """,
    "an identifier owned by a resource that does not exist": """
        SELECT u.record_id, u.resource_type, u.resource_id FROM unique_identifier u
        WHERE NOT EXISTS (SELECT 1 FROM resource_home h WHERE h.id = u.resource_id
            AND h.resource_type = u.resource_type AND h.record_id = u.record_id)
    """,
    "a payload of a document that does not exist": """
        SELECT p.record_id, p.resource_type, p.id FROM payload p
        WHERE p.document_id <> ''
        AND NOT EXISTS (SELECT 1 FROM document d WHERE d.record_id = p.record_id AND d.id = p.document_id)
    """,
    "an author of a document that does not exist": """
        SELECT a.record_id, 'DocumentReference', a.document_id FROM document_author a
        WHERE NOT EXISTS (SELECT 1 FROM document d WHERE d.record_id = a.record_id AND d.id = a.document_id)
    """,
    "an author that the key of the document does not name": """
        SELECT a.record_id, 'DocumentReference', a.document_id FROM document_author a
        JOIN document d ON d.record_id = a.record_id AND d.id = a.document_id
        WHERE (a.kind = 'person' OR (a.kind = 'structure' AND NOT EXISTS (SELECT 1 FROM document_author b
            WHERE b.record_id = a.record_id AND b.document_id = a.document_id AND b.kind = 'person')))
        AND d.author_key <> a.kind || ':' || REPLACE(a.identifier, '|', '%7C')
        AND REPLACE(d.author_key, '|' || a.kind || ':' || REPLACE(a.identifier, '|', '%7C') || '|', '') = d.author_key
    """,
    "a key of authors that names others than the authors": """
        SELECT d.record_id, 'DocumentReference', d.id FROM document d WHERE d.author_key <> ''
        AND CASE WHEN d.author_key < '|' THEN 1
            ELSE LENGTH(d.author_key) - LENGTH(REPLACE(d.author_key, '|', '')) - 1 END > COALESCE((SELECT
            CASE WHEN MIN(a.kind) = 'person' THEN SUM(CASE a.kind WHEN 'person' THEN 1 ELSE 0 END) ELSE SUM(1) END
            FROM document_author a WHERE a.record_id = d.record_id AND a.document_id = d.id
            AND a.kind IN ('person', 'structure')), 0)
    """,
    "an entry of a list that does not exist": """
        SELECT e.record_id, 'List', e.list_id FROM list_entry e
        WHERE NOT EXISTS (SELECT 1 FROM document_list l WHERE l.record_id = e.record_id AND l.id = e.list_id)
    """,
    "a document whose submission set does not exist": """
        SELECT d.record_id, 'DocumentReference', d.id FROM document d WHERE d.submission_set_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM document_list l WHERE l.record_id = d.record_id AND l.id = d.submission_set_id)
    """,
}
# What is current is the latest version, and no version is later.
_CURRENT = {
    "record": ("'Patient'", "id", "id", "t.version > 0"),
    "document": ("'DocumentReference'", "record_id", "id", "1 = 1"),
    "document_list": ("'List'", "record_id", "id", "1 = 1"),
    "consent": ("'Consent'", "record_id", "id", "1 = 1"),
    "party": ("t.resource_type", "record_id", "id", "1 = 1"),
}
_CURRENT_SQL = """
    SELECT t.{record}, {kind}, t.{id} FROM {table} t WHERE {where} AND t.version <> COALESCE(
        (SELECT MAX(v.version) FROM resource_version v
         WHERE v.record_id = t.{record} AND v.resource_type = {kind} AND v.resource_id = t.{id}), 0)
"""
_VERSION_KEY = ("record_id", "resource_type", "resource_id", "version")
_BATCH = 500
ERASED = "erased: the key of the record was destroyed"


def check(database: Database, payloads: PayloadStore) -> list[str]:
    """Everything that is wrong, one line each; an empty list when all is well. Reads every payload and every body:
    minutes on a large registry. Safe while the server runs: it looks at one snapshot."""
    # Statements on a damaged file answer anything: what the engine says comes first, and alone.
    try:
        with database.snapshot() as reader:
            damaged = list(_engine(reader))
    except StoreDamaged as error:
        damaged = [f"engine: {error}"]
    if damaged:
        return damaged
    with database.snapshot() as reader:
        if reader.dialect == "postgresql":
            reader.rows("SET LOCAL statement_timeout = 0")
        return [*_rows(reader), *_bodies(reader), *_payloads(reader, payloads)]


def _engine(reader: Reader) -> Iterator[str]:
    if reader.dialect == "sqlite":
        findings = reader.rows("PRAGMA integrity_check")
        yield from (f"engine: {finding}" for (finding,) in findings if finding != "ok")
        return
    invalid = """
        SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT (i.indisvalid AND i.indisready)
    """
    for (name,) in reader.rows(invalid):
        yield f"engine: index {name} is not valid"


def _rows(reader: Reader) -> Iterator[str]:
    rules = dict(_RULES)
    for table, (kind, record, key, where) in _CURRENT.items():
        statement = _CURRENT_SQL.format(table=table, kind=kind, record=record, id=key, where=where)
        rules[f"the current version in {table} is not the latest"] = statement
    for finding, statement in rules.items():
        for record_id, resource_type, resource_id in reader.rows(statement):
            yield f"{resource_type}/{resource_id} in record {record_id or 'DIRECTORY'}: {finding}"


def _bodies(reader: Reader) -> Iterator[str]:
    for row in in_batches(reader, "resource_version", _VERSION_KEY, ("body",)):
        record_id, resource_type, resource_id, version, body = row
        place = version_place(record_id, resource_type, resource_id, version)
        if finding := _body(reader, record_id, place, body):
            yield f"{resource_type}/{resource_id} version {version} in record {record_id or 'DIRECTORY'}: {finding}"
    for record_id, event_id, body in in_batches(reader, "audit_event", ("record_id", "id"), ("body",)):
        finding = _body(reader, record_id, event_place(record_id, event_id), body)
        if finding and finding != ERASED:
            yield f"AuditEvent/{event_id} in record {record_id or 'DIRECTORY'}: {finding}"


def _body(reader: Reader, record_id: str, place: str, body: bytes) -> str | None:
    """What is wrong with a stored body; `ERASED` when its record's key was destroyed, as it should with the record."""
    try:
        open_body(reader.keys, record_id, place, body)
    except (BodyDamaged, KeysUnavailable) as error:
        return str(error)
    except KeyDestroyed:
        return ERASED
    return None


def _payloads(reader: Reader, payloads: PayloadStore) -> Iterator[str]:
    for row in in_batches(reader, "payload", ("sha256", "record_id", "id"), ("size", "resource_type", "sealed")):
        digest, record_id, payload_id, size, resource_type, sealed = row
        try:
            content = payloads.get(digest)
            if sealed:
                place = document_place(record_id, resource_type, payload_id)
                content = keys_of(reader).of(record_id).open_document(place, content)
        except (PayloadDamaged, SealBroken, KeysUnavailable) as error:
            yield f"{resource_type}/{payload_id}: {error}"
        except KeyDestroyed:
            yield f"{resource_type}/{payload_id}: {ERASED}"
        else:
            if len(content) != size:
                yield f"{resource_type}/{payload_id}: {size} bytes announced, {len(content)} stored"


def in_batches(reader: Reader, table: str, key: tuple[str, ...], more: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """All rows of a table in the order of its key, a few hundred in memory at a time."""
    columns, order = ", ".join(key + more), ", ".join(key)
    after = ", ".join(f":{name}" for name in key)
    select = f"SELECT {columns} FROM {table}"
    following = f"{select} WHERE ({order}) > ({after}) ORDER BY {order} LIMIT {_BATCH}"
    rows = reader.rows(f"{select} ORDER BY {order} LIMIT {_BATCH}")
    while rows:
        yield from rows
        rows = reader.rows(following, dict(zip(key, rows[-1], strict=False)))
