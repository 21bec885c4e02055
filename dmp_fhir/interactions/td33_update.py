"""Metadata update of a document: PDSm flux 03 and 04, DMP TD3.3a to d; and its logical deletion by DELETE (D3).

Only status, securityLabel and isArchived change (D4). Each effect of a patch is an act of its own for the policy:
masking, showing to the patient, archiving, deleting. The patch is read, checked and applied by hand: no patch
engine runs (TF-122).
"""

from __future__ import annotations

from typing import Any, NoReturn

from dmp_fhir.canonicals import EXT_IS_ARCHIVED, HIDE_PATIENT, HIDE_REPRESENTATIVES, MASK_PROFESSIONALS
from dmp_fhir.identity.identifiers import parse_person_id
from dmp_fhir.interactions.conditions import answer_written, one_identifier, require_match
from dmp_fhir.interactions.conformance import require_no_worse
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import identified_by_entry
from dmp_fhir.interactions.seeking import sees, sought
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import merged
from dmp_fhir.policy.standing import NOWHERE
from dmp_fhir.registry.documents import StoredDocument, amend_document, is_archived, stored_document
from dmp_fhir.registry.identifiers import UNIQUE_ID, key_of, owner_of
from dmp_fhir.registry.labels import is_confidentiality, labels, mask_of, masks_of
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.query import PatientById, PatientByIdentifier
from dmp_fhir.registry.search.shown import shown
from dmp_fhir.registry.shelves import current
from dmp_fhir.registry.versions import Found, home_of
from dmp_fhir.wire.changes import Change
from dmp_fhir.wire.patches import changes_of_parameters, parse_patch

Tree = dict[str, Any]
_MASKING = {
    MASK_PROFESSIONALS: (Action.DOC_UNMASK, Action.DOC_MASK),
    HIDE_PATIENT: (Action.DOC_SHOW_PATIENT, Action.DOC_HIDE_PATIENT),
    HIDE_REPRESENTATIVES: (Action.DOC_SHOW_REPS, Action.DOC_HIDE_REPS),
}


def patch(gate: Writing, request: Request) -> Response:
    """PATCH DocumentReference/id, or PATCH DocumentReference?identifier=."""
    changes = changes_of_parameters(request.tree) if request.tree else parse_patch(request.content_type, request.body)
    document = _document(gate, request)
    before = document.tree(gate.reader)
    after = before
    for change in changes:
        after = _apply(after, change)
    actions = _actions(before, after)
    decisions = [gate.permit(action, document.record_id, document.facts) for action in actions or [Action.DOC_READ]]
    require_match(request, document.version)
    if not actions:
        found = _as_found(gate, document)
        gate.did("patch", "U", document.record_id, found, decision=merged(decisions))
        return answer_written(request, _shown(gate, document, found), 200)
    if after["status"] != "entered-in-error":  # which no guide has among its statuses (D3)
        require_no_worse(gate, before, after)
    found = amend_document(gate.tx, document, after, gate.instant(document.record_id))
    gate.did("patch", "U", document.record_id, found, decision=merged(decisions), done=tuple(actions))
    return answer_written(request, _shown(gate, document, found), 200)


def _shown(gate: Writing, document: StoredDocument, found: Found) -> Found:
    """The answer names no other document that the caller may not know of; authors know their own (TD3.1b)."""
    predicates = gate.predicates(document.record_id, Action.DOC_FINDID)
    return shown(gate.reader, document.record_id, [found], predicates)[0]


def delete(gate: Writing, request: Request) -> Response:
    """DELETE by the author: a logical deletion, like PATCH status entered-in-error (D3)."""
    document = _document(gate, request)
    decision = gate.permit(Action.DOC_DELETE, document.record_id, document.facts)
    require_match(request, document.version)
    tree = document.tree(gate.reader) | {"status": "entered-in-error"}
    found = amend_document(gate.tx, document, tree, gate.instant(document.record_id))
    gate.did("delete", "D", document.record_id, found, decision=decision)
    return Response(204)


# --- which document -------------------------------------------------------------------------------


