from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.profiles.definitions import resource_types, type_of
from dmp_fhir.profiles.structure import datatype_issues, structural_issues
from dmp_fhir.profiles.walk import MOST_ISSUES
from dmp_fhir.wire.json import Digits, parse_json
from tests.hostile.payloads import PRIMITIVES
from tests.support.resources import resources, shared_examples

DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "contained": [{"resourceType": "Practitioner", "id": "author", "name": [{"family": "Roux"}]}],
    "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1"},
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
    "subject": {"reference": "Patient/a"},
    "author": [{"reference": "#author"}],
    "content": [{"attachment": {"contentType": "application/pdf", "url": "Binary/a", "size": 12}}],
}


def changed(**values: Any) -> dict[str, Any]:
    """The document with top-level properties replaced, or removed when None."""
    tree = copy.deepcopy(DOCUMENT) | values
    return {name: value for name, value in tree.items() if value is not None}


def faults(tree: Any) -> set[tuple[str | None, str | None]]:
    return {(issue.expression, issue.rule) for issue in structural_issues(tree)}


def test_a_sound_document():
    assert structural_issues(DOCUMENT) == []


@given(resources())
def test_sound_resources_of_every_type(tree):
    """The builder knows types and cardinalities, not the invariants that are run as FHIRPath."""
    assert [issue for issue in structural_issues(tree) if issue.code != "invariant"] == []


