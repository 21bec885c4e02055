"""AuditEvent resources in the patterns of IHE BALP.  https://profiles.ihe.net/ITI/BALP/content.html

The access token is never in the trace, only its identifier (jti); nor is any content of a document.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from dmp_fhir.audit.acts import ALERT, SUCCESS, Act
from dmp_fhir.canonicals import HIDE_REPRESENTATIVES, IDNPS, IDNST, PROJECT, TRE_A07, TRE_G15, V3_ACT_REASON
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.instants import instant_text

BALP = "https://profiles.ihe.net/ITI/BALP"
EXT_ACCESS_MODE = f"{PROJECT}/StructureDefinition/dmp-access-mode"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_REST = {
    "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "code": "rest",
    "display": "RESTful Operation",
}
_ALERT = {"system": _DCM, "code": "110113", "display": "Security Alert"}
_PURPOSES = {
    "normal": ("TREAT", "treatment"),
    "bris_de_glace": ("BTG", "break the glass"),
    "centre_15": ("ETREAT", "Emergency Treatment"),
    "patient": ("PATRQT", "patient requested"),
    "systeme": ("HOPERAT", "healthcare operations"),
}
_SOURCE = ("110153", "Source Role ID")
_DESTINATION = ("110152", "Destination Role ID")
_CLIENT_SIDE = {"R": _DESTINATION, "D": ("110150", "Application")}
_PATTERNS = {"C": "Create", "R": "Read", "U": "Update", "D": "Delete", "E": "Query"}
_REPORTS = frozenset({"DocumentReference", "Binary", "Bundle"})


@dataclass(frozen=True, slots=True)
class Observer:
    """The server that records: its name and the base address of its FHIR API."""

    name: str = "dmp-fhir"
    address: str = PROJECT


THIS_SERVER = Observer()


def audit_event(
    act: Act,
    context: AccessContext | None,
    recorded_ms: int,
    event_id: str,
    observer: Observer = THIS_SERVER,
) -> dict[str, Any]:
    """The AuditEvent of an act with at most one entity; `context` is None for a caller without a valid token."""
    recorded = instant_text(recorded_ms)
    meta: dict[str, Any] = {"versionId": "1", "lastUpdated": recorded}
    if profile := _profile(act):
        meta["profile"] = [profile]
    if act.secret or (context is not None and context.secret):
        meta["security"] = [{"system": TRE_A07, "code": HIDE_REPRESENTATIVES}]
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": event_id,
        "meta": meta,
        "type": _ALERT if act.kind == ALERT else _REST,
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": act.interaction}],
        "action": act.action,
        "recorded": recorded,
        "outcome": act.outcome,
    }
    if described := _description(act, context):
        event["outcomeDesc"] = described
    if context is not None:
        purpose = _purpose(context)
        event["purposeOfEvent"] = [{**purpose, "text": context.reason} if context.reason else purpose]
    event["agent"] = [_client(act, context), _server(act, observer), *_users(act, context)]
    event["source"] = {
        "site": observer.address,
        "observer": {"display": observer.name},
        "type": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                "code": "4",
                "display": "Application Server",
            }
        ],
    }
    event["entity"] = _entities(act)
    return event


def _profile(act: Act) -> str | None:
    """The BALP pattern; they describe successes about one resource or one query."""
    pattern = _PATTERNS.get(act.action)
    if act.outcome != SUCCESS or pattern is None or (act.action == "E" and act.query is None):
        return None
    if act.action != "E" and not act.entities:
        return None
    return f"{BALP}/StructureDefinition/IHE.BasicAudit.{'Patient' if act.record_id else ''}{pattern}"


def _description(act: Act, context: AccessContext | None) -> str | None:
    if act.outcome != SUCCESS:
        return act.reason or (f"HTTP {act.status}" if act.status else None)
    return context.reason if context is not None else None


def _purpose(context: AccessContext) -> dict[str, Any]:
    code, display = _PURPOSES.get(context.purpose, _PURPOSES["normal"])
    return {"coding": [{"system": V3_ACT_REASON, "code": code, "display": display}]}


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _client(act: Act, context: AccessContext | None) -> dict[str, Any]:
    agent: dict[str, Any] = {"type": _coded(_DCM, *_CLIENT_SIDE.get(act.action, _SOURCE))}
    known = context is not None and context.client_id
    agent["who"] = {"identifier": {"value": context.client_id}} if context and known else {"display": "unknown client"}
    agent["requestor"] = False
    origin = act.origin or (context.origin if context is not None else None)
    if origin:
        agent["network"] = {"address": origin, "type": "2"}
    return agent


def _server(act: Act, observer: Observer) -> dict[str, Any]:
    if act.action == "D":
        kind = _coded("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian")
    else:
        kind = _coded(_DCM, *(_SOURCE if act.action == "R" else _DESTINATION))
    network = {"address": observer.address, "type": "5"}
    return {"type": kind, "who": {"display": observer.name}, "requestor": False, "network": network}


def _users(act: Act, context: AccessContext | None) -> list[dict[str, Any]]:
    if context is None:
        return [{"who": {"display": "unauthenticated caller"}, "requestor": True}]
    agent: dict[str, Any] = {
        "extension": [{"url": EXT_ACCESS_MODE, "valueCode": context.auth_mode}],
        "type": _participation(act, context),
    }
    if context.profession:
        agent["role"] = [{"coding": [{"system": TRE_G15, "code": context.profession}]}]
    agent["who"] = {"identifier": _national_identifier(context), "display": context.actor_name}
    agent["name"] = context.actor_name
    agent["requestor"] = True
    if context.token_id:
        agent["policy"] = [f"urn:ietf:params:oauth:jti:{context.token_id}"]
    agent["purposeOfUse"] = [_purpose(context)]
    if not context.structure:
        return [agent]
    organisation: dict[str, Any] = {"identifier": {"system": IDNST, "value": context.structure}}
    if context.structure_name:
        organisation["display"] = context.structure_name
    kind = _coded(_ROLE_CLASS, "PROV", "healthcare provider")
    return [agent, {"type": kind, "who": organisation, "requestor": False}]


def _participation(act: Act, context: AccessContext) -> dict[str, Any]:
    if act.action in ("R", "E"):
        return _coded(_PARTICIPATION, "IRCP", "information recipient")
    if context.actor_category in ("STRUCTURE", "CPE", "AM_SYSTEM", "SUPPORT"):
        return _coded(_PARTICIPATION, "CST", "custodian")
    return _coded(_PARTICIPATION, "AUT", "author (originator)")


def _national_identifier(context: AccessContext) -> dict[str, str]:
    if context.actor_category in ("PS", "PS_ROLE"):
        return {"system": IDNPS, "value": context.actor_id}
    if context.actor_category == "STRUCTURE":
        return {"system": IDNST, "value": context.actor_id}
    if context.actor_category == "PATIENT" and context.person_id:
        return {"system": context.person_id.partition("|")[0], "value": context.actor_id}
    return {"value": context.actor_id}


def _entity(type_code: str, type_display: str, role_code: str, role_display: str) -> dict[str, Any]:
    return {
        "type": {"system": _ENTITY_TYPE, "code": type_code, "display": type_display},
        "role": {"system": _OBJECT_ROLE, "code": role_code, "display": role_display},
    }


def _entities(act: Act) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    for resource_type, resource_id, version in act.entities:
        role = ("3", "Report") if resource_type in _REPORTS else ("4", "Domain Resource")
        reference = f"{resource_type}/{resource_id}"
        if version is not None:
            reference += f"/_history/{version}"
        entities.append({"what": {"reference": reference}, **_entity("2", "System Object", *role)})
    if act.query is not None:
        query = {**_entity("2", "System Object", "24", "Query"), "query": b64encode(act.query).decode("ascii")}
        entities.append(query)
    if act.record_id:
        patient = {"what": {"reference": f"Patient/{act.record_id}"}, **_entity("1", "Person", "1", "Patient")}
        entities.append(patient)
    if not entities:
        entities.append({**_entity("4", "Other", "20", "Job"), "name": act.interaction})
    if details := _details(act):
        entities[0]["detail"] = details
    if act.request_id:
        transaction_type = {"system": f"{BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"}
        entities.append({"what": {"identifier": {"value": act.request_id}}, "type": transaction_type})
    return entities


def _details(act: Act) -> list[dict[str, str]]:
    details = [{"type": "rule", "valueString": rule} for rule in act.rules]
    if act.matrix:
        details.append({"type": "matrix", "valueString": act.matrix})
    if act.reason:
        details.append({"type": "reason", "valueString": act.reason})
    if act.status is not None:
        details.append({"type": "status", "valueString": str(act.status)})
    if act.times > 1:
        details.append({"type": "times", "valueString": str(act.times)})
    return details