def _document(gate: Writing, request: Request) -> StoredDocument:
    """The document asked for, which the caller may know of; whether they may change it comes next."""
    if request.id:
        home, document_id = home_of(gate.reader, "DocumentReference", request.id), request.id
    else:
        home, document_id = _by_condition(gate, request)

    def look(record_id: str) -> Found | None:
        predicate = gate.predicates(record_id, Action.DOC_FINDID)["DocumentReference"]
        return current(gate.reader, record_id, "DocumentReference", document_id, predicate)

    _, record_id, _ = sought(gate, home, look, *sees(gate))
    # Lock first, then look again: what was read before the lock may be history.
    gate.standing(record_id)
    document = stored_document(gate.reader, record_id, document_id)
    return document if document and document.facts.status != "entered-in-error" else not_found()


def _by_condition(gate: Writing, request: Request) -> tuple[str | None, str]:
    """(record, id) of the one document that `identifier` names: by uniqueId, or by any entryUUID it ever had (D2).
    https://hl7.org/fhir/R4/http.html#patch (conditional)"""
    wanted = dict(request.parameters)
    if len(wanted) != len(request.parameters) or not wanted.keys() <= {"identifier", "patient", "patient.identifier"}:
        _refuse_condition()
    identifier = one_identifier(wanted.get("identifier", ""))
    if identifier is None:
        _refuse_condition()
    owner = owner_of(gate.reader, UNIQUE_ID, key_of(identifier) or "")
    record_id = _named_record(gate, wanted)
    if owner and owner.resource_type == "DocumentReference" and record_id in (None, owner.record_id):
        record_id, document_id = owner.record_id, owner.resource_id
    else:
        document_id = ""
    # Looked for in any case: finding by the one identifier or the other takes the same time as not finding.
    by_entry = identified_by_entry(gate.reader, record_id or NOWHERE, identifier)
    found = document_id or by_entry
    return (record_id, found) if found else (None, "")


def _named_record(gate: Writing, wanted: dict[str, str]) -> str | None:
    """The record that the condition names, or else the one that the token is bound to."""
    if reference := wanted.get("patient"):
        return find_record(gate.reader, PatientById(reference.rpartition("/")[2]))
    if token := wanted.get("patient.identifier"):
        identifier = one_identifier(token)
        if identifier is None:
            _refuse_condition()
        return find_record(gate.reader, PatientByIdentifier(identifier["system"] or None, identifier["value"]))
    if ins := parse_person_id(gate.context.person_id or ""):
        return find_record(gate.reader, PatientByIdentifier(ins.system, ins.value))
    return None


def _refuse_condition() -> NoReturn:
    refuse(
        412,
        "multiple-matches",
        "Désignez un seul document : PATCH DocumentReference?identifier=<système>|<identifiant>.",
        "Designate one document: PATCH DocumentReference?identifier=<system>|<identifier>.",
        rule="TF-045",
    )


def _as_found(gate: Writing, document: StoredDocument) -> Found:
    found = current(gate.reader, document.record_id, "DocumentReference", document.id)
    return found or not_found()


# --- applying -------------------------------------------------------------------------------------


def _apply(tree: Tree, change: Change) -> Tree:
    if change.op == "test":
        _test(tree, change)
        return tree
    if change.target == "status":
        return tree | {"status": change.value}
    if change.target == "isArchived":
        return _archived(tree, change)
    return tree | {"securityLabel": _relabelled(tree.get("securityLabel", []), change)}


def _test(tree: Tree, change: Change) -> None:
    if change.target == "status":
        actual: Any = tree["status"]
    elif change.target == "isArchived":
        actual = is_archived(tree)
    else:
        present = tree.get("securityLabel", [])
        actual = present if change.index is None else _at(present, change.index)
    if actual != change.value:
        refuse(
            422,
            "business-rule",
            "L'opération test n'est pas vérifiée : rien n'a été changé.",
            "The test operation does not hold: nothing was changed.",
            rule="RFC 6902",
        )


