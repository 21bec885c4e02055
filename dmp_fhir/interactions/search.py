"""Searching: FHIR search-type, and with it ITI-66 (lists), ITI-67 (documents) and TD0.2 (the record itself).

https://hl7.org/fhir/R4/search.html, https://profiles.ihe.net/ITI/MHD/ITI-66.html,
https://profiles.ihe.net/ITI/MHD/ITI-67.html
"""

from __future__ import annotations

import uuid
from typing import Any, NoReturn

import orjson

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.identifiers import parse_ins, parse_person_id
from dmp_fhir.interactions.gate import Gate, raw_request
from dmp_fhir.interactions.messages import Response
from dmp_fhir.interactions.td02_record_status import access_remark, refuse_traits
from dmp_fhir.outcome import in_english, operation_outcome, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.standing import NOWHERE
from dmp_fhir.registry.identifiers import UNIQUE_ID, owner_of
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.execute import Cursor, Page, Scope, execute
from dmp_fhir.registry.search.links import self_link
from dmp_fhir.registry.search.parse import parse
from dmp_fhir.registry.search.query import Criterion, PatientByIdentifier, SearchQuery, TokenValue
from dmp_fhir.registry.shelves import DIRECTORY_TYPES
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.tables import DIRECTORY

PAGE = "_page"
# Parameters whose values may be a document or a list.
_NAMING_DOCUMENTS = frozenset({"_id", "identifier", "relatesto", "related", "item", "entity"})
_PATIENT_SIDE = frozenset({"PATIENT", "REPRESENTANT", "AIDANT"})
_OPERATORS = frozenset({"SUPPORT", "AM_SYSTEM"})
_ACTIONS = {
    "DocumentReference": Action.DOC_LIST,
    "List": Action.DOC_LIST,
    "Consent": Action.CONSENT_READ,
    "AuditEvent": Action.AUDIT_READ_OWN,
    "Patient": Action.DMP_EXISTS,
    "RelatedPerson": Action.RECORD_READ,
    "CareTeam": Action.RECORD_READ,
}


def search(gate: Gate) -> Response:
    """One page of a search, as a searchset Bundle."""
    request = gate.exchange.request
    resource_type = request.resource_type or ""
    pairs, cursor = _parameters(gate, resource_type)
    if resource_type == "Patient":
        refuse_traits(name for name, _ in pairs)
    lenient = request.lenient if request.lenient is not None else gate.exchange.services.settings.lenient_search
    query = parse(resource_type, pairs, lenient=lenient, base_url=gate.exchange.base_url)
    if resource_type == "Patient":
        _limit_probes(gate, query)
    record_id, known = _record(gate, query)
    decision = None
    if record_id is not None and record_id != NOWHERE:
        decision = gate.permit(_action(gate, query), None if record_id == DIRECTORY else record_id)
    page = _run(gate, query, record_id, cursor)
    if not known or record_id == NOWHERE:
        page, record_id, decision = _nothing(query), None, None
    gate.found(something=bool(page.matches or page.total))
    remarks = list(query.remarks)
    if resource_type == "Patient" and record_id:
        remarks += access_remark(gate, record_id)
    gate.did(
        "search-type",
        "E",
        record_id,
        decision=decision,
        query=raw_request(request),
        entities=_named_in_trace(query),
        cleaned=self_link("", query).removeprefix("/"),
        masked=any(b"MASQUE_PS" in found.body for found in page.matches),
    )
    if not remarks:
        return Response(200, json=_bundle(gate, query, page))
    outcome = operation_outcome(remarks)
    body = _bundle(gate, query, page, outcome)
    return Response(
        200, json=body, english=lambda: body.replace(orjson.dumps(outcome), orjson.dumps(in_english(outcome)))
    )


