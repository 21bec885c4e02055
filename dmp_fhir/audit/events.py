"""AuditEvent resources in the patterns of IHE BALP.  https://profiles.ihe.net/ITI/BALP/content.html

The access token is never in the trace, only its identifier (jti; for an opaque one without, part of its hash: see
identity/tokens.py); nor is any content of a document. `meta.profile` names the patterns that an event follows: those of
BALP, which describe successes, and ours (profiles/guides/dmp), which every event follows.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dmp_fhir.audit import codes
from dmp_fhir.audit.acts import ADMINISTRATION, ALERT, APPLICATION, DECISION, REST, SUCCESS, Act, Entity
from dmp_fhir.canonicals import HIDE_REPRESENTATIVES, IDNPS, IDNST, PROJECT, TRE_A07, TRE_G15, TRE_R38
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.instants import instant_text

_PATTERNS = {"C": "Create", "R": "Read", "U": "Update", "D": "Delete"}
_BALP = frozenset({*_PATTERNS.values(), "Query"})
_SEARCHES = frozenset({"search-type", "search-system"})
_REPORTS = frozenset({"DocumentReference", "Binary", "Bundle"})
_SYSTEMS = frozenset({"STRUCTURE", "CPE", "AM_SYSTEM", "SUPPORT"})
_PROFESSIONALS = frozenset({"PS", "PS_ROLE"})
# What looks like a token in an address: a parameter that is named so, or a JWT anywhere (TF-165).
_SECRETS = re.compile(
    rb"((?:access_|id_|refresh_)?token(?:=|%3[dD]))[^&]*|eyJ[A-Za-z0-9_-]{8,}(?:(?:\.|%2[eE])[A-Za-z0-9_-]*){1,4}"
)
_HIDDEN_FROM_REPRESENTATIVES = [{"system": TRE_A07, "code": HIDE_REPRESENTATIVES}]


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
    """The AuditEvent of an act with at most one entity; `context` is None for a caller without a valid token. Parts of
    it are shared with other events: not to be changed."""
    recorded = instant_text(recorded_ms)
    kind, subtype = _type(act)
    meta: dict[str, Any] = {"versionId": "1", "lastUpdated": recorded, "profile": profiles_of(act, context)}
    if act.secret or (context is not None and context.secret):
        meta["security"] = _HIDDEN_FROM_REPRESENTATIVES
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": event_id,
        "meta": meta,
        "type": kind,
        "subtype": subtype,
        "action": act.action,
        "recorded": recorded,
        "outcome": act.outcome,
    }
    if described := _description(act, context):
        event["outcomeDesc"] = described
    if context is not None:
        purpose = codes.PURPOSES.get(context.purpose) or codes.PURPOSES["normal"]
        event["purposeOfEvent"] = [{**purpose, "text": context.reason} if context.reason else purpose]
    event["agent"] = [_client(act, context), _server(act, observer), *_users(act, context)]
    event["source"] = _source(act.kind, observer)
    event["entity"] = _entities(act, context)
    return event


def profiles_of(act: Act, context: AccessContext | None) -> list[str]:
    """What an event of this act follows; shared, not to be changed."""
    bearer = context is not None and bool(context.token_id)
    return _profiles(act.kind, _pattern(act), act.outcome != SUCCESS, bool(act.record_id), bearer)


def _pattern(act: Act) -> str:
    """The pattern of BALP; they are about successes, with one resource or one search."""
    if act.action == "E":
        return "Query" if act.interaction in _SEARCHES else act.interaction
    return _PATTERNS[act.action] if act.entities and act.entities[0][1] else ""


@lru_cache(maxsize=256)
def _profiles(kind: str, pattern: str, failed: bool, patient: bool, bearer: bool) -> list[str]:
    token = [codes.OAUTH_MINIMAL] if bearer else []
    if kind == DECISION:
        return [codes.AUTHZ_CONSENT, *token, codes.PROFILE_DECISION]
    if kind == ADMINISTRATION:
        return [codes.PROFILE_ADMINISTRATION]
    if kind == APPLICATION:
        return [codes.PROFILE_APPLICATION]
    if kind == ALERT:
        return [codes.PROFILE_EVENT]
    if failed:
        return [*token, codes.PROFILE_REFUSAL]
    if pattern in _BALP:
        return [f"{codes.BASIC}.{'Patient' if patient else ''}{pattern}", *token, codes.PROFILE_EVENT]
    return [*token, codes.PROFILE_OPERATION if pattern == "operation" else codes.PROFILE_EVENT]


def _type(act: Act) -> tuple[dict[str, str], list[dict[str, str]]]:
    if act.kind == DECISION:
        return codes.TYPE_ALERT, [codes.AUTHZ_SUBTYPE]
    if act.kind == ADMINISTRATION:
        return codes.TYPE_ALERT, [
            codes.CONFIGURATION,
            {"system": codes.ADMINISTRATION_SYSTEM, "code": act.interaction},
        ]
    if act.kind == APPLICATION:
        return codes.TYPE_APPLICATION, [codes.STARTED if act.interaction == "start" else codes.STOPPED]
    if act.kind == ALERT:
        return codes.TYPE_ALERT, [{"system": codes.ADMINISTRATION_SYSTEM, "code": act.interaction}]
    return codes.TYPE_REST, [{"system": codes.RESTFUL, "code": act.interaction}]


def _description(act: Act, context: AccessContext | None) -> str | None:
    if act.outcome != SUCCESS:
        return act.reason or (f"HTTP {act.status}" if act.status else None)
    return context.reason if context is not None else None


@lru_cache(maxsize=64)
def _source(kind: str, observer: Observer) -> dict[str, Any]:
    return {
        "site": observer.address,
        "observer": _who(observer),
        "type": codes.SECURITY_SERVER if kind == DECISION else codes.SERVER,
    }


@lru_cache(maxsize=64)
def _who(observer: Observer) -> dict[str, Any]:
    return {"identifier": {"system": "urn:ietf:rfc:3986", "value": observer.address}, "display": observer.name}


# --- agents ---------------------------------------------------------------------------------------


def _client(act: Act, context: AccessContext | None) -> dict[str, Any]:
    """The software that asked. What has no address is a command, run where the server is."""
    if act.kind == DECISION or act.action == "D":
        kind = codes.APPLICATION_AGENT
    else:
        kind = codes.DESTINATION if act.action == "R" else codes.SOURCE
    agent: dict[str, Any] = {
        "type": kind if act.kind in (DECISION, REST, ALERT) else codes.LAUNCHER,
        "who": _software(context),
        "requestor": False,
    }
    if context is not None and context.certificate and act.kind != DECISION:
        agent["altId"] = context.certificate
    origin = act.origin or (context.origin if context is not None else None)
    agent["network"] = {"address": origin, "type": "2"} if origin else {"address": "localhost", "type": "1"}
    return agent


def _software(context: AccessContext | None) -> dict[str, Any]:
    if context is None or not context.client_id:
        return {"display": "unknown client"}
    who: dict[str, Any] = {"identifier": {"value": context.client_id}}
    if context.software is not None:
        names = (context.software.name, context.software.version, context.software.approval)
        if shown := " ".join(name for name in names if name):
            who["display"] = shown
    return who


def _server(act: Act, observer: Observer) -> dict[str, Any]:
    return _server_agent(act.kind, act.action, observer)


@lru_cache(maxsize=64)
def _server_agent(kind: str, action: str, observer: Observer) -> dict[str, Any]:
    if kind == DECISION:
        return {"type": codes.AUTHORIZER, "who": _who(observer), "requestor": False}
    role = codes.CUSTODIAN if action == "D" else codes.SOURCE if action == "R" else codes.DESTINATION
    return {
        "type": role if kind in (REST, ALERT) else codes.APPLICATION_AGENT,
        "who": _who(observer),
        "requestor": False,
        "network": {"address": observer.address, "type": "5"},
    }


def _users(act: Act, context: AccessContext | None) -> list[dict[str, Any]]:
    if context is None:
        return [{"who": {"display": "unauthenticated caller"}, "requestor": True}]
    how: list[dict[str, Any]] = [{"url": codes.EXT_ACCESS_MODE, "valueCode": context.auth_mode}]
    if context.auth_level:
        how.append({"url": codes.EXT_ASSURANCE, "valueCodeableConcept": {"text": context.auth_level}})
    agent: dict[str, Any] = {"extension": how, "type": _participation(act, context)}
    roles = []
    if context.profession:
        roles.append({"coding": [{"system": TRE_G15, "code": context.profession}]})
    if context.specialty:
        roles.append({"coding": [{"system": TRE_R38, "code": context.specialty}]})
    if roles:
        agent["role"] = roles
    agent["who"] = {"identifier": _national_identifier(context), "display": context.actor_name}
    agent["name"] = context.actor_name
    agent["requestor"] = True
    if context.token_id:
        agent["policy"] = [codes.JTI + context.token_id]
    agent["purposeOfUse"] = [codes.PURPOSES.get(context.purpose) or codes.PURPOSES["normal"]]
    if context.structure:
        organisation: dict[str, Any] = {"identifier": {"system": IDNST, "value": context.structure}}
        if context.structure_name:
            organisation["display"] = context.structure_name
    elif act.kind == DECISION:
        organisation = {"display": "no organisation named"}  # the pattern wants one
    else:
        return [agent]
    return [agent, {"type": codes.PROVIDER, "who": organisation, "requestor": False}]


def _participation(act: Act, context: AccessContext) -> dict[str, Any]:
    bearer = 1 if context.token_id else 0
    if act.action in ("R", "E"):
        return codes.RECIPIENT[bearer]
    return (codes.KEEPER if context.actor_category in _SYSTEMS else codes.AUTHOR)[bearer]


def _national_identifier(context: AccessContext) -> dict[str, str]:
    if context.actor_category in _PROFESSIONALS:
        return {"system": IDNPS, "value": context.actor_id}
    if context.actor_category == "STRUCTURE":
        return {"system": IDNST, "value": context.actor_id}
    if context.actor_category == "PATIENT" and context.person_id:
        return {"system": context.person_id.partition("|")[0], "value": context.actor_id}
    return {"value": context.actor_id}


# --- entities -------------------------------------------------------------------------------------


def scrubbed(request: bytes) -> bytes:
    """A raw request without what looks like a token: some clients put theirs in the address (RFC 6750, section 2.3)."""
    if b"eyJ" not in request and b"oken" not in request:
        return request
    return _SECRETS.sub(lambda match: (match[1] or b"") + b"(removed)", request)


def _entities(act: Act, context: AccessContext | None) -> list[dict[str, Any]]:
    entities = [_consent(each) if act.kind == DECISION else _data(each) for each in act.entities if each[1]]
    if act.kind == DECISION and not entities:
        entities.append({"what": {"display": "Permitted by default (CSP L1111-17)"}, "type": codes.CONSENT})
    if act.about is not None:
        entities.append({"what": _reference(act.about), "type": codes.DOCUMENT, "role": codes.REPORT})
    if act.query is not None:
        query: dict[str, Any] = {"type": codes.SYSTEM_OBJECT, "role": codes.QUERY}
        if act.cleaned:
            query["description"] = act.cleaned
        query["query"] = b64encode(scrubbed(act.query)).decode("ascii")
        entities.append(query)
    if act.record_id:
        patient = {"reference": f"Patient/{act.record_id}"}
        entities.append({"what": patient, "type": codes.PERSON, "role": codes.PATIENT})
    if not entities:
        entities.append({"type": codes.OTHER, "role": codes.JOB, "name": act.cleaned or act.interaction})
    if act.kind == DECISION:
        if context is not None and context.token_id:
            entities.append({"what": {"identifier": {"value": codes.JTI + context.token_id}}, "type": codes.TOKEN})
    elif act.request_id:
        entities.append({"what": {"identifier": {"value": act.request_id}}, "type": codes.REQUEST_ID})
    if details := _details(act):
        # The patterns of BALP allow none on a search or a consent.
        bare = act.query is not None or act.kind == DECISION
        holder = (
            next((each for each in entities if each["type"] is codes.PERSON), entities[-1]) if bare else entities[0]
        )
        holder["detail"] = details
    return entities


def _reference(entity: Entity) -> dict[str, Any]:
    resource_type, resource_id, version = entity
    if resource_type == "Communication":  # a message that was sent: not a resource that can be read here
        return {
            "type": resource_type,
            "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{resource_id}"},
        }
    reference = f"{resource_type}/{resource_id}"
    return {"reference": reference if version is None else f"{reference}/_history/{version}"}


def _data(entity: Entity) -> dict[str, Any]:
    role = codes.REPORT if entity[0] in _REPORTS else codes.RESOURCE
    return {"what": _reference(entity), "type": codes.SYSTEM_OBJECT, "role": role}


def _consent(entity: Entity) -> dict[str, Any]:
    return {"what": _reference(entity), "type": codes.CONSENT}


def _details(act: Act) -> list[dict[str, str]]:
    details = [{"type": "rule", "valueString": rule} for rule in act.rules]
    details += [{"type": "act", "valueString": done} for done in act.done]
    if act.matrix:
        details.append({"type": "matrix", "valueString": act.matrix})
    if act.reason:
        details.append({"type": "reason", "valueString": act.reason})
    if act.status is not None:
        details.append({"type": "status", "valueString": str(act.status)})
    if act.times > 1:
        details.append({"type": "times", "valueString": str(act.times)})
    return details
