"""Folders: created and updated, alone or in a lot (PDSm: an update sends the List again, as PUT)."""

from __future__ import annotations

from typing import Any

from dmp_fhir.interactions.conditions import one_identifier, require_match
from dmp_fhir.interactions.conformance import require_conforming
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.references import subject_of
from dmp_fhir.interactions.submitting import list_key, require_known
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.facts import depositor
from dmp_fhir.policy.refusals import refuse_record
from dmp_fhir.profiles.submission import list_kind
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.registry.identifiers import UNIQUE_ID, Owner, claim, key_of, owner_of
from dmp_fhir.registry.lists import depositor_of, insert_list, update_list
from dmp_fhir.registry.search.lists import visible_entries, without_hidden_entries
from dmp_fhir.registry.search.values import literal
from dmp_fhir.registry.shelves import current
from dmp_fhir.registry.versions import Found
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]


def create_folder(gate: Writing, record_id: str, tree: Tree, list_id: str, place: str = "List.") -> Found:
    """Store a folder; its entries are documents of the same record that the caller may know."""
    decision = gate.permit(Action.FOLDER_WRITE, record_id)
    stored = _settled(gate, record_id, tree, place) | {"id": list_id}
    found = insert_list(gate.tx, record_id, stored, gate.instant(record_id), depositor(gate.context))
    key = list_key(tree)
    if key:
        claim(gate.tx, UNIQUE_ID, key, Owner(record_id, "List", list_id, None))
    gate.did("create", "C", record_id, found, decision=decision)
    return found


def folder_named(gate: Writing, record_id: str, url: str) -> str | None:
    """The id of the list that `List/id` or `List?identifier=` names in a record."""
    path, _, query = url.partition("?")
    if not query:
        return path.removeprefix("List/")
    wanted = dict(query_pairs(query) or ())
    named = one_identifier(wanted.get("identifier", ""))
    return _list_of(gate, record_id, key_of(named) if named else None)


def known_folder(gate: Writing, record_id: str, tree: Tree) -> str | None:
    """The id of the folder that already has this uniqueId here."""
    return _list_of(gate, record_id, list_key(tree))


def _list_of(gate: Writing, record_id: str, key: str | None) -> str | None:
    owner = owner_of(gate.reader, UNIQUE_ID, key) if key else None
    return owner.resource_id if owner and (owner.record_id, owner.resource_type) == (record_id, "List") else None


def replace_folder(
    gate: Writing,
    record_id: str,
    tree: Tree,
    list_id: str,
    place: str = "List.",
    request: Request | None = None,
    walk: Walk | None = None,
) -> Found:
    """A new version of a folder, by its depositor or by somebody who reads the record, as that caller sees it: entries
    hidden from the caller stay, after the others. A submission set never changes. `walk` is that of a folder sent
    alone: one of a lot is validated with the lot."""
    known = depositor_of(gate.reader, record_id, list_id)
    visible = current(gate.reader, record_id, "List", list_id, gate.predicates(record_id)["List"])
    own = known is not None and known[1:] == depositor(gate.context)
    found = visible or (current(gate.reader, record_id, "List", list_id) if own else None)
    if known is None or found is None:
        not_found()
    if known[0] != "folder" or list_kind(tree) != "folder":
        refuse(
            405,
            "not-supported",
            "Un lot de soumission ne change pas : seul un classeur (code folder) se met à jour.",
            "A submission set does not change: only a folder (code folder) can be updated.",
            expression=f"{place}code",
            rule="D4",
        )
    decision = gate.decide(Action.FOLDER_WRITE, record_id)
    if not decision.permit:
        refuse_record(decision)
    if walk is not None:
        require_conforming(gate, walk)
    if request:
        require_match(request, found.version)
    stored = _settled(gate, record_id, tree, place) | {"id": list_id}
    stored["entry"] += _hidden_entries(gate, record_id, found)
    updated = update_list(gate.tx, record_id, stored, found.version, gate.instant(record_id))
    gate.did("update", "U", record_id, updated, decision=decision)
    return updated._replace(body=without_hidden_entries(updated.body, _visible_entries(gate, record_id, list_id)))


def _visible_entries(gate: Writing, record_id: str, list_id: str) -> frozenset[tuple[str, str]]:
    return visible_entries(gate.reader, [list_id], gate.predicates(record_id), record_id)[list_id]


def _hidden_entries(gate: Writing, record_id: str, folder: Found) -> list[Tree]:
    """The entries that the caller of an update could not send again (TF-009)."""
    visible = _visible_entries(gate, record_id, folder.id)
    entries = parse_json(folder.body).get("entry", [])
    return [each for each in entries if literal(each.get("item", {}).get("reference", "")) not in visible]


def _settled(gate: Writing, record_id: str, tree: Tree, place: str) -> Tree:
    entries = []
    for n, entry in enumerate(tree.get("entry", [])):
        target = require_known(gate, record_id, entry["item"], f"{place}entry[{n}].item")
        entries.append(entry | {"item": entry["item"] | {"reference": f"DocumentReference/{target.id}"}})
    return tree | {"entry": entries, "subject": subject_of(tree, record_id)}
