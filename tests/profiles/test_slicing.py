"""Slices by each kind of discriminator, open and closed."""

from __future__ import annotations

from typing import Any

import pytest

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


def by(kind: str, path: str, rules: str = "open", **more: Any) -> Tree:
    return {"discriminator": [{"type": kind, "path": path}], "rules": rules, **more}


def identifiers(slicing: Tree, *slices: Tree, **others: Any) -> Any:
    elements = [element("Patient.identifier", slicing=slicing), *slices]
    return validator(profile("p", "Patient", elements), value_set(), *others.get("others", ()))


def patient(*items: Tree, **more: Any) -> Tree:
    return (
        {"resourceType": "Patient", "identifier": list(items), **more} if items else {"resourceType": "Patient", **more}
    )


def official(**facets: Any) -> list[Tree]:
    return [
        element("Patient.identifier:a", **facets),
        element("Patient.identifier:a.use", fixedCode="official"),
        element("Patient.identifier:a.system", min=1),
    ]


GOOD = {"use": "official", "system": "urn:oid:1.2"}


@pytest.mark.parametrize("kind", ["value", "pattern"])
def test_by_value(kind):
    checker = identifiers(by(kind, "use"), *official(min=1, max="1"))
    assert broken(checker, patient(GOOD, {"use": "usual"}, {"value": "a"}), "p") == set()
    assert broken(checker, patient({"use": "usual"}), "p") == {
        ("error", "p#Patient.identifier:a/min", "Patient.identifier")
    }
    assert broken(checker, patient(GOOD, GOOD), "p") == {("error", "p#Patient.identifier:a/max", "Patient.identifier")}
    assert broken(checker, patient({"value": "a"}, {"use": "official"}), "p") == {
        ("error", "p#Patient.identifier:a.system/min", "Patient.identifier[1].system"),
    }


def test_a_slice_that_must_be_there_speaks_for_the_list():
    """`identifier 1..*` and one mandatory slice: an empty list is one mistake."""
    elements = [element("Patient.identifier", min=1, slicing=by("value", "use")), *official(min=1)]
    checker = validator(profile("p", "Patient", elements))
    assert broken(checker, patient(), "p") == {("error", "p#Patient.identifier:a/min", "Patient.identifier")}


def test_closed():
    checker = identifiers(by("value", "use", "closed"), *official())
    assert broken(checker, patient(GOOD), "p") == set()
    assert broken(checker, patient(GOOD, {"use": "old"}), "p") == {
        ("error", "p#Patient.identifier/slicing", "Patient.identifier[1]")
    }


SECOND = [element("Patient.identifier:b"), element("Patient.identifier:b.use", patternCode="usual")]


def test_ordered():
    checker = identifiers(by("value", "use", ordered=True), *official(), *SECOND)
    assert broken(checker, patient(GOOD, {"value": "a"}, {"use": "usual"}), "p") == set()
    assert broken(checker, patient({"use": "usual"}, GOOD), "p") == {
        ("error", "p#Patient.identifier/slicing", "Patient.identifier[1]")
    }


def test_open_at_end():
    checker = identifiers(by("value", "use", "openAtEnd"), *official(), *SECOND)
    assert broken(checker, patient({"use": "usual"}, GOOD, {"value": "a"}), "p") == set()
    assert broken(checker, patient({"value": "a"}, GOOD), "p") == {
        ("error", "p#Patient.identifier/slicing", "Patient.identifier[1]")
    }


def test_by_a_value_deep_below_and_given_by_a_pattern_above():
    slices = [
        element("Patient.identifier:a", max="1"),
        element(
            "Patient.identifier:a.type", min=1, patternCodeableConcept={"coding": [{"system": CODES, "code": "red"}]}
        ),
        element("Patient.identifier:b", max="1"),
        element("Patient.identifier:b.type.coding.code", fixedCode="blue"),
        element("Patient.identifier:b.value", min=1),
    ]
    checker = identifiers(by("value", "type"), *slices)
    red = {"type": {"coding": [{"system": "http://other", "code": "x"}, {"system": CODES, "code": "red"}]}}
    blue = {"type": {"coding": [{"system": CODES, "code": "blue"}]}}
    assert broken(checker, patient(red, {"type": {"text": "a"}}), "p") == set()
    assert broken(checker, patient(red, red), "p") == {("error", "p#Patient.identifier:a/max", "Patient.identifier")}
    assert broken(checker, patient(red, blue), "p") == {
        ("error", "p#Patient.identifier:b.value/min", "Patient.identifier[1].value")
    }


