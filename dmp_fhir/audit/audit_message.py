"""An AuditEvent as a DICOM Audit Message: DICOM PS3.15 A.5, RFC 3881.

https://dicom.nema.org/medical/dicom/current/output/chtml/part15/sect_A.5.html, by the table of
https://hl7.org/fhir/R4/auditevent-mappings.html#dicom; PurposeOfUse is IHE's (XUA). What the table has no place for is
a RoleIDCode (how somebody authenticated) or a ParticipantObjectDetail: the id of the event, by which one that came
twice is known; the description of a search. The label of an event is the sensitivity of all its objects.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from lxml import etree

from dmp_fhir.audit import codes

Json = dict[str, Any]
RFC_3881 = "RFC-3881"
# A receiver may cut a message of more than 32,768 octets (DICOM PS3.15 A.6): longer queries and texts are cut here,
# with their size said; the trace has them whole.
MOST_QUERY = 12_000
MOST_TEXT = 2_000
# On the one line of the message: receivers write line ends in their own way.
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_LINE_ENDS = re.compile("[\t\n\r]+")
_NOT_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SYSTEMS = {codes.DCM: "DCM"}
_SOURCE_TYPES = frozenset("123456789")
_PATIENT_NUMBER = {"system": RFC_3881, "code": "2", "display": "Patient Number"}
_SEARCH_CRITERIA = {"system": RFC_3881, "code": "10", "display": "Search Criteria"}
_URI = {"system": RFC_3881, "code": "12", "display": "URI"}
_URIS = "urn:ietf:rfc:3986"
_SYSTEM_OBJECT, _OTHER = "2", "4"
# What becomes of the resources that an act is about.
_LIFE_CYCLES = {"C": "1", "R": "6", "U": "3", "D": "14"}
_ACTED_ON = frozenset({codes.REPORT["code"], codes.RESOURCE["code"]})


def audit_message(event: Json) -> bytes:
    """The XML document, in UTF-8."""
    root = etree.Element("AuditMessage")
    _event(root, event)
    for agent in event["agent"]:
        _participant(root, agent)
    _source(root, event["source"])
    label = next((each["code"] for each in event["meta"].get("security", ())), "")
    for number, entity in enumerate(event.get("entity", ())):
        _object(root, event, entity, label, first=number == 0)
    return _DECLARATION + etree.tostring(root, encoding="UTF-8")


def _event(root: etree._Element, event: Json) -> None:
    element = _add(
        root,
        "EventIdentification",
        EventActionCode=event.get("action"),
        EventDateTime=event["recorded"],
        EventOutcomeIndicator=event["outcome"],
    )
    _coded(element, "EventID", event["type"])
    for each in event.get("subtype", ()):
        _coded(element, "EventTypeCode", each)
    if described := event.get("outcomeDesc"):
        _add(element, "EventOutcomeDescription").text = _text(_cut(described))
    for each in _codings(event.get("purposeOfEvent", ())):
        _coded(element, "PurposeOfUse", each)


def _participant(root: etree._Element, agent: Json) -> None:
    who, network = agent.get("who", {}), agent.get("network", {})
    name = _cut(agent.get("name") or who.get("display") or "")
    element = _add(
        root,
        "ActiveParticipant",
        UserID=_identified(who) or name or "unknown",
        AlternativeUserID=agent.get("altId"),
        UserName=name or None,
        UserIsRequestor="true" if agent["requestor"] else "false",
        NetworkAccessPointID=network.get("address"),
        NetworkAccessPointTypeCode=network.get("type"),
    )
    for each in _codings([agent.get("type", {}), *agent.get("role", ())]):
        _coded(element, "RoleIDCode", each)
    for extension in agent.get("extension", ()):
        code = extension["valueCode"] if "valueCode" in extension else extension["valueCodeableConcept"]["text"]
        _coded(element, "RoleIDCode", {"system": extension["url"], "code": code, "display": "authentication"})
    for policy in agent.get("policy", ()):
        _coded(element, "RoleIDCode", {"system": _URIS, "code": policy, "display": "policy"})


def _source(root: etree._Element, source: Json) -> None:
    element = _add(
        root,
        "AuditSourceIdentification",
        AuditEnterpriseSiteID=source.get("site"),
        AuditSourceID=_identified(source["observer"]) or source["observer"].get("display", "unknown"),
    )
    for each in source.get("type", ()):
        if each["code"] in _SOURCE_TYPES:
            _add(element, "AuditSourceTypeCode", **{"csd-code": each["code"]})
        else:
            _coded(element, "AuditSourceTypeCode", each)


def _object(root: etree._Element, event: Json, entity: Json, label: str, *, first: bool) -> None:
    what, kind = entity.get("what", {}), entity["type"]
    role = entity.get("role", {}).get("code")
    name, id_type = entity.get("name") or what.get("display"), kind
    if reference := what.get("reference"):
        place = f"{event['source'].get('site', '')}/{reference}"
        id_type = _PATIENT_NUMBER if role == codes.PATIENT["code"] else _URI
    elif "identifier" in what:
        place = _identified(what)
        id_type = _URI if what["identifier"].get("system") == _URIS else kind
    elif "query" in entity:
        place, id_type = event["subtype"][0]["code"], _SEARCH_CRITERIA
    else:
        place = name or kind["code"]
    if kind["system"] == codes.ENTITY_TYPE:
        type_code = kind["code"]
    else:
        type_code = _SYSTEM_OBJECT if kind["system"] == codes.RESOURCE_TYPES else _OTHER
    element = _add(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=place,
        ParticipantObjectTypeCode=type_code,
        ParticipantObjectTypeCodeRole=role,
        ParticipantObjectDataLifeCycle=_LIFE_CYCLES.get(event.get("action", "")) if role in _ACTED_ON else None,
        ParticipantObjectSensitivity=label or None,
    )
    _coded(element, "ParticipantObjectIDTypeCode", id_type)
    details = [("AuditEvent", event["id"])] if first else []
    if query := entity.get("query"):
        _add(element, "ParticipantObjectQuery").text = query[: MOST_QUERY * 4 // 3]
        if len(query) > MOST_QUERY * 4 // 3:
            details.append(("query-size", str(len(query) * 3 // 4 - query.count("=", -2))))
    else:
        _add(element, "ParticipantObjectName").text = _text(_cut(name or place))
    if described := entity.get("description"):
        details.append(("description", described))
    details += [(each["type"], each["valueString"]) for each in entity.get("detail", ())]
    for type_name, value in details:
        _add(element, "ParticipantObjectDetail", type=type_name, value=b64encode(_cut(value).encode()).decode())


# --- values ---------------------------------------------------------------------------------------------------------


def _add(parent: etree._Element, name: str, **attributes: str | None) -> etree._Element:
    given = {key: _text(value) for key, value in attributes.items() if value is not None}
    return etree.SubElement(parent, name, given)


def _coded(parent: etree._Element, name: str, coding: Json) -> None:
    system = coding.get("system", "")
    attributes = {
        "csd-code": coding["code"],
        "codeSystemName": _SYSTEMS.get(system) or system.removeprefix("urn:oid:") or "unknown",
        "originalText": coding.get("display") or coding["code"],
    }
    _add(parent, name, **attributes)


def _codings(concepts: Any) -> list[Json]:
    return [coding for concept in concepts for coding in concept.get("coding", ())]


def _identified(reference: Json) -> str:
    """National identifiers as HL7 v2 writes them (CX), as IHE does."""
    identifier = reference.get("identifier", {})
    system, value = str(identifier.get("system", "")), str(identifier.get("value", ""))
    if system.startswith("urn:oid:"):
        return f"{value}^^^&{system.removeprefix('urn:oid:')}&ISO"
    return value if system in ("", _URIS) else f"{system}|{value}"


def _text(value: str) -> str:
    """What XML can say, on one line and never empty: the trace does not wait for a character."""
    return _NOT_XML.sub("\ufffd", _LINE_ENDS.sub(" ", value)).strip() or "-"


def _cut(value: str) -> str:
    return value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}… ({len(value)})"
