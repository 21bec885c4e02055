"""Scenario files: the schema is strict, and a disagreement is told where it is."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from dmp_fhir.policy.facts import ConsentTarget
from dmp_fhir.policy.scenarios import BadScenario, judge, read_scenarios, scenario_of

GOOD: dict[str, Any] = {
    "id": "one",
    "title": "authorised physician",
    "actor": {"category": "PS", "id": "me", "profession": "10", "authMode": "CPS"},
    "request": {"action": "doc.list", "purpose": "normal", "at": "2026-11-22T09:00:00+01:00"},
    "dmp": {"status": "OUVERT", "patientAge": 52},
    "consents": {"permits": [{"who": "me", "kind": "PS"}]},
    "document": {"typeCode": "11488-4", "author": {"category": "PS", "id": "other"}, "labels": ["N"]},
    "expected": {"decision": "permit", "reason": None, "listed": True, "rules": ["AR-22"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(GOOD)
    *steps, last = path.split("/")
    inner: Any = tree
    for step in steps:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[last] = value
    return tree


def test_a_scenario_that_agrees() -> None:
    verdict = judge(scenario_of(GOOD))
    assert verdict.agrees
    assert verdict.decision.permit
    assert verdict.listed is True


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("expected/decision", "deny", "decision: expected deny, decided permit"),
        ("expected/reason", "MATRICE", "reason: expected MATRICE"),
        ("expected/listed", False, "listed: expected False"),
        ("expected/rules", ["AR-35"], "rules: expected AR-35 among AR-22"),
        ("expected/obligations", ["AUDIT"], "obligations: expected AUDIT, decided AUDIT, NOTIFY_FIRST_ACCESS"),
    ],
)
def test_each_difference_is_told(path: str, value: Any, told: str) -> None:
    verdict = judge(scenario_of(changed(path, value)))
    assert not verdict.agrees
    assert any(difference.startswith(told) for difference in verdict.differences)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("colour", "blue", "scenario: unknown colour"),
        ("actor/category", "WIZARD", "scenario.actor.category"),
        ("actor/authMode", None, "scenario.actor.authMode"),
        ("request/action", "doc.burn", "scenario.request.action"),
        ("request/at", "yesterday", "scenario.request.at"),
        ("request/at", "2026-11-22T09:00:00", "scenario.request.at: the time zone"),
        ("request/at", None, "scenario.request.at"),
        ("dmp/status", "OPEN", "scenario.dmp.status"),
        ("dmp/patientAge", "52", "scenario.dmp.patientAge"),
        ("consents/permits", {}, "scenario.consents.permits"),
        ("consents/permits", [{"who": "me"}], "scenario.consents.permits[0].kind"),
        ("consents/permits", ["me"], "scenario.consents.permits[0]"),
        ("consents/btg", "maybe", "scenario.consents.btg"),
        ("document/labels", ["SECRET"], "scenario.document.labels"),
        ("document/status", "lost", "scenario.document.status"),
        ("document/author", {"category": "WIZARD"}, "scenario.document.author.category"),
        ("document/typeCode", "", "scenario.document.typeCode"),
        ("expected/decision", "yes", "scenario.expected.decision"),
    ],
)
def test_a_bad_scenario_says_where(path: str, value: Any, place: str) -> None:
    with pytest.raises(BadScenario) as caught:
        scenario_of(changed(path, value))
    assert caught.value.args[0].startswith(place)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scenarios": []}', '{"scenarios": [1]}'])
def test_a_bad_file(text: str) -> None:
    with pytest.raises(BadScenario):
        read_scenarios(text)


def test_an_id_is_used_once() -> None:
    with pytest.raises(BadScenario, match="twice"):
        read_scenarios(json.dumps({"scenarios": [GOOD, GOOD]}))


def test_archived_documents_are_listed_when_asked_for() -> None:
    archived = changed("document/status", "archived")
    assert judge(scenario_of(archived)).listed is False
    archived["request"]["includeArchived"] = True
    assert judge(scenario_of(archived)).listed is True


@pytest.mark.parametrize(
    ("action", "request_more", "target"),
    [
        (
            "auth.block",
            {"target": {"who": "s", "kind": "STRUCTURE"}},
            ConsentTarget("BLOCAGE", "deny", "Organization", "s"),
        ),
        ("auth.unblock", {"target": "p"}, ConsentTarget("BLOCAGE", "deny", "Practitioner", "p", True)),
        ("auth.add", {"target": "p"}, ConsentTarget("AUTORISATION", "permit", "Practitioner", "p")),
        ("pref.emergency", {"set": {"btg": "deny"}}, ConsentTarget("URGENCE_BTG", "deny")),
        ("doc.list", {}, None),
    ],
)
def test_the_object_of_a_consent_act(action: str, request_more: dict[str, Any], target: ConsentTarget | None) -> None:
    assert scenario_of(changed("request", GOOD["request"] | {"action": action} | request_more)).target == target
