"""StructureDefinitions to one tree of constraints: a profile's differential laid on its parent's, down to the R4 type.

Each constraint remembers which profile states it, so that a fault names its true source. The tree holds what profiles
add to R4 only; what R4 itself asks is checked by structure.py. https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dmp_fhir.profiles.definitions import invariants, is_choice_property, is_type
from dmp_fhir.profiles.rules import ProfileError

Tree = dict[str, Any]
BASE = "http://hl7.org/fhir/StructureDefinition/"
SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"

# Properties of an ElementDefinition that describe and don't constrain.
_PROSE = frozenset({
    "id", "path", "extension", "representation", "sliceName", "sliceIsConstraining", "label", "code", "short",
    "definition", "comment", "requirements", "alias", "base", "isModifier", "isModifierReason", "isSummary",
    "mustSupport", "mapping", "example", "condition", "meaningWhenMissing", "orderMeaning", "contentReference",
})  # fmt: skip
_DISCRIMINATORS = frozenset({"value", "pattern", "exists", "type", "profile"})


@dataclass(frozen=True, slots=True)
class Stated:
    """Something a profile states: what, in which profile, on which element."""

    what: Any
    source: str
    element: str


@dataclass(frozen=True, slots=True)
class TypeUse:
    """One type an element may have, the profiles it must follow (any of them), the targets of a Reference."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    aggregation: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Invariant:
    key: str
    severity: str
    expression: str
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Slicing:
    discriminators: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


@dataclass(slots=True)
class Node:
    """The constraints on one element (or one slice of it), and below it."""

    id: str
    least: Stated | None = None
    most: Stated | None = None
    types: Stated | None = None
    fixed: list[Stated] = field(default_factory=list)
    patterns: list[Stated] = field(default_factory=list)
    bindings: list[Stated] = field(default_factory=list)
    limits: list[Stated] = field(default_factory=list)
    invariants: dict[str, Stated] = field(default_factory=dict)
    slicing: Stated | None = None
    slices: dict[str, Node] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)

    def copy(self) -> Node:
        """One to add to; what is stated never changes."""
        return Node(
            self.id, self.least, self.most, self.types, [*self.fixed], [*self.patterns], [*self.bindings],
            [*self.limits], {**self.invariants}, self.slicing,
            {name: each.copy() for name, each in self.slices.items()},
            {name: each.copy() for name, each in self.children.items()},
        )  # fmt: skip


class Library:
    """The StructureDefinitions loaded, by canonical URL, and their constraint trees."""

    def __init__(self, structures: Mapping[str, Tree], text_invariants: Mapping[str, str] | None = None) -> None:
        self.structures = structures
        self.text_invariants = text_invariants or {}
        self._trees: dict[str, Node] = {}
        self._under_way: list[str] = []
        self._families: dict[str, set[str]] = {}
        for each in structures:
            for url in self.ancestors(each):
                self._families.setdefault(url, set()).add(each)

    def type_of(self, url: str) -> str:
        """The R4 type a profile, or a base definition, is about. Raises ProfileError when it is unknown."""
        bare = url.split("|")[0]
        if bare in self.structures:
            return str(self.structures[bare]["type"])
        name = bare.removeprefix(BASE)
        if bare.startswith(BASE) and is_type(name):
            return name
        raise ProfileError(f"{url} is not loaded")

    def is_base(self, url: str) -> bool:
        return url not in self.structures and url.startswith(BASE) and is_type(url.removeprefix(BASE))

    def ancestors(self, url: str) -> list[str]:
        """The profile and those it derives from, nearest first, R4 itself excepted."""
        found: list[str] = []
        while url in self.structures and url not in found:
            found.append(url)
            url = self.structures[url].get("baseDefinition", "").split("|")[0]
        return found

    def family(self, url: str) -> frozenset[str]:
        """A profile and those that derive from it."""
        return frozenset(self._families.get(url, ()))

    def tree(self, url: str) -> Node:
        """The constraints of a profile with those of its parents. Raises ProfileError."""
        if url not in self._trees:
            if url in self._under_way:
                raise ProfileError(f"{url}: derives from itself")
            self._under_way.append(url)
            try:
                self._trees[url] = self._flatten(url)
            finally:
                self._under_way.pop()
        return self._trees[url]

    def _flatten(self, url: str) -> Node:
        structure = self.structures.get(url)
        if structure is None:
            raise ProfileError(f"{url} is not loaded")
        kind, parent = structure.get("type"), structure.get("baseDefinition", "").split("|")[0]
        if structure.get("derivation") != "constraint" or not is_type(str(kind)):
            raise ProfileError(f"{url}: only constraints on types of R4 are understood")
        elements = structure.get("differential", {}).get("element")
        if elements is None or (parent not in self.structures and not self.is_base(parent)):
            elements = structure.get("snapshot", {}).get("element")
            if elements is None:
                raise ProfileError(f"{url}: neither its parent {parent} nor a snapshot is there")
            root = Node(str(kind))
        elif self.is_base(parent):
            if self.type_of(parent) not in (kind, "Resource", "DomainResource", "Element"):
                raise ProfileError(f"{url}: its parent is of another type")
            root = Node(str(kind))
        else:
            if self.type_of(parent) != kind:
                raise ProfileError(f"{url}: its parent is of another type")
            root = self.tree(parent).copy()
        for element in elements:
            _Reader(self, url, element).into(root)
        return root


