"""What the structure check knows while it walks a tree: faults, contained resources in reach, ways to write out."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, field
from typing import Any

import orjson

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.definitions import Element
from dmp_fhir.profiles.nearest import nearest_codes
from dmp_fhir.profiles.primitives import EXPECTED

# A way is (way to the parent, property name, index in a list or None), the outermost parent being a text.
Way = Any
# A list longer than this says no more than a shorter one.
MOST_ISSUES = 100
# Of a longer value set only the codes nearest to a wrong one are told.
MOST_CODES = 8


@dataclass(slots=True)
class Walk:
    """What is known on the way: faults found; of the resource under way, its contained resources (id to type), the
    fragments (`#id`) it points at, and which contained resource is being read, or points back at it."""

    # What was walked, and the way to it.
    tree: Any = None
    way: Way = ""
    issues: list[Issue] = field(default_factory=list)
    contained: dict[str, str] = field(default_factory=dict)
    pointed: set[str] = field(default_factory=set)
    pointing_back: set[str] = field(default_factory=set)
    inside: str | None = None
    # The resource under way, and the outermost one it stands in; the types of the entries of a bundle, by address.
    resource: Any = None
    entries: dict[str, str] = field(default_factory=dict)
    # The extensions whose definitions are known, and those met: url, value, way, resource and the way to it.
    known: Container[str] = ()
    met: list[tuple[str, Any, Way, Any, Way]] = field(default_factory=list)
    resource_way: Way = ""
    # The identifiers and the codings met, and the way to each.
    identifiers: list[tuple[Any, Way]] = field(default_factory=list)
    codings: list[tuple[Any, Way]] = field(default_factory=list)
    # Whether it is a bundle other than a transaction, and there the ways to references that are searches
    # (Patient?identifier=…): in a transaction, and in a resource on its way to a server, they are still to be settled.
    settled: bool = False
    searches: list[Way] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether R4 refuses nothing of it."""
        return all(issue.severity != "error" for issue in self.issues)

    def point(self, fragment: str) -> None:
        if fragment != "#":
            self.pointed.add(fragment)
        elif self.inside is not None:
            self.pointing_back.add(self.inside)

    def add(self, code: str, fr: str, en: str, way: Way, rule: str, severity: str = "error") -> None:
        if len(self.issues) < MOST_ISSUES:
            self.issues.append(Issue(severity, code, fr, en, path_of(way), rule))


def path_of(way: Way) -> str:
    steps: list[str] = []
    while type(way) is tuple:
        way, name, index = way
        steps.append(name if index is None else f"{name}[{index}]")
    return ".".join([way, *reversed(steps)])


def bad_value(walk: Walk, value: Any, type_name: str, way: Way) -> None:
    fr, en = EXPECTED[type_name]
    shown = orjson.dumps(value, default=str).decode() if type(value) in (str, int, float, bool) else ""
    shown = f" : {shown if len(shown) <= 60 else shown[:59] + '…'}" if shown else ""
    found = ("null n'est pas une valeur", "null is no value")
    if value is not None:
        found = f"Valeur refusée{shown}", f"Value refused{shown.replace(' :', ':')}"
    walk.add("value", f"{found[0]} ; attendu : {fr}.", f"{found[1]}; expected: {en}.", way, f"FHIR R4 {type_name}")


def bad_code(walk: Walk, value: str, codes: Collection[str], element: Element, way: Way) -> None:
    if len(codes) > MOST_CODES:
        some = "; ".join(nearest_codes(((each, "") for each in sorted(codes)), value))
        head = "les plus proches", "nearest"
    else:
        some, head = ", ".join(sorted(codes)), ("attendu", "expected")
    fr = f"Code « {value[:64]} » inconnu ; {head[0]} : {some}."
    walk.add("code-invalid", fr, f"Unknown code '{value[:64]}'; {head[1]}: {some}.", way, str(element.value_set))
