"""Codes of code systems that are here as a whole, and references that are searches."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from dmp_fhir.profiles import active
from dmp_fhir.profiles.bindings import Terminology
from tests.profiles import samples
from tests.profiles.making import CODES, broken, element, profile, validator, value_set
from tests.profiles.making import COLOURS as COLOURS_SET

Tree = dict[str, Any]
CODE = "http://hl7.org/fhir/StructureDefinition/Coding#Coding.code/system"
SEARCH = "http://hl7.org/fhir/StructureDefinition/Reference#Reference.reference/search"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def code_system(content: str = "complete", **more: Any) -> Tree:
    inner = [{"code": "scarlet"}]
    concepts = [{"code": "red", "concept": inner}, {"code": "green"}, {"code": "blue"}, {"code": "black"}]
    return {"resourceType": "CodeSystem", "url": CODES, "version": "2", "content": content, "concept": concepts, **more}


def patient(code: str | None, system: str = CODES, **more: Any) -> Tree:
    coding = {"system": system, "code": code, **more} if code else {"system": system}
    return {"resourceType": "Patient", "maritalStatus": {"coding": [coding]}}


def refused(where: str = "Patient.maritalStatus.coding[0].code") -> set[tuple[str, str, str]]:
    return {("error", CODE, where)}


@pytest.mark.parametrize("code", ["red", "scarlet", None])
def test_codes_that_are_there(code: str | None) -> None:
    assert broken(validator(code_system()), patient(code)) == set()


def test_a_code_that_a_whole_system_does_not_have() -> None:
    assert broken(validator(code_system()), patient("pink")) == refused()
    assert broken(validator(code_system()), patient("Red")) == refused()
    assert broken(validator(code_system(caseSensitive=False)), patient("Red")) == set()


@pytest.mark.parametrize("content", ["fragment", "example", "not-present", "supplement"])
def test_of_a_part_of_a_system_nobody_can_tell(content: str) -> None:
    assert broken(validator(code_system(content)), patient("pink")) == set()
    assert broken(validator(), patient("pink")) == set()


def test_a_code_of_another_version() -> None:
    assert broken(validator(code_system()), patient("pink", version="3")) == set()
    assert broken(validator(code_system()), patient("pink", version="2")) == refused()


def test_code_systems_of_r4_are_here_and_may_be_overridden() -> None:
    assert broken(validator(), patient("PI", V2_0203)) == set()
    assert broken(validator(), patient("PIX", V2_0203)) == refused()
    assert broken(validator(code_system("fragment", url=V2_0203)), patient("PIX", V2_0203)) == set()


@pytest.mark.parametrize(
    ("strength", "severity"), [("required", "error"), ("extensible", "warning"), ("preferred", "information")]
)
def test_one_mistake_one_issue(strength: str, severity: str) -> None:
    """A required binding refuses the concept and says so; of a code that does not exist, no lesser one complains."""
    bound = element("Patient.maritalStatus", binding={"strength": strength, "valueSet": COLOURS_SET})
    checker = validator(profile("p", "Patient", [bound]), value_set(), code_system())
    outside = {(severity, "p#Patient.maritalStatus/binding", "Patient.maritalStatus")}
    assert broken(checker, patient("black"), "p") == outside
    assert broken(checker, patient("pink"), "p") == (outside if strength == "required" else refused())


def test_the_message_names_system_version_and_the_nearest_codes() -> None:
    (issue,) = validator(code_system()).validate(patient("rde"))
    assert issue.code == "code-invalid"
    for text in (issue.fr, issue.en):
        assert "rde, " in text
        assert f"{CODES} 2" in text
        assert "red" in text
        assert "Coding.version" in text


def test_strangers_fill_no_memory() -> None:
    terminology = Terminology()
    for n in range(5000):
        assert terminology.system(f"urn:oid:1.{n}") is None
    assert len(terminology._whole) <= 2000
    assert terminology.system(V2_0203) is not None


def test_every_french_code_system_says_whether_it_is_whole() -> None:
    """A list of which the version is not known is a fragment: nobody can say that it is complete."""
    files = sorted((active.SHIPPED / "terminology").glob("CodeSystem-*.json"))
    assert len(files) > 10
    for file in files:
        tree = orjson.loads(file.read_bytes())
        assert tree["content"] == ("complete" if "version" in tree else "fragment"), file.name


# References that are searches ------------------------------------------------------------------------------------


def found(kind: str = "searchset") -> Tree:
    document = samples.comprehensive() | {"id": "d", "subject": {"reference": "Patient?identifier=urn:oid:1.2|1"}}
    entry = {"fullUrl": "https://example.org/fhir/DocumentReference/d", "resource": document}
    return {"resourceType": "Bundle", "type": kind, "entry": [entry]}


def test_a_bundle_that_is_no_transaction_holds_no_search() -> None:
    where = "Bundle.entry[0].resource.subject.reference"
    for level, severity in (("released", "warning"), ("main", "error"), ("mhd", "error")):
        issues = active.validator().validate(found(), level=level)
        assert {(each.severity, each.rule, each.expression) for each in issues} == {(severity, SEARCH, where)}


def test_on_the_way_to_a_server_it_is_settled_there() -> None:
    lot = copy.deepcopy(samples.provide_bundle())
    lot["entry"][1]["resource"]["subject"] = found()["entry"][0]["resource"]["subject"]
    for tree in (lot, found()["entry"][0]["resource"]):
        assert SEARCH not in {each.rule for each in active.validator().validate(tree, level="main")}
