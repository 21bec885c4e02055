"""create and conditional create, outside documents.  https://hl7.org/fhir/R4/http.html#create, #ccreate"""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import IDNPS, IDNST, PROFILE_FOLDER
from dmp_fhir.interactions import iti105_publish
from dmp_fhir.interactions.conditions import answer_found, answer_written
from dmp_fhir.interactions.folders import create_folder
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import one_record, subject_of
from dmp_fhir.outcome import refuse, refuse_all
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.facts import ConsentTarget
from dmp_fhir.policy.refusals import refuse_record
from dmp_fhir.profiles.requirements import requirement_issues
from dmp_fhir.profiles.submission import list_kind
from dmp_fhir.registry.columns import consent_columns
from dmp_fhir.registry.consents import consequences
from dmp_fhir.registry.identifiers import UNIQUE_ID, Owner, claim, key_of, owner_of
from dmp_fhir.registry.records import create_record, designator_of
from dmp_fhir.registry.shelves import DIRECTORY_TYPES, current, put_new
from dmp_fhir.registry.versions import Found, new_id
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]

# Who the directory knows once: their national identifier has one owner.
_NATIONAL = {"Practitioner": IDNPS, "Organization": IDNST}
# The element that names the record of what is around a patient.
RECORD_ELEMENT = {"RelatedPerson": "patient", "CareTeam": "subject", "Consent": "patient", "List": "subject"}


def create(gate: Writing, request: Request) -> Response:
    """POST [type]. With If-None-Exist, the existing resource is answered instead; a unique constraint decides
    (TF-186)."""
    tree = request.tree or {}
    resource_type = tree["resourceType"]
    condition = _condition(request)
    if condition and (existing := _existing(gate, resource_type, condition)):
        gate.did("read", "R", None if existing[0] == DIRECTORY else existing[0], existing[1])
        response = answer_found(request, existing[1])
        response.location = f"{resource_type}/{existing[1].id}/_history/{existing[1].version}"
        return response
    if resource_type == "DocumentReference":
        return iti105_publish.publish(gate, request)
    found, record_id = _CREATORS[resource_type](gate, tree)
    if condition and condition not in _national_keys(tree):
        claim(gate.tx, resource_type, condition, Owner(record_id, resource_type, found.id, None))
    return answer_written(request, found, 201)


# --- If-None-Exist --------------------------------------------------------------------------------


def _condition(request: Request) -> str | None:
    """The identifier of `If-None-Exist: identifier=system|value`, the one condition that a unique constraint can
    hold."""
    if request.if_none_exist is None:
        return None
    pairs = query_pairs(request.if_none_exist.strip().lstrip("?")) or ()
    if len(pairs) == 1 and pairs[0][0] == "identifier":
        system, bar, value = pairs[0][1].rpartition("|")
        if value and "," not in value and (system or not bar):
            return key_of({"system": system, "value": value})
    refuse(
        400,
        "not-supported",
        "If-None-Exist porte sur un identifiant complet : identifier=<système>|<valeur>.",
        "If-None-Exist is about one whole identifier: identifier=<system>|<value>.",
        rule="TF-186",
    )


def _existing(gate: Writing, resource_type: str, key: str) -> tuple[str, Found] | None:
    """What owns the identifier, if the caller may see it (TF-044)."""
    if resource_type == "Patient":
        system, _, value = key.rpartition("|")
        row = gate.reader.row(
            "SELECT record_id FROM ins WHERE system = :system AND value = :value", {"system": system, "value": value}
        )
        owner = Owner(row[0], "Patient", row[0], None) if row else None
    else:
        owner = owner_of(gate.reader, UNIQUE_ID if resource_type == "DocumentReference" else resource_type, key)
    if owner is None or owner.resource_type != resource_type:
        return None
    if owner.record_id == DIRECTORY:
        gate.permit(Action.PARTY_READ, None)
        found = current(gate.reader, DIRECTORY, resource_type, owner.resource_id)
    else:
        predicate = gate.predicates(owner.record_id, Action.DOC_FINDID).get(resource_type)
        if predicate is None and not gate.decide(Action.RECORD_READ, owner.record_id).permit:
            return None
        found = current(gate.reader, owner.record_id, resource_type, owner.resource_id, predicate)
    return (owner.record_id, found) if found and found.method != "DELETE" else None


# --- by type --------------------------------------------------------------------------------------


