"""AuditEvents: valid, complete, and silent about what is not theirs to tell."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.events import audit_event
from dmp_fhir.canonicals import PROFILE_AUDIT_EVENT
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.profiles import active

NOW = 1_790_000_000_042
CONTEXT = AccessContext(
    "PS",
    "899700000112",
    "Dr Anne Moreau",
    "CPS",
    profession="10",
    structure="1990000044",
    structure_name="MSP",
    client_id="lps",
    token_id="jti-1",
    origin="192.0.2.7",
)
READ = Act("read", "R", record_id="r1", entities=(("DocumentReference", "d1", 2),), rules=("AR-22",), request_id="q1")
ACTS = (
    READ,
    replace(READ, interaction="vread"),
    replace(READ, interaction="create", action="C"),
    replace(READ, interaction="patch", action="U"),
    replace(READ, interaction="delete", action="D"),
    replace(READ, interaction="history-instance", entities=(("List", "l1", None),)),
    Act("search-type", "E", record_id="r1", query=b"patient=Patient/r1&status=current"),
    Act("search-type", "E", query="name=Lef\xe8vre".encode()),
    Act("transaction", "E", record_id="r1"),
    Act("read", "R", "4", "r1", (("Binary", "b1", None),), rules=("AR-60",), reason="DOCUMENT_MASQUE", status=404),
    Act("create", "C", "8"),
)
CALLERS = (
    CONTEXT,
    None,
    replace(CONTEXT, secret=True, origin=None, client_id=None, token_id=None),
    replace(CONTEXT, purpose="bris_de_glace", reason="patient inconscient"),
    AccessContext("PATIENT", "274036912390153", "C", "PORTAIL", "patient", person_id="urn:oid:1.2|274036912390153"),
    AccessContext("STRUCTURE", "1990000010", "S", "INDIRECTE", structure="1990000010"),
)


@pytest.mark.parametrize("context", CALLERS)
@pytest.mark.parametrize("act", ACTS)
def test_every_event_is_a_valid_audit_event(act: Act, context: AccessContext | None) -> None:
    event = audit_event(act, context, NOW, "e1")
    parsed = AuditEvent.model_validate(event)
    assert parsed.action == act.action
    assert parsed.outcome == act.outcome
    assert len(event["agent"]) >= 2
    assert [agent["requestor"] for agent in event["agent"]].count(True) == 1
    assert event["recorded"] == "2026-09-21T14:13:20.042Z"
    for entity in event["entity"]:
        assert not ("name" in entity and "query" in entity)
    # Those of BALP, which it declares, are not loaded here: that is the only remark.
    issues = active.validator().validate(event, [PROFILE_AUDIT_EVENT])
    assert {each.code for each in issues} <= {"not-found"}


def test_a_read_names_who_what_why_and_by_which_rule() -> None:
    event = audit_event(READ, CONTEXT, NOW, "e1")
    client, server, user, organisation = event["agent"]
    assert event["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    ]
    assert client["who"]["identifier"]["value"] == "lps"
    assert client["network"] == {"address": "192.0.2.7", "type": "2"}
    assert client["type"]["coding"][0]["code"] == "110152"
    assert server["type"]["coding"][0]["code"] == "110153"
    assert user["who"]["identifier"]["value"] == "899700000112"
    assert user["policy"] == ["urn:ietf:params:oauth:jti:jti-1"]
    assert user["purposeOfUse"][0]["coding"][0]["code"] == "TREAT"
    assert user["role"][0]["coding"][0]["code"] == "10"
    assert organisation["who"]["identifier"]["value"] == "1990000044"
    document, patient, transaction = event["entity"]
    assert document["what"]["reference"] == "DocumentReference/d1/_history/2"
    assert document["detail"] == [{"type": "rule", "valueString": "AR-22"}]
    assert patient["what"]["reference"] == "Patient/r1"
    assert transaction["what"]["identifier"]["value"] == "q1"


def test_a_search_keeps_its_query() -> None:
    event = audit_event(Act("search-type", "E", record_id="r1", query=b"status=current"), CONTEXT, NOW, "e1")
    assert b64decode(event["entity"][0]["query"]) == b"status=current"
    assert event["entity"][0]["role"]["code"] == "24"


def test_a_refusal_has_its_reason_and_no_success_pattern() -> None:
    act = Act("read", "R", "4", "r1", (("Binary", "b1", None),), rules=("AR-60",), reason="DOCUMENT_MASQUE", status=404)
    event = audit_event(act, CONTEXT, NOW, "e1")
    assert event["outcomeDesc"] == "DOCUMENT_MASQUE"
    assert "profile" not in event["meta"]
    assert {detail["valueString"] for detail in event["entity"][0]["detail"]} == {"AR-60", "DOCUMENT_MASQUE", "404"}


def test_break_glass_says_why_and_secrecy_is_labelled() -> None:
    event = audit_event(READ, CALLERS[3], NOW, "e1")
    assert event["purposeOfEvent"][0]["text"] == "patient inconscient"
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    secret = audit_event(READ, CALLERS[2], NOW, "e1")
    assert secret["meta"]["security"][0]["code"] == "INVISIBLE_REPRESENTANTS_LEGAUX"


def test_an_anonymous_caller_leaves_a_trace_too() -> None:
    event = audit_event(Act("read", "R", "4", reason="JETON_ABSENT", status=401), None, NOW, "e1")
    assert event["agent"][2]["who"]["display"] == "unauthenticated caller"
    assert "policy" not in json.dumps(event)