def _named_in_trace(query: SearchQuery) -> tuple[tuple[str, str, None], ...]:
    """What the trace of a search is about: the record as a whole, and its readers see that the list was consulted (CSP
    R1111-43). One that names documents says ids that its readers may not know of, and is marked: its query is shown to
    none of them (docs/decisions/0030-nothing-hidden-is-named.md)."""
    about_documents = query.resource_type in ("DocumentReference", "List")
    if (about_documents or query.resource_type == "AuditEvent") and any(
        each.parameter.code in _NAMING_DOCUMENTS for each in query.criteria
    ):
        return (("DocumentReference", "", None),)
    return () if about_documents else ((query.resource_type, "", None),)


def _parameters(gate: Gate, resource_type: str) -> tuple[list[tuple[str, str]], Cursor | None]:
    """The parameters sent, or those sealed in a page link."""
    pairs = list(gate.exchange.request.parameters)
    tokens = [value for name, value in pairs if name == PAGE]
    if not tokens:
        return pairs, None
    if len(tokens) > 1 or any(name not in (PAGE, "_format", "_pretty") for name, _ in pairs):
        refuse(
            400,
            "invalid",
            "Un lien de page se suit tel quel, sans autre paramètre.",
            "A page link is followed as it is, without other parameters.",
            rule="TF-014",
        )
    state = gate.exchange.services.page_links.open(tokens[0], caller=caller_of(gate.context), now_ms=gate.now)
    if state["type"] != resource_type:
        refuse(
            400,
            "invalid",
            "Ce lien est celui d'une autre recherche.",
            "This link belongs to another search.",
            rule="TF-014",
        )
    return [(name, value) for name, value in state["used"]], Cursor.of(state["cursor"])


def caller_of(context: AccessContext) -> str:
    """Whom a page link is good for: this person with this software (TF-013)."""
    return "|".join((context.actor_category, context.actor_id, context.client_id or ""))


def _limit_probes(gate: Gate, query: SearchQuery) -> None:
    """Numbers are not to be walked through (TF-057): a wrong key is told before any lookup, the others are counted."""
    for each in query.patients:
        if isinstance(each, PatientByIdentifier) and each.system in INS_SYSTEMS:
            parse_ins(each.system, each.value, status=400, expression="Patient.identifier")
        asked = each.value if isinstance(each, PatientByIdentifier) else each.id
        gate.exchange.services.ceiling.look_for_ins(gate.context, asked, gate.now)


# --- which record ---------------------------------------------------------------------------------


def _record(gate: Gate, query: SearchQuery) -> tuple[str | None, bool]:
    """The record the search runs in, DIRECTORY for people of no record, None when there is none to find; and whether
    what it finds there is the answer.

    D12: a search names its patient, except by document identifier; patients and representatives search their own
    record.
    """
    if query.resource_type in DIRECTORY_TYPES:
        return DIRECTORY, True
    if query.patients:
        found = {find_record(gate.reader, each) for each in query.patients}
        return (found.pop() if len(found) == 1 else None), True
    bound = _own_record(gate)
    if bound is not None:
        return find_record(gate.reader, bound), True
    if query.resource_type == "DocumentReference" and (identified := _by_identifier(query)):
        owner = owner_of(gate.reader, UNIQUE_ID, identified)
        return _place(gate, query, owner.record_id if owner else None), owner is not None
    _refuse_without_patient(gate, query)


def _place(gate: Gate, query: SearchQuery, home: str | None) -> str:
    """Where a document is looked for that is named without its patient: in its record, or in NOWHERE when the caller
    may not look there. For an identifier that nobody has, the record where they looked last stands for it (TF-153)."""
    record_id = gate.look_into(home)
    acts = (Action.DOC_LIST, _action(gate, query))
    return record_id if all(gate.decide(act, record_id).permit for act in acts) else NOWHERE


def _own_record(gate: Gate) -> PatientByIdentifier | None:
    context = gate.context
    if context.actor_category not in _PATIENT_SIDE or not context.person_id:
        return None
    ins = parse_person_id(context.person_id)
    return PatientByIdentifier(ins.system, ins.value) if ins else None