EXTENSION = {"url": "http://example.org/x", "valueCode": "y"}
SCRIPT = '<div xmlns="http://www.w3.org/1999/xhtml"><script>a</script></div>'
FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown property", changed(colour="red"), "colour", "TF-107"),
    ("unknown inner property", changed(subject={"reference": "Patient/a", "x": 1}), "subject.x", "TF-107"),
    (
        "resourceType inside",
        changed(subject={"resourceType": "Reference", "display": "a"}),
        "subject.resourceType",
        "TF-107",
    ),
    ("no status", changed(status=None), "status", "FHIR R4 DocumentReference.status"),
    ("no content", changed(content=None), "content", "FHIR R4 DocumentReference.content"),
    (
        "no attachment",
        changed(content=[{"format": {"code": "a"}}]),
        "content[0].attachment",
        "FHIR R4 DocumentReference.content.attachment",
    ),
    ("list for one", changed(status=["current"]), "status", "FHIR R4 code"),
    ("one for list", changed(category={"text": "a"}), "category", "FHIR R4 DocumentReference.category"),
    ("text for object", changed(subject="Patient/a"), "subject", "FHIR R4 JSON"),
    ("empty list", changed(category=[]), "category", "FHIR R4 JSON"),
    ("empty object", changed(type={}), "type", "ele-1"),
    ("null", {**DOCUMENT, "description": None}, "description", "FHIR R4 string"),
    ("null in a list", changed(category=[None]), "category[0]", "FHIR R4 JSON"),
    ("unknown code", changed(status="bogus"), "status", "http://hl7.org/fhir/ValueSet/document-reference-status"),
    ("code with a blank", changed(status="current "), "status", "FHIR R4 code"),
    (
        "number as text",
        changed(content=[{"attachment": {"contentType": "a/b", "size": "1"}}]),
        "content[0].attachment.size",
        "FHIR R4 unsignedInt",
    ),
    ("day that is none", changed(date="2021-02-30T10:00:00Z"), "date", "FHIR R4 instant"),
    ("long id", changed(id="a" * 65), "id", "FHIR R4 id"),
    ("modifier extension", changed(modifierExtension=[EXTENSION]), "modifierExtension[0]", "TF-107"),
    (
        "inner modifier",
        changed(content=[{**DOCUMENT["content"][0], "modifierExtension": [EXTENSION]}]),
        "content[0].modifierExtension[0]",
        "TF-107",
    ),
    ("implicit rules", changed(implicitRules="http://example.org/rules"), "implicitRules", "TF-107"),
    ("target type", changed(subject={"reference": "Organization/a"}), "subject", "FHIR R4 subject"),
    ("target type of contained", changed(custodian={"reference": "#author"}), "custodian", "FHIR R4 custodian"),
    ("no such type", changed(subject={"reference": "Nothing/a"}), "subject.reference", "FHIR R4 Reference.reference"),
    ("declared target type", changed(subject={"type": "Organization", "display": "a"}), "subject", "FHIR R4 subject"),
    ("ref-1", changed(author=[{"reference": "#author"}, {"reference": "#nobody"}]), "author[1].reference", "ref-1"),
    ("dom-3", changed(author=None), "contained[0]", "dom-3"),
    (
        "extension with both",
        changed(extension=[{"url": "http://a", "valueCode": "a", "extension": [EXTENSION]}]),
        "extension[0]",
        "ext-1",
    ),
    ("extension with neither", changed(extension=[{"url": "http://a"}]), "extension[0]", "ext-1"),
    ("extension without url", changed(extension=[{"valueCode": "a"}]), "extension[0].url", "FHIR R4 Extension.url"),
    (
        "two choices",
        changed(extension=[{"url": "http://a", "valueCode": "a", "valueString": "a"}]),
        "extension[0].value",
        "FHIR R4 Extension.value[x]",
    ),
    (
        "choice R4 lacks",
        changed(extension=[{"url": "http://a", "valueInteger64": 1}]),
        "extension[0].valueInteger64",
        "TF-107",
    ),
    ("att-1", changed(content=[{"attachment": {"data": "QQ=="}}]), "content[0].attachment.contentType", "att-1"),
    ("per-1", changed(context={"period": {"start": "2021-02", "end": "2021-01-31"}}), "context.period", "per-1"),
    ("_property of an object", changed(_subject={"id": "a"}), "_subject", "TF-107"),
    ("_property with a value", changed(_status={"value": "a"}), "_status.value", "TF-107"),
    (
        "extension named by a word",
        changed(extension=[{"url": "a", "valueCode": "a"}]),
        "extension[0].url",
        "FHIR R4 Extension.url",
    ),
    (
        "reference to nowhere",
        changed(custodian={"reference": "somewhere"}),
        "custodian.reference",
        "FHIR R4 Reference.reference",
    ),
    (
        "reference to what would hold it",
        changed(custodian={"reference": "#"}),
        "custodian.reference",
        "ref-1",
    ),
    (
        "relative code system",
        changed(category=[{"coding": [{"system": "codes", "code": "a"}]}]),
        "category[0].coding[0].system",
        "FHIR R4 Coding.system",
    ),
    (
        "blank code system",
        changed(category=[{"coding": [{"system": " ", "code": "a"}]}]),
        "category[0].coding[0].system",
        "FHIR R4 uri",
    ),
    (
        "extension named by nothing",
        changed(extension=[{"url": "a b", "valueCode": "a"}]),
        "extension[0].url",
        "FHIR R4 uri",
    ),
    (
        "relative namespace",
        changed(identifier=[{"system": "1.2.3", "value": "a"}]),
        "identifier[0].system",
        "FHIR R4 Identifier.system",
    ),
    (
        "a URI that is none",
        changed(identifier=[{"system": "urn:ietf:rfc:3986", "value": "1.2.3"}]),
        "identifier[0].value",
        "FHIR R4 Identifier.value",
    ),
    ("active narrative", changed(text={"status": "generated", "div": SCRIPT}), "text.div", "txt-1"),
    ("narrative no text", changed(text={"status": "generated", "div": 1}), "text.div", "txt-1"),
]


