"""Submission sets and folders of a record."""

from __future__ import annotations

from typing import Any

from dmp_fhir.registry.shelves import put_new, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.database import Reader, Transaction

Tree = dict[str, Any]


def insert_list(tx: Transaction, record_id: str, tree: Tree, instant: int, depositor: tuple[str, str]) -> Found:
    """Store a new submission set or folder whose entries name resources of the record by literal reference."""
    kind, identifier = depositor
    found = put_new(tx, record_id, tree, instant, {"depositor_kind": kind, "depositor_id": identifier})
    _write_entries(tx, record_id, tree)
    return found


def update_list(tx: Transaction, record_id: str, tree: Tree, version: int, instant: int) -> Found:
    found = put_next(tx, record_id, tree, version, instant, "PUT")
    tx.execute(
        "DELETE FROM list_entry WHERE record_id = :record_id AND list_id = :list_id",
        {"record_id": record_id, "list_id": tree["id"]},
    )
    _write_entries(tx, record_id, tree)
    return found


def _write_entries(tx: Transaction, record_id: str, tree: Tree) -> None:
    rows = []
    for position, entry in enumerate(tree.get("entry", [])):
        target_type, _, target_id = entry["item"]["reference"].partition("/")
        rows.append(
            {
                "record_id": record_id,
                "list_id": tree["id"],
                "position": position,
                "target_type": target_type,
                "target_id": target_id,
            }
        )
    tx.insert_many("list_entry", rows)


def depositor_of(reader: Reader, record_id: str, list_id: str) -> tuple[str, str, str] | None:
    """(kind of list, kind of depositor, identifier of depositor)."""
    row = reader.row(
        "SELECT kind, depositor_kind, depositor_id FROM document_list WHERE record_id = :record_id AND id = :id",
        {"record_id": record_id, "id": list_id},
    )
    return (row[0], row[1], row[2]) if row else None
