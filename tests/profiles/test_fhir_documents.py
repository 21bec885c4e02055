"""FHIR documents hold what their composition names (https://hl7.org/fhir/R4/documents.html#content)."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.profiles.structure import structural_issues

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