class _Reader:
    """One ElementDefinition read into a tree."""

    def __init__(self, library: Library, url: str, element: Tree) -> None:
        self.library, self.url, self.element = library, url, element
        self.id = str(element.get("id") or element["path"])
        if "id" not in element and "sliceName" in element:
            self.id += ":" + element["sliceName"]

    def wrong(self, text: str) -> ProfileError:
        return ProfileError(f"{self.url}, {self.id}: {text}")

    def stated(self, what: Any) -> Stated:
        return Stated(what, self.url, self.id)

    def into(self, root: Node) -> None:
        node = self.place(root)
        element = self.element
        for name, value in element.items():
            if name[:1] == "_" or name in _PROSE:
                continue
            if name in ("min", "max"):
                self.cardinality(node, name, value)
            elif name == "type":
                self.types(node, value)
            elif name == "slicing":
                self.slicing(node, value)
            elif name == "binding":
                self.binding(node, value)
            elif name == "constraint":
                self.constraints(node, value)
            elif name.startswith("fixed"):
                node.fixed.append(self.stated(value))
            elif name.startswith("pattern"):
                node.patterns.append(self.stated(value))
            elif name == "maxLength" or name.startswith(("minValue", "maxValue")):
                node.limits.append(self.stated((name[:8] if name != "maxLength" else name, value)))
            else:
                raise self.wrong(f"{name} is not understood")

    def place(self, root: Node) -> Node:
        """The node of the element, made where it isn't there."""
        steps = self.id.split(".")
        if steps[0] != root.id.split(".")[0]:
            raise self.wrong(f"is not an element of {root.id}")
        node, way = root, steps[0]
        for step in steps[1:]:
            name, _, slice_name = step.partition(":")
            way += "." + step
            if slice_name and name.endswith("[x]") and _is_choice(slice_name, name[:-3]):
                name, slice_name = slice_name, ""  # value[x]:valueString is valueString
            node = node.children.setdefault(name, Node(way.removesuffix(":" + slice_name) if slice_name else way))
            if slice_name:
                if "/" in slice_name or slice_name == "@default":
                    raise self.wrong("slices of slices and @default are not understood")
                if node.slicing is None:
                    self.implied_slicing(node, name)
                node = node.slices.setdefault(slice_name, Node(way))
        return node

    def implied_slicing(self, node: Node, name: str) -> None:
        if name not in ("extension", "modifierExtension"):
            raise self.wrong("a slice without slicing")
        node.slicing = self.stated(Slicing((("value", "url"),), "open", False))

    def cardinality(self, node: Node, name: str, value: Any) -> None:
        if name == "min":
            if node.least is None or value > node.least.what:
                node.least = self.stated(value)
            elif value < node.least.what:
                raise self.wrong(f"min {value} is less than {node.least.what} of {node.least.source}")
        elif value != "*":
            if node.most is None or int(value) < node.most.what:
                node.most = self.stated(int(value))
            elif int(value) > node.most.what:
                raise self.wrong(f"max {value} is more than {node.most.what} of {node.most.source}")

    def types(self, node: Node, value: list[Tree]) -> None:
        uses: dict[str, TypeUse] = {}
        for each in value:
            if unknown := each.keys() - {"code", "profile", "targetProfile", "aggregation", "extension", "_code", "id"}:
                raise self.wrong(f"type.{', '.join(sorted(unknown))} is not understood")
            if each["code"].startswith(SYSTEM_TYPE):
                return
            code = each["code"].removeprefix(BASE)
            if not is_type(code):
                raise self.wrong(f"type {code} is none of R4")
            old = uses.get(code, TypeUse(code))
            profiles = tuple(url.split("|")[0] for url in each.get("profile", ()))
            # The definition of the type itself, as a profile discriminator needs one, says no more than the type.
            profiles = tuple(url for url in profiles if url != BASE + code or not self.library.is_base(url))
            targets = tuple(url.split("|")[0] for url in each.get("targetProfile", ()))
            aggregation = frozenset(each.get("aggregation", ()))
            if old.aggregation and old.aggregation != aggregation:
                raise self.wrong("references with different aggregations are not understood")
            uses[code] = TypeUse(code, old.profiles + profiles, old.targets + targets, aggregation)
        for use in uses.values():
            for url in use.profiles:
                if self.known(url) != use.code and use.code not in ("Resource", "DomainResource"):
                    raise self.wrong(f"{url} is no profile of {use.code}")
            for url in use.targets:
                self.known(url)
        node.types = self.stated(tuple(uses.values()))

    def known(self, url: str) -> str:
        try:
            return self.library.type_of(url)
        except ProfileError as fault:
            raise self.wrong(str(fault)) from fault

    def slicing(self, node: Node, value: Tree) -> None:
        discriminators = tuple((each["type"], each["path"]) for each in value.get("discriminator", ()))
        for kind, _ in discriminators:
            if kind not in _DISCRIMINATORS:
                raise self.wrong(f"discriminator {kind} is not understood")
        rules = value.get("rules", "open")
        if rules not in ("open", "closed", "openAtEnd"):
            raise self.wrong(f"slicing rules {rules} are not understood")
        if node.slicing is not None and node.slicing.what.rules == "closed" and rules != "closed":
            raise self.wrong("opens a slicing that its parent closes")
        if not discriminators and node.slicing is not None:
            discriminators = node.slicing.what.discriminators
        node.slicing = self.stated(Slicing(discriminators, rules, bool(value.get("ordered"))))

    def binding(self, node: Node, value: Tree) -> None:
        strength = value.get("strength")
        if strength in ("required", "extensible", "preferred"):
            if "valueSet" not in value:
                raise self.wrong("a binding without value set")
            weaker = [each for each in node.bindings if each.what[1] != value["valueSet"].split("|")[0]]
            node.bindings = [each for each in weaker if each.what[0] == "required"]
            node.bindings.append(self.stated((strength, value["valueSet"].split("|")[0])))
        elif strength != "example":
            raise self.wrong(f"binding strength {strength} is not understood")

    def constraints(self, node: Node, value: list[Tree]) -> None:
        for each in value:
            key, expression = each["key"], each.get("expression")
            if (key, expression) in _base_invariants():
                continue
            if expression is None:
                if key not in self.library.text_invariants:
                    raise self.wrong(f"invariant {key} has no expression")
                continue
            en = each.get("human", "")
            invariant = Invariant(key, each.get("severity", "error"), expression, _french(each) or en, en)
            node.invariants[key] = self.stated(invariant)


def _is_choice(name: str, element: str) -> bool:
    return name.startswith(element) and is_choice_property(name)


def _french(constraint: Tree) -> str | None:
    for extension in constraint.get("_human", {}).get("extension", ()):
        if extension.get("url") == TRANSLATION:
            parts = {part["url"]: part for part in extension.get("extension", ())}
            if parts.get("lang", {}).get("valueCode", "")[:2] == "fr":
                return next((v for k, v in parts.get("content", {}).items() if k.startswith("value")), None)
    return None


@cache
def _base_invariants() -> frozenset[tuple[str, str]]:
    return frozenset((key, expression) for rows in invariants().values() for key, _, expression in rows)