@pytest.mark.parametrize(("name", "tree", "expression", "rule"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_is_named_once_with_its_place(name, tree, expression, rule):
    assert faults(tree) == {(f"DocumentReference.{expression}", rule)}
    (issue,) = structural_issues(tree)
    assert issue.severity == "error"
    assert issue.fr != issue.en


PATIENT = {"resourceType": "Patient", "id": "a"}
ADDRESS = "https://example.org/Patient/"


@pytest.mark.parametrize(
    ("kind", "entry", "sound"),
    [
        ("collection", {"resource": PATIENT}, False),
        ("collection", {"fullUrl": "Patient/a", "resource": PATIENT}, False),
        ("collection", {"fullUrl": ADDRESS + "b", "resource": PATIENT}, False),
        ("collection", {"fullUrl": ADDRESS + "a", "resource": {"resourceType": "Patient"}}, False),
        ("collection", {"fullUrl": ADDRESS + "a", "resource": PATIENT}, True),
        ("collection", {"fullUrl": "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "resource": PATIENT}, True),
        ("batch-response", {"response": {"status": "200"}, "resource": PATIENT}, True),
        ("transaction", {"request": {"method": "POST", "url": "Patient"}, "resource": PATIENT}, True),
    ],
)
def test_entries_of_a_bundle_have_an_identity(kind, entry, sound):
    """https://hl7.org/fhir/R4/bundle.html#bundle-unique"""
    found = faults({"resourceType": "Bundle", "type": kind, "entry": [entry]})
    assert found == (set() if sound else {("Bundle.entry[0].fullUrl", "FHIR R4 Bundle.entry.fullUrl")})


def test_parts_of_an_extension_have_names_relative_to_it():
    parts = [{"url": "part", "valueCode": "a"}]
    assert structural_issues(changed(extension=[{"url": "http://example.org/x", "extension": parts}])) == []


def test_all_faults_are_listed_together():
    tree = changed(status="bogus", colour="red", type={}, date="now", content=None)
    assert len(faults(tree)) == 5


def test_a_list_of_faults_has_an_end():
    assert len(structural_issues(changed(category=[{}] * 500))) == MOST_ISSUES


@pytest.mark.parametrize(
    "tree", [None, [], 1, "Patient", {}, {"resourceType": "Nothing"}, {"resourceType": ["Patient"]}]
)
def test_what_is_no_resource(tree):
    assert faults(tree) == {("Resource", "TF-108")}


@pytest.mark.parametrize("name", ["Resource", "DomainResource", "Element", "Patient.contact", "string"])
def test_abstract_types_and_datatypes_are_no_resources(name):
    assert faults({"resourceType": name}) == {("Resource", "TF-108")}


def contained(**values: Any) -> dict[str, Any]:
    return changed(contained=[DOCUMENT["contained"][0] | values])


def test_contained_resources():
    where = "DocumentReference.contained[0]"
    assert faults(contained(meta={"versionId": "1"})) == {(f"{where}.meta.versionId", "dom-4")}
    assert faults(contained(meta={"lastUpdated": "2021-01-01T10:00:00Z"})) == {(f"{where}.meta.lastUpdated", "dom-4")}
    assert faults(contained(meta={"security": [{"code": "N"}]})) == {(f"{where}.meta.security", "dom-5")}
    assert faults(contained(contained=[{"resourceType": "Patient"}])) == {(f"{where}.contained", "dom-2")}
    one = DOCUMENT["contained"][0]
    assert faults(changed(contained=[one, one])) == {("DocumentReference.contained[1].id", "TF-109")}
    assert faults(changed(contained=[one, {"resourceType": "Patient"}])) == {
        ("DocumentReference.contained[1].id", "dom-3")
    }
    assert faults(changed(contained=[one, 1])) == {("DocumentReference.contained[1]", "TF-108")}


def test_a_contained_resource_may_refer_to_its_container():
    one = DOCUMENT["contained"][0]
    provenance = {
        "resourceType": "List",
        "id": "l",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": "#"}}],
    }
    assert structural_issues(changed(contained=[one, provenance])) == []


def test_contained_resources_of_one_entry_are_not_those_of_another():
    entry = {"resource": changed(contained=None), "request": {"method": "POST", "url": "DocumentReference"}}
    other = {"resource": DOCUMENT, "request": {"method": "POST", "url": "DocumentReference"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [other, entry]}
    assert faults(bundle) == {("Bundle.entry[1].resource.author[0].reference", "ref-1")}


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/a",
        "Patient/a/_history/2",
        "https://example.org/fhir/Patient/a",
        "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
        "Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|123",
        "https://example.org/other",
    ],
)
def test_references(reference):
    assert structural_issues(changed(subject={"reference": reference})) == []


def test_unknown_extensions_are_kept():
    tree = changed(extension=[EXTENSION], _status={"extension": [EXTENSION]})
    before = copy.deepcopy(tree)
    assert structural_issues(tree) == []
    assert tree == before


def test_a_primitive_may_have_extensions_only():
    assert structural_issues(changed(status=None, _status={"extension": [EXTENSION]})) == []


def test_lists_of_primitives_and_their_extensions_go_in_step():
    patient = {
        "resourceType": "Patient",
        "name": [{"given": ["A", None], "_given": [None, {"extension": [EXTENSION]}]}],
    }
    assert structural_issues(patient) == []
    patient["name"][0]["_given"] = [{"extension": [EXTENSION]}]
    assert ("Patient.name[0]._given", "FHIR R4 JSON") in faults(patient)
    patient["name"][0]["_given"] = [None, None]
    assert faults(patient) == {("Patient.name[0].given[1]", "FHIR R4 JSON")}


@pytest.mark.parametrize(("kind", "value"), PRIMITIVES, ids=[f"{kind} {value!r}" for kind, value in PRIMITIVES])
def test_values_outside_of_their_type(kind, value):
    name = "value" + kind[0].upper() + kind[1:]
    tree = changed(extension=[{"url": "http://example.org/x", name: value}])
    assert any(str(expression).startswith("DocumentReference.extension[0]") for expression, _ in faults(tree))


def test_decimals():
    assert datatype_issues("Quantity", {"value": Digits("1.50")}, "x") == []
    assert datatype_issues("Quantity", {"value": 1}, "x") == []
    assert [i.rule for i in datatype_issues("Quantity", {"value": 1.5}, "x")] == ["FHIR R4 decimal"]


def test_required_bindings_of_codeable_concepts():
    operation = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "a"},
        "category": [{"text": "a"}],
        "policyRule": {"text": "a"},
    }
    assert structural_issues(operation) == []
    coded = datatype_issues("CodeableConcept", {"coding": [{"code": 1}]}, "DocumentReference.securityLabel[0]")
    assert [issue.expression for issue in coded] == ["DocumentReference.securityLabel[0].coding[0].code"]


BUNDLE: dict[str, Any] = {"resourceType": "Bundle", "type": "transaction"}
REQUEST = {"method": "POST", "url": "Patient"}
PATIENT = {"resourceType": "Patient", "active": True}


@pytest.mark.parametrize(
    ("bundle", "rule"),
    [
        ({"total": 1}, "bdl-1"),
        ({"entry": [{"resource": PATIENT, "request": REQUEST, "search": {"mode": "match"}}]}, "bdl-2"),
        ({"entry": [{"resource": PATIENT}]}, "bdl-3"),
        ({"type": "collection", "entry": [{"resource": PATIENT, "request": REQUEST}]}, "bdl-3"),
        ({"type": "transaction-response", "entry": [{"resource": PATIENT}]}, "bdl-4"),
        ({"type": "collection", "entry": [{"fullUrl": "urn:x"}]}, "bdl-5"),
        ({"type": "collection", "entry": [{"fullUrl": "urn:x", "resource": PATIENT}] * 2}, "bdl-7"),
        ({"type": "collection", "entry": [{"fullUrl": "http://a/Patient/b/_history/1", "resource": PATIENT}]}, "bdl-8"),
        ({"type": "document", "timestamp": "2021-01-01T10:00:00Z", "entry": [{"resource": PATIENT}]}, "bdl-9"),
        ({"type": "document", "entry": [{"resource": PATIENT}]}, "bdl-10"),
        ({"type": "document", "entry": [{"resource": PATIENT}]}, "bdl-11"),
        ({"type": "message", "entry": [{"resource": PATIENT}]}, "bdl-12"),
    ],
)
def test_invariants_of_bundles(bundle, rule):
    assert rule in {found for _, found in faults(BUNDLE | bundle)}


def test_a_sound_bundle():
    entries = [
        {"fullUrl": f"urn:uuid:01234567-89ab-cdef-0123-45678901234{n}", "resource": PATIENT, "request": REQUEST}
        for n in "01"
    ]
    assert structural_issues(BUNDLE | {"entry": entries}) == []


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"entry": [{"item": {"display": "a"}}], "emptyReason": {"text": "a"}}, "lst-1"),
        ({"entry": [{"item": {"display": "a"}, "deleted": True}]}, "lst-2"),
        ({"mode": "snapshot", "entry": [{"item": {"display": "a"}, "date": "2021"}]}, "lst-3"),
    ],
)
def test_invariants_of_lists(values, rule):
    tree = {"resourceType": "List", "status": "current", "mode": "working"} | values
    assert {found for _, found in faults(tree)} == {rule}


