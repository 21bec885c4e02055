from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import EXT_IS_ARCHIVED, TRE_A07
from dmp_fhir.outcome import Refused
from dmp_fhir.wire.json import dump_json
from dmp_fhir.wire.patches import Change, changes_of_parameters, parse_patch
from dmp_fhir.wire.xml import dump_xml
from tests.hostile.payloads import JSON, JSON_PATCH, PATCHES, XML, XML_PATCH, body_of
from tests.support.resources import shared_examples

LABEL = {"coding": [{"system": TRE_A07, "code": "MASQUE_PS"}]}


def read(content_type: str, body) -> list[Change]:
    return parse_patch(content_type, body if isinstance(body, bytes) else json.dumps(body).encode())


def pointer(path: str, value=None, op: str = "replace") -> Change:
    operation = {"op": op, "path": path} | ({} if op == "remove" else {"value": value})
    (change,) = read(JSON_PATCH, [operation])
    return change


def parameters(*parts: dict) -> dict:
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": list(parts)}]}


def part(name: str, **value) -> dict:
    return {"name": name, **value}


@pytest.mark.parametrize(("name", "content_type", "body"), PATCHES, ids=[f"{n}" for n in range(len(PATCHES))])
def test_hostile_patches_are_refused(name, content_type, body):
    with pytest.raises(Refused) as caught:
        parse_patch(content_type, body_of(body))
    assert caught.value.refusal.status in (400, 405, 413, 415, 422)


@pytest.mark.parametrize("path", ["/subject", "/securityLabel/0/coding/0/code", "/masterIdentifier/value"])
def test_another_element_is_405_and_named(path):
    with pytest.raises(Refused) as caught:
        pointer(path, "x")
    assert caught.value.refusal.status == 405
    assert path in caught.value.refusal.issues[0].fr


def test_json_patch():
    assert pointer("/status", "superseded") == Change("status", "replace", None, "superseded")
    assert pointer("/status", "current", "test") == Change("status", "test", None, "current")
    assert pointer("/securityLabel/0", LABEL) == Change("securityLabel", "replace", 0, LABEL)
    assert pointer("/securityLabel/-", LABEL, "add") == Change("securityLabel", "add", "-", LABEL)
    assert pointer("/securityLabel", [LABEL]) == Change("securityLabel", "replace", None, [LABEL])
    assert pointer("/securityLabel/1", op="remove") == Change("securityLabel", "remove", 1, None)


@pytest.mark.parametrize("quotes", ["''", '""', "‘’", "’’", "“”"])
@pytest.mark.parametrize("value", [True, False])
def test_the_path_of_the_guide(quotes, value):
    path = f"/extension[url:{quotes[0]}{EXT_IS_ARCHIVED}{quotes[1]}]/valueBoolean"
    assert pointer(path, value) == Change("isArchived", "replace", None, value)


def test_plain_pointers_to_the_archive_flag():
    assert pointer("/extension/2/valueBoolean", True) == Change("isArchived", "replace", 2, True)
    extension = {"url": EXT_IS_ARCHIVED, "valueBoolean": True}
    assert pointer("/extension/-", extension, "add") == Change("isArchived", "add", "-", True)
    assert pointer("/extension/0", op="remove") == Change("isArchived", "remove", 0, None)


def test_true_in_quotes_is_refused_and_the_right_form_shown():
    with pytest.raises(Refused) as caught:
        pointer("/extension/0/valueBoolean", "true")
    assert '"value": true' in caught.value.refusal.issues[0].fr
    assert caught.value.refusal.issues[0].rule == "D5"


FHIRPATHS = [
    (
        [
            part("type", valueCode="replace"),
            part("path", valueString="DocumentReference.status"),
            part("value", valueCode="current"),
        ],
        Change("status", "replace", None, "current"),
    ),
    (
        [
            part("type", valueCode="replace"),
            part("path", valueString=f"DocumentReference.extension('{EXT_IS_ARCHIVED}').value"),
            part("value", valueBoolean=True),
        ],
        Change("isArchived", "replace", None, True),
    ),
    (
        [
            part("type", valueCode="replace"),
            part("path", valueString=f"DocumentReference.extension.where(url='{EXT_IS_ARCHIVED}').value"),
            part("value", valueBoolean=False),
        ],
        Change("isArchived", "replace", None, False),
    ),
    (
        [
            part("type", valueCode="delete"),
            part("path", valueString=f"DocumentReference.extension('{EXT_IS_ARCHIVED}')"),
        ],
        Change("isArchived", "remove", None, None),
    ),
    (
        [
            part("type", valueCode="add"),
            part("path", valueString="DocumentReference"),
            part("name", valueString="extension"),
            part("value", part=[part("url", valueUri=EXT_IS_ARCHIVED), part("value", valueBoolean=True)]),
        ],
        Change("isArchived", "add", "-", True),
    ),
    (
        [
            part("type", valueCode="add"),
            part("path", valueString="DocumentReference"),
            part("name", valueString="securityLabel"),
            part("value", valueCodeableConcept=LABEL),
        ],
        Change("securityLabel", "add", "-", LABEL),
    ),
    (
        [
            part("type", valueCode="insert"),
            part("path", valueString="DocumentReference.securityLabel"),
            part("index", valueInteger=0),
            part("value", valueCodeableConcept=LABEL),
        ],
        Change("securityLabel", "add", 0, LABEL),
    ),
    (
        [
            part("type", valueCode="replace"),
            part("path", valueString="DocumentReference.securityLabel[1]"),
            part("value", valueCodeableConcept=LABEL),
        ],
        Change("securityLabel", "replace", 1, LABEL),
    ),
    (
        [part("type", valueCode="delete"), part("path", valueString="DocumentReference.securityLabel[0]")],
        Change("securityLabel", "remove", 0, None),
    ),
]


