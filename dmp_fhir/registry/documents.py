"""Documents of a record: published, replaced, relabelled, archived, deleted (logically). Identifiers per D2."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dmp_fhir.canonicals import EXT_IS_ARCHIVED, URI
from dmp_fhir.policy.facts import DocumentFacts, author_key
from dmp_fhir.registry.shelves import put_new, put_next
from dmp_fhir.registry.versions import Found, version_of
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]
Author = tuple[str, str]  # kind ('person', 'structure', 'patient', 'system') and national identifier


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The current state of a document, with the facts that rights depend on."""

    record_id: str
    id: str
    version: int
    last_updated: int
    submission_set_id: str | None
    replaced_by: str | None
    facts: DocumentFacts

    def tree(self, reader: Reader) -> Tree:
        found = version_of(reader, self.record_id, "DocumentReference", self.id, self.version)
        if found is None:
            raise LookupError(f"document {self.id} has no version {self.version}")
        return parse_json(found.body)


def stored_document(reader: Reader, record_id: str, document_id: str) -> StoredDocument | None:
    key = {"record_id": record_id, "id": document_id}
    row = reader.row(
        "SELECT version, last_updated, submission_set_id, replaced_by, type_system, type_code, status, archived,"
        " masked_professionals, hidden_patient, hidden_representatives, created, type_unknown"
        " FROM document WHERE record_id = :record_id AND id = :id",
        key,
    )
    if row is None:
        return None
    authors = [
        (kind, identifier)
        for kind, identifier in reader.rows(
            "SELECT kind, identifier FROM document_author WHERE record_id = :record_id AND document_id = :id", key
        )
    ]
    masks = tuple(map(bool, row[8:11]))
    facts = document_facts(row[4], row[5], row[6], bool(row[7]), masks, authors, row[11], bool(row[12]))
    return StoredDocument(record_id, document_id, row[0], row[1], row[2], row[3], facts)


def document_facts(
    type_system: str | None,
    type_code: str | None,
    status: str,
    archived: bool,
    masks: tuple[bool, ...],
    authors: Iterable[Author],
    deposited: int,
    type_unknown: bool = False,
) -> DocumentFacts:
    by_kind: dict[str, set[str]] = {"person": set(), "structure": set(), "patient": set(), "system": set()}
    for kind, identifier in authors:
        by_kind[kind].add(identifier)
    labels = ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    return DocumentFacts(
        type_system=type_system or "",
        type_code=type_code or "",
        labels=frozenset(label for label, is_set in zip(labels, masks, strict=True) if is_set),
        status=status,
        archived=archived,
        author_persons=frozenset(by_kind["person"]),
        author_structures=frozenset(by_kind["structure"]),
        author_patients=frozenset(by_kind["patient"]),
        author_systems=frozenset(by_kind["system"]),
        deposited_ms=deposited,
        type_unknown=type_unknown,
    )


def insert_document(
    tx: Transaction, record_id: str, tree: Tree, instant: int, authors: Iterable[Author], submission_set_id: str
) -> Found:
    """Store version 1 of a document whose tree already has its id."""
    named = list(dict.fromkeys(authors))
    tx.insert_many(
        "document_author",
        [
            {"record_id": record_id, "document_id": tree["id"], "kind": kind, "identifier": identifier}
            for kind, identifier in named
        ],
    )
    more = {"submission_set_id": submission_set_id, "author_key": author_key(named)}
    return put_new(tx, record_id, with_new_entry_uuid(tree), instant, more)


def amend_document(
    tx: Transaction,
    document: StoredDocument,
    tree: Tree,
    instant: int,
    *,
    method: str = "PATCH",
    replaced_by: str | None = None,
) -> Found:
    """Store the next version of a document: only status, labels and the archive flag may differ (D4)."""
    more = {"replaced_by": replaced_by} if replaced_by else None
    tree = with_new_entry_uuid(tree)
    return put_next(tx, document.record_id, tree, document.version, instant, method, more)


def with_new_entry_uuid(tree: Tree) -> Tree:
    """Each version of the metadata has its own entryUUID, given by the registry (D2)."""
    kept = [each for each in tree.get("identifier", []) if each.get("use") != "official"]
    entry_uuid = {"use": "official", "system": URI, "value": f"urn:uuid:{uuid.uuid4()}"}
    return tree | {"identifier": [entry_uuid, *kept]}


def is_archived(tree: Tree) -> bool:
    return any(
        each.get("url") == EXT_IS_ARCHIVED and each.get("valueBoolean") is True for each in tree.get("extension", [])
    )
