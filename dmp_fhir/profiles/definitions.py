"""The R4 (4.0.1) base definitions as tables: what elements a type has, in what order, how many, of which types.

Compiled from the HL7 StructureDefinitions by tools/compile_r4.py. A backbone element is a type named by its path
(`DocumentReference.content`). https://hl7.org/fhir/R4/resourcelist.html, https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

FHIR_VERSION = "4.0.1"
ABSTRACT_RESOURCES = frozenset({"Resource", "DomainResource"})


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type. `name` is without `[x]`; `types` has several names for a choice; `codes` are those of a
    required binding, by system; `targets` the resource types a Reference may name (empty: any)."""

    name: str
    types: tuple[str, ...]
    least: int
    many: bool
    choice: bool
    attribute: bool
    codes: Mapping[str, frozenset[str]] | None
    value_set: str | None
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Property:
    """A JSON property of a type: `valueString` is element `value` with type `string`. `order` is its place."""

    name: str
    order: int
    element: Element
    type: str
    primitive: bool
    resource: bool


@dataclass(frozen=True, slots=True)
class Type:
    """A resource type, a datatype or a backbone element. `properties` are in the order of the specification."""

    name: str
    kind: str
    parent: str
    elements: tuple[Element, ...]
    properties: Mapping[str, Property]


@cache
def _compiled() -> dict[str, Any]:
    return orjson.loads((files("dmp_fhir.profiles") / "data" / "r4.json").read_bytes())


@cache
def _codes(value_set: str) -> Mapping[str, frozenset[str]]:
    return {system: frozenset(codes) for system, codes in _compiled()["codes"][value_set].items()}


def _element(row: list[Any]) -> Element:
    name, types, least, most, *rest = row
    options = rest[0] if rest else {}
    value_set = options.get("binding")
    return Element(
        name=name,
        types=(types,) if isinstance(types, str) else tuple(types),
        least=least,
        many=most != 1,
        choice=not isinstance(types, str),
        attribute="attribute" in options,
        codes=_codes(value_set) if value_set else None,
        value_set=value_set,
        targets=frozenset(options.get("targets", ())),
    )


@cache
def type_of(name: str) -> Type:
    """The table of a type. Raises KeyError for a name R4 does not have."""
    kind, parent, rows = _compiled()["types"][name]
    elements = tuple(_element(row) for row in rows)
    properties: dict[str, Property] = {}
    for element in elements:
        for type_name in element.types:
            key = element.name + type_name[0].upper() + type_name[1:] if element.choice else element.name
            properties[key] = Property(
                key, len(properties), element, type_name, is_primitive(type_name), type_name in ABSTRACT_RESOURCES
            )
    return Type(name, kind, parent, elements, properties)


@cache
def is_primitive(name: str) -> bool:
    return _compiled()["types"][name][0] == "primitive"


@cache
def resource_types() -> frozenset[str]:
    """The 146 concrete resource types of R4."""
    types = _compiled()["types"].items()
    return frozenset(name for name, row in types if row[0] == "resource" and name not in ABSTRACT_RESOURCES)


@cache
def invariants() -> Mapping[str, tuple[tuple[str, str, str], ...]]:
    """FHIRPath invariants of the base definitions: path that defines them to (key, severity, expression)."""
    data = orjson.loads((files("dmp_fhir.profiles") / "data" / "r4-invariants.json").read_bytes())
    return {path: tuple((k, s, e) for k, s, e in rows) for path, rows in data["invariants"].items()}


@cache
def _element_names() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names of elements, of choices (without `[x]`), and of the properties of choices (`valueString`)."""
    names: set[str] = set()
    choices: set[str] = set()
    properties: set[str] = set()
    for _, _, rows in _compiled()["types"].values():
        for name, types, *_ in rows:
            names.add(name)
            if not isinstance(types, str):
                choices.add(name)
                properties |= {name + each[0].upper() + each[1:] for each in types}
    return frozenset(names), frozenset(choices), frozenset(properties)


def is_element_name(name: str) -> bool:
    return name in _element_names()[0]


def is_choice_name(name: str) -> bool:
    return name in _element_names()[1]


def is_choice_property(name: str) -> bool:
    """Whether a choice gives a property of this name: `valueCodeableConcept`."""
    return name in _element_names()[2]


def is_type(name: str) -> bool:
    return name in _compiled()["types"]


def required_codes(value_set: str) -> Mapping[str, frozenset[str]] | None:
    """The codes of a value set to which an element of R4 is bound as required, by system; None for another."""
    return _codes(value_set) if value_set in _compiled()["codes"] else None


@cache
def _code_systems() -> dict[str, Any]:
    return orjson.loads((files("dmp_fhir.profiles") / "data" / "r4-codes.json").read_bytes())["systems"]


def code_system(url: str) -> tuple[str, frozenset[str]] | None:
    """Version and codes of a code system that HL7 publishes whole with R4; None for another."""
    found = _code_systems().get(url)
    return None if found is None else (found[0], frozenset(found[1]))
