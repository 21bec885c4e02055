"""Sound R4 resources of every type, drawn from the compiled definitions; and the examples of the guides when there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dmp_fhir.profiles.definitions import Element, resource_types, type_of
from dmp_fhir.wire.json import Digits

Tree = dict[str, Any]

_LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\ufffe\uffff") | st.sampled_from(
    "\t\n\r<>&\"'é"
)
TEXTS = st.text(_LETTERS, min_size=1, max_size=12).filter(lambda text: not text.isspace())
DIGITS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,8})\.[0-9]{1,6}\Z").map(Digits)

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "base64Binary": st.sampled_from(["QQ==", "QUJD", "YWI="]),
    "boolean": st.booleans(),
    "canonical": st.sampled_from(["http://example.org/a|1", "urn:oid:1.2.3"]),
    "code": st.from_regex(r"\A[a-zA-Z0-9]{1,6}( [a-z]{1,3})?\Z"),
    "date": st.dates().map(lambda day: day.isoformat()) | st.sampled_from(["2020", "2021-02"]),
    "dateTime": st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "+02:00"),
    "decimal": DIGITS | st.integers(-(10**9), 10**9) | st.sampled_from([Digits("1E5"), Digits("1.50"), Digits("-0.0")]),
    "id": st.from_regex(r"\A[A-Za-z0-9.-]{1,20}\Z"),
    "instant": st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds") + "Z"),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "markdown": TEXTS,
    "oid": st.sampled_from(["urn:oid:1.2.250.1", "urn:oid:0.1"]),
    "positiveInt": st.integers(1, 2**31 - 1),
    "string": TEXTS,
    "time": st.times().map(lambda time: time.isoformat(timespec="seconds")),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "uri": st.sampled_from(["http://example.org/é", "urn:oid:1.2.3", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"]),
    "url": st.just("https://example.org/?a=1&b=2"),
    "uuid": st.just("urn:uuid:01234567-89ab-cdef-0123-456789abcdef"),
    "xhtml": st.sampled_from(
        [
            '<div xmlns="http://www.w3.org/1999/xhtml">a &lt; b <b>é</b></div>',
            '<div xmlns="http://www.w3.org/1999/xhtml"><p class="x">1<br/>2</p></div>',
        ]
    ),
}
# Invariants make some elements depend on others: what is drawn keeps to types without them, or without these elements.
_LEFT_OUT = {"implicitRules", "modifierExtension", "contained", "emptyReason", "total"}
_PLAIN = {"Attachment", "Period", "Quantity", "ContactPoint", "Age", "Count", "Distance", "Duration"}


def _value(draw: Any, element: Element, type_name: str, depth: int) -> Any:
    if element.codes is not None:
        system = draw(st.sampled_from(sorted(element.codes)))
        code = draw(st.sampled_from(sorted(element.codes[system])))
        if type_name == "code":
            return code
        coding = {"system": system, "code": code}
        return {"coding": [coding]} if type_name == "CodeableConcept" else coding
    if type_name in PRIMITIVES:
        return draw(PRIMITIVES[type_name])
    if type_name == "Extension" and depth <= 0:
        return {"url": "http://example.org/x", "valueDecimal": draw(DIGITS)}
    if type_name in ("Resource", "DomainResource"):
        return {"resourceType": "Basic", "code": {"text": "x"}}
    if type_name == "Reference":
        return {"display": draw(TEXTS)}
    if type_name in _PLAIN:
        return {"id": "a", "extension": [{"url": "http://example.org/x", "valueBoolean": True}]}
    return draw(trees(type_name, depth - 1))


@st.composite
def trees(draw: Any, type_name: str, depth: int = 1) -> Tree:
    """A sound tree of a type: mandatory elements always, others sometimes, fewer as it goes deeper."""
    kind = type_of(type_name)
    tree: Tree = {"resourceType": type_name} if kind.kind == "resource" else {}
    rare = st.integers(0, 3 if depth > 0 else 12)
    for element in kind.elements:
        wanted = element.least or (draw(rare) == 0 and element.name not in _LEFT_OUT)
        if not wanted or (kind.name == "Extension" and element.name == "extension"):
            continue
        type_drawn = draw(st.sampled_from(element.types))
        name = next(p.name for p in kind.properties.values() if p.element is element and p.type == type_drawn)
        values = [
            _value(draw, element, type_drawn, depth) for _ in range(draw(st.integers(1, 2)) if element.many else 1)
        ]
        tree[name] = values if element.many else values[0]
        if kind.properties[name].primitive and type_drawn != "xhtml" and not element.attribute and draw(rare) == 0:
            beside = {"id": "p", "extension": [{"url": "http://example.org/x", "valueCode": "y"}]}
            tree["_" + name] = [beside, *[None] * (len(values) - 1)] if element.many else beside
    if kind.name == "Extension" and not any(name.startswith("value") for name in tree):
        tree["valueString"] = "x"
    if not tree:
        tree["id"] = "a"
    return tree


@st.composite
def resources(draw: Any) -> Tree:
    """A resource of any type, free of the invariants that tie elements together."""
    name = draw(st.sampled_from(sorted(resource_types() - {"Bundle", "List", "Consent", "Parameters"})))
    return draw(trees(name, 2))


def shared_examples() -> list[Path]:
    """Example resources of the guides: folder DMP_FHIR_SHARED, or ../shared beside the checkout, when there."""
    default = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("DMP_FHIR_SHARED", default)) / "data" / "examples"
    return sorted(path for path in folder.glob("*/*.json") if "JsonPatch" not in path.name)