@pytest.mark.parametrize(
    ("kind", "tree", "rule"),
    [
        ("Quantity", {"value": 1, "code": "kg"}, "qty-3"),
        ("Age", {"value": 1, "code": "a"}, "qty-3"),
        ("ContactPoint", {"value": "01"}, "cpt-2"),
        ("Period", {"start": "2021-01-02", "end": "2021-01-01"}, "per-1"),
    ],
)
def test_invariants_of_datatypes(kind, tree, rule):
    assert [issue.rule for issue in datatype_issues(kind, tree, "x")] == [rule]


def test_a_consent_names_its_policy():
    tree = {"resourceType": "Consent", "status": "active", "scope": {"text": "a"}, "category": [{"text": "a"}]}
    assert faults(tree) == {("Consent", "ppc-1")}


def test_periods_within_one_precision_are_not_refused():
    assert datatype_issues("Period", {"start": "2021-01-15", "end": "2021-01"}, "x") == []


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["#a", "#", "Patient/a", "2021"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "id", "entry", "reference"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data())
def test_any_tree_is_judged_without_an_accident(data):
    """Whatever stands in the place of a property, the answer is a list of issues."""
    name = data.draw(
        st.sampled_from(["DocumentReference", "Bundle", "List", "Consent", "Patient", "Parameters", "AuditEvent"])
    )
    properties = sorted(type_of(name).properties)
    names = data.draw(st.lists(st.sampled_from([*properties, "_status", "_id", "x"]), min_size=1, max_size=5))
    tree = {"resourceType": name} | {each: data.draw(JUNK) for each in names}
    assert all(issue.expression and issue.fr and issue.en for issue in structural_issues(tree))


