"""The document behind a DocumentReference, as a row that names its bytes (store/payloads.py keeps them)."""

from __future__ import annotations

from typing import NamedTuple

from dmp_fhir.policy.predicate import Predicate
from dmp_fhir.policy.second_look import columns as deciding_columns
from dmp_fhir.profiles.content import sha1
from dmp_fhir.registry.versions import settle
from dmp_fhir.store.database import Reader, Transaction


class Payload(NamedTuple):
    """`digest` is the SHA-256, by which the bytes are kept; `masked` that the document is hidden from professionals."""

    id: str
    resource_type: str
    document_id: str
    content_type: str
    size: int
    digest: bytes
    created: int
    document_version: int
    masked: bool = False


def insert_payload(
    tx: Transaction,
    record_id: str,
    payload_id: str,
    resource_type: str,
    document_id: str,
    content_type: str,
    content: bytes,
    digest: bytes,
    instant: int,
) -> None:
    settle(tx, record_id, resource_type, payload_id)
    tx.insert(
        "payload",
        {
            "record_id": record_id,
            "id": payload_id,
            "resource_type": resource_type,
            "document_id": document_id,
            "content_type": content_type,
            "size": len(content),
            "sha1": sha1(content),
            "sha256": digest,
            "created": instant,
        },
    )


def visible_payload(
    reader: Reader, record_id: str, resource_type: str, payload_id: str, predicate: Predicate
) -> Payload | None:
    """A payload, if its document may be seen: it has no rights of its own (engineering decision 5)."""
    again = predicate.again
    row = reader.row(
        "SELECT p.id, p.resource_type, p.document_id, p.content_type, p.size, p.sha256, p.created, d.version,"
        " d.masked_professionals"
        + (f", {deciding_columns('d')}" if again else "")
        + " FROM payload p JOIN document d ON d.record_id = p.record_id AND d.id = p.document_id"
        " WHERE p.record_id = :record_id AND p.id = :payload_id AND p.resource_type = :resource_type"
        f" AND ({predicate.sql})",
        {"record_id": record_id, "payload_id": payload_id, "resource_type": resource_type} | dict(predicate.params),
    )
    if row and again:
        again.check(reader, record_id, row[2], row[9:])
    return Payload(*row[:9]) if row else None


def payload_of(reader: Reader, record_id: str, document_id: str) -> Payload | None:
    """The payload of a document, without regard to rights: for the answer to a resubmission."""
    row = reader.row(
        "SELECT p.id, p.resource_type, p.document_id, p.content_type, p.size, p.sha256, p.created, d.version"
        " FROM payload p JOIN document d ON d.record_id = p.record_id AND d.id = p.document_id"
        " WHERE p.record_id = :record_id AND p.document_id = :document_id",
        {"record_id": record_id, "document_id": document_id},
    )
    return Payload(*row) if row else None