def test_by_a_required_value_set():
    slices = [
        element("Patient.identifier:a", min=1),
        element("Patient.identifier:a.type", binding={"strength": "required", "valueSet": COLOURS}),
    ]
    checker = identifiers(by("value", "type"), *slices)
    assert broken(checker, patient({"type": {"coding": [{"system": CODES, "code": "blue"}]}}), "p") == set()
    assert broken(checker, patient({"type": {"coding": [{"system": CODES, "code": "x"}]}}), "p") == {
        ("error", "p#Patient.identifier:a/min", "Patient.identifier")
    }


def test_by_the_value_in_the_profile_of_the_type():
    """As MHD does: the slice names a profile of Identifier, which fixes `use`."""
    entry = profile(
        "entry", "Identifier", [element("Identifier.use", patternCode="official"), element("Identifier.value", min=1)]
    )
    slices = [element("Patient.identifier:a", type=[{"code": "Identifier", "profile": [HOME + "entry"]}])]
    checker = identifiers(by("value", "use"), *slices, others=(entry,))
    assert (
        broken(checker, patient({"use": "official", "value": "a"}, {"use": "usual", "system": "urn:a"}), "p") == set()
    )
    assert broken(checker, patient({"use": "official", "system": "urn:a"}), "p") == {
        ("error", "entry#Identifier.value/min", "Patient.identifier[0].value")
    }


def test_by_this_value():
    elements = [
        element("Patient.meta.profile", slicing=by("value", "$this")),
        element("Patient.meta.profile:a", min=1, fixedCanonical="http://example.org/a"),
    ]
    checker = validator(profile("p", "Patient", elements))
    assert broken(checker, patient(meta={"profile": [BASE + "Patient", "http://example.org/a"]}), "p") == {
        ("information", "http://example.org/a", "Patient")
    }
    assert broken(checker, patient(meta={"profile": [BASE + "Patient"]}), "p") == {
        ("error", "p#Patient.meta.profile:a/min", "Patient.meta.profile")
    }


def test_by_existence():
    slices = [
        element("Patient.identifier:a", max="1"),
        element("Patient.identifier:a.system", min=1),
        element("Patient.identifier:b", max="0"),
        element("Patient.identifier:b.system", max="0"),
    ]
    checker = identifiers(by("exists", "system"), *slices)
    assert broken(checker, patient({"system": "urn:a"}), "p") == set()
    assert broken(checker, patient({"system": "urn:a"}, {"value": "a"}), "p") == {
        ("error", "p#Patient.identifier:b/max", "Patient.identifier")
    }


def test_by_two_values():
    slicing = {
        "discriminator": [{"type": "value", "path": "use"}, {"type": "value", "path": "system"}],
        "rules": "open",
    }
    slices = [
        element("Patient.identifier:a", max="1"),
        element("Patient.identifier:a.use", fixedCode="official"),
        element("Patient.identifier:a.system", fixedUri="urn:a"),
    ]
    checker = identifiers(slicing, *slices)
    one, other = {"use": "official", "system": "urn:a"}, {"use": "official", "system": "urn:b"}
    assert broken(checker, patient(one, other, other), "p") == set()
    assert broken(checker, patient(one, one), "p") == {("error", "p#Patient.identifier:a/max", "Patient.identifier")}


def practitioners(kind: str) -> Any:
    nurse = profile("nurse", "Practitioner", [element("Practitioner.name", min=1)])
    elements = [
        element("Patient.generalPractitioner", slicing=by(kind, "resolve()")),
        element(
            "Patient.generalPractitioner:a", max="1", type=[{"code": "Reference", "targetProfile": [HOME + "nurse"]}]
        ),
    ]
    return validator(profile("p", "Patient", elements), nurse)


def test_by_the_type_of_what_is_referred_to():
    checker = practitioners("type")
    house, away, named = {"reference": "Organization/a"}, {"reference": "Practitioner/a"}, {"reference": "#n"}
    contained = [{"resourceType": "Practitioner", "id": "n", "name": [{"family": "A"}]}]
    assert broken(checker, patient(generalPractitioner=[house, away, house]), "p") == set()
    two = patient(generalPractitioner=[named, away], contained=contained)
    assert broken(checker, two, "p") == {
        ("error", "p#Patient.generalPractitioner:a/max", "Patient.generalPractitioner")
    }
    nameless = patient(generalPractitioner=[named], contained=[{"resourceType": "Practitioner", "id": "n"}])
    assert broken(checker, nameless, "p") == {("error", "nurse#Practitioner.name/min", "Patient.contained[0].name")}


