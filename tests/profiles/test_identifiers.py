"""Keys and prefixes of identifiers: each right form is accepted, each wrong one refused by its own rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import FR_CORE, IDNPS, IDNST, INS_NIR, INS_NIR_TEST, INS_SYSTEMS, RPPS, URI
from dmp_fhir.identity.identifiers import ADELI_SYSTEM, FINESS_SYSTEM, ins_key, luhn_digit
from dmp_fhir.profiles import active
from dmp_fhir.profiles.checks import check, profiles_for
from dmp_fhir.profiles.identifiers import RULES, identifier_issues
from tests.profiles import samples

Tree = dict[str, Any]
UUID = "urn:uuid:0d1e2f30-1111-4222-8333-444455556666"


def issues_of(identifier: Tree, kind: str = "Organization", level: str = "released") -> list[tuple[str | None, str]]:
    walk = active.validator().walk({"resourceType": kind, "identifier": [identifier]})
    assert walk.sound
    return [(each.rule, each.severity) for each in identifier_issues(walk, level)]


RIGHT = [
    *((system, "274036912390153") for system in sorted(INS_SYSTEMS)),
    (INS_NIR, "1900" + "12A000001" + ins_key("190012A000001")),
    (RPPS, "99700000112"),
    (ADELI_SYSTEM, "759000015"),
    (ADELI_SYSTEM, "2A9000015"),
    (FINESS_SYSTEM, "990000010"),
    (FINESS_SYSTEM, "2A0000010"),
    (IDNPS, "899700000112"),
    (IDNPS, "0759000015"),
    (IDNPS, "3990000010/1453"),
    (IDNPS, "6997000001/A1"),
    (IDNST, "1990000010"),
    (IDNST, "2264403106"),
    (IDNST, "373282932000074"),
    (IDNST, "R81311"),
    (URI, "urn:oid:1.2.250.1.213"),
    (URI, "urn:oid:1." + "2." * 62 + "3"),
    (URI, UUID),
    (URI, UUID.upper().replace("URN:UUID:", "urn:uuid:")),
    (URI, "https://example.org/lots/7"),
    ("https://example.org/local", "anything at all"),
]
WRONG = [
    *((system, "274036912390154", "ID-01") for system in sorted(INS_SYSTEMS)),
    (INS_NIR, "2740369123901", "ID-01"),
    (INS_NIR, "٢74036912390153", "ID-01"),
    (RPPS, "99700000113", "ID-02"),
    (RPPS, "899700000112", "ID-02"),
    (ADELI_SYSTEM, "7590", "ID-03"),
    (FINESS_SYSTEM, "990000011", "ID-04"),
    (IDNPS, "899700000113", "ID-05"),
    (IDNPS, "99700000112", "ID-05"),
    (IDNPS, "3990000010", "ID-05"),
    (IDNPS, "4264403107/1", "ID-05"),
    (IDNST, "1990000011", "ID-06"),
    (IDNST, "2264403107", "ID-06"),
    (IDNST, "373282932000075", "ID-06"),
    (IDNST, "990000010", "ID-06"),
    (URI, "urn:oid:1.02.250", "ID-08"),
    (URI, "urn:oid:3.1", "ID-08"),
    (URI, "urn:oid:1." + "2." * 63 + "33", "ID-08"),
    (URI, UUID[:-1], "ID-08"),
]


@pytest.mark.parametrize(("system", "value"), RIGHT)
def test_right_numbers(system: str, value: str) -> None:
    assert issues_of({"system": system, "value": value}) == []


@pytest.mark.parametrize(("system", "value", "rule"), WRONG)
def test_wrong_numbers(system: str, value: str, rule: str) -> None:
    wrong = {"system": system, "value": value}
    assert issues_of(wrong) == [(rule, "error")]
    assert issues_of(wrong, level="mhd") == [(rule, "information")]


def test_every_rule_is_broken_above() -> None:
    assert {rule for _, _, rule in WRONG} | {"ID-07"} == set(RULES)


@pytest.mark.parametrize("code", ["INS-NIR", "INS-NIA", "INS-NIR-DEMO"])
def test_the_type_of_an_ins_goes_with_its_oid(code: str) -> None:
    kind = {"coding": [{"system": f"{FR_CORE}/CodeSystem/fr-core-cs-v2-0203", "code": code}]}
    ins = {"system": INS_NIR_TEST, "value": "274036912390153", "type": kind}
    assert issues_of(ins) == [("ID-07", "error")]
    kind["coding"][0]["code"] = "INS-NIR-TEST"
    assert issues_of(ins) == []


def test_a_matricule_is_not_repeated_in_the_message() -> None:
    walk = active.validator().walk(
        {"resourceType": "Patient", "identifier": [{"system": INS_NIR, "value": "274036912390154"}]}
    )
    (issue,) = identifier_issues(walk, "released")
    assert "2740369" not in issue.fr + issue.en
    assert issue.expression == "Patient.identifier[0]"


@pytest.mark.parametrize(("level", "severity"), [("released", "warning"), ("main", "error"), ("mhd", "information")])
def test_an_ins_inside_a_document_is_an_error_for_main_only(level: str, severity: str) -> None:
    """The subject is looked for anyway (D18), and the published examples of PDSm4DMP have an invented number."""
    tree = samples.comprehensive()
    for each in tree["contained"]:
        if each["resourceType"] == "Patient":
            each["identifier"] = [{"system": INS_NIR_TEST, "value": "123456789012345"}]
    issues = check(active.validator(), tree, level, profiles_for(tree))
    assert [each.severity for each in issues if each.rule == "ID-01"] == [severity]


def test_the_identifiers_of_contained_people_are_checked() -> None:
    tree = samples.comprehensive()
    tree["contained"] = copy.deepcopy(tree["contained"])
    place = next(n for n, each in enumerate(tree["contained"]) if each["resourceType"] == "PractitionerRole")
    tree["contained"][place]["identifier"] = [{"system": IDNPS, "value": "899700000113"}]
    (issue,) = check(active.validator(), tree, "released", profiles_for(tree))
    assert (issue.rule, issue.expression) == ("ID-05", f"DocumentReference.contained[{place}].identifier[0]")


@given(st.text("0123456789", min_size=10, max_size=10))
def test_one_wrong_digit_of_an_rpps_is_seen(body: str) -> None:
    right = body + luhn_digit(body)
    assert issues_of({"system": RPPS, "value": right}) == []
    for place in range(11):
        wrong = right[:place] + str((int(right[place]) + 1) % 10) + right[place + 1 :]
        assert issues_of({"system": RPPS, "value": wrong}) == [("ID-02", "error")]
