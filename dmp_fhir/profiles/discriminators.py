"""Discriminators: what tells the slices of an element apart (https://hl7.org/fhir/R4/profiling.html#discriminator).

Value and pattern (fixed, pattern or required value set at the path, in the slice or in the profile of its type),
exists, type and profile. Each becomes a test of an item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dmp_fhir.profiles.bindings import Codeset
from dmp_fhir.profiles.definitions import is_choice_name
from dmp_fhir.profiles.element_checks import fitting
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
        only = _all(tests)
        return _somewhere(path, lambda visit, found: only(found))

    def value_test(self, node: Node) -> Callable[[Any], bool] | None:
        """What the fixed values, patterns and required value sets of a node and below it ask of a value."""
        tests: list[Callable[[Any], bool]] = []
        for stated in (*node.fixed, *node.patterns):
            tests.append(fitting(stated.what))
        for stated in node.bindings:
            codes = self.compiler.terminology.find(stated.what[1]) if stated.what[0] == "required" else None
            if codes is not None and not tests:
                tests.append(partial(_in, codes))
        for name, child in node.children.items():
            inner = self.value_test(child)
            if inner is not None:
                tests.append(partial(_under, name, inner))
        for each in node.slices.values():
            inner = self.value_test(each)
            if inner is not None and each.least is not None and each.least.what:
                tests.append(inner)
        return _all(tests) if tests else None

    def by_existence(self, path: str, nodes: Sequence[Node]) -> Belongs:
        there = _somewhere(path, lambda visit, found: True)
        if any(node.most is not None and node.most.what == 0 for node in nodes):
            return lambda visit, item: not there(visit, item)
        if any(node.least is not None and node.least.what for node in nodes):
            return there
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
        return _somewhere(
            path.removesuffix("resolve()").rstrip(".") or "$this",
            lambda visit, found: type(found) is dict and visit.target(found)[0] in types,
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
    return _somewhere(path, lambda visit, found: type(found) is dict and str(found.get("resourceType")) in types)


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


def _somewhere(path: str, test: Belongs) -> Belongs:
    """Whether some value at a path passes a test."""
    if path == "$this":
        return test
    steps = path.split(".")
    if all(step.isidentifier() and not is_choice_name(step) for step in steps):
        for name in reversed(steps):
            test = _below(name, test)
        return test
    expression = compiled(path)
    return lambda visit, item: any(
        test(visit, plain(found))
        for found in expression([item], Environment(visit.resource, visit.root, item, visit.resolve))
    )


def _below(name: str, test: Belongs) -> Belongs:
    """Whether the value of a property passes a test, or one of its values."""

    def run(visit: Visit, item: Any) -> bool:
        value = item.get(name) if type(item) is dict else None
        if type(value) is list:
            return any(test(visit, each) for each in value)
        return value is not None and test(visit, value)

    return run


def _all(tests: Sequence[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _under(name: str, test: Callable[[Any], bool], value: Any) -> bool:
    if type(value) is not dict:
        return False
    if name.endswith("[x]"):
        return any(test(found) for key, found in value.items() if key.startswith(name[:-3]))
    found = value.get(name)
    return any(map(test, found)) if type(found) is list else found is not None and test(found)


def _in(codes: Codeset, value: Any) -> bool:
    if type(value) is str:
        return codes.has_code(value)
    codings = value.get("coding", [value]) if type(value) is dict else []
    return any(type(each) is dict and codes.has(each.get("system"), each.get("code")) for each in codings)


def _own_texts(node: Node) -> list[str]:
    return [stated.what for stated in (*node.fixed, *node.patterns) if type(stated.what) is str]


def _texts(node: Node, name: str) -> list[str]:
    child = node.children.get(name)
    return _own_texts(child) if child is not None else []
