"""Rows for the tests of the store: only what a test does not care about."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from dmp_fhir.store.bodies import pack
from dmp_fhir.store.database import Transaction

Row = dict[str, Any]


def record(record_id: str, **changes: Any) -> Row:
    return {"id": record_id, "status": "open", "version": 1, "created": 1, "last_updated": 1, "clock": 1} | changes


def version(record_id: str, resource_type: str, resource_id: str, number: int = 1, **changes: Any) -> Row:
    return {
        "record_id": record_id,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "version": number,
        "last_updated": number,
        "method": "POST" if number == 1 else "PATCH",
        "body": pack(b'{"resourceType": "%s"}' % resource_type.encode()),
    } | changes


def home(record_id: str, resource_type: str, resource_id: str) -> Row:
    return {"id": resource_id, "resource_type": resource_type, "record_id": record_id}


def unique_id(value: str, record_id: str, resource_id: str, **changes: Any) -> Row:
    return {
        "scope": "document",
        "value": value,
        "record_id": record_id,
        "resource_type": "DocumentReference",
        "resource_id": resource_id,
        "fingerprint": bytes(32),
    } | changes


def document(record_id: str, document_id: str, **changes: Any) -> Row:
    return {
        "record_id": record_id,
        "id": document_id,
        "version": 1,
        "created": 1,
        "last_updated": 1,
        "status": "current",
        "archived": False,
        "masked_professionals": False,
        "hidden_patient": False,
        "hidden_representatives": False,
    } | changes


def payload(record_id: str, binary_id: str, document_id: str, content: bytes, digest: bytes) -> Row:
    return {
        "record_id": record_id,
        "id": binary_id,
        "resource_type": "Binary",
        "document_id": document_id,
        "content_type": "text/plain",
        "size": len(content),
        "sha256": digest,
        "created": 1,
    }


def trace(record_id: str, trace_id: str) -> Row:
    """An entry of the trace without its place, as audit/log.py hands it to audit/placing.py."""
    texts = ("type", "subtype", "agent_category", "agent_id", "agent_name", "structure_id", "purpose", "entity_type")
    return dict.fromkeys(texts, "x") | {
        "record_id": record_id,
        "id": trace_id,
        "recorded": 1,
        "action": "R",
        "outcome": "0",
        "entity_id": "d",
        "secret": False,
        "body": b"{}",
        "digest": sha256(b"{}").digest(),
    }


def placed(record_id: str, trace_id: str, position: int = 0, sequence: int = 1) -> Row:
    """An entry with a place, and no proof of it."""
    return trace(record_id, trace_id) | {
        "body": pack(b"{}"),
        "position": position,
        "sequence": sequence,
        "nonce": bytes(16),
        "marks": b"",
        "leaf": bytes(32),
    }


def whole_document(tx: Transaction, record_id: str, document_id: str, content: bytes, digest: bytes) -> None:
    """A document as the registry writes it: row, version, registration, uniqueId, payload."""
    tx.insert("resource_home", home(record_id, "DocumentReference", document_id))
    tx.insert("resource_version", version(record_id, "DocumentReference", document_id))
    tx.insert("unique_identifier", unique_id(f"urn:oid:{document_id}", record_id, document_id))
    tx.insert("document", document(record_id, document_id))
    tx.insert("payload", payload(record_id, f"b-{document_id}", document_id, content, digest))


def authored(tx: Transaction, record_id: str, document_id: str) -> None:
    """Two persons and their structure sign a document."""
    for kind, name in (("person", "899700000112"), ("person", "899700000120"), ("structure", "1990000010")):
        row = {"record_id": record_id, "document_id": document_id, "kind": kind, "identifier": name}
        tx.insert("document_author", row)
    key = {"key": "|person:899700000112|person:899700000120|", "id": document_id}
    tx.execute("UPDATE document SET author_key = :key WHERE id = :id", key)


def whole_record(tx: Transaction, record_id: str) -> None:
    tx.insert("record", record(record_id))
    tx.insert("resource_home", home(record_id, "Patient", record_id))
    tx.insert("resource_version", version(record_id, "Patient", record_id))
    tx.insert("ins", {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": record_id, "record_id": record_id})
