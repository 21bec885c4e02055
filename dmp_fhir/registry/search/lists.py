"""Submission sets and folders show only the entries that the caller may see (D14, TF-009)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dmp_fhir.registry.search.conditions import Predicate
from dmp_fhir.registry.search.values import literal
from dmp_fhir.store.database import Reader
from dmp_fhir.wire.json import dump_json, parse_json

Target = tuple[str, str]  # type and id


def visible_entries(
    reader: Reader, list_ids: Iterable[str], predicates: Mapping[str, Predicate], record_id: str
) -> dict[str, frozenset[Target]]:
    """For each list its entries that the caller may see: documents by the predicate of DocumentReference, folders by
    the one of List. KeyError when one of them is missing."""
    documents, lists = predicates["DocumentReference"], predicates["List"]
    wanted = tuple(dict.fromkeys(list_ids))
    found: dict[str, set[Target]] = {list_id: set() for list_id in wanted}
    if not wanted:
        return {}
    ids = {f"list_{n}": list_id for n, list_id in enumerate(wanted)}
    among = ", ".join(f":{name}" for name in ids)
    for predicate, sql in (
        (
            documents,
            "SELECT e.list_id, e.target_type, e.target_id FROM list_entry e"
            " JOIN document d ON d.record_id = e.record_id AND d.id = e.target_id"
            f" WHERE e.record_id = :record AND e.list_id IN ({among}) AND e.target_type = 'DocumentReference'"
            f" AND d.status <> 'entered-in-error' AND ({documents.sql})",
        ),
        (
            lists,
            "SELECT e.list_id, e.target_type, e.target_id FROM list_entry e"
            " JOIN document_list l ON l.record_id = e.record_id AND l.id = e.target_id"
            f" WHERE e.record_id = :record AND e.list_id IN ({among}) AND e.target_type = 'List'"
            f" AND l.status <> 'entered-in-error' AND ({lists.sql})",
        ),
    ):
        for list_id, target_type, target_id in reader.rows(sql, {**predicate.params, **ids, "record": record_id}):
            found[list_id].add((target_type, target_id))
    return {list_id: frozenset(targets) for list_id, targets in found.items()}


def without_hidden_entries(body: bytes, visible: frozenset[Target]) -> bytes:
    """The bytes of a List with its visible entries only: the very bytes stored when nothing is hidden. The narrative
    goes with the first hidden entry, since it may speak of it. An entry that is not a literal reference to this
    registry cannot be judged, so it is not shown."""
    tree: dict[str, Any] = parse_json(body)
    entries = tree.get("entry", [])
    kept = [entry for entry in entries if literal(entry.get("item", {}).get("reference", "")) in visible]
    if len(kept) == len(entries):
        return body
    shown = {name: value for name, value in tree.items() if name not in ("entry", "text")}
    return dump_json(shown | {"entry": kept} if kept else shown)