def test_every_resource_type_has_its_tables():
    for name in resource_types():
        assert faults({"resourceType": name, "x": 1}) >= {(f"{name}.x", "TF-107")}


def test_examples_of_the_guides():
    """All are sound R4 but PDSm's DocumentReference, whose contained Practitioner breaks dom-3 and dom-4, and the
    searchset of PDSm4DMP, whose fullUrl are relative."""
    known = {"exemple-pdsm": {"dom-3", "dom-4"}, "searchset": {"FHIR R4 Bundle.entry.fullUrl"}}
    for path in shared_examples():
        rules = {rule for _, rule in faults(parse_json(path.read_bytes()))}
        assert rules == next((each for name, each in known.items() if name in path.name), set()), path.name


def test_labels_are_a_set():
    label = {"system": "urn:oid:1.2.3", "code": "N"}
    others = [label | {"code": "R"}, label | {"system": "urn:oid:1.2.4"}, {"display": "normal"}, {"display": "normal"}]
    tree = {"resourceType": "Patient", "meta": {"security": [label, *others], "tag": [label, label]}}
    assert structural_issues(tree) == []
    tree["meta"]["security"].append(label | {"version": "2", "display": "normal"})
    (issue,) = structural_issues(tree)
    assert (issue.rule, issue.expression) == ("FHIR R4 Meta.security", "Patient.meta.security[5]")
