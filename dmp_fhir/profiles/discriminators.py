"""Discriminators: what tells the slices of an element apart (https://hl7.org/fhir/R4/profiling.html#discriminator).

Value and pattern (fixed, pattern or required value set at the path, in the slice or in the profile of its type),
exists, type and profile. Each becomes a test of an item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dmp_fhir.profiles.definitions import is_choice_name
from dmp_fhir.profiles.element_checks import fits
from dmp_fhir.profiles.fhirpath import Environment, compiled
from dmp_fhir.profiles.fhirpath_parser import Node as Path
from dmp_fhir.profiles.fhirpath_parser import parse
from dmp_fhir.profiles.fhirpath_values import plain
from dmp_fhir.profiles.rules import ProfileError
from dmp_fhir.profiles.snapshot import Node
from dmp_fhir.profiles.visit import Visit

if TYPE_CHECKING:
    from dmp_fhir.profiles.compiler import Compiler, Plan

Belongs = Callable[[Visit, Any], bool]
_RESOURCES = frozenset({"Resource", "DomainResource"})


class HasText:
    """A property has one text."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def __call__(self, visit: Visit, item: Any) -> bool:
        return type(item) is dict and item.get(self.name) == self.text


class Discriminators:
    """The tests that tell whether an item belongs to one slice: those of a value, and those of a type or profile, which
    tell less. `plans` are the profiles that discriminate."""

    def __init__(self, compiler: Compiler, node: Node) -> None:
        self.compiler, self.node = compiler, node
        self.values: list[Belongs] = []
        self.kinds: list[Belongs] = []
        self.plans: list[Plan] = []

    def wrong(self, text: str) -> ProfileError:
        return ProfileError(f"{self.node.id}: {text}")

    def add(self, kind: str, path: str) -> None:
        steps = _steps(path)
        if steps is None:
            raise self.wrong(f"discriminator path {path} is not understood")
        nodes = self.follow(steps)
        if kind in ("value", "pattern"):
            self.values.append(self.by_value(path, nodes))
        elif kind == "exists":
            self.values.append(self.by_existence(path, nodes))
        elif kind == "type":
            self.kinds.append(self.by_type(path, steps, nodes))
        else:
            self.kinds.append(self.by_profile(path, steps, nodes))

    def follow(self, steps: Sequence[str]) -> list[Node]:
        """The nodes a path leads to: that of the slice itself and those of the profiles its types name."""
        nodes = self.with_profiles(self.node)
        for step in steps:
            if step == "resolve()":
                continue
            if step.startswith("extension("):
                url = step[len("extension(") : -1]
                below = [each for node in nodes for each in self.extensions(node, url)]
            else:
                below = [node.children[step] for node in nodes if step in node.children]
                below += [node.children[step + "[x]"] for node in nodes if step + "[x]" in node.children]
            nodes = [each for node in below for each in self.with_profiles(node)]
        return nodes

    def with_profiles(self, node: Node) -> list[Node]:
        found = [node]
        if node.types is not None:
            for use in node.types.what:
                found += [self.compiler.library.tree(url) for url in use.profiles]
        return found

    def extensions(self, node: Node, url: str) -> list[Node]:
        child = node.children.get("extension")
        slices = child.slices.values() if child is not None else ()
        return [each for each in slices if any(url in _texts(below, "url") for below in self.with_profiles(each))]

    def by_value(self, path: str, nodes: Sequence[Node]) -> Belongs:
        tests = [test for node in nodes if (test := self.value_test(node)) is not None]
        if not tests:
            raise self.wrong(f"nothing at {path} tells this slice from the others")
        if path.isidentifier() and len(nodes) >= 1:
            texts = {text for node in nodes for text in _own_texts(node)}
            if len(texts) == 1 and len(tests) == 1:
                return HasText(path, next(iter(texts)))
        values = _values_at(path)
        return lambda visit, item: any(all(test(found) for test in tests) for found in values(visit, item))

    def value_test(self, node: Node) -> Callable[[Any], bool] | None:
        """What the fixed values, patterns and required value sets of a node and below it ask of a value."""
        tests: list[Callable[[Any], bool]] = []
        for stated in (*node.fixed, *node.patterns):
            tests.append(lambda value, wanted=stated.what: fits(value, wanted))  # type: ignore[misc]
        for stated in node.bindings:
            codes = self.compiler.terminology.find(stated.what[1]) if stated.what[0] == "required" else None
            if codes is not None and not tests:
                tests.append(lambda value, codes=codes: _in(value, codes))  # type: ignore[misc]
        for name, child in node.children.items():
            inner = self.value_test(child)
            if inner is not None:
                tests.append(lambda value, name=name, inner=inner: any(map(inner, _under(value, name))))  # type: ignore[misc]
        for each in node.slices.values():
            inner = self.value_test(each)
            if inner is not None and each.least is not None and each.least.what:
                tests.append(inner)
        return (lambda value: all(test(value) for test in tests)) if tests else None

    def by_existence(self, path: str, nodes: Sequence[Node]) -> Belongs:
        values = _values_at(path)
        if any(node.most is not None and node.most.what == 0 for node in nodes):
            return lambda visit, item: not values(visit, item)
        if any(node.least is not None and node.least.what for node in nodes):
            return lambda visit, item: bool(values(visit, item))
        raise self.wrong(f"says neither that {path} exists nor that it doesn't")

    def by_type(self, path: str, steps: Sequence[str], nodes: Sequence[Node]) -> Belongs:
        uses = [use for node in nodes if node.types is not None for use in node.types.what]
        if steps and steps[-1] == "resolve()":
            types = frozenset(self.compiler.library.type_of(url) for use in uses for url in use.targets)
            return self.by_target(path, types)
        types = frozenset(use.code for use in uses)
        if not types:
            raise self.wrong(f"no type at {path}")
        return _of_types(path, types)

    def by_target(self, path: str, types: frozenset[str]) -> Belongs:
        """The type of the resource a reference leads to."""
        if not types:
            raise self.wrong(f"no target at {path}")
        values = _values_at(path.removesuffix("resolve()").rstrip(".") or "$this")
        return lambda visit, item: any(
            type(found) is dict and visit.target_type(found) in types for found in values(visit, item)
        )

    def by_profile(self, path: str, steps: Sequence[str], nodes: Sequence[Node]) -> Belongs:
        uses = [use for node in nodes if node.types is not None for use in node.types.what]
        if steps and steps[-1] == "resolve()":
            return self.by_target(
                path, frozenset(self.compiler.library.type_of(u) for use in uses for u in use.targets)
            )
        urls = [url for use in uses for url in use.profiles]
        self.plans += [self.compiler.plan(url) for url in urls]
        types = frozenset(self.compiler.library.type_of(url) for url in urls) | {
            use.code for use in uses if not use.profiles
        }
        if not types:
            raise self.wrong(f"no profile at {path}")
        return _of_types(path, types)


