"""FHIR documents hold what their composition names, and nothing else (https://hl7.org/fhir/R4/documents.html#content)."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.profiles.structure import structural_issues, structural_walk

HERE = "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"
SERVER = "https://example.org/fhir/"
PERSON = {"resourceType": "Practitioner", "id": "p"}


def document(address: str, person: str, **composition: Any) -> dict[str, Any]:
    head = {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "a"},
        "date": "2026",
        "author": [{"display": "a"}],
        "title": "a",
        **composition,
    }
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:oid:1.2.250.1.999", "value": "1"},
        "timestamp": "2026-01-01T00:00:00Z",
        "entry": [{"fullUrl": address, "resource": head}, {"fullUrl": person, "resource": PERSON}],
    }


@pytest.mark.parametrize(
    ("address", "person", "reference"),
    [
        (HERE, "urn:uuid:01234567-89ab-cdef-0123-456789abcdee", "urn:uuid:01234567-89ab-cdef-0123-456789abcdee"),
        (HERE, SERVER + "Practitioner/p", "Practitioner/p"),
        (SERVER + "Composition/c", SERVER + "Practitioner/p", "Practitioner/p"),
        (SERVER + "Composition/c", SERVER + "Practitioner/p", SERVER + "Practitioner/p"),
    ],
)
def test_what_is_named_is_there(address, person, reference):
    assert structural_issues(document(address, person, author=[{"reference": reference}])) == []


@pytest.mark.parametrize(
    ("way", "composition"),
    [
        ("subject", {"subject": {"reference": "Patient/x"}}),
        ("author[1]", {"author": [{"display": "a"}, {"reference": "Practitioner/x"}]}),
        ("custodian", {"custodian": {"reference": SERVER + "Organization/x"}}),
        ("attester[0].party", {"attester": [{"mode": "legal", "party": {"reference": "Practitioner/x"}}]}),
        ("event[0].detail[0]", {"event": [{"detail": [{"reference": "Procedure/x"}]}]}),
        ("section[0].entry[0]", {"section": [{"title": "a", "entry": [{"reference": "Observation/x"}]}]}),
        (
            "section[0].section[0].focus",
            {"section": [{"section": [{"title": "a", "focus": {"reference": "Patient/x"}}]}]},
        ),
    ],
)
def test_what_lacks_is_named(way, composition):
    tree = document(HERE, SERVER + "Practitioner/p", **composition)
    found = {(each.expression, each.rule) for each in structural_issues(tree)}
    assert (f"Bundle.entry[0].resource.{way}", "FHIR R4 document") in found


def held(*others: dict[str, Any], link: list[Any] | None = None) -> set[tuple[str, str]]:
    """What is said of a document that names a practitioner and holds others, too."""
    tree = document(SERVER + "Composition/c", SERVER + "Practitioner/p", author=[{"reference": "Practitioner/p"}])
    for each in others:
        tree["entry"].append({"fullUrl": f"{SERVER}{each['resourceType']}/{each['id']}", "resource": each})
    if link is not None:
        tree["link"] = link
    issues = structural_walk(tree).issues
    assert {each.rule for each in issues} <= {"FHIR R4 document"}
    return {(each.severity, str(each.expression)) for each in issues}


PATIENT = {"resourceType": "Patient", "id": "q"}
ROLE = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/p"}}
SHEET = {"resourceType": "Binary", "id": "s", "contentType": "text/css", "data": "YQ=="}


def provenance(id_: str, target: str) -> dict[str, Any]:
    agent = {"who": {"display": "A"}}
    target_ = [{"reference": target}]
    return {
        "resourceType": "Provenance",
        "id": id_,
        "target": target_,
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [agent],
    }


def test_nothing_leads_to_it():
    assert held(PATIENT) == {("error", "Bundle.entry[2]")}
    assert held(PATIENT, {"resourceType": "List", "id": "l", "status": "current", "mode": "working",
                          "subject": {"reference": "Patient/q"}}) == {
        ("error", "Bundle.entry[2]"), ("error", "Bundle.entry[3]")
    }  # fmt: skip


def test_what_is_named_leads_further():
    person = PERSON | {
        "extension": [{"url": "urn:x", "valueReference": {"reference": SERVER + "Patient/q/_history/2"}}]
    }
    tree = document(SERVER + "Composition/c", SERVER + "Practitioner/p", author=[{"reference": "Practitioner/p"}])
    tree["entry"][1]["resource"] = person
    tree["entry"].append({"fullUrl": SERVER + "Patient/q", "resource": PATIENT})
    assert structural_walk(tree).issues == []


def test_provenance_may_refer_to_what_is_there():
    assert held(provenance("v", "Composition/c"), provenance("w", "Provenance/v")) == set()
    assert held(provenance("v", "Patient/elsewhere")) == {("error", "Bundle.entry[2]")}


def test_another_that_refers_to_what_is_there_is_told():
    assert held(ROLE) == {("warning", "Bundle.entry[2]")}


def test_style_sheets():
    named = [{"relation": "stylesheet", "url": "Binary/s"}]
    assert held(SHEET) == {("error", "Bundle.entry[2]")}
    assert held(SHEET, link=named) == set()
    assert held(SHEET, link=[{"relation": "self", "url": "Binary/s"}]) == {("error", "Bundle.entry[2]")}