def _create_patient(gate: Writing, tree: Tree) -> tuple[Found, str]:
    decision = gate.permit(Action.RECORD_CREATE, None)
    record_id = new_id()
    found = create_record(gate.tx, record_id, tree | {"id": record_id}, gate.now)
    gate.did("create", "C", record_id, found, decision=decision)
    return found, record_id


def _create_in_directory(gate: Writing, tree: Tree) -> tuple[Found, str]:
    decision = gate.permit(Action.PARTY_WRITE, None)
    resource_type = tree["resourceType"]
    found = put_new(gate.tx, DIRECTORY, tree | {"id": new_id()}, gate.instant(DIRECTORY))
    for key in _national_keys(tree):
        claim(gate.tx, resource_type, key, Owner(DIRECTORY, resource_type, found.id, None))
    gate.did("create", "C", None, found, decision=decision)
    return found, DIRECTORY


def _national_keys(tree: Tree) -> set[str]:
    """The identifiers by which the directory knows somebody once."""
    system = _NATIONAL.get(tree["resourceType"])
    return {key for each in tree.get("identifier", []) if each.get("system") == system and (key := key_of(each))}


def record_of(gate: Writing, tree: Tree) -> str:
    """The record that a resource around a patient belongs to, by its patient or subject (D18); refused like a record
    that one may not open when there is none (D27)."""
    element = RECORD_ELEMENT[tree["resourceType"]]
    designator = designator_of(tree.get(element, {}), gate.exchange.base_url)
    record_id = one_record(gate, [(f"{tree['resourceType']}.{element}", designator)] if designator else [])
    return record_id or refuse_record(gate.decide(Action.DOC_LIST, None))


def with_patient(tree: Tree, record_id: str) -> Tree:
    element = RECORD_ELEMENT[tree["resourceType"]]
    return tree | {element: subject_of({"subject": tree.get(element, {})}, record_id)}


def _create_around(gate: Writing, tree: Tree) -> tuple[Found, str]:
    record_id = record_of(gate, tree)
    decision = gate.permit(Action.PARTY_WRITE, record_id)
    assert record_id is not None
    found = put_new(gate.tx, record_id, with_patient(tree, record_id) | {"id": new_id()}, gate.instant(record_id))
    gate.rights_changed(record_id)
    gate.did("create", "C", record_id, found, decision=decision)
    return found, record_id


def _create_consent(gate: Writing, tree: Tree) -> tuple[Found, str]:
    record_id = record_of(gate, tree)
    decision = gate.permit(Action.CONSENT_WRITE, record_id, target=consent_target(tree))
    assert record_id is not None
    stored = with_patient(tree, record_id) | {"id": new_id()}
    instant = gate.instant(record_id)
    found = put_new(gate.tx, record_id, stored, instant)
    for changed in consequences(gate.tx, record_id, stored, instant):
        gate.did("update", "U", record_id, changed, decision=decision)
    gate.rights_changed(record_id)
    gate.did("create", "C", record_id, found, decision=decision)
    return found, record_id


def consent_target(tree: Tree) -> ConsentTarget:
    """What the policy looks at in a Consent."""
    columns = consent_columns(tree)
    return ConsentTarget(
        columns["kind"],
        columns["decision"],
        columns.get("actor_kind"),
        columns.get("actor_id"),
        ended=columns["status"] != "active",
    )


def _create_list(gate: Writing, tree: Tree) -> tuple[Found, str]:
    if list_kind(tree) != "folder":
        refuse(
            422,
            "business-rule",
            "Un lot de soumission se dépose avec ses documents par ITI-65 (POST de la transaction à la racine) ;"
            " seul un classeur (code folder) se crée seul.",
            "A submission set is deposited with its documents by ITI-65 (POST of the transaction to the base);"
            " only a folder (code folder) is created alone.",
            expression="List.code",
            rule="ITI-65",
        )
    level = gate.exchange.services.settings.profile_level
    issues = requirement_issues(tree, PROFILE_FOLDER, level, "List")
    if any(each.severity == "error" for each in issues):
        refuse_all(422, issues)
    record_id = record_of(gate, tree)
    gate.permit(Action.FOLDER_WRITE, record_id)
    assert record_id is not None
    return create_folder(gate, record_id, tree, new_id()), record_id


_CREATORS = {
    "Patient": _create_patient,
    "RelatedPerson": _create_around,
    "CareTeam": _create_around,
    "Consent": _create_consent,
    "List": _create_list,
} | dict.fromkeys(DIRECTORY_TYPES, _create_in_directory)

CREATABLE = frozenset({*_CREATORS, "DocumentReference"})