def test_by_the_profile_of_what_is_referred_to():
    """What does not follow the profile is outside an open slicing: told, not refused, and not counted."""
    checker = practitioners("profile")
    named, other = {"reference": "#n"}, {"reference": "#o"}
    nurses = [{"resourceType": "Practitioner", "id": each, "name": [{"family": "A"}]} for each in "no"]
    assert broken(checker, patient(generalPractitioner=[named], contained=nurses[:1]), "p") == set()
    assert broken(checker, patient(generalPractitioner=[named, other], contained=nurses), "p") == {
        ("error", "p#Patient.generalPractitioner:a/max", "Patient.generalPractitioner")
    }
    del nurses[1]["name"]
    assert broken(checker, patient(generalPractitioner=[named, other], contained=nurses), "p") == {
        ("warning", "nurse#Practitioner.name/min", "Patient.contained[1].name")
    }


def bundles(rules: str = "closed") -> Any:
    lots = profile("lot", "List", [element("List.title", min=1), element("List.mode", fixedCode="working")])
    folders = profile("folder", "List", [element("List.note", min=1), element("List.mode", fixedCode="snapshot")])
    discriminators = [{"type": "profile", "path": "resource"}, {"type": "value", "path": "request.method"}]
    elements = [element("Bundle.entry", slicing={"discriminator": discriminators, "rules": rules})]
    for name, url, code in (
        ("lot", HOME + "lot", "List"),
        ("folder", HOME + "folder", "List"),
        ("file", None, "Binary"),
    ):
        profiles = {"profile": [url]} if url else {}
        elements += [
            element(f"Bundle.entry:{name}", min=int(name == "lot")),
            element(f"Bundle.entry:{name}.resource", min=1, type=[{"code": code, **profiles}]),
            element(f"Bundle.entry:{name}.request.method", fixedCode="POST"),
        ]
    return validator(profile("p", "Bundle", elements), lots, folders)


def bundle(*resources: Tree, method: str = "POST") -> Tree:
    entries = [{"resource": each, "request": {"method": method, "url": each["resourceType"]}} for each in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


LOT = {"resourceType": "List", "status": "current", "mode": "working", "title": "a"}
FOLDER = {"resourceType": "List", "status": "current", "mode": "snapshot", "note": [{"text": "a"}]}
FILE = {"resourceType": "Binary", "contentType": "text/plain"}


def test_by_profile_and_value():
    checker = bundles()
    assert broken(checker, bundle(LOT, FOLDER, FILE), "p") == set()
    assert broken(checker, bundle(FOLDER), "p") == {("error", "p#Bundle.entry:lot/min", "Bundle.entry")}


def test_what_nearly_belongs_is_told_what_it_lacks():
    checker = bundles()
    untitled = {name: value for name, value in LOT.items() if name != "title"}
    assert broken(checker, bundle(untitled, FILE), "p") == {
        ("error", "lot#List.title/min", "Bundle.entry[0].resource.title")
    }
    tree = bundle(LOT, FILE)
    tree["entry"][1]["request"]["method"] = "PUT"
    assert broken(checker, tree, "p") == {
        ("error", "p#Bundle.entry:file.request.method/fixed", "Bundle.entry[1].request.method")
    }


def test_what_belongs_nowhere():
    stray = {"resourceType": "Patient"}
    assert broken(bundles(), bundle(LOT, stray), "p") == {("error", "p#Bundle.entry/slicing", "Bundle.entry[1]")}
    assert broken(bundles("open"), bundle(LOT, stray), "p") == set()


def test_a_declared_profile_decides():
    lost = {**FOLDER, "meta": {"profile": [HOME + "lot"]}}
    assert broken(bundles(), bundle(LOT, lost), "p") == {
        ("error", "lot#List.title/min", "Bundle.entry[1].resource.title"),
        ("error", "lot#List.mode/fixed", "Bundle.entry[1].resource.mode"),
    }


def extensions(**facets: Any) -> Any:
    archived = extension("archived", [element("Extension.value[x]", min=1, type=[{"code": "boolean"}])], "Patient")
    said = element("Patient.extension:archived", type=[{"code": "Extension", "profile": [HOME + "archived"]}], **facets)
    return validator(profile("p", "Patient", [said]), archived)


def test_extensions_are_sliced_by_url():
    good = {"url": HOME + "archived", "valueBoolean": True}
    other = {"url": "http://example.org/other", "valueString": "a"}
    checker = extensions(min=1, max="1")
    assert broken(checker, {"resourceType": "Patient", "extension": [other, good]}, "p") == set()
    assert broken(checker, {"resourceType": "Patient", "extension": [other]}, "p") == {
        ("error", "p#Patient.extension:archived/min", "Patient.extension")
    }
    assert broken(checker, {"resourceType": "Patient", "extension": [good, good]}, "p") == {
        ("error", "p#Patient.extension:archived/max", "Patient.extension")
    }
    assert broken(checker, {"resourceType": "Patient", "extension": [good | {"valueBoolean": "true"}]}, "p") == {
        ("error", "FHIR R4 boolean", "Patient.extension[0].valueBoolean")
    }
    wrong = {"url": HOME + "archived", "valueString": "true"}
    assert broken(checker, {"resourceType": "Patient", "extension": [wrong]}, "p") == {
        ("error", "archived#Extension.value[x]/type", "Patient.extension[0].valueString")
    }


def test_a_known_extension_is_checked_wherever_it_stands():
    checker = extensions()
    wrong = {"url": HOME + "archived", "valueString": "true"}
    good = {"url": HOME + "archived", "valueBoolean": True}
    tree = {"resourceType": "Patient", "name": [{"text": "a", "extension": [good]}], "extension": [wrong]}
    assert broken(checker, tree) == {
        ("error", "archived#Extension.value[x]/type", "Patient.extension[0].valueString"),
        ("error", "archived#Extension/context", "Patient.name[0].extension[0]"),
    }


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ("Patient.name", True),
        ("HumanName", True),
        ("Element", True),
        ("Patient", False),
        ("Patient.contact.name", False),
        ("DomainResource", False),
        (HOME + "outer", False),
    ],
)
def test_contexts_of_extensions(context, allowed):
    here = extension("here", [element("Extension.value[x]", min=1)], context)
    given = {"url": HOME + "here", "valueString": "a"}
    tree = {"resourceType": "Patient", "name": [{"text": "a", "extension": [given]}]}
    assert (broken(validator(here), tree) == set()) is allowed


