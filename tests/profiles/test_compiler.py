"""Everything a profile can say about an element, each kept and broken."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dmp_fhir.profiles.rules import ProfileError
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

PATIENT: Tree = {
    "resourceType": "Patient",
    "identifier": [
        {"use": "usual", "system": "urn:oid:1.2.3", "value": "abc"},
        {"use": "official", "system": "urn:oid:1.2.4", "value": "123"},
    ],
    "active": True,
    "name": [{"family": "Vasseur", "given": ["Claire"]}],
    "gender": "female",
    "maritalStatus": {"coding": [{"system": CODES, "code": "red"}]},
    "multipleBirthInteger": 2,
    "managingOrganization": {"reference": "Organization/a"},
}


def patient(**changes: Any) -> Tree:
    tree = copy.deepcopy(PATIENT) | changes
    return {name: value for name, value in tree.items() if value is not None}


def check(tree: Tree, *elements: Tree, others: tuple[Tree, ...] = (), **table: Any) -> set[Any]:
    return broken(validator(profile("p", "Patient", elements), value_set(), *others, **table), tree, "p")


def concept(code: str, system: str = CODES) -> Tree:
    return {"coding": [{"system": system, "code": code}]}


# what the profile says, a patient who keeps it, one who breaks it, severity, rule, expression
CASES: list[tuple[str, Tree, Tree, Tree, str, str, str]] = [
    ("min", element("Patient.birthDate", min=1), patient(birthDate="1974"), patient(), "error", "min", "birthDate"),
    (
        "min of a list",
        element("Patient.name", min=2),
        patient(name=[{"text": "a"}, {"text": "b"}]),
        patient(),
        "error",
        "min",
        "name",
    ),
    (
        "max 0",
        element("Patient.photo", max="0"),
        patient(),
        patient(photo=[{"url": "http://a"}]),
        "error",
        "max",
        "photo",
    ),
    (
        "max of a list",
        element("Patient.identifier", max="2"),
        patient(),
        patient(identifier=[{"value": str(n)} for n in range(3)]),
        "error",
        "max",
        "identifier",
    ),
    (
        "min below",
        element("Patient.name.prefix", min=1),
        patient(name=[{"prefix": ["Dr"]}]),
        patient(),
        "error",
        "min",
        "name[0].prefix",
    ),
    (
        "min of a choice",
        element("Patient.deceased[x]", min=1),
        patient(deceasedBoolean=False),
        patient(),
        "error",
        "min",
        "deceased",
    ),
    (
        "type of a choice",
        element("Patient.multipleBirth[x]", type=[{"code": "integer"}]),
        patient(),
        patient(multipleBirthInteger=None, multipleBirthBoolean=True),
        "error",
        "type",
        "multipleBirthBoolean",
    ),
    (
        "fixed text",
        element("Patient.gender", fixedCode="female"),
        patient(),
        patient(gender="male"),
        "error",
        "fixed",
        "gender",
    ),
    (
        "fixed boolean",
        element("Patient.active", fixedBoolean=True),
        patient(),
        patient(active=False),
        "error",
        "fixed",
        "active",
    ),
    (
        "fixed object",
        element("Patient.maritalStatus", fixedCodeableConcept=concept("red")),
        patient(),
        patient(maritalStatus=concept("red") | {"text": "Rouge"}),
        "error",
        "fixed",
        "maritalStatus",
    ),
    (
        "pattern",
        element("Patient.maritalStatus", patternCodeableConcept=concept("red")),
        patient(
            maritalStatus={"text": "Rouge", "coding": [{"code": "x"}, {"system": CODES, "code": "red", "display": "R"}]}
        ),
        patient(maritalStatus=concept("blue")),
        "error",
        "pattern",
        "maritalStatus",
    ),
    (
        "required",
        element("Patient.maritalStatus", binding={"strength": "required", "valueSet": COLOURS}),
        patient(),
        patient(maritalStatus=concept("pink")),
        "error",
        "binding",
        "maritalStatus",
    ),
    (
        "required, text only",
        element("Patient.maritalStatus", binding={"strength": "required", "valueSet": COLOURS}),
        patient(),
        patient(maritalStatus={"text": "rouge"}),
        "error",
        "binding",
        "maritalStatus",
    ),
    (
        "required, other system",
        element("Patient.maritalStatus", binding={"strength": "required", "valueSet": COLOURS + "|1"}),
        patient(),
        patient(maritalStatus=concept("red", "http://other")),
        "error",
        "binding",
        "maritalStatus",
    ),
    (
        "extensible",
        element("Patient.maritalStatus", binding={"strength": "extensible", "valueSet": COLOURS}),
        patient(maritalStatus={"text": "rouge"}),
        patient(maritalStatus=concept("pink")),
        "warning",
        "binding",
        "maritalStatus",
    ),
    (
        "preferred",
        element("Patient.maritalStatus", binding={"strength": "preferred", "valueSet": COLOURS}),
        patient(),
        patient(maritalStatus=concept("pink")),
        "information",
        "binding",
        "maritalStatus",
    ),
    (
        "binding of a code",
        element("Patient.language", binding={"strength": "required", "valueSet": COLOURS}),
        patient(language="red"),
        patient(language="fr"),
        "error",
        "binding",
        "language",
    ),
    (
        "target",
        element("Patient.generalPractitioner", type=[{"code": "Reference", "targetProfile": [BASE + "Practitioner"]}]),
        patient(generalPractitioner=[{"reference": "Practitioner/a"}]),
        patient(generalPractitioner=[{"reference": "Organization/a"}]),
        "error",
        "target",
        "generalPractitioner[0]",
    ),
    (
        "target, logical",
        element("Patient.generalPractitioner", type=[{"code": "Reference", "targetProfile": [BASE + "Practitioner"]}]),
        patient(generalPractitioner=[{"identifier": {"value": "a"}}]),
        patient(generalPractitioner=[{"type": "Organization", "identifier": {"value": "a"}}]),
        "error",
        "target",
        "generalPractitioner[0]",
    ),
    (
        "aggregation",
        element("Patient.managingOrganization", type=[{"code": "Reference", "aggregation": ["contained"]}]),
        patient(
            contained=[{"resourceType": "Organization", "id": "o", "name": "a"}],
            managingOrganization={"reference": "#o"},
        ),
        patient(),
        "error",
        "aggregation",
        "managingOrganization",
    ),
    (
        "maxLength",
        element("Patient.name.family", maxLength=7),
        patient(),
        patient(name=[{"family": "Vasseurs"}]),
        "error",
        "maxLength",
        "name[0].family",
    ),
    (
        "minValue",
        element("Patient.multipleBirth[x]", type=[{"code": "integer"}], minValueInteger=2),
        patient(),
        patient(multipleBirthInteger=1),
        "error",
        "minValue",
        "multipleBirthInteger",
    ),
    (
        "maxValue",
        element("Patient.birthDate", maxValueDate="2000-01-01"),
        patient(birthDate="1999-12-31"),
        patient(birthDate="2000-01-02"),
        "error",
        "maxValue",
        "birthDate",
    ),
]


@pytest.mark.parametrize(("what", "said", "kept", "bad", "severity", "aspect", "expression"), CASES)
def test_each_thing_a_profile_says(what, said, kept, bad, severity, aspect, expression):
    assert check(kept, said) == set()
    assert check(bad, said) == {(severity, f"p#{said['id']}/{aspect}", f"Patient.{expression}")}


INVARIANT = {"key": "p-1", "severity": "error", "human": "A family name.", "expression": "family.exists()"}


def test_invariant_and_its_severity():
    bad = patient(name=[{"text": "Claire"}, {"family": "Vasseur"}])
    assert check(patient(), element("Patient.name", constraint=[INVARIANT])) == set()
    assert check(bad, element("Patient.name", constraint=[INVARIANT])) == {("error", "p#p-1", "Patient.name[0]")}
    mild = INVARIANT | {"severity": "warning"}
    assert check(bad, element("Patient.name", constraint=[mild])) == {("warning", "p#p-1", "Patient.name[0]")}


def test_invariant_of_the_resource_reaches_what_it_refers_to():
    rule = {"key": "p-2", "severity": "error", "human": "x", "expression": "managingOrganization.resolve().name = 'a'"}
    contained = [{"resourceType": "Organization", "id": "o", "name": "b"}]
    tree = patient(contained=contained, managingOrganization={"reference": "#o"})
    assert check(tree, element("Patient", constraint=[rule])) == {("error", "p#p-2", "Patient")}
    contained[0]["name"] = "a"
    assert check(tree, element("Patient", constraint=[rule])) == set()


def test_a_profile_of_a_datatype():
    oid = profile("oid", "Identifier", [element("Identifier.system", min=1), element("Identifier.value", min=1)])
    said = element("Patient.identifier", type=[{"code": "Identifier", "profile": [HOME + "oid"]}])
    assert check(patient(), said, others=(oid,)) == set()
    assert check(patient(identifier=[{"value": "a"}]), said, others=(oid,)) == {
        ("error", "oid#Identifier.system/min", "Patient.identifier[0].system")
    }


def test_one_of_several_profiles_of_a_datatype():
    """The faults are those against the nearest."""
    one = profile("one", "Identifier", [element("Identifier.system", min=1), element("Identifier.value", min=1)])
    two = profile("two", "Identifier", [element("Identifier.assigner", min=1)])
    said = element("Patient.identifier", type=[{"code": "Identifier", "profile": [HOME + "one", HOME + "two"]}])
    kept = patient(identifier=[{"assigner": {"display": "a"}}, {"system": "urn:oid:1.2", "value": "b"}])
    assert check(kept, said, others=(one, two)) == set()
    assert check(patient(identifier=[{"use": "usual"}]), said, others=(one, two)) == {
        ("error", "two#Identifier.assigner/min", "Patient.identifier[0].assigner")
    }


def test_a_primitive_with_extensions_only_is_there():
    said = element("Patient.birthDate", min=1)
    why = {"extension": [{"url": "http://example.org/why", "valueCode": "unknown"}]}
    assert check(patient(_birthDate=why), said) == set()


def test_extensions_of_a_primitive():
    said = [
        element("Patient.birthDate.extension", min=1),
        element(
            "Patient.birthDate.extension:time", min=1, max="1", type=[{"code": "Extension", "profile": [HOME + "t"]}]
        ),
    ]
    time = extension("t", [element("Extension.value[x]", min=1, type=[{"code": "dateTime"}])], "Patient.birthDate")
    beside = {"extension": [{"url": HOME + "t", "valueDateTime": "1974-03-12"}]}
    good = patient(birthDate="1974-03-12", _birthDate=beside)
    assert check(good, *said, others=(time,)) == set()
    beside["extension"][0] = {"url": HOME + "t", "valueString": "noon"}
    assert check(good, *said, others=(time,)) == {
        ("error", "t#Extension.value[x]/type", "Patient._birthDate.extension[0].valueString")
    }
    beside["extension"][0] = {"url": "http://other", "valueString": "noon"}
    assert check(good, *said, others=(time,)) == {
        ("error", "p#Patient.birthDate.extension:time/min", "Patient._birthDate.extension")
    }


def test_what_r4_asks_anyway_is_asked_once():
    said = [element("Patient.link.other", min=1), element("Patient.gender", fixedCode="female")]
    bad = patient(link=[{"type": "refer"}], gender="bogus")
    assert check(bad, *said) == {
        ("error", "FHIR R4 Patient.link.other", "Patient.link[0].other"),
        ("error", "http://hl7.org/fhir/ValueSet/administrative-gender", "Patient.gender"),
    }


def test_a_derived_profile_adds_to_its_parent():
    parent = profile("parent", "Patient", [element("Patient.name", max="2"), element("Patient.gender", min=1)])
    child = profile("child", "Patient", [element("Patient.name", max="1")], HOME + "parent")
    checker = validator(parent, child)
    two = patient(name=[{"text": "a"}, {"text": "b"}], gender=None)
    assert broken(checker, two, "parent") == {("error", "parent#Patient.gender/min", "Patient.gender")}
    assert broken(checker, two, "child", "parent") == {
        ("error", "parent#Patient.gender/min", "Patient.gender"),
        ("error", "child#Patient.name/max", "Patient.name"),
    }


def test_a_snapshot_alone():
    """What a snapshot repeats of R4 is no constraint."""
    rows = [
        element(
            "Patient",
            constraint=[
                {"key": "dom-2", "severity": "error", "human": "x", "expression": "contained.contained.empty()"}
            ],
        ),
        element(
            "Patient.id",
            min=0,
            max="1",
            type=[{"code": "http://hl7.org/fhirpath/System.String"}],
            base={"path": "Resource.id"},
        ),
        element(
            "Patient.gender",
            min=1,
            max="1",
            type=[{"code": "code"}],
            binding={"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1"},
        ),
        element("Patient.contact", min=0, max="*", type=[{"code": "BackboneElement"}]),
        element("Patient.contact.gender", min=0, max="1", type=[{"code": "code"}]),
    ]
    tree = profile("p", "Patient", [], parent="http://elsewhere.example.org/unknown")
    tree["snapshot"] = {"element": rows}
    checker = validator(tree)
    assert broken(checker, patient(), "p") == set()
    assert broken(checker, patient(gender=None), "p") == {("error", "p#Patient.gender/min", "Patient.gender")}


def test_messages_say_what_is_found_and_expected():
    said = element("Patient.maritalStatus", binding={"strength": "required", "valueSet": COLOURS})
    checker = validator(profile("p", "Patient", [said]), value_set())
    (issue,) = checker.validate(patient(maritalStatus=concept("gren")), [HOME + "p"])
    assert issue.rule == HOME + "p#Patient.maritalStatus/binding"
    assert COLOURS in issue.en
    assert f"{CODES}#gren" in issue.fr
    assert "green (Vert)" in issue.en
    assert "green (Vert)" in issue.fr
    assert issue.code == "code-invalid"


NOT_UNDERSTOOD: list[tuple[str, list[Tree]]] = [
    ("no such element", [element("Patient.colour", min=1)]),
    ("another type", [element("Practitioner.name", min=1)]),
    ("unknown facet", [element("Patient.name", mustBeNice=True)]),
    ("less strict than its parent", [element("Patient.name", min=2), element("Patient.name", min=1)]),
    ("more than its parent", [element("Patient.name", max="1"), element("Patient.name", max="2")]),
    ("a type that is none", [element("Patient.name", type=[{"code": "Name"}])]),
    ("a type the element hasn't", [element("Patient.name", type=[{"code": "Address"}])]),
    ("a profile that isn't there", [element("Patient.name", type=[{"code": "HumanName", "profile": [HOME + "x"]}])]),
    (
        "a target that isn't there",
        [element("Patient.managingOrganization", type=[{"code": "Reference", "targetProfile": [HOME + "x"]}])],
    ),
    (
        "a value set that isn't there",
        [element("Patient.maritalStatus", binding={"strength": "required", "valueSet": HOME + "x"})],
    ),
    ("a binding of a date", [element("Patient.birthDate", binding={"strength": "required", "valueSet": COLOURS})]),
    ("unknown strength", [element("Patient.maritalStatus", binding={"strength": "firm", "valueSet": COLOURS})]),
    ("FHIRPath not understood", [element("Patient.name", constraint=[INVARIANT | {"expression": "frob()"}])]),
    ("no FHIRPath", [element("Patient.name", constraint=[{"key": "a", "severity": "error", "human": "x"}])]),
    ("a slice without slicing", [element("Patient.name:a", min=1)]),
    ("a slice of a slice", [element("Patient.extension:a/b", min=1)]),
    (
        "unknown discriminator",
        [element("Patient.name", slicing={"discriminator": [{"type": "position", "path": "$this"}]})],
    ),
    (
        "a path not understood",
        [
            element("Patient.name", slicing={"discriminator": [{"type": "value", "path": "where(a)"}]}),
            element("Patient.name:a", min=1),
        ],
    ),
    (
        "nothing discriminates",
        [
            element("Patient.name", slicing={"discriminator": [{"type": "value", "path": "use"}]}),
            element("Patient.name:a", min=1),
        ],
    ),
    (
        "slices of what doesn't repeat",
        [
            element("Patient.maritalStatus", slicing={"discriminator": [{"type": "value", "path": "text"}]}),
            element("Patient.maritalStatus:a"),
            element("Patient.maritalStatus:a.text", fixedString="a"),
        ],
    ),
    (
        "closed, without slices",
        [element("Patient.name", slicing={"rules": "closed", "discriminator": [{"type": "value", "path": "use"}]})],
    ),
    ("below a choice of several types", [element("Patient.deceased[x].extension", min=1)]),
    (
        "versioned references",
        [element("Patient.managingOrganization", type=[{"code": "Reference", "versioning": "specific"}])],
    ),
]


@pytest.mark.parametrize(("what", "elements"), NOT_UNDERSTOOD)
def test_what_is_not_understood_stops_the_loading(what, elements):
    with pytest.raises(ProfileError) as fault:
        check(patient(), *elements)
    assert HOME + "p" in str(fault.value) or "Patient" in str(fault.value)


def test_invariants_in_text_only_are_allowed_when_they_are_listed():
    said = element("Patient.name", constraint=[{"key": "a", "severity": "error", "human": "x"}])
    assert check(patient(), said, text={"a": "content.py"}) == set()


def test_a_value_set_that_cannot_be_enumerated_is_allowed_when_it_is_listed():
    said = element("Patient.maritalStatus", binding={"strength": "required", "valueSet": HOME + "x"})
    assert check(patient(), said, open=[HOME + "x"]) == set()


@pytest.mark.parametrize(
    "more",
    [
        {"derivation": "specialization"},
        {"baseDefinition": BASE + "Practitioner"},
        {"baseDefinition": HOME + "p"},
        {"baseDefinition": HOME + "absent"},
        {"type": "Colour"},
        {"contextInvariant": ["true"], "type": "Extension"},
    ],
)
def test_structures_that_are_not_understood(more):
    kind = more.get("type", "Patient")
    rows = [element(kind), element("Extension.url", fixedUri=HOME + "p")] if kind == "Extension" else [element(kind)]
    with pytest.raises(ProfileError):
        validator(profile("p", kind, rows) | more)
