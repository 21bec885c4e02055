"""The document behind a DocumentReference: a row, and a file of its bytes sealed under the key of its record
(store/payloads.py keeps it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dmp_fhir.policy.predicate import Predicate
from dmp_fhir.policy.second_look import columns as deciding_columns
from dmp_fhir.registry.versions import settle
from dmp_fhir.store.bodies import alert, document_place
from dmp_fhir.store.database import Database, Reader, Transaction
from dmp_fhir.store.identifiers import keys_of
from dmp_fhir.store.payloads import PayloadDamaged, PayloadStore
from dmp_fhir.store.sealing import SealBroken


class Payload(NamedTuple):
    """`digest` is the SHA-256 of the file, by which it is kept. The file is `sealed`, unless it is older than the keys
    of the registry. `masked`: the document is hidden from professionals."""

    id: str
    resource_type: str
    document_id: str
    content_type: str
    size: int
    digest: bytes
    created: int
    document_version: int
    sealed: bool
    masked: bool = False


def insert_payload(
    tx: Transaction,
    record_id: str,
    payload_id: str,
    resource_type: str,
    document_id: str,
    content_type: str,
    content: bytes,
    payloads: PayloadStore,
    instant: int,
) -> None:
    """Keep a document durably, then its row."""
    key = keys_of(tx).of(record_id)
    digest = payloads.put_pieces(key.seal_document(document_place(record_id, resource_type, payload_id), content))
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
            "sha256": digest,
            "created": instant,
            "sealed": True,
        },
    )


def visible_payload(
    reader: Reader, record_id: str, resource_type: str, payload_id: str, predicate: Predicate
) -> Payload | None:
    """A payload, if its document may be seen: it has no rights of its own (engineering decision 5)."""
    again = predicate.again
    row = reader.row(
        "SELECT p.id, p.resource_type, p.document_id, p.content_type, p.size, p.sha256, p.created, d.version, p.sealed,"
        " d.masked_professionals"
        + (f", {deciding_columns('d')}" if again else "")
        + " FROM payload p JOIN document d ON d.record_id = p.record_id AND d.id = p.document_id"
        " WHERE p.record_id = :record_id AND p.id = :payload_id AND p.resource_type = :resource_type"
        f" AND ({predicate.sql})",
        {"record_id": record_id, "payload_id": payload_id, "resource_type": resource_type} | dict(predicate.params),
    )
    if row and again:
        again.check(reader, record_id, row[2], row[10:])
    return Payload(*row[:10]) if row else None


def payload_of(reader: Reader, record_id: str, document_id: str) -> Payload | None:
    """The payload of a document, without regard to rights: for the answer to a resubmission."""
    row = reader.row(
        "SELECT p.id, p.resource_type, p.document_id, p.content_type, p.size, p.sha256, p.created, d.version, p.sealed"
        " FROM payload p JOIN document d ON d.record_id = p.record_id AND d.id = p.document_id"
        " WHERE p.record_id = :record_id AND p.document_id = :document_id",
        {"record_id": record_id, "document_id": document_id},
    )
    return Payload(*row) if row else None


def in_clear(reader: Reader) -> int:
    """How many documents an older version stored in clear."""
    row = reader.row("SELECT COUNT(*) FROM payload WHERE NOT sealed")
    return int(row[0]) if row else 0


def encrypt_documents(database: Database, payloads: PayloadStore, done: Callable[[], object] = lambda: None) -> int:
    """Encrypt the documents that are in clear, each in a transaction of its own, so that it may be cut off anywhere;
    how many. Their old files are named by no row any more: `collect_orphans` removes them. A damaged one is left as it
    is, for `dmp-fhir check` to tell."""
    count, after = 0, ("", "")
    while True:
        with database.snapshot() as reader:
            rows = reader.rows(
                "SELECT record_id, id FROM payload WHERE NOT sealed AND (record_id, id) > (:record_id, :id)"
                " ORDER BY record_id, id LIMIT 100",
                {"record_id": after[0], "id": after[1]},
            )
        if not rows:
            return count
        for record_id, payload_id in rows:
            after = (record_id, payload_id)
            count += database.write(lambda tx, one=after: _encrypt(tx, payloads, *one))  # type: ignore[misc]
            done()


def _encrypt(tx: Transaction, payloads: PayloadStore, record_id: str, payload_id: str) -> int:
    lock = " FOR UPDATE" if tx.dialect == "postgresql" else ""
    row = tx.row(
        f"SELECT resource_type, sha256 FROM payload WHERE record_id = :record_id AND id = :id AND NOT sealed{lock}",
        {"record_id": record_id, "id": payload_id},
    )
    if row is None:
        return 0
    try:
        content = payloads.get(row[1])
    except PayloadDamaged:
        return 0
    pieces = keys_of(tx).of(record_id).seal_document(document_place(record_id, row[0], payload_id), content)
    return tx.execute(
        "UPDATE payload SET sha256 = :digest, sealed = :sealed WHERE record_id = :record_id AND id = :id",
        {"digest": payloads.put_pieces(pieces), "sealed": True, "record_id": record_id, "id": payload_id},
    )


def content_of(reader: Reader, payloads: PayloadStore, record_id: str, payload: Payload) -> bytes:
    """The bytes of a document. PayloadDamaged when they are missing, altered or from elsewhere (TF-207, TF-243)."""
    stored = payloads.get(payload.digest)
    return opened(reader, record_id, payload.resource_type, payload.id, payload.digest, stored, sealed=payload.sealed)


def opened(
    reader: Reader, record_id: str, resource_type: str, payload_id: str, digest: bytes, stored: bytes, *, sealed: bool
) -> bytes:
    """What a payload file holds."""
    keys = keys_of(reader)
    if not sealed:
        if not keys.plain_readable:
            alert("a stored document is not sealed")
            raise PayloadDamaged(digest, "not sealed")
        return stored
    try:
        return keys.of(record_id).open_document(document_place(record_id, resource_type, payload_id), stored)
    except SealBroken as broken:
        alert("a stored document does not open: altered, moved, or sealed by another key")
        raise PayloadDamaged(digest, "the seal is broken") from broken