def _of_types(path: str, types: frozenset[str]) -> Belongs:
    if types & _RESOURCES:
        return lambda visit, item: True
    if path.isidentifier():
        return IsOfType(path, types)
    values = _values_at(path)
    return lambda visit, item: any(
        type(found) is dict and str(found.get("resourceType")) in types for found in values(visit, item)
    )


class IsOfType:
    """A property has a resource of one of these types."""

    def __init__(self, name: str, types: frozenset[str]) -> None:
        self.name, self.types = name, types

    def __call__(self, visit: Visit, item: Any) -> bool:
        return resource_type(item, self.name) in self.types


def resource_type(item: Any, name: str) -> str | None:
    resource = item.get(name) if type(item) is dict else None
    kind = resource.get("resourceType") if type(resource) is dict else None
    return kind if type(kind) is str else None


def _steps(path: str) -> list[str] | None:
    """The steps of a discriminator path; None when it isn't one (https://hl7.org/fhir/R4/profiling.html#discriminator)."""
    if path == "$this":
        return []
    try:
        node: Path | None = parse(path)
    except ValueError:
        return None
    steps: list[str] = []
    while node is not None:
        if node[0] == "member":
            steps.append(node[2])
        elif node[0] == "call" and node[2] == "resolve" and not node[3]:
            steps.append("resolve()")
        elif node[0] == "call" and node[2] == "extension" and node[3][0][0] == "literal":
            steps.append(f"extension({node[3][0][1]})")
        elif node[0] != "this":
            return None
        node = node[1] if node[0] != "this" else None
    return steps[::-1]


def _values_at(path: str) -> Callable[[Visit, Any], list[Any]]:
    if path == "$this":
        return lambda visit, item: [item]
    steps = path.split(".")
    if all(step.isidentifier() and not is_choice_name(step) for step in steps):
        return lambda visit, item: _plain_values(item, steps)
    expression = compiled(path)
    return lambda visit, item: [
        plain(found) for found in expression([item], Environment(visit.resource, visit.root, item, visit.resolve))
    ]


def _plain_values(item: Any, steps: Sequence[str]) -> list[Any]:
    items = [item]
    for step in steps:
        found: list[Any] = []
        for each in items:
            value = each.get(step) if type(each) is dict else None
            if type(value) is list:
                found += value
            elif value is not None:
                found.append(value)
        items = found
    return items


def _under(value: Any, name: str) -> list[Any]:
    if type(value) is not dict:
        return []
    if name.endswith("[x]"):
        return [found for key, found in value.items() if key.startswith(name[:-3])]
    found = value.get(name)
    return found if type(found) is list else [] if found is None else [found]


def _in(value: Any, codes: Any) -> bool:
    if type(value) is str:
        return codes.has_code(value)
    codings = value.get("coding", [value]) if type(value) is dict else []
    return any(type(each) is dict and codes.has(each.get("system"), each.get("code")) for each in codings)


def _own_texts(node: Node) -> list[str]:
    return [stated.what for stated in (*node.fixed, *node.patterns) if type(stated.what) is str]


def _texts(node: Node, name: str) -> list[str]:
    child = node.children.get(name)
    return _own_texts(child) if child is not None else []
