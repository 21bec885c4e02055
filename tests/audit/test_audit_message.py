"""AuditEvents as DICOM Audit Messages in syslog (ITI-20): valid whatever they say, cut only if too long."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from dmp_fhir.audit.acts import ADMINISTRATION, ALERT, APPLICATION, DECISION, REST, Act
from dmp_fhir.audit.audit_message import MOST_QUERY, audit_message
from dmp_fhir.audit.events import Observer, audit_event
from dmp_fhir.audit.syslog_feed import frame, syslog_message
from dmp_fhir.canonicals import IDNPS, IDNST
from dmp_fhir.identity.context import AccessContext
from tests.support.atna import RFC_5424

NOW = 1_790_000_000_000
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
OBSERVER = Observer("dmp-fhir", "https://dmp.hospital.fr/fhir")
MOREAU = AccessContext(
    "PS",
    "899700000112",
    "Dr Anne Moreau",
    "MEDECIN",
    profession="10",
    specialty="SM26",
    structure="1750712184",
    structure_name="Cabinet des Lilas",
    purpose="bris_de_glace",
    reason="patiente inconsciente",
    auth_level="eidas2",
    client_id="logiciel",
    token_id="jti-1",
    origin="192.0.2.7",
)
READ = Act(
    "read",
    "R",
    record_id="r1",
    entities=(("DocumentReference", "d1", 2),),
    rules=("AR-35",),
    request_id="req-1",
    secret=True,
)


def message_of(act: Act, context: AccessContext | None) -> etree._Element:
    xml = audit_message(audit_event(act, context, NOW, "event-1", OBSERVER))
    root = etree.fromstring(xml)
    SCHEMA.assertValid(root)
    return root


def codes(parent: etree._Element, name: str) -> list[tuple[str, str, str]]:
    return [
        (each.get("csd-code"), each.get("codeSystemName"), each.get("originalText")) for each in parent.findall(name)
    ]


def details(parent: etree._Element) -> list[tuple[str, str]]:
    return [
        (each.get("type"), b64decode(each.get("value")).decode()) for each in parent.findall("ParticipantObjectDetail")
    ]


def test_a_read_in_an_emergency() -> None:
    root = message_of(READ, MOREAU)
    event = root[0]
    assert dict(event.attrib) == {
        "EventActionCode": "R",
        "EventDateTime": "2026-09-21T14:13:20.000Z",
        "EventOutcomeIndicator": "0",
    }
    assert codes(event, "EventID") == [
        ("rest", "http://terminology.hl7.org/CodeSystem/audit-event-type", "RESTful Operation")
    ]
    assert codes(event, "EventTypeCode") == [("read", "http://hl7.org/fhir/restful-interaction", "read")]
    assert event.findtext("EventOutcomeDescription") == "patiente inconsciente"
    assert [each[:2] for each in codes(event, "PurposeOfUse")] == [
        ("BTG", "http://terminology.hl7.org/CodeSystem/v3-ActReason")
    ]
    client, server, doctor, cabinet = root.findall("ActiveParticipant")
    assert (client.get("UserID"), client.get("NetworkAccessPointID")) == ("logiciel", "192.0.2.7")
    assert client.get("NetworkAccessPointTypeCode") == "2"
    assert codes(client, "RoleIDCode") == [("110152", "DCM", "Destination Role ID")]
    assert server.get("UserID") == OBSERVER.address
    assert (doctor.get("UserIsRequestor"), doctor.get("UserName")) == ("true", "Dr Anne Moreau")
    assert doctor.get("UserID") == f"899700000112^^^&{IDNPS.removeprefix('urn:oid:')}&ISO"
    assert [each.get("UserIsRequestor") for each in (client, server, cabinet)] == ["false"] * 3
    assert cabinet.get("UserID") == f"1750712184^^^&{IDNST.removeprefix('urn:oid:')}&ISO"
    roles = {each[0] for each in codes(doctor, "RoleIDCode")}
    assert roles >= {"10", "SM26", "IRCP", MOREAU.auth_mode, MOREAU.auth_level, "urn:ietf:params:oauth:jti:jti-1"}
    source = root.find("AuditSourceIdentification")
    assert (source.get("AuditEnterpriseSiteID"), source.get("AuditSourceID")) == (OBSERVER.address, OBSERVER.address)
    assert [dict(each.attrib) for each in source] == [{"csd-code": "4"}]
    document, patient, request = root.findall("ParticipantObjectIdentification")
    assert dict(document.attrib) == {
        "ParticipantObjectID": f"{OBSERVER.address}/DocumentReference/d1/_history/2",
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": "3",
        "ParticipantObjectDataLifeCycle": "6",
        "ParticipantObjectSensitivity": "INVISIBLE_REPRESENTANTS_LEGAUX",
    }
    assert codes(document, "ParticipantObjectIDTypeCode") == [("12", "RFC-3881", "URI")]
    assert details(document) == [("AuditEvent", "event-1"), ("rule", "AR-35")]
    assert codes(patient, "ParticipantObjectIDTypeCode") == [("2", "RFC-3881", "Patient Number")]
    assert (patient.get("ParticipantObjectID"), patient.get("ParticipantObjectTypeCodeRole")) == (
        f"{OBSERVER.address}/Patient/r1",
        "1",
    )
    assert request.get("ParticipantObjectID") == "req-1"
    assert [each[0] for each in codes(request, "ParticipantObjectIDTypeCode")] == ["XrequestId"]


def test_a_search() -> None:
    query = b"DocumentReference?patient.identifier=x&_count=1"
    root = message_of(Act("search-type", "E", record_id="r1", query=query, cleaned="patient.identifier"), MOREAU)
    searched = root.find("ParticipantObjectIdentification")
    assert b64decode(searched.findtext("ParticipantObjectQuery")) == query
    assert codes(searched, "ParticipantObjectIDTypeCode") == [("10", "RFC-3881", "Search Criteria")]
    assert searched.get("ParticipantObjectID") == "search-type"
    assert details(searched) == [("AuditEvent", "event-1"), ("description", "patient.identifier")]


def test_what_is_too_long_is_cut_with_its_size() -> None:
    """Receivers take 32,768 octets; the trace keeps everything."""
    query = b"DocumentReference?_id=" + b"x" * 900_001
    act = Act("search-type", "E", outcome="4", query=query, cleaned="y" * 90_000, reason="é" * 90_000)
    event = audit_event(act, MOREAU, NOW, "event-1", OBSERVER)
    searched = etree.fromstring(audit_message(event)).find("ParticipantObjectIdentification")
    assert b64decode(searched.findtext("ParticipantObjectQuery")) == query[:MOST_QUERY]
    assert ("query-size", str(len(query))) in details(searched)
    assert len(syslog_message(event)) < 32_768


def test_the_message_of_syslog() -> None:
    """RFC 5424 and RFC 5425, by the byte; the same event gives the same message."""
    event = audit_event(READ, MOREAU, NOW, "event-1", OBSERVER)
    message = syslog_message(event)
    assert message.startswith(
        b"<85>1 2026-09-21T14:13:20.000Z dmp.hospital.fr dmp-fhir - IHE+RFC-3881 - "
        b'<?xml version="1.0" encoding="UTF-8"?><AuditMessage>'
    )
    assert frame(message) == str(len(message)).encode() + b" " + message
    assert syslog_message(event) == message
    refused = audit_event(Act("read", "R", outcome="4", status=403), None, NOW, "event-2", OBSERVER)
    assert syslog_message(refused).startswith(b"<84>1 ")


TEXTS = st.text(max_size=40)
CONTEXTS = st.none() | st.builds(
    AccessContext,
    st.sampled_from(["PS", "PATIENT", "STRUCTURE", "SUPPORT"]),
    TEXTS,
    TEXTS,
    TEXTS,
    reason=TEXTS,
    structure=TEXTS,
    structure_name=TEXTS,
    client_id=TEXTS,
    token_id=TEXTS,
    person_id=TEXTS,
    origin=st.none() | TEXTS,
    auth_level=st.none() | TEXTS,
)
ACTS = st.builds(
    Act,
    st.sampled_from(["read", "create", "search-type", "operation", "start", "account-review"]),
    st.sampled_from("CRUDE"),
    kind=st.sampled_from([REST, DECISION, ADMINISTRATION, APPLICATION, ALERT]),
    outcome=st.sampled_from(["0", "4", "8"]),
    record_id=st.sampled_from(["", "r1"]),
    entities=st.sampled_from([(), (("Consent", "c1", 1),), (("DocumentReference", "d1", None), ("List", "l1", 1))]),
    query=st.none() | st.binary(max_size=40),
    cleaned=st.none() | TEXTS,
    request_id=st.none() | TEXTS,
    reason=st.none() | TEXTS,
    rules=st.sampled_from([(), ("AR-35", "D6")]),
)


@given(ACTS, CONTEXTS)
def test_any_event_is_a_valid_message(act: Act, context: AccessContext | None) -> None:
    """Whatever names, motives and requests say: no character of theirs stops the trace."""
    event: dict[str, Any] = audit_event(act, context, NOW, "event-1", OBSERVER)
    found = RFC_5424.fullmatch(syslog_message(event))
    assert found is not None
    assert b"\n" not in found[0]
    root = etree.fromstring(found[7])
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert len(root.findall("ActiveParticipant")) == len(event["agent"])
    assert len(root.findall("ParticipantObjectIdentification")) == len(event["entity"])
