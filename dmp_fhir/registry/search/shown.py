"""What of a resource its reader may see: neither the entries of a list nor the relations of a document name what is
hidden (D14, TF-009, TF-018; docs/decisions/0030).

The bytes stored are served as they are unless something in them is hidden from this reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dmp_fhir.registry.search.conditions import Predicate
from dmp_fhir.registry.search.lists import visible_entries, without_hidden_entries
from dmp_fhir.registry.search.values import literal
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.database import Reader
from dmp_fhir.wire.json import dump_json, parse_json

Tree = dict[str, Any]
NAMED_DOCUMENTS = "a.entity_type = 'DocumentReference' AND a.entity_id = ''"
"""Of an entry of the trace (alias a): a search that named documents, which its readers may not know of."""
_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
# Most documents name no other one: their bytes are not even parsed.
_NAMING = (b'"relatesTo"', b'"related"')


def shown(reader: Reader, record_id: str, resources: list[Found], predicates: Mapping[str, Predicate]) -> list[Found]:
    """The same resources, without what the caller may not know of."""
    lists = [each.id for each in resources if each.resource_type == "List"]
    naming = [
        each
        for each in resources
        if each.resource_type == "DocumentReference" and any(name in each.body for name in _NAMING)
    ]
    if not lists and not naming:
        return resources
    entries = visible_entries(reader, lists, predicates, record_id) if lists else {}
    trees = {id(each): parse_json(each.body) for each in naming}
    named = {target for tree in trees.values() for target in _named(tree)}
    visible = _visible(reader, record_id, named, predicates["DocumentReference"]) if named else frozenset()
    return [
        each._replace(body=without_hidden_entries(each.body, entries[each.id]))
        if each.resource_type == "List"
        else each._replace(body=_without_hidden_relations(each.body, trees[id(each)], visible))
        if id(each) in trees
        else each
        for each in resources
    ]


def without_query(body: bytes) -> bytes:
    """An AuditEvent without what was searched for, marked as being no more the whole one."""
    event = parse_json(body)
    event["meta"] = {name: value for name, value in event["meta"].items() if name != "profile"} | {"tag": [_SUBSETTED]}
    event["entity"] = [
        {name: value for name, value in each.items() if "query" not in each or name not in ("query", "description")}
        for each in event["entity"]
    ]
    return dump_json(event)


def _named(tree: Tree) -> Iterable[str]:
    """The ids of the documents that a DocumentReference names."""
    references = [each.get("target", {}) for each in tree.get("relatesTo", ())]
    for reference in (*references, *tree.get("context", {}).get("related", ())):
        if document := _document(reference):
            yield document


def _document(reference: Tree) -> str | None:
    target = literal(reference.get("reference", ""))
    return target[1] if target and target[0] == "DocumentReference" else None


def _visible(reader: Reader, record_id: str, named: set[str], predicate: Predicate) -> frozenset[str]:
    ids = {f"named_{n}": each for n, each in enumerate(sorted(named))}
    rows = reader.rows(
        f"SELECT d.id FROM document d WHERE d.record_id = :record AND d.id IN ({', '.join(f':{name}' for name in ids)})"
        f" AND d.status <> 'entered-in-error' AND ({predicate.sql})",
        {**predicate.params, **ids, "record": record_id},
    )
    return frozenset(row[0] for row in rows)


def _without_hidden_relations(body: bytes, tree: Tree, visible: frozenset[str]) -> bytes:
    """The bytes of a DocumentReference without relations to documents that are not `visible`: the very bytes stored
    when all are. The registry writes the target of every relation as a literal reference, so one that is not cannot
    be judged and is not shown. The narrative goes too, since it may speak of them."""
    relations = tree.get("relatesTo", [])
    kept = [each for each in relations if _document(each.get("target", {})) in visible]
    context = tree.get("context", {})
    related = context.get("related", [])
    kept_related = [each for each in related if (document := _document(each)) is None or document in visible]
    if (len(kept), len(kept_related)) == (len(relations), len(related)):
        return body
    less = {name: value for name, value in tree.items() if name not in ("relatesTo", "text")}
    if kept:
        less["relatesTo"] = kept
    if len(kept_related) < len(related):
        rest = {name: value for name, value in context.items() if name != "related"}
        less["context"] = rest | ({"related": kept_related} if kept_related else {})
        if not less["context"]:
            del less["context"]
    return dump_json(less)
