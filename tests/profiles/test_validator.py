"""What is asked of which resource, at which level, and how it is told."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmp_fhir.profiles.rules import ProfileError
from dmp_fhir.profiles.validator import Validator
from dmp_fhir.profiles.walk import MOST_ISSUES
from tests.hostile.payloads import PRIMITIVES
from tests.profiles.making import (
    BASE,
    CODES,
    COLOURS,
    HOME,
    Tree,
    broken,
    element,
    extension,
    profile,
    validator,
    value_set,
)
from tests.profiles.test_false_alarms import ours
from tests.support.conforming import Conforming

ROOT = Path(__file__).parents[2]
GENDER = profile("p", "Patient", [element("Patient.gender", min=1)])
LACKS = ("error", "p#Patient.gender/min", "Patient.gender")


def declared(*names: str, **more: Any) -> Tree:
    return {"resourceType": "Patient", "meta": {"profile": [HOME + name for name in names]}, **more}


def test_profiles_are_asked_for_or_declared():
    checker = validator(GENDER)
    bare: Tree = {"resourceType": "Patient"}
    assert broken(checker, bare) == set()
    assert broken(checker, bare, "p") == {LACKS}
    assert broken(checker, declared("p")) == {LACKS}
    assert broken(checker, declared("p|1.0.0"), "p") == {LACKS}


def test_an_unknown_profile_is_said():
    """Declared by a client, it is a remark; asked for, a fault."""
    checker = validator(GENDER)
    assert broken(checker, declared("x")) == {("information", "x", "Patient")}
    assert broken(checker, {"resourceType": "Patient"}, "x") == {("error", "x", "Patient")}
    assert broken(checker, {"resourceType": "Patient", "meta": {"profile": [BASE + "Patient"]}}) == set()


def test_a_profile_of_another_type():
    assert broken(validator(GENDER), {"resourceType": "Basic", "code": {"text": "a"}}, "p") == {
        ("error", "p#Patient/type", "Basic")
    }


def test_resources_inside_are_checked_against_what_they_declare():
    checker = validator(GENDER)
    holder = {"resourceType": "Basic", "code": {"text": "a"}}
    contained = declared("p", id="c")
    tree = holder | {"contained": [contained], "subject": {"reference": "#c"}}
    assert broken(checker, tree) == {("error", "p#Patient.gender/min", "Basic.contained[0].gender")}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:a", "resource": tree}, {"fullUrl": "urn:b", "resource": declared("p")}],
    }
    assert broken(checker, bundle) == {
        ("error", "p#Patient.gender/min", "Bundle.entry[0].resource.contained[0].gender"),
        ("error", "p#Patient.gender/min", "Bundle.entry[1].resource.gender"),
    }
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": declared("p")}]}
    assert broken(checker, parameters) == {("error", "p#Patient.gender/min", "Parameters.parameter[0].resource.gender")}


def test_the_way_to_a_resource_is_written_out():
    (issue,) = validator(GENDER).validate(declared("p"), expression="Bundle.entry[2].resource")
    assert issue.expression == "Bundle.entry[2].resource.gender"


def test_references_inside_a_bundle():
    said = element("Patient.managingOrganization", type=[{"code": "Reference", "aggregation": ["bundled"]}])
    target = element(
        "Patient.generalPractitioner", type=[{"code": "Reference", "targetProfile": [BASE + "Practitioner"]}]
    )
    checker = validator(profile("p", "Patient", [said, target]))
    one, other = "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "urn:uuid:01234567-89ab-cdef-0123-456789abcdee"
    patient = declared("p", managingOrganization={"reference": one}, generalPractitioner=[{"reference": one}])
    house = {"fullUrl": one, "resource": {"resourceType": "Organization", "name": "a"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient, "fullUrl": other}, house]}
    where = "Bundle.entry[0].resource"
    assert broken(checker, bundle) == {
        ("error", "p#Patient.generalPractitioner/target", f"{where}.generalPractitioner[0]")
    }
    bundle["entry"] = bundle["entry"][:1]
    assert broken(checker, bundle) == {
        ("error", "p#Patient.managingOrganization/aggregation", f"{where}.managingOrganization")
    }


def test_r4_targets_inside_a_bundle():
    """What R4 itself says of a reference, with the entry it leads to."""
    one, other = "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "urn:uuid:01234567-89ab-cdef-0123-456789abcdee"
    patient = {"resourceType": "Patient", "managingOrganization": {"reference": one}}
    person = {"resourceType": "Practitioner"}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": other, "resource": patient}, {"fullUrl": one, "resource": person}],
    }
    assert broken(validator(), bundle) == {
        ("error", "FHIR R4 managingOrganization", "Bundle.entry[0].resource.managingOrganization")
    }


def test_levels():
    rules = {HOME + "p#Patient.gender/min": {"released": "warning", "mhd": "off"}}
    checker = validator(GENDER, rules=rules)
    lacks = ("p#Patient.gender/min", "Patient.gender")
    assert broken(checker, declared("p"), level="released") == {("warning", *lacks)}
    assert broken(checker, declared("p"), level="main") == {("error", *lacks)}
    assert broken(checker, declared("p"), level="mhd") == set()


def test_a_guide_is_capped_at_a_level():
    checker = validator(GENDER, guides=[{"canonical": HOME, "mhd": "information"}])
    assert broken(checker, declared("p"), level="main") == {LACKS}
    assert broken(checker, declared("p"), level="mhd") == {("information", *LACKS[1:])}


@pytest.mark.parametrize(
    "table",
    [
        {"rules": {HOME + "p#Patient.name/min": {"main": "off"}}},
        {"rules": {HOME + "p#Patient.gender/min": {"maine": "off"}}},
        {"guides": [{"canonical": HOME, "main": "loud"}]},
        {"colours": []},
    ],
)
def test_a_slip_in_the_level_table_stops_the_loading(table):
    with pytest.raises(ProfileError):
        validator(GENDER, **table)


def test_one_mistake_one_issue():
    """Pattern, value set and parent blame the same value; the structure has refused what is above another."""
    said = {"binding": {"strength": "required", "valueSet": COLOURS}}
    parent = profile("a", "Patient", [element("Patient.maritalStatus", **said)])
    red = {"coding": [{"system": CODES, "code": "red"}]}
    child = profile("b", "Patient", [element("Patient.maritalStatus", patternCodeableConcept=red)], HOME + "a")
    checker = validator(parent, child, value_set())
    tree = declared("b", maritalStatus={"coding": [{"system": CODES, "code": "pink"}]})
    assert broken(checker, tree, "b") == {("error", "b#Patient.maritalStatus/pattern", "Patient.maritalStatus")}
    tree["maritalStatus"] = {"coding": "pink"}
    assert broken(checker, tree, "b") == {("error", "FHIR R4 CodeableConcept.coding", "Patient.maritalStatus.coding")}
    tree["maritalStatus"] = "pink"
    assert broken(checker, tree, "b") == {("error", "FHIR R4 JSON", "Patient.maritalStatus")}


def test_not_too_many_issues():
    checker = validator(profile("p", "Patient", [element("Patient.name.family", min=1)]))
    assert len(checker.validate(declared("p", name=[{"text": "a"}] * 200))) == MOST_ISSUES


def test_what_is_no_resource():
    checker = validator(GENDER)
    for tree in (None, [], "a", {}, {"resourceType": "Nothing"}, {"resourceType": 3}):
        assert [issue.severity for issue in checker.validate(tree, [HOME + "p"])][:1] == ["error"]


def test_loading_folders(tmp_path):
    """A later folder goes over an earlier one; what is no definition is passed over."""
    one, two = tmp_path / "one", tmp_path / "two" / "deep"
    one.mkdir()
    two.mkdir(parents=True)
    (one / "p.json").write_bytes(orjson.dumps(GENDER))
    (one / "example.json").write_bytes(orjson.dumps({"resourceType": "Patient"}))
    (one / "levels.json").write_text('{"guides": []}')
    assert broken(Validator.load(one), declared("p")) == {LACKS}
    (two / "p.json").write_bytes(orjson.dumps(profile("p", "Patient", [])))
    both = Validator.load(one, tmp_path / "two")
    assert broken(both, declared("p")) == set()
    assert both.sources[HOME + "p"] == str(two / "p.json")
    (two / "bad.json").write_text("{")
    with pytest.raises(ProfileError):
        Validator.load(two)
    with pytest.raises(ProfileError):
        Validator.load(tmp_path / "three")


def test_every_rule_of_ours_says_what_it_asks():
    rules = ours().rules
    assert len(rules) > 500
    for name, rule in rules.items():
        assert rule.id == name
        assert rule.fr
        assert rule.en


def test_the_tour_of_the_registry_is_sound():
    bundle = json.loads((ROOT / "fixtures/tour/publish.json").read_text("utf-8"))
    assert [issue for issue in ours().validate(bundle) if issue.severity != "information"] == []


_HOSTILE = [value for _, value in PRIMITIVES]


def _spots(node: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key, value in list(node.items() if type(node) is dict else enumerate(node)):
        found.append((node, key))
        if type(value) in (dict, list):
            _spots(value, found)
    return found


_NAMES = sorted(
    url for url, plan in ours().profiles.items() if plan.type in ("DocumentReference", "List", "Bundle", "Patient")
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(_NAMES), st.data())
def test_no_tree_makes_the_validator_fail(seed, url, data):
    """A sound resource with anything anywhere: issues, never an exception; nothing changes in the tree."""
    tree = Conforming(ours(), seed).resource(url)
    spots = _spots(tree, [])
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(spots))
        value = data.draw(st.sampled_from([*_HOSTILE, None, {}, [], [None], {"a": []}, [{}], -1, "", True]))
        if type(holder) is dict or key < len(holder):
            holder[key] = copy.deepcopy(value)
    before = copy.deepcopy(tree)
    issues = ours().validate(tree, [url], "main")
    assert all(issue.expression and issue.fr and issue.en for issue in issues)
    assert tree == before


def test_parts_of_a_known_extension():
    """A part named by a word is one the definition gives; one with an address of its own may be added."""
    part = element("Extension.extension:colour", sliceName="colour", max="1")
    named = element("Extension.extension:colour.url", fixedUri="colour")
    checker = validator(extension("x", [part, named]))

    def patient(url: str) -> dict[str, Any]:
        inner = [{"url": "colour", "valueCode": "red"}, {"url": url, "valueCode": "a"}]
        return {"resourceType": "Patient", "extension": [{"url": HOME + "x", "extension": inner}]}

    assert broken(checker, patient("http://example.org/other")) == set()
    assert broken(checker, patient("other")) == {
        ("error", "x#Extension.extension/slicing", "Patient.extension[0].extension[1].url")
    }


# Targets of references ------------------------------------------------------------------------------------------------


def targets(*urls: str, **table: Any) -> Validator:
    lists = element("List.source", type=[{"code": "Reference", "targetProfile": list(urls)}])
    named = profile("named", "Practitioner", [element("Practitioner.name", min=1)])
    dated = profile("dated", "Practitioner", [element("Practitioner.birthDate", min=1)])
    return validator(profile("p", "List", [lists]), named, dated, **table)


def listed(person: dict[str, Any] | None, reference: str = "#a") -> dict[str, Any]:
    tree = {"resourceType": "List", "status": "current", "mode": "working", "source": {"reference": reference}}
    return tree if person is None else {"contained": [{"resourceType": "Practitioner", "id": "a", **person}], **tree}


def test_the_target_of_a_reference_follows_one_of_its_profiles():
    checker = targets(HOME + "named")
    assert broken(checker, listed({"name": [{"text": "A"}]}), "p") == set()
    assert broken(checker, listed({}), "p") == {("error", "named#Practitioner.name/min", "List.contained[0].name")}
    assert broken(checker, listed(None, "Practitioner/a"), "p") == set()  # not at hand
    either = targets(HOME + "named", HOME + "dated")
    assert broken(either, listed({"birthDate": "2000"}), "p") == set()
    assert len(broken(either, listed({}), "p")) == 1
    any_one = targets(HOME + "named", BASE + "Practitioner")
    assert broken(any_one, listed({}), "p") == set()


def test_targets_in_the_same_bundle_and_their_targets():
    issuer = [{"code": "Reference", "targetProfile": [HOME + "house"]}]
    friend = profile("friend", "Practitioner", [element("Practitioner.qualification.issuer", type=issuer)])
    whole = element("Organization.partOf", type=issuer)
    house = profile("house", "Organization", [element("Organization.alias", min=1), whole])
    source = element("List.source", type=[{"code": "Reference", "targetProfile": [HOME + "friend"]}])
    checker = validator(profile("p", "List", [source]), friend, house)
    degree = {"code": {"text": "a"}, "issuer": {"reference": "urn:uuid:c"}}
    person = {"resourceType": "Practitioner", "qualification": [degree]}
    # Each is part of the other: looked at once.
    houses = [{"resourceType": "Organization", "name": n, "partOf": {"reference": f"urn:uuid:{n}"}} for n in "dc"]
    resources = [listed(None, "urn:uuid:b") | {"meta": {"profile": [HOME + "p"]}}, person, *houses]
    entries = [{"fullUrl": f"urn:uuid:{n}", "resource": each} for n, each in zip("abcd", resources, strict=True)]
    tree = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    found = [(each.severity, each.expression) for each in checker.validate(tree) if "alias" in str(each.rule)]
    assert sorted(found) == [("error", f"Bundle.entry[{n}].resource.alias") for n in (2, 3)]


def test_a_level_may_soften_what_is_asked_of_targets():
    checker = targets(HOME + "named", targets={"released": "warning"})
    where = ("named#Practitioner.name/min", "List.contained[0].name")
    assert broken(checker, listed({}), "p") == {("warning", *where)}
    assert broken(checker, listed({}), "p", level="main") == {("error", *where)}
    claimed = listed({"meta": {"profile": [HOME + "named"]}})
    assert broken(checker, claimed, "p") == {("error", *where)}  # it says itself that it follows it
