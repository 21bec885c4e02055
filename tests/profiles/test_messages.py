"""What a developer reads: what was found, what is expected, the nearest codes, and each mistake once."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles import active
from dmp_fhir.profiles.checks import check, profiles_for
from tests.profiles import samples

Tree = dict[str, Any]


def issues_of(tree: Tree, level: str = "released") -> list[Issue]:
    return check(active.validator(), tree, level, profiles_for(tree))


def the_only(tree: Tree) -> Issue:
    (issue,) = issues_of(tree)
    return issue


def test_a_wrong_document_type_is_told_once_with_the_nearest() -> None:
    issue = the_only(samples.comprehensive() | {"type": samples.concept("http://loinc.org", "34133-8")})
    assert (issue.rule, issue.severity, issue.expression) == ("D10", "error", "DocumentReference.type")
    for text in (issue.fr, issue.en):
        assert "34133-8" in text
        assert text.count("(") >= 3
        assert "34133-9 (Synthèse" in text


def test_a_misspelt_property_has_its_neighbour() -> None:
    tree = samples.comprehensive()
    tree["contextt"] = {}
    assert "Peut-être context ?" in the_only(tree).fr
    tree["qqqqqqq"] = tree.pop("contextt")
    assert the_only(tree).fr.endswith("DocumentReference.qqqqqqq.")


@pytest.mark.parametrize("value", ["12/03/1980", 1980, True])
def test_a_refused_value_is_shown(value: object) -> None:
    issue = the_only(samples.comprehensive() | {"date": value})
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    assert f"Valeur refusée : {shown} ; attendu : un moment complet" in issue.fr
    assert f"Value refused: {shown}; expected: " in issue.en


def test_a_long_value_is_cut() -> None:
    issue = the_only(samples.comprehensive() | {"date": "x" * 10_000})
    assert len(issue.fr) < 300


def test_short_lists_are_told_whole_and_long_ones_by_their_nearest() -> None:
    short = the_only(samples.comprehensive() | {"status": "currant"})
    assert "current, entered-in-error, superseded" in short.en
    event: Tree = {"resourceType": "Patient", "communication": [{"language": {"text": "fr"}}], "link": []}
    del event["link"]
    event["telecom"] = [{"system": "phon", "value": "1", "use": "home", "rank": 1}]
    issues = [each for each in issues_of(event) if each.expression == "Patient.telecom[0].system"]
    assert "phone" in issues[0].en


def test_the_most_serious_come_first() -> None:
    tree = samples.comprehensive()
    tree["context"]["facilityType"]["coding"][0]["code"] = "SA8"
    del tree["content"][0]["attachment"]["hash"]
    assert [each.severity for each in issues_of(tree)] == ["error", "information"]
