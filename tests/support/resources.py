"""Sound R4 resources of every type, drawn from the compiled definitions; and the examples of the guides when there."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dmp_fhir.profiles.definitions import Element, Type, resource_types, type_of
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


class _Builder:
    """Builds trees with a seeded chance. Primitive values are drawn by Hypothesis, the structure follows the seed:
    drawing every element would be slow."""

    def __init__(self, seed: int, values: dict[str, list[Any]]) -> None:
        self.chance = random.Random(seed)
        self.values = values

    def tree(self, type_name: str, depth: int) -> Tree:
        """A sound tree of a type: mandatory elements always, others sometimes, fewer as it goes deeper."""
        kind = type_of(type_name)
        tree: Tree = {"resourceType": type_name} if kind.kind == "resource" else {}
        for element in kind.elements:
            if kind.name == "Extension" and element.name == "extension":
                continue
            if element.least or (element.name not in _LEFT_OUT and self.wanted(depth)):
                self.add(tree, kind, element, depth)
        if kind.name == "Extension" and not any(name.startswith("value") for name in tree):
            tree["valueString"] = "x"
        return tree or {"id": "a"}

    def wanted(self, depth: int) -> bool:
        return self.chance.random() < (0.3 if depth > 0 else 0.08)

    def add(self, tree: Tree, kind: Type, element: Element, depth: int) -> None:
        properties = [known for known in kind.properties.values() if known.element is element]
        known = self.chance.choice(properties)
        values = [
            self.value(element, known.type, depth) for _ in range(self.chance.randint(1, 2) if element.many else 1)
        ]
        tree[known.name] = values if element.many else values[0]
        if known.primitive and known.type != "xhtml" and not element.attribute and self.wanted(depth):
            beside = {"id": "p", "extension": [{"url": "http://example.org/x", "valueCode": "y"}]}
            tree["_" + known.name] = [beside, *[None] * (len(values) - 1)] if element.many else beside

    def value(self, element: Element, type_name: str, depth: int) -> Any:
        if element.codes is not None:
            system = self.chance.choice(sorted(element.codes))
            code = self.chance.choice(sorted(element.codes[system]))
            if type_name == "code":
                return code
            coding = {"system": system, "code": code}
            return {"coding": [coding]} if type_name == "CodeableConcept" else coding
        if type_name in PRIMITIVES:
            return self.chance.choice(self.values[type_name])
        if type_name == "Extension" and depth <= 0:
            return {"url": "http://example.org/x", "valueDecimal": self.chance.choice(self.values["decimal"])}
        if type_name in ("Resource", "DomainResource"):
            return {"resourceType": "Basic", "code": {"text": "x"}}
        if type_name == "Reference":
            return {"display": self.chance.choice(self.values["string"])}
        if type_name in _PLAIN:
            return {"id": "a", "extension": [{"url": "http://example.org/x", "valueBoolean": True}]}
        return self.tree(type_name, depth - 1)


_VALUES = st.fixed_dictionaries({name: st.lists(each, min_size=1, max_size=3) for name, each in PRIMITIVES.items()})
_NAMES = sorted(resource_types() - {"Bundle", "List", "Consent", "Parameters"})


def resources() -> st.SearchStrategy[Tree]:
    """A resource of any type, free of the invariants that tie elements together."""
    seeds = st.integers(0, 2**32)
    return st.builds(lambda n, seed, values: _Builder(seed, values).tree(n, 2), st.sampled_from(_NAMES), seeds, _VALUES)


def shared_examples() -> list[Path]:
    """Example resources of the guides: folder DMP_FHIR_SHARED, or ../shared beside the checkout, when there."""
    default = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("DMP_FHIR_SHARED", default)) / "data" / "examples"
    return sorted(path for path in folder.glob("*/*.json") if "JsonPatch" not in path.name)