@pytest.mark.parametrize(("parts", "expected"), FHIRPATHS)
def test_fhirpath_patch_in_json_in_xml_and_in_a_bundle(parts, expected):
    tree = parameters(*parts)
    assert parse_patch(JSON, dump_json(tree)) == [expected]
    assert parse_patch(XML, dump_xml(tree)) == [expected]
    assert changes_of_parameters(tree) == [expected]


ROOT = "f:DocumentReference"
LABEL_XML = (
    f'<f:securityLabel><f:coding><f:system value="{TRE_A07}"/><f:code value="MASQUE_PS"/></f:coding></f:securityLabel>'
)
XPATHS = [
    (f'<replace sel="{ROOT}/f:status/@value">superseded</replace>', Change("status", "replace", None, "superseded")),
    (f'<replace sel="/{ROOT}/f:securityLabel[2]">{LABEL_XML}</replace>', Change("securityLabel", "replace", 1, LABEL)),
    (f'<replace sel="{ROOT}/f:securityLabel">{LABEL_XML}</replace>', Change("securityLabel", "replace", None, [LABEL])),
    (f'<add sel="{ROOT}">{LABEL_XML}</add>', Change("securityLabel", "add", "-", LABEL)),
    (f'<add sel="{ROOT}/f:securityLabel[1]" pos="after">{LABEL_XML}</add>', Change("securityLabel", "add", 1, LABEL)),
    (f'<add sel="{ROOT}/f:securityLabel[1]" pos="before">{LABEL_XML}</add>', Change("securityLabel", "add", 0, LABEL)),
    (f'<remove sel="{ROOT}/f:securityLabel[1]"/>', Change("securityLabel", "remove", 0, None)),
    (
        f"<replace sel=\"{ROOT}/f:extension[@url='{EXT_IS_ARCHIVED}']/f:valueBoolean/@value\">true</replace>",
        Change("isArchived", "replace", None, True),
    ),
    (
        f'<add sel="{ROOT}"><f:extension url="{EXT_IS_ARCHIVED}"><f:valueBoolean value="false"/></f:extension></add>',
        Change("isArchived", "add", "-", False),
    ),
    (f"<remove sel=\"{ROOT}/f:extension[@url='{EXT_IS_ARCHIVED}']\"/>", Change("isArchived", "remove", None, None)),
]


@pytest.mark.parametrize(("operation", "expected"), XPATHS)
def test_xml_patch(operation, expected):
    body = f'<diff xmlns:f="http://hl7.org/fhir">{operation}</diff>'
    assert parse_patch(XML_PATCH, body.encode()) == [expected]


def test_a_prefix_must_mean_fhir():
    body = '<diff xmlns:f="urn:x"><replace sel="f:DocumentReference/f:status/@value">current</replace></diff>'
    with pytest.raises(Refused) as caught:
        parse_patch(XML_PATCH, body.encode())
    assert caught.value.refusal.status == 422


def test_ten_operations_are_the_most():
    operation = {"op": "replace", "path": "/status", "value": "current"}
    assert len(read(JSON_PATCH, [operation] * 10)) == 10
    with pytest.raises(Refused) as caught:
        read(JSON_PATCH, [operation] * 11)
    assert caught.value.refusal.status == 413


TARGETS = {"status", "securityLabel", "isArchived"}
VALUES = st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=6) | st.just(LABEL) | st.just([LABEL])
PATHS = st.text(max_size=12) | st.sampled_from(
    ["/status", "/securityLabel/0", "/extension/0/valueBoolean", "/extension/-"]
)


@given(st.lists(st.dictionaries(st.sampled_from(["op", "path", "value", "from"]), VALUES | PATHS), max_size=3))
def test_any_json_is_a_change_or_a_refusal(operations):
    status = 200
    try:
        assert {change.target for change in parse_patch(JSON_PATCH, dump_json(operations))} <= TARGETS
    except Refused as refused:
        status = refused.refusal.status
    assert status in (200, 400, 405, 422)


@given(PATHS, VALUES)
def test_any_fhirpath_is_a_change_or_a_refusal(path, value):
    given_value = {} if value is None else {"valueCode": value}
    tree = parameters(part("type", valueCode="replace"), part("path", valueString=path), part("value", **given_value))
    with pytest.raises(Refused) as caught:
        changes_of_parameters(tree)
    assert caught.value.refusal.status in (405, 422)


def test_bodies_of_the_guides():
    """The guide's own PATCH bodies, and the replacement of MHD, read where the folder of examples is there."""
    folders = {path.parent.parent for path in shared_examples()}
    bodies = {path.name: path for folder in folders for path in Path(folder).glob("*/JsonPatch-*.json")}
    expected = {
        "JsonPatch-td3-3b-rendre-invisible-patient.json": ("securityLabel", 0),
        "JsonPatch-td3-3d-desarchiver.json": ("isArchived", None),
    }
    for name, path in bodies.items():
        (change,) = parse_patch(JSON_PATCH, path.read_bytes())
        assert (change.target, change.index) == expected[name]
    for path in shared_examples():
        if path.name.endswith("Replace.json"):
            patches = [
                e["resource"] for e in json.loads(path.read_bytes())["entry"] if e["request"]["method"] == "PATCH"
            ]
            assert [changes_of_parameters(tree) for tree in patches] == [
                [Change("status", "replace", None, "superseded")]
            ]