def test_an_extension_within_an_extension():
    here = extension("here", [element("Extension.value[x]", min=1)]) | {
        "context": [{"type": "extension", "expression": HOME + "outer"}]
    }
    given = {"url": HOME + "here", "valueString": "a"}
    tree = {"resourceType": "Patient", "extension": [{"url": HOME + "outer", "extension": [given]}]}
    assert broken(validator(here), tree) == set()
    assert broken(validator(here), {"resourceType": "Patient", "extension": [given]}) == {
        ("error", "here#Extension/context", "Patient.extension[0]")
    }


def test_a_complex_extension():
    """Parts sliced by url, no value."""
    parts = [
        element("Extension.extension:code", min=1, max="1"),
        element("Extension.extension:code.url", fixedUri="code"),
        element("Extension.extension:code.value[x]", min=1, type=[{"code": "Coding"}]),
        element("Extension.value[x]", max="0"),
    ]
    checker = validator(extension("whole", parts, "Patient"))

    def given(**part: Any) -> Tree:
        return {
            "resourceType": "Patient",
            "extension": [{"url": HOME + "whole", "extension": [{"url": "code", **part}]}],
        }

    assert broken(checker, given(valueCoding={"code": "a"})) == set()
    assert broken(checker, given(valueString="a")) == {
        (
            "error",
            "whole#Extension.extension:code.value[x]/type",
            "Patient.extension[0].extension[0].valueString",
        )
    }
    assert broken(checker, {"resourceType": "Patient", "extension": [{"url": HOME + "whole", "valueString": "a"}]}) == {
        ("error", "whole#Extension.extension:code/min", "Patient.extension[0].extension"),
        ("error", "whole#Extension.value[x]/max", "Patient.extension[0].valueString"),
    }


def test_a_known_modifier_extension_is_accepted():
    tree = {"resourceType": "Patient", "modifierExtension": [{"url": HOME + "here", "valueString": "a"}]}
    here = extension("here", [element("Extension.value[x]", min=1, type=[{"code": "string"}])], "Patient")
    assert broken(validator(), tree) == {("error", "TF-107", "Patient.modifierExtension[0]")}
    assert broken(validator(here), tree) == set()
