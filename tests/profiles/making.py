"""Small profiles for the tests of the validator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dmp_fhir.profiles.rules import Levels
from dmp_fhir.profiles.validator import Validator

Tree = dict[str, Any]
BASE = "http://hl7.org/fhir/StructureDefinition/"
HOME = "http://example.org/fhir/StructureDefinition/"
CODES = "http://example.org/fhir/CodeSystem/colours"
COLOURS = "http://example.org/fhir/ValueSet/colours"


def element(id_: str, **facets: Any) -> Tree:
    return {"id": id_, "path": ".".join(step.split(":")[0] for step in id_.split(".")), **facets}


def profile(name: str, kind: str, elements: Iterable[Tree], parent: str | None = None, **more: Any) -> Tree:
    return {
        "resourceType": "StructureDefinition",
        "url": HOME + name,
        "name": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": kind,
        "baseDefinition": parent or BASE + kind,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **more,
    }


def extension(name: str, elements: Iterable[Tree], *contexts: str) -> Tree:
    first = element("Extension.url", fixedUri=HOME + name)
    where = [{"type": "element", "expression": each} for each in contexts]
    return profile(name, "Extension", [first, *elements], context=where)


def value_set(url: str = COLOURS, **compose: Any) -> Tree:
    concepts = [{"code": "red", "display": "Rouge"}, {"code": "green", "display": "Vert"}, {"code": "blue"}]
    return {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": compose or {"include": [{"system": CODES, "concept": concepts}]},
    }


def validator(*resources: Tree, **table: Any) -> Validator:
    levels = Levels()
    levels.add(table, "levels")
    return Validator(resources, levels)


def broken(checker: Validator, tree: Tree, *profiles: str, level: str = "released") -> set[tuple[str, str, str | None]]:
    """(severity, rule without the canonical base of the tests, expression) of each issue."""
    issues = checker.validate(tree, [HOME + name for name in profiles], level)
    return {(each.severity, str(each.rule).removeprefix(HOME), each.expression) for each in issues}
