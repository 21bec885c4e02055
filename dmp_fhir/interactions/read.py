"""Reading by id: read, vread, history of an instance.  https://hl7.org/fhir/R4/http.html#read

Whatever is refused here is the uniform 404 (D14). Rights are those of now, also for old versions (TF-016).
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import orjson

from dmp_fhir.canonicals import MASK_PROFESSIONALS
from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.conditions import answer_found, etag
from dmp_fhir.interactions.gate import Gate
from dmp_fhir.interactions.messages import Response
from dmp_fhir.interactions.seeking import sought
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision
from dmp_fhir.registry.search.shown import shown
from dmp_fhir.registry.shelves import DIRECTORY_TYPES, SHELVES, audit_event, current
from dmp_fhir.registry.versions import Found, home_of, version_of, versions_of
from dmp_fhir.store.tables import DIRECTORY

_ACTIONS = {
    "DocumentReference": Action.DOC_READ,
    "List": Action.DOC_LIST,
    "Consent": Action.CONSENT_READ,
    "AuditEvent": Action.AUDIT_READ_OWN,
    "Patient": Action.RECORD_READ,
    "RelatedPerson": Action.RECORD_READ,
    "CareTeam": Action.RECORD_READ,
}


# One address per version: no leading zero.
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def _masked(found: Found) -> bool:
    return found.resource_type == "DocumentReference" and MASK_PROFESSIONALS.encode() in found.body


def read(gate: Gate) -> Response:
    found, record_id, decision = visible(gate)
    gate.did("read", "R", record_id, found, decision=decision, masked=_masked(found))
    return answer_found(gate.exchange.request, found)


def vread(gate: Gate) -> Response:
    request = gate.exchange.request
    latest, record_id, decision = visible(gate, deleted=True)
    if not _VERSION.fullmatch(request.version or ""):
        not_found()
    found = version_of(gate.reader, record_id, latest.resource_type, latest.id, int(request.version or "0"))
    if found is None:
        not_found()
    if found.method == "DELETE":
        gone(found)
    (found,) = _shown(gate, record_id, found)
    gate.did("vread", "R", record_id, found, decision=decision, masked=_masked(latest))
    return answer_found(request, found)


def history(gate: Gate) -> Response:
    """Every version, newest first (https://hl7.org/fhir/R4/http.html#history)."""
    latest, record_id, decision = visible(gate, deleted=True)
    versions = [latest]
    if latest.resource_type != "AuditEvent":
        versions = versions_of(gate.reader, record_id, latest.resource_type, latest.id)
    versions = _shown(gate, record_id, *versions)
    gate.did("history-instance", "R", record_id, latest, decision=decision, masked=_masked(latest))
    base_url = gate.exchange.base_url
    head = {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "history",
        "total": len(versions),
        "link": [{"relation": "self", "url": f"{base_url}/{latest.resource_type}/{latest.id}/_history"}],
    }
    entries = b",".join(_history_entry(base_url, each) for each in versions)
    return Response(200, json=orjson.dumps(head)[:-1] + b',"entry":[' + entries + b"]}")


def _history_entry(base_url: str, found: Found) -> bytes:
    address = f"{found.resource_type}/{found.id}"
    status = {"POST": "201 Created", "DELETE": "204 No Content"}.get(found.method, "200 OK")
    entry: dict[str, Any] = {"fullUrl": f"{base_url}/{address}"}
    if found.method != "DELETE":
        entry["resource"] = orjson.Fragment(found.body)
    # R4 binds request.method to the verbs; a creation is a POST on the type.
    entry["request"] = {"method": found.method, "url": found.resource_type if found.method == "POST" else address}
    entry["response"] = {
        "status": status,
        "etag": etag(found.version),
        "lastModified": instant_text(found.last_updated),
    }
    return orjson.dumps(entry)


def visible(gate: Gate, *, deleted: bool = False) -> tuple[Found, str, Decision]:
    """The current version of the resource asked for, its record and the decision; 404 unless the caller may see it."""
    request = gate.exchange.request
    resource_type, resource_id = request.resource_type or "", request.id or ""
    if resource_type == "AuditEvent":
        return _visible_audit_event(gate, resource_id)
    if resource_type not in SHELVES:
        not_found()
    home = home_of(gate.reader, resource_type, resource_id)

    def look(record_id: str) -> Found | None:
        predicate = None if record_id == DIRECTORY else gate.predicates(record_id).get(resource_type)
        return current(gate.reader, record_id, resource_type, resource_id, predicate)

    action = Action.PARTY_READ if resource_type in DIRECTORY_TYPES else _ACTIONS[resource_type]
    found, record_id, decision = sought(gate, home, look, action)
    if found.method == "DELETE" and not deleted:
        gone(found)
    (found,) = _shown(gate, record_id, found)
    return found, record_id, decision


def _visible_audit_event(gate: Gate, event_id: str) -> tuple[Found, str, Decision]:
    """An entry of the trace, in the record it belongs to."""
    row = gate.reader.row("SELECT record_id FROM audit_event WHERE id = :id AND record_id <> ''", {"id": event_id})

    def look(record_id: str) -> Found | None:
        return audit_event(gate.reader, record_id, event_id, gate.predicates(record_id)["AuditEvent"])

    return sought(gate, row[0] if row else None, look, Action.AUDIT_READ_OWN)


def _shown(gate: Gate, record_id: str, *versions: Found) -> list[Found]:
    """Without what they name and the caller may not know of."""
    if versions[0].resource_type not in ("List", "DocumentReference"):
        return list(versions)
    return shown(gate.reader, record_id, list(versions), gate.predicates(record_id))


def gone(found: Found) -> None:
    refuse(
        410,
        "deleted",
        "Cette ressource a été supprimée.",
        "This resource was deleted.",
        headers=(("ETag", etag(found.version)),),
    )
