"""AuditEvents: valid, complete, and silent about what is not theirs to tell."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from dmp_fhir.audit.acts import ADMINISTRATION, APPLICATION, DECISION, Act
from dmp_fhir.audit.administration import COMMANDS, operator
from dmp_fhir.audit.codes import BALP
from dmp_fhir.audit.events import audit_event, scrubbed
from dmp_fhir.canonicals import PROFILE_AUDIT_EVENT
from dmp_fhir.identity.context import AccessContext, Software
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
    Act("create", "C", "8", reason="ERREUR_INTERNE", cleaned="create Consent"),
    Act("read", "R", record_id="r1", entities=(("Binary", "b1", 1),), about=("DocumentReference", "d1", 2)),
    Act("search-type", "E", query=b"Device?name=x", entities=(("Practitioner", "", None),), cleaned="Practitioner"),
    Act(
        "operation", "E", record_id="r1", query=b"Patient/r1/$x?", entities=(("Patient", "r1", None),), rules=("AR-97",)
    ),
    Act("read", "R", "4", reason="JETON_EXPIRE", origin="192.0.2.9", times=12, status=401),
    Act("update", "U", record_id="r1", entities=(("Communication", "m1", None),), reason="MESSAGE_ENVOYE"),
)
DECISIONS = (
    Act("AuthZ-Consent", "E", kind=DECISION, record_id="r1", entities=(("Consent", "c1", 1),), rules=("AR-46",)),
    Act("AuthZ-Consent", "E", kind=DECISION, record_id="r1", rules=("AR-53",), matrix="1"),
)
ASIDE = (
    *(Act(name, "E", kind=ADMINISTRATION, reason="why") for name in COMMANDS),
    Act("review-list", "E", kind=ADMINISTRATION, record_id="r1", rules=("AR-51",)),
    Act("start", "E", kind=APPLICATION),
    Act("stop", "E", kind=APPLICATION),
)
CALLERS = (
    CONTEXT,
    replace(CONTEXT, certificate="ab" * 32, specialty="SM54", software=Software("Cabinet", "4.2", approval="DMP-77")),
    None,
    replace(CONTEXT, secret=True, origin=None, client_id=None, token_id=None),
    replace(CONTEXT, purpose="bris_de_glace", reason="patient inconscient", auth_level="eidas2"),
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
    assert event["meta"]["profile"]
    assert active.validator().validate(event) == []
    assert active.validator().validate(event, [PROFILE_AUDIT_EVENT]) == []


@pytest.mark.parametrize(("mode", "level"), [("INDIRECTE", None), ("AIR", "eidas1"), ("CPS", "APPPRIP3")])
def test_how_sure_the_authentication_was_is_in_the_trace(mode: str, level: str | None) -> None:
    """TF-075: feeding by a structure that only authenticated itself can be told from that of a person."""
    act = replace(READ, interaction="create", action="C")
    event = audit_event(act, replace(CONTEXT, auth_mode=mode, auth_level=level), NOW, "e1")
    (user,) = (each for each in event["agent"] if each["requestor"])
    told = {each["url"].rpartition("/")[2]: each for each in user["extension"]}
    assert told["dmp-access-mode"]["valueCode"] == mode
    assert told.get("ihe-assuranceLevel", {}).get("valueCodeableConcept") == ({"text": level} if level else None)


@pytest.mark.parametrize("act", DECISIONS)
@pytest.mark.parametrize("context", [each for each in CALLERS if each and each.actor_category == "PS"])
def test_a_decision_names_the_consents_behind_it(act: Act, context: AccessContext) -> None:
    event = audit_event(act, context, NOW, "e1")
    AuditEvent.model_validate(event)
    assert active.validator().validate(event) == []
    assert [each["what"] for each in event["entity"] if each["type"]["code"] == "Consent"]
    assert {"AR-46", "AR-53"} & {each["valueString"] for each in event["entity"][-1].get("detail", [])} or any(
        "detail" in each for each in event["entity"]
    )


@pytest.mark.parametrize("act", ASIDE)
def test_what_is_done_beside_the_server_is_traced(act: Act) -> None:
    event = audit_event(act, operator(), NOW, "e1")
    AuditEvent.model_validate(event)
    assert active.validator().validate(event) == []


@pytest.mark.parametrize("act", [*ACTS, *DECISIONS, *ASIDE])
def test_profiles_find_what_is_missing(act: Act) -> None:
    """Each part that a pattern asks for is missed when it is taken away."""
    event = audit_event(act, CONTEXT if act.kind in ("rest", DECISION) else operator(), NOW, "e1")
    for spoiled in _spoiled(event):
        assert active.validator().validate(spoiled), spoiled


def _spoiled(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("action", "outcome", "agent", "entity", "source", "subtype", "type"):
        yield {key: value for key, value in event.items() if key != name}
    yield event | {"agent": [{**each, "requestor": False} for each in event["agent"]]}
    yield event | {"agent": [{**each, "who": {}} for each in event["agent"]]}
    yield event | {"agent": [{**each, "policy": ["x" * 33]} for each in event["agent"]]}
    yield event | {"outcome": "3"}
    if event["outcome"] == "0" and event["type"]["code"] == "rest":
        kept = [each for each in event["agent"] if each["type"]["coding"][0]["code"] not in ("110153", "custodian")]
        if f"{BALP}/StructureDefinition/IHE.BasicAudit.Patient" in event["meta"]["profile"][0]:
            yield event | {"agent": kept}
            yield event | {"entity": [each for each in event["entity"] if each["type"]["code"] != "2"]}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"status=current&access_token=abc.def&_count=1", b"status=current&access_token=(removed)&_count=1"),
        (b"name=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln&a=b", b"name=(removed)&a=b"),
        (b"name=eyJhbGciOiJSUzI1NiJ9%2EeyJzdWIiOiJ4In0%2Ec2ln", b"name=(removed)"),
        (b"broken=1&name=Token", b"broken=1&name=Token"),
    ],
)
def test_a_token_in_the_address_is_not_kept(sent: bytes, kept: bytes) -> None:
    assert scrubbed(sent) == kept
    event = audit_event(Act("search-type", "E", record_id="r1", query=sent), CONTEXT, NOW, "e1")
    assert b64decode(event["entity"][0]["query"]) == kept


def test_a_retrieval_is_one_entry_that_names_the_document_too() -> None:
    act = Act("read", "R", record_id="r1", entities=(("Binary", "b1", 1),), about=("DocumentReference", "d1", 2))
    references = [each["what"].get("reference") for each in audit_event(act, CONTEXT, NOW, "e1")["entity"]]
    assert references == ["Binary/b1/_history/1", "DocumentReference/d1/_history/2", "Patient/r1"]


def test_the_software_is_named_and_its_certificate() -> None:
    client = audit_event(READ, CALLERS[1], NOW, "e1")["agent"][0]
    assert client["who"] == {"identifier": {"value": "lps"}, "display": "Cabinet 4.2 DMP-77"}
    assert client["altId"] == "ab" * 32


def test_a_read_names_who_what_why_and_by_which_rule() -> None:
    event = audit_event(READ, CONTEXT, NOW, "e1")
    client, server, user, organisation = event["agent"]
    basic = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
    assert event["meta"]["profile"] == [
        f"{basic}.PatientRead",
        f"{basic}.OAUTHaccessTokenUse.Minimal",
        PROFILE_AUDIT_EVENT,
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
    assert event["meta"]["profile"][0].endswith(".OAUTHaccessTokenUse.Minimal")
    assert event["meta"]["profile"][1].endswith("/dmp-audit-refusal")
    assert {detail["valueString"] for detail in event["entity"][0]["detail"]} == {"AR-60", "DOCUMENT_MASQUE", "404"}


def test_break_glass_says_why_and_secrecy_is_labelled() -> None:
    event = audit_event(READ, CALLERS[4], NOW, "e1")
    assert event["purposeOfEvent"][0]["text"] == "patient inconscient"
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    secret = audit_event(READ, CALLERS[3], NOW, "e1")
    assert secret["meta"]["security"][0]["code"] == "INVISIBLE_REPRESENTANTS_LEGAUX"


def test_an_anonymous_caller_leaves_a_trace_too() -> None:
    event = audit_event(Act("read", "R", "4", reason="JETON_ABSENT", status=401), None, NOW, "e1")
    assert event["agent"][2]["who"]["display"] == "unauthenticated caller"
    assert "policy" not in json.dumps(event)
