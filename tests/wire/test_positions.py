"""Lines and columns of elements, in JSON and XML."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.wire.positions import locator

JSON = b"""{
  "resourceType": "List",
  "note": [{"text": "a \\"] }"}, {"text": "b"}],
  "code": {"coding": [{"code": "x"}, {
    "code": "y"}]}
}"""
XML = b"""<?xml version="1.0"?>
<List xmlns="http://hl7.org/fhir">
  <contained><Patient><id value="p"/></Patient></contained>
  <note><text value="a"/></note> <note><text value="b"/></note>
</List>"""


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("List", (1, 1)),
        ("List.note[1].text", (3, 42)),
        ("List.code.coding[1].code", (5, 13)),
        ("List.code.coding[5]", (4, 11)),
        ("List.title", (1, 1)),
        ("List.extension('x').url", (1, 1)),
    ],
)
def test_json(expression: str, position: tuple[int, int]) -> None:
    assert locator(JSON)(expression) == position


@pytest.mark.parametrize(
    ("expression", "position"),
    [("List", (2, 1)), ("List.note[1].text", (4, 40)), ("List.contained[0].id", (3, 23)), ("List.date", (2, 1))],
)
def test_xml(expression: str, position: tuple[int, int]) -> None:
    assert locator(XML)(expression) == position


def test_no_expression_has_no_position() -> None:
    assert locator(JSON)(None) is None
    assert locator(XML)(None) is None


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_TREES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(_TREES, _TREES, st.sampled_from([None, 1, 3]))
def test_the_value_sought_begins_at_the_position(before: object, after: object, indent: int | None) -> None:
    text = json.dumps({"before": before, "sought": [before, {"x": "HERE"}], "after": after}, indent=indent)
    place = locator(text.encode())("Root.sought[1].x")
    assert place is not None
    line, column = place
    assert text.split("\n")[line - 1][column - 1 :].startswith('"HERE"')
