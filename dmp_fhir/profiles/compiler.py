"""Constraint trees to checks: one closure for each thing a profile says about an element.

A check takes the visit, a value and the way to it. Values have been through structure.py, which says what is malformed;
a check passes over what it can't read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dmp_fhir.profiles.bindings import Terminology
from dmp_fhir.profiles.definitions import Property, Type, is_primitive, type_of
from dmp_fhir.profiles.element_checks import (
    aggregation_check,
    binding_check,
    fixed_check,
    invariant_check,
    limit_check,
    pattern_check,
    resource_type_check,
    shown,
    target_check,
)
from dmp_fhir.profiles.object_checks import Elements, together
from dmp_fhir.profiles.rules import Levels, ProfileError, Rule
from dmp_fhir.profiles.slicing import Slice, Slicer
from dmp_fhir.profiles.snapshot import Library, Node, Stated, TypeUse
from dmp_fhir.profiles.visit import Check, best_of

_RESOURCES = frozenset({"Resource", "DomainResource"})


class Plan:
    """The check of one profile, given when it is first compiled: profiles may name each other. `family` are the profile
    and those derived from it."""

    __slots__ = ("check", "family", "type", "url")

    def __init__(self, url: str, kind: str, family: frozenset[str]) -> None:
        self.url, self.type, self.family = url, kind, family
        self.check: Check


class Compiler:
    """Compiles the profiles of a library. `rules` fills with every rule met, by id."""

    def __init__(self, library: Library, terminology: Terminology, levels: Levels) -> None:
        self.library, self.terminology, self.levels = library, terminology, levels
        self.rules: dict[str, Rule] = {}
        self._plans: dict[str, Plan] = {}

    def plan(self, url: str) -> Plan:
        """The checks of a profile. Raises ProfileError."""
        if url not in self._plans:
            plan = self._plans[url] = Plan(url, self.library.type_of(url), self.library.family(url))
            tree = self.library.tree(url)
            plan.check = together(self.item(tree, plan.type))
        return self._plans[url]

    def rule(self, stated: Stated, aspect: str, fr: str, en: str, **more: Any) -> Rule:
        severity = more.pop("severity", "error")
        rule = Rule(stated.source, stated.element, aspect, severity, fr, en, **more)
        return self.rules.setdefault(rule.id, rule)

    # An item: one value of an element ----------------------------------------------------------------------------

    def item(self, node: Node, type_name: str) -> list[Check]:
        """The checks on one value of an element of this type."""
        checks: list[Check] = []
        for stated in node.fixed:
            checks.append(fixed_check(self.rule(stated, "fixed", *_is(node, stated.what)), stated.what))
        for stated in node.patterns:
            checks.append(pattern_check(self.rule(stated, "pattern", *_is(node, stated.what)), stated.what))
        if node.types is not None:
            checks += self.typed(node, node.types, type_name)
        for stated in node.bindings:
            checks += self.bound(node, stated, type_name)
        for stated in node.limits:
            what, limit = stated.what
            fr, en = _LIMITS[what]
            rule = self.rule(stated, what, f"{node.id} : {fr} {limit}.", f"{node.id}: {en} {limit}.")
            checks.append(limit_check(rule, what, limit))
        for stated in node.invariants.values():
            checks.append(self.invariant(stated))
        if not is_primitive(type_name):
            checks += self.below(node, type_name)
        return checks

    def invariant(self, stated: Stated) -> Check:
        what = stated.what
        rule = self.rule(
            stated, "invariant", what.fr, what.en, key=what.key, severity=what.severity, detail=what.expression
        )
        try:
            return invariant_check(rule, what.expression)
        except ValueError as fault:
            raise ProfileError(f"{stated.source}, {what.key}: {fault}") from fault

    def bound(self, node: Node, stated: Stated, type_name: str) -> list[Check]:
        strength, url = stated.what
        codes = self.terminology.find(url)
        if codes is None:
            if strength == "preferred" or url in self.levels.open:
                return []
            raise ProfileError(f"{stated.source}, {stated.element}: value set {url} is not loaded")
        severity = {"required": "error", "extensible": "warning", "preferred": "information"}[strength]
        fr = {"required": "obligatoire", "extensible": "extensible", "preferred": "préféré"}[strength]
        rule = self.rule(
            stated,
            "binding",
            f"{node.id} : code du jeu de valeurs {url} ({fr}).",
            f"{node.id}: code of value set {url} ({strength}).",
            severity=severity,
            detail=url,
        )
        check = binding_check(rule, codes, type_name, strength)
        if check is None:
            raise ProfileError(f"{stated.source}, {stated.element}: {type_name} can't be bound to a value set")
        return [check]

    def typed(self, node: Node, stated: Stated, type_name: str) -> list[Check]:
        uses: tuple[TypeUse, ...] = stated.what
        if type_name in _RESOURCES:
            return self.embedded(node, stated)
        use = next((each for each in uses if each.code == type_name), None)
        if use is None:
            return []  # a choice: the property itself is refused
        checks: list[Check] = []
        if use.targets and type_name == "Reference":
            allowed = self.targets(use.targets)
            if not allowed.keys() & _RESOURCES:
                some = ", ".join(sorted(allowed))
                fr, en = f"{node.id} : référence à {some}.", f"{node.id}: reference to {some}."
                checks.append(target_check(self.rule(stated, "target", fr, en), allowed))
        if use.aggregation and type_name == "Reference":
            fr = f"{node.id} : référence {_some(use.aggregation, _AGGREGATION_FR)}."
            en = f"{node.id}: reference {_some(use.aggregation, _AGGREGATION_EN)}."
            checks.append(aggregation_check(self.rule(stated, "aggregation", fr, en), use.aggregation))
        if use.profiles:
            checks.append(self.conforming(use.profiles))
        return checks

    def targets(self, urls: Iterable[str]) -> dict[str, list[Plan]]:
        """The profiles of which the target of a reference follows one, by type; none when the type itself will do."""
        found: dict[str, list[Plan]] = {}
        for url in urls:
            found.setdefault(self.library.type_of(url), [])
        for url in urls:
            kind = self.library.type_of(url)
            if not any(self.library.is_base(each) and self.library.type_of(each) == kind for each in urls):
                found[kind].append(self.plan(url))
        return found

    def embedded(self, node: Node, stated: Stated) -> list[Check]:
        """A resource inside another: its type and the profile of that type."""
        wanted: dict[str, list[Plan]] = {}
        for use in stated.what:
            if use.code in _RESOURCES and not use.profiles:
                return []
            for url in use.profiles:
                plan = self.plan(url)
                wanted.setdefault(plan.type, []).append(plan)
            if not use.profiles:
                wanted.setdefault(use.code, [])
        some = ", ".join(sorted(wanted))
        rule = self.rule(stated, "type", f"{node.id} : ressource {some}.", f"{node.id}: resource {some}.")
        return [resource_type_check(rule, wanted)]

    def conforming(self, urls: Sequence[str]) -> Check:
        """A value follows one of these profiles."""
        plans = [self.plan(url) for url in urls]
        if len(plans) > 1:
            return lambda visit, value, way: best_of(plans, visit, value, way)
        only = plans[0]
        if only.type == "Extension":  # a known extension is met again by the validator, wherever it stands
            return lambda visit, value, way: visit.conform(only, value, way)
        return lambda visit, value, way: only.check(visit, value, way)

    # An element: all its values ----------------------------------------------------------------------------------

    def below(self, node: Node, type_name: str) -> list[Check]:
        """The checks on the elements of an object."""
        kind, elements = type_of(type_name), Elements()
        for name, child in node.children.items():
            self.element(elements, child, name, kind, node)
        return elements.check()

    def element(self, elements: Elements, node: Node, name: str, kind: Type, parent: Node) -> None:
        properties = every = _properties(kind, name)
        if not properties:
            raise ProfileError(f"{_source(node, parent)}: {kind.name} has no element {name}")
        base = properties[0].element
        choice = base.choice and len(properties) > 1
        allowed = {use.code for use in node.types.what} if node.types is not None else None
        if choice and allowed is not None and node.types is not None:
            some = ", ".join(sorted(allowed))
            fr, en = f"{node.id} : de type {some}.", f"{node.id}: of type {some}."
            rule = self.rule(node.types, "type", fr, en)
            for each in properties:
                if each.type not in allowed:
                    elements.forbid(rule, each.name)
            properties = [each for each in properties if each.type in allowed]
        elif allowed is not None and not _types_fit(allowed, properties[0].type):
            raise ProfileError(f"{_source(node, parent)}: the type must be {properties[0].type}")
        if node.children and choice and len(properties) > 1:
            raise ProfileError(f"{_source(node, parent)}: elements below a choice of several types")
        for each in properties:
            self.values(elements, node, each)
        self.cardinality(elements, node, every, base.least if name.endswith("[x]") or not base.choice else 0)

    def values(self, elements: Elements, node: Node, known: Property) -> None:
        name, many = known.name, known.element.many
        own = tuple(self.item(node, known.type))
        slicer = self.slicer(node, known) if node.slices or node.slicing else None
        if slicer is not None and not many:
            raise ProfileError(f"{node.id}: slices of an element that doesn't repeat")
        if many and (own or slicer is not None):
            least = slicer is not None and any(each.least for each in slicer.slices)
            elements.each(name, own, slicer, least)
        elif own:
            elements.one(name, own)
        if known.primitive and node.children:
            beside = tuple(self.below(Node(node.id, children=node.children), "Element"))
            if many:
                elements.each("_" + name, beside, None, False)
            else:
                elements.one("_" + name, beside)

    def cardinality(self, elements: Elements, node: Node, properties: Sequence[Property], base_least: int) -> None:
        names = tuple(each.name for each in properties)
        if node.least is not None and node.least.what > base_least:
            count = node.least.what
            implied = sum(each.least.what for each in node.slices.values() if each.least is not None)
            rule = self.rule(node.least, "min", *_at_least(node.id, count))
            if implied < count:  # else the slice that lacks says so
                elements.at_least(rule, names, count)
        if node.most is not None and (node.most.what == 0 or properties[0].element.many):
            elements.at_most(self.rule(node.most, "max", *_at_most(node.id, node.most.what)), names, node.most.what)

    def slicer(self, node: Node, known: Property) -> Slicer | None:
        if not node.slices or node.slicing is None:
            if node.slicing is not None and node.slicing.what.rules == "closed":
                raise ProfileError(f"{node.slicing.source}, {node.id}: a closed slicing without slices")
            return None
        slices = []
        for name, each in node.slices.items():
            least = most = None
            if each.least is not None and each.least.what:
                count = each.least.what
                least = self.rule(each.least, "min", *_at_least(each.id, count), detail=str(count))
            if each.most is not None:
                count = each.most.what
                most = self.rule(each.most, "max", *_at_most(each.id, count), detail=str(count))
            checks = tuple(self.item(each, known.type))
            slices.append(Slice(name, each, checks, least, most))
        fr = f"{node.id} : chaque élément est l'un de ceux-ci : {', '.join(node.slices)}."
        en = f"{node.id}: each item is one of {', '.join(node.slices)}."
        rule = self.rule(node.slicing, "slicing", fr, en)
        return Slicer(self, node, known, slices, rule)


def _at_least(name: str, count: int) -> tuple[str, str]:
    if count == 1:
        return f"{name} est obligatoire.", f"{name} is mandatory."
    return f"{name} : au moins {count}.", f"{name}: at least {count}."


def _at_most(name: str, count: int) -> tuple[str, str]:
    if count == 0:
        return f"{name} est interdit ici.", f"{name} is forbidden here."
    return f"{name} : au plus {count}.", f"{name}: at most {count}."


def _properties(kind: Type, name: str) -> list[Property]:
    """The JSON properties of an element: those of every type for `value[x]`, one for `valueString` or `status`."""
    if name.endswith("[x]"):
        return [each for each in kind.properties.values() if each.element.choice and each.element.name == name[:-3]]
    return [kind.properties[name]] if name in kind.properties else []


def _types_fit(allowed: set[str], type_name: str) -> bool:
    """Backbone elements are named by their path in the tables; resources and quantities may be narrowed."""
    if type_name in allowed or type_name in _RESOURCES or "." in type_name:
        return True
    return type_of(type_name).kind == "primitive" and any(is_primitive(each) for each in allowed)


def _source(node: Node, parent: Node) -> str:
    for each in (node, parent):
        for stated in (each.types, each.least, each.most, each.slicing, *each.fixed, *each.patterns, *each.bindings):
            if stated is not None:
                return f"{stated.source}, {node.id}"
    return node.id


def _is(node: Node, value: Any) -> tuple[str, str]:
    return f"{node.id} vaut {shown(value)}.", f"{node.id} is {shown(value)}."


def _some(aggregation: frozenset[str], words: dict[str, str]) -> str:
    return ", ".join(words[each] for each in sorted(aggregation))


_AGGREGATION_FR = {
    "contained": "à une ressource contenue (#id)",
    "bundled": "à une entrée du lot",
    "referenced": "externe",
}
_AGGREGATION_EN = {
    "contained": "to a contained resource (#id)",
    "bundled": "to an entry of the bundle",
    "referenced": "to a resource elsewhere",
}
_LIMITS = {
    "maxLength": ("longueur au plus", "length at most"),
    "minValue": ("valeur au moins", "value at least"),
    "maxValue": ("valeur au plus", "value at most"),
}
