"""Known extensions wherever they stand: whether their definition lets them stand there.

https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmp_fhir.profiles.definitions import type_of
from dmp_fhir.profiles.rules import ProfileError, Rule
from dmp_fhir.profiles.visit import Visit
from dmp_fhir.profiles.walk import Way

Tree = dict[str, Any]


class Contexts:
    """The extensions among some StructureDefinitions, and where each may stand. A container of their urls."""

    def __init__(self, structures: Mapping[str, Tree]) -> None:
        self._rules: dict[str, tuple[Rule, frozenset[str]] | None] = {}
        for url, tree in structures.items():
            if tree["type"] != "Extension" or not _names_itself(tree):
                continue
            places = set()
            for each in tree.get("context", ()):
                if each.get("type") not in ("element", "extension"):
                    raise ProfileError(f"{url}: context of type {each.get('type')} is not understood")
                places.add(each["expression"])
            if "contextInvariant" in tree:
                raise ProfileError(f"{url}: contextInvariant is not understood")
            some = ", ".join(sorted(places))
            fr, en = f"Cette extension va sur {some}.", f"This extension goes on {some}."
            rule = Rule(url, "Extension", "context", "error", fr, en)
            self._rules[url] = (rule, frozenset(places)) if places and "Element" not in places else None

    def __contains__(self, url: object) -> bool:
        return url in self._rules

    def check(self, visit: Visit, tree: Tree, url: str, value: Tree, way: Way) -> None:
        found = self._rules[url]
        if found is not None and not found[1] & holders(tree, way[0]):
            visit.fault(found[0], way)


def _names_itself(tree: Tree) -> bool:
    """A profile of Extension whose url is its own: the definition of that extension."""
    elements = tree.get("differential", tree.get("snapshot", {})).get("element", ())
    return any(each.get("path") == "Extension.url" and each.get("fixedUri") == tree["url"] for each in elements)


def holders(tree: Tree, way: Way) -> set[str]:
    """The names under which an element may be given as a context: its path in the resource and in its datatype, its
    type and the types that one derives from, the url when it is an extension."""
    steps: list[tuple[str, int | None]] = []
    while type(way) is tuple:
        way, name, index = way
        steps.append((name, index))
    node: Any = tree
    kind = str(tree["resourceType"])
    paths = {kind}
    for name, index in reversed(steps):
        below = node.get(name) if type(node) is dict else None
        node = below[index] if index is not None and type(below) is list and index < len(below) else below
        known = type_of(kind).properties.get(name.removeprefix("_"))
        if known is None:
            return set()
        element = known.element.name
        if known.resource:
            kind = str(node.get("resourceType")) if type(node) is dict else known.type
            paths = {kind}
        else:
            kind = known.type
            paths = {f"{path}.{element}" for path in paths} | {f"{path}.{known.name}" for path in paths} | {kind}
    if type(node) is dict and type(node.get("url")) is str:
        paths.add(node["url"])
    while kind:
        paths.add(kind)
        kind = type_of(kind).parent
    return paths
