"""A fault in the SQL face of the rules is an alert and an error, never data and never a silent gap."""

from __future__ import annotations

import logging

import pytest
from flask.testing import FlaskClient

from dmp_fhir.policy import predicate
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.relation import Caller, Relation
from dmp_fhir.policy.rules.masks import MASKED_TO_PROFESSIONALS, MASKS
from dmp_fhir.policy.second_look import SecondLook, facts_of
from tests.policy.worlds import DOCTOR, NOW, OPEN
from tests.support.server import MakeToken

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
MASKED = "urn:oid:2.16.840.1.113883.19.250.1.1.9"
TREATING, AUTHORISED = "dr-moreau", "dr-petit"


def get(client: FlaskClient, token: str, path: str, **query: str):
    return client.get(f"/fhir/{path}", query_string=query, headers={"Authorization": f"Bearer {token}"})


def search(client: FlaskClient, token: str, **query: str):
    return get(client, token, "DocumentReference", **{"patient.identifier": CLAIRE, "_count": "100", **query})


def test_what_sql_lets_through_by_mistake_does_not_leave(
    client: FlaskClient, token: MakeToken, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rule of masks is taken out of the SQL face alone: search, include, read and retrieve all fail loudly."""
    (entry,) = search(client, token(TREATING), identifier=MASKED).json["entry"]
    masked, title = entry["resource"]["id"], entry["resource"]["content"][0]["attachment"]["title"]
    address = entry["resource"]["content"][0]["attachment"]["url"].rpartition("/fhir/")[2]
    assert "entry" not in search(client, token(AUTHORISED), identifier=MASKED).json
    others = tuple(rule for rule in MASKS if rule is not MASKED_TO_PROFESSIONALS)
    monkeypatch.setattr(predicate, "_MASKS", predicate._by_exemption(others))
    with caplog.at_level(logging.CRITICAL, "dmp_fhir.alert"):
        answers = [
            search(client, token(AUTHORISED)),
            search(client, token(AUTHORISED), _include="DocumentReference:relatesto"),
            get(client, token(AUTHORISED), f"DocumentReference/{masked}"),
            get(client, token(AUTHORISED), f"DocumentReference/{masked}/_history"),
            get(client, token(AUTHORISED), address),
        ]
    assert [answer.status_code for answer in answers] == [500] * 5
    assert all(title not in answer.text and masked not in answer.text for answer in answers)
    assert [record.levelname for record in caplog.records if record.name == "dmp_fhir.alert"] == ["CRITICAL"] * 5
    assert all("AR-60" in record.message for record in caplog.records if record.name == "dmp_fhir.alert")
    # The treating physician sees it by both faces.
    assert search(client, token(TREATING), identifier=MASKED).status_code == 200


def test_the_facts_are_those_of_the_row() -> None:
    facts = facts_of(("current", 0, "http://loinc.org", "11488-4", 1, 12, 1, 0, 1))
    labels = frozenset({"MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX"})
    expected = DocumentFacts("http://loinc.org", "11488-4", labels, "current", deposited_ms=12, type_unknown=True)
    assert facts == expected


def test_a_caller_without_a_right_sees_nothing_even_when_sql_says_so() -> None:
    document = DocumentFacts("http://loinc.org", "11488-4")
    assert not SecondLook(Caller(DOCTOR, OPEN, NOW), False).shows(document)
    assert SecondLook(Caller(DOCTOR, OPEN, NOW, Relation.TREATING_PHYSICIAN), True).shows(document)
