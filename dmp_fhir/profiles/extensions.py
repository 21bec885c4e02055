"""Known extensions wherever they stand: whether their definition lets them stand there, and knows their parts.

https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dmp_fhir.profiles.definitions import type_of
from dmp_fhir.profiles.references import is_absolute
from dmp_fhir.profiles.rules import ProfileError, Rule
from dmp_fhir.profiles.visit import Visit
from dmp_fhir.profiles.walk import Way

Tree = dict[str, Any]


class Contexts:
    """The extensions among some StructureDefinitions, and where each may stand. A container of their urls."""

    def __init__(self, structures: Mapping[str, Tree]) -> None:
        self._rules: dict[str, tuple[Rule, frozenset[str]] | None] = {}
        self._parts: dict[str, tuple[Rule, frozenset[str]]] = {}
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
            if parts := _parts(tree):
                some = ", ".join(sorted(parts))
                fr, en = f"Parties de cette extension : {some}.", f"Parts of this extension: {some}."
                self._parts[url] = Rule(url, "Extension.extension", "slicing", "error", fr, en), parts

    def __contains__(self, url: object) -> bool:
        return url in self._rules

    def check(self, visit: Visit, url: str, way: Way, resource: Tree, resource_way: Way) -> None:
        """Whether the extension at `way` may stand there, in the resource at `resource_way`."""
        found = self._rules[url]
        if found is None:
            return
        rule, places = found
        holder: Way = way[0]
        steps: list[str] = []
        while holder is not resource_way and type(holder) is tuple:
            holder, name, _ = holder
            steps.append(name)
        names = holders(str(resource["resourceType"]), tuple(reversed(steps)))
        if places.isdisjoint(names) and places.isdisjoint(_outer_url(resource, resource_way, way[0])):
            visit.fault(rule, way)

    def check_parts(self, visit: Visit, url: str, value: Any, way: Way) -> None:
        """A part named by a word, not by an address of its own, is one of those the definition gives
        (https://hl7.org/fhir/R4/extensibility.html#Extension)."""
        found = self._parts.get(url)
        inner = value.get("extension") if found is not None else None
        if found is None or type(inner) is not list:
            return
        rule, parts = found
        for n, each in enumerate(inner):
            name = each.get("url") if type(each) is dict else None
            if type(name) is str and name not in parts and not is_absolute(name):
                given = f"Trouvé : {name[:100]}.", f"Found: {name[:100]}."
                visit.fault(rule, ((way, "extension", n), "url", None), *given)


def _parts(tree: Tree) -> frozenset[str]:
    """The urls of the parts of a complex extension."""
    elements = (tree.get("differential") or tree.get("snapshot") or {}).get("element", ())
    return frozenset(each["fixedUri"] for each in elements if each.get("path") == "Extension.extension.url")


def _names_itself(tree: Tree) -> bool:
    """A profile of Extension whose url is its own: the definition of that extension."""
    elements = (tree.get("differential") or tree.get("snapshot") or {}).get("element", ())
    return any(each.get("path") == "Extension.url" and each.get("fixedUri") == tree["url"] for each in elements)


@lru_cache(4096)  # clients may nest extensions as they like
def holders(type_name: str, steps: tuple[str, ...]) -> frozenset[str]:
    """The names under which an element may be given as a context: its path in the resource and in its datatype, its
    type and the types that one derives from. `steps` lead from the resource to it."""
    kind, paths = type_name, {type_name}
    for name in steps:
        known = type_of(kind).properties.get(name.removeprefix("_"))
        if known is None:
            return frozenset()
        kind = known.type
        paths = {f"{path}.{each}" for path in paths for each in (known.element.name, known.name)} | {kind}
    while kind:
        paths.add(kind)
        kind = type_of(kind).parent
    return frozenset(paths)


def _outer_url(resource: Tree, resource_way: Way, way: Way) -> set[str]:
    """The url of the extension that holds the one at hand, if one does."""
    steps: list[tuple[str, int | None]] = []
    while way is not resource_way and type(way) is tuple:
        way, name, index = way
        steps.append((name, index))
    node: Any = resource
    for name, index in reversed(steps):
        node = node.get(name) if type(node) is dict else None
        if index is not None:
            node = node[index] if type(node) is list and index < len(node) else None
    url = node.get("url") if isinstance(node, dict) else None
    return {url} if type(url) is str else set()
