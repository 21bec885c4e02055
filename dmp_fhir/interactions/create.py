"""create and conditional create, outside documents.  https://hl7.org/fhir/R4/http.html#create, #ccreate"""

from __future__ import annotations

from typing import Any

from dmp_fhir.identity.traits import traits_of
from dmp_fhir.ids import new_id
from dmp_fhir.interactions import iti105_publish
from dmp_fhir.interactions.conditional_create import CLAIMED, claim_key, condition_of, existing_resource
from dmp_fhir.interactions.conditions import answer_written
from dmp_fhir.interactions.conformance import require_conforming
from dmp_fhir.interactions.consents import create_consent
from dmp_fhir.interactions.folders import create_folder
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import RECORD_ELEMENT, record_of, subject_of
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.profiles.submission import list_kind
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.registry.identifiers import Owner, claim, key_of, national_keys
from dmp_fhir.registry.records import create_record
from dmp_fhir.registry.shelves import DIRECTORY_TYPES, put_new
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]


def create(gate: Writing, request: Request, walk: Walk) -> Response:
    """POST [type]. With If-None-Exist, the existing resource is answered instead."""
    tree = walk.tree
    resource_type = tree["resourceType"]
    identifier = condition_of(request)
    if identifier and (existing := existing_resource(gate, tree, identifier)):
        record_id, found = existing
        if resource_type == "Patient":
            _require_same_person(tree, found)
        gate.did("read", "R", None if record_id == DIRECTORY else record_id, found)
        return answer_written(request, found, 200)
    if resource_type == "DocumentReference":
        return iti105_publish.publish(gate, request, walk)
    found, record_id = _CREATORS[resource_type](gate, walk)
    if identifier and resource_type in CLAIMED and key_of(identifier) not in national_keys(tree):
        key = claim_key(gate, tree, identifier)
        claim(gate.tx, resource_type, key, Owner(record_id, resource_type, found.id, None))
    return answer_written(request, found, 201)


def _require_same_person(tree: Tree, found: Found) -> None:
    """The record of an INS is that of a person: other strict traits mean a collision or a wrong number (RNIV)."""
    different = traits_of(tree).differences(traits_of(parse_json(found.body)))
    if different:
        refuse(
            409,
            "conflict",
            f"Cette INS est celle d'un dossier dont d'autres traits stricts diffèrent ({', '.join(different)}) :"
            " vérifier l'identité.",
            f"This INS is that of a record with other strict traits ({', '.join(different)}): check the identity.",
            expression="Patient",
            rule="INS",
        )


# --- by type --------------------------------------------------------------------------------------


def _create_patient(gate: Writing, walk: Walk) -> tuple[Found, str]:
    decision = gate.permit(Action.RECORD_CREATE, None)
    require_conforming(gate, walk)
    record_id = new_id()
    systems = gate.exchange.services.settings.ins_systems
    found = create_record(gate.tx, record_id, walk.tree | {"id": record_id}, gate.now, systems)
    gate.did("create", "C", record_id, found, decision=decision)
    return found, record_id


def _create_in_directory(gate: Writing, walk: Walk) -> tuple[Found, str]:
    decision = gate.permit(Action.PARTY_WRITE, None)
    require_conforming(gate, walk)
    tree, resource_type = walk.tree, walk.tree["resourceType"]
    found = put_new(gate.tx, DIRECTORY, tree | {"id": new_id()}, gate.instant(DIRECTORY))
    for key in national_keys(tree):
        claim(gate.tx, resource_type, key, Owner(DIRECTORY, resource_type, found.id, None))
    gate.did("create", "C", None, found, decision=decision)
    return found, DIRECTORY


def with_patient(tree: Tree, record_id: str) -> Tree:
    element = RECORD_ELEMENT[tree["resourceType"]]
    return tree | {element: subject_of({"subject": tree.get(element, {})}, record_id)}


def _create_around(gate: Writing, walk: Walk) -> tuple[Found, str]:
    record_id = record_of(gate, walk.tree)
    decision = gate.permit(Action.PARTY_WRITE, record_id)
    assert record_id is not None
    require_conforming(gate, walk)
    found = put_new(gate.tx, record_id, with_patient(walk.tree, record_id) | {"id": new_id()}, gate.instant(record_id))
    gate.rights_changed(record_id)
    gate.did("create", "C", record_id, found, decision=decision)
    return found, record_id


def _create_consent(gate: Writing, walk: Walk) -> tuple[Found, str]:
    record_id = record_of(gate, walk.tree)
    return create_consent(gate, walk, record_id), record_id


def _create_list(gate: Writing, walk: Walk) -> tuple[Found, str]:
    tree = walk.tree
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
    record_id = record_of(gate, tree)
    gate.permit(Action.FOLDER_WRITE, record_id)
    assert record_id is not None
    require_conforming(gate, walk)
    return create_folder(gate, record_id, tree, new_id()), record_id


_CREATORS = {
    "Patient": _create_patient,
    "RelatedPerson": _create_around,
    "CareTeam": _create_around,
    "Consent": _create_consent,
    "List": _create_list,
} | dict.fromkeys(DIRECTORY_TYPES, _create_in_directory)

CREATABLE = frozenset({*_CREATORS, "DocumentReference"})