def _archived(tree: Tree, change: Change) -> Tree:
    """The flag is always there afterwards: `replace` creates it when absent (D5)."""
    extensions = tree.get("extension", [])
    if isinstance(change.index, int) and _at(extensions, change.index).get("url") != EXT_IS_ARCHIVED:
        refuse(
            405,
            "not-supported",
            f"L'extension n° {change.index} n'est pas isArchived.",
            f"Extension number {change.index} is not isArchived.",
            rule="D4",
        )
    others = [each for each in extensions if each.get("url") != EXT_IS_ARCHIVED]
    flag = {"url": EXT_IS_ARCHIVED, "valueBoolean": bool(change.value)}
    return tree | {"extension": [*others, flag]}


def _at(values: list[Any], index: Any) -> Any:
    if not isinstance(index, int) or index >= len(values):
        refuse(
            422,
            "value",
            f"Il n'y a pas d'élément n° {index} : le document en a {len(values)}.",
            f"There is no element number {index}: the document has {len(values)}.",
            rule="RFC 6902",
        )
    return values[index]


def _relabelled(present: list[Tree], change: Change) -> list[Tree]:
    """The labels after a change, normalised: the confidentiality code is kept, masks are a set (D6)."""
    if change.index is None:
        wanted = change.value if change.op != "remove" else []
        masks = masks_of([*(present if change.op == "add" else []), *wanted])
        return labels(present, masks)
    if change.op == "remove":
        removed = _at(present, change.index)
        return labels(present, masks_of(each for each in present if each is not removed))
    added = mask_of(change.value)
    if change.op == "add":
        return labels(present, masks_of([*present, change.value]))
    replaced = _at(present, change.index)
    if added:
        return labels(present, masks_of(each for each in present if each is not replaced) | {added})
    if not is_confidentiality(change.value):
        refuse(
            422,
            "code-invalid",
            "Un marqueur est un code de confidentialité HL7 ou un code TRE_A07 (MASQUE_PS, INVISIBLE_PATIENT…).",
            "A label is an HL7 confidentiality code or a TRE_A07 code (MASQUE_PS, INVISIBLE_PATIENT…).",
            rule="D6",
        )
    return labels(present, _after_normal(present, replaced))


def _after_normal(present: list[Tree], replaced: Tree) -> frozenset[str]:
    """Masks left after a label became `N`: the guide lifts a mask by writing N over the first label (TD3.3a,
    TD3.3b). With several masks that would not say which one."""
    masks = masks_of(present)
    if mask_of(replaced):
        return masks - {mask_of(replaced) or ""}
    if len(masks) > 1:
        refuse(
            422,
            "business-rule",
            "Ce document a plusieurs marqueurs : retirez celui que vous levez, par exemple remove /securityLabel/1.",
            "This document has several labels: remove the one you lift, for example remove /securityLabel/1.",
            rule="D6",
        )
    return frozenset()


# --- what the change amounts to -------------------------------------------------------------------


def _actions(before: Tree, after: Tree) -> list[Action]:
    """The acts of a patch, in the vocabulary of the policy; empty when nothing changes."""
    actions = []
    if after["status"] != before["status"]:
        actions.append(_status_action(before["status"], after["status"]))
    old, new = masks_of(before.get("securityLabel", [])), masks_of(after.get("securityLabel", []))
    for mask, (lifted, set_) in _MASKING.items():
        if (mask in old) != (mask in new):
            actions.append(set_ if mask in new else lifted)
    if is_archived(before) != is_archived(after):
        actions.append(Action.DOC_ARCHIVE if is_archived(after) else Action.DOC_UNARCHIVE)
    return actions


def _status_action(before: str, after: str) -> Action:
    if after == "entered-in-error":
        return Action.DOC_DELETE
    if after == "superseded":
        # Withdrawn from default searches (D3): an act of the author on his own document, like archiving.
        return Action.DOC_ARCHIVE
    refuse(
        409,
        "business-rule",
        f"Un document {before} ne redevient pas {after} : déposez une nouvelle version.",
        f"A {before} document does not become {after} again: deposit a new version.",
        expression="DocumentReference.status",
        rule="TF-042",
    )