def _by_identifier(query: SearchQuery) -> str | None:
    for criterion in query.criteria:
        if criterion.parameter.code == "identifier" and criterion.modifier is None and len(criterion.values) == 1:
            value = criterion.values[0]
            if isinstance(value, TokenValue) and value.code:
                return value.code if value.system in (None, "", "urn:ietf:rfc:3986") else f"{value.system}|{value.code}"
    return None


def _refuse_without_patient(gate: Gate, query: SearchQuery) -> NoReturn:
    asked = "identifier" if query.resource_type == "Patient" else "patient.identifier"
    refuse(
        400,
        "required",
        f"Nommez le patient : {asked}=urn:oid:1.2.250.1.213.1.4.8|<matricule INS>.",
        f"Name the patient: {asked}=urn:oid:1.2.250.1.213.1.4.8|<INS number>.",
        rule="D12",
    )


def _action(gate: Gate, query: SearchQuery) -> Action:
    if query.resource_type in DIRECTORY_TYPES:
        return Action.PARTY_READ
    if query.resource_type == "DocumentReference" and _is_find_id(query.criteria):
        # TD3.1b: software that only feeds finds the technical id of its own documents (AR-16, AR-17, AR-42).
        return Action.DOC_LIST if gate.context.actor_category in _PATIENT_SIDE else Action.DOC_FINDID
    return _ACTIONS[query.resource_type]


def _is_find_id(criteria: tuple[Criterion, ...]) -> bool:
    return any(each.parameter.code == "identifier" and each.modifier is None for each in criteria)


def _nothing(query: SearchQuery) -> Page:
    return Page(0 if query.with_total or query.count_only else None, [], [], None, None)


def _run(gate: Gate, query: SearchQuery, record_id: str | None, cursor: Cursor | None) -> Page:
    if record_id is None:
        if query.resource_type != "Patient":
            # The same answer whether or not the record exists (D27); TD0.2 alone tells (AR-14).
            gate.permit_not_linked(_action(gate, query))
        return _nothing(query)
    predicates = {} if record_id == DIRECTORY else gate.predicates(record_id, _action(gate, query))
    again = predicates["DocumentReference"].again if predicates else None
    return execute(gate.reader, query, Scope(record_id, predicates, again=again), cursor)


# --- the answer -----------------------------------------------------------------------------------


def _bundle(gate: Gate, query: SearchQuery, page: Page, remarks: dict[str, Any] | None = None) -> bytes:
    """A searchset assembled from stored bytes: nothing is parsed or written again."""
    base_url = gate.exchange.base_url
    links = [{"relation": "self", "url": self_link(base_url, query)}]
    for relation, cursor in (("next", page.next), ("previous", page.previous)):
        if cursor:
            state: dict[str, Any] = {"type": query.resource_type, "used": query.used, "cursor": cursor.state()}
            sealed = gate.exchange.services.page_links.seal(state, caller=caller_of(gate.context), now_ms=gate.now)
            links.append({"relation": relation, "url": f"{base_url}/{query.resource_type}?{PAGE}={sealed}"})
    head: dict[str, Any] = {"resourceType": "Bundle", "id": str(uuid.uuid4()), "type": "searchset"}
    if page.total is not None:
        head["total"] = page.total
    entries = [_entry(base_url, each, b"match") for each in page.matches]
    entries += [_entry(base_url, each, b"include") for each in page.included]
    if remarks is not None:
        outcome = {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": remarks, "search": {"mode": "outcome"}}
        entries.append(orjson.dumps(outcome))
    body = orjson.dumps(head | {"link": links})
    return body[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else body


def _entry(base_url: str, found: Found, mode: bytes) -> bytes:
    return b'{"fullUrl":"%s/%s/%s","resource":%s,"search":{"mode":"%s"}}' % (
        base_url.encode(),
        found.resource_type.encode(),
        found.id.encode(),
        found.body,
        mode,
    )
