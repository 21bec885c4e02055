"""update, and delete of people.  https://hl7.org/fhir/R4/http.html#update, #delete

Documents change by PATCH only (PDSm flux 03), submission sets never; ids are given by the server, so an update
never creates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmp_fhir.interactions.conditions import answer_written, require_match
from dmp_fhir.interactions.conformance import require_conforming
from dmp_fhir.interactions.consents import update_consent
from dmp_fhir.interactions.create import with_patient
from dmp_fhir.interactions.folders import replace_folder
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import record_of
from dmp_fhir.interactions.seeking import sees, sought
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.registry.identifiers import Owner, claim, national_keys, release
from dmp_fhir.registry.lifecycle import follow_status, status_of
from dmp_fhir.registry.records import update_record
from dmp_fhir.registry.shelves import DIRECTORY_TYPES, current, put_next
from dmp_fhir.registry.versions import Found, home_of
from dmp_fhir.store.tables import DIRECTORY
from dmp_fhir.wire.json import parse_json

Tree = dict[str, Any]
UPDATABLE = DIRECTORY_TYPES | {"Patient", "RelatedPerson", "CareTeam", "Consent", "List"}
DELETABLE = DIRECTORY_TYPES | {"RelatedPerson", "CareTeam", "DocumentReference"}


def update(gate: Writing, request: Request, walk: Walk) -> Response:
    """PUT [type]/[id], with If-Match when the client wants to be sure."""
    tree = walk.tree
    _check_id(tree, request)
    resource_type, resource_id = tree["resourceType"], tree["id"]
    home = home_of(gate.reader, resource_type, resource_id)
    _, record_id, _ = sought(gate, home, _looking(gate, resource_type, resource_id), *_by(gate, resource_type))
    found = _UPDATERS.get(resource_type, _update_in_directory)(gate, record_id, walk, request)
    return answer_written(request, found, 200)


def _by(gate: Writing, resource_type: str) -> tuple[Action, ...]:
    """The acts by which the caller may know of what is to be changed. Who may only read the directory is told so."""
    if resource_type == "List":
        return sees(gate)
    return (_ACTIONS.get(resource_type, Action.PARTY_READ),)


_ACTIONS = {
    "Patient": Action.RECORD_UPDATE,
    "RelatedPerson": Action.PARTY_WRITE,
    "CareTeam": Action.PARTY_WRITE,
    "Consent": Action.CONSENT_READ,
}


def _looking(gate: Writing, resource_type: str, resource_id: str) -> Callable[[str], Found | None]:
    def look(record_id: str) -> Found | None:
        predicate = None
        if record_id != DIRECTORY:
            predicate = gate.predicates(record_id, Action.DOC_FINDID).get(resource_type)
        return current(gate.reader, record_id, resource_type, resource_id, predicate)

    return look


def _check_id(tree: Tree, request: Request) -> None:
    if tree.get("id") != request.id:
        refuse(
            400,
            "invalid",
            f"La ressource doit porter l'id de l'adresse : « id » : « {request.id} ».",
            f"The resource must carry the id of the address: 'id': '{request.id}'.",
            expression=f"{request.resource_type}.id",
            rule="FHIR R4 update",
        )


def _update_folder(gate: Writing, record_id: str, walk: Walk, request: Request) -> Found:
    tree = walk.tree
    _same_record(gate, record_id, tree)
    return replace_folder(gate, record_id, tree, tree["id"], request=request, walk=walk)


def _same_record(gate: Writing, record_id: str, tree: Tree) -> None:
    if record_of(gate, tree) != record_id:
        refuse(
            422,
            "business-rule",
            "Une ressource ne change pas de dossier.",
            "A resource does not move to another record.",
            expression=tree["resourceType"],
            rule="D18",
            xds="XDSPatientIdDoesNotMatch",
        )


def _known(gate: Writing, record_id: str, tree: Tree, request: Request) -> Found:
    """The version that is replaced; 404 when it was deleted, 412 when it is not the one of If-Match."""
    found = current(gate.reader, record_id, tree["resourceType"], tree["id"])
    if found is None or found.method == "DELETE":
        not_found()
    require_match(request, found.version)
    return found


def _update_patient(gate: Writing, record_id: str, walk: Walk, request: Request) -> Found:
    tree = walk.tree
    decision = gate.permit(Action.RECORD_UPDATE, record_id)
    require_conforming(gate, walk)
    known = _known(gate, record_id, tree, request)
    before, instant = gate.standing(record_id).status, gate.instant(record_id)
    systems = gate.exchange.services.settings.ins_systems
    found = update_record(gate.tx, record_id, tree, known.version, instant, systems)
    for ended in follow_status(gate.tx, record_id, before, status_of(gate.tx, record_id) or before, instant):
        gate.did("update", "U", record_id, ended, decision=decision)
    gate.rights_changed(record_id)
    gate.did("update", "U", record_id, found, decision=decision)
    return found


def _update_in_directory(gate: Writing, record_id: str, walk: Walk, request: Request) -> Found:
    tree = walk.tree
    decision = gate.permit(Action.PARTY_WRITE, None)
    require_conforming(gate, walk)
    instant = gate.instant(record_id)
    known = _known(gate, record_id, tree, request)
    found = put_next(gate.tx, record_id, tree, known.version, instant, "PUT")
    if national_keys(tree) != (before := national_keys(parse_json(known.body))):
        for key in before - national_keys(tree):
            release(gate.tx, tree["resourceType"], found.id, key)
        for key in national_keys(tree) - before:
            claim(gate.tx, tree["resourceType"], key, Owner(DIRECTORY, tree["resourceType"], found.id, None))
    gate.did("update", "U", None, found, decision=decision)
    return found


def _update_around(gate: Writing, record_id: str, walk: Walk, request: Request) -> Found:
    tree = walk.tree
    decision = gate.permit(Action.PARTY_WRITE, record_id)
    require_conforming(gate, walk)
    _same_record(gate, record_id, tree)
    known = _known(gate, record_id, tree, request)
    found = put_next(gate.tx, record_id, with_patient(tree, record_id), known.version, gate.instant(record_id), "PUT")
    gate.rights_changed(record_id)
    gate.did("update", "U", record_id, found, decision=decision)
    return found


_UPDATERS = {
    "Patient": _update_patient,
    "RelatedPerson": _update_around,
    "CareTeam": _update_around,
    "Consent": update_consent,
    "List": _update_folder,
}


def delete_party(gate: Writing, request: Request) -> Response:
    """DELETE of somebody of the directory or around a patient: gone from reads and searches, kept in history."""
    resource_type, resource_id = request.resource_type or "", request.id or ""
    home = home_of(gate.reader, resource_type, resource_id)
    _, record_id, _ = sought(gate, home, _looking(gate, resource_type, resource_id), *_by(gate, resource_type))
    decision = gate.permit(Action.PARTY_WRITE, None if record_id == DIRECTORY else record_id)
    instant = gate.instant(record_id)
    found = current(gate.reader, record_id, resource_type, resource_id)
    if found is None or found.method == "DELETE":
        return Response(204)
    require_match(request, found.version)
    gone = put_next(gate.tx, record_id, parse_json(found.body), found.version, instant, "DELETE", {"deleted": True})
    release(gate.tx, resource_type, resource_id)
    gate.rights_changed(record_id)
    gate.did("delete", "D", None if record_id == DIRECTORY else record_id, gone, decision=decision)
    return Response(204)
