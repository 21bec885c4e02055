"""The validator: structure and invariants of R4, then the profiles that are asked for or declared.

    validator = Validator.load(SHIPPED)
    issues = validator.validate(tree, [url], level="released")

A folder holds StructureDefinition, ValueSet and CodeSystem resources (JSON) and `levels.json` (rules.py). What a
profile says and the compiler doesn't understand stops the loading with ProfileError. One mistake gives one issue: what
the structure check refuses is not refused again by a profile, nor twice by a profile and its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.bindings import Terminology
from dmp_fhir.profiles.compiler import Compiler, Plan
from dmp_fhir.profiles.definitions import resource_types
from dmp_fhir.profiles.extensions import Contexts
from dmp_fhir.profiles.noted import RULES, judge_noted
from dmp_fhir.profiles.rules import LEVELS, Levels, ProfileError, Rule
from dmp_fhir.profiles.snapshot import Library
from dmp_fhir.profiles.structure import structural_walk
from dmp_fhir.profiles.visit import Fault, Visit
from dmp_fhir.profiles.walk import MOST_ISSUES, Walk, Way, path_of

Tree = dict[str, Any]
_CODES = {
    "min": "required",
    "max": "structure",
    "type": "structure",
    "target": "structure",
    "aggregation": "structure",
    "slicing": "structure",
    "context": "extension",
    "fixed": "value",
    "pattern": "value",
    "maxLength": "value",
    "minValue": "value",
    "maxValue": "value",
    "binding": "code-invalid",
    "system": "code-invalid",
    "search": "value",
    "invariant": "invariant",
}
_ORDER = {"error": 0, "warning": 1, "information": 2}


class Validator:
    """`profiles` are the compiled profiles by canonical URL, `rules` every rule they state, `sources` where each
    profile was read."""

    def __init__(self, resources: Iterable[Tree], levels: Levels, sources: Mapping[str, str] | None = None) -> None:
        kept: dict[str, dict[str, Tree]] = {"StructureDefinition": {}, "ValueSet": {}, "CodeSystem": {}}
        for tree in resources:
            kind = tree.get("resourceType")
            if kind in kept:
                kept[kind][tree["url"]] = tree
        library = Library(kept["StructureDefinition"], levels.text)
        self.terminology = Terminology(kept["ValueSet"].values(), kept["CodeSystem"].values())
        compiler = Compiler(library, self.terminology, levels)
        self.profiles: Mapping[str, Plan] = {url: compiler.plan(url) for url in kept["StructureDefinition"]}
        self.rules: Mapping[str, Rule] = compiler.rules | {rule.id: rule for rule in RULES}
        self.levels, self.library, self.sources = levels, library, sources or {}
        levels.check_names(self.rules.values())
        self._contexts = Contexts(kept["StructureDefinition"])
        self._severity: dict[str, dict[Rule, str]] = {level: {} for level in LEVELS}

    @classmethod
    def load(cls, *folders: Path) -> Validator:
        """Compile what folders hold; a later folder overrides an earlier one, canonical URL by canonical URL. Raises
        ProfileError, OSError."""
        levels, resources, sources = Levels(), {}, {}
        for folder in folders:
            if not folder.is_dir():
                raise ProfileError(f"{folder} is no folder")
            for file in sorted(folder.rglob("*.json")):
                try:
                    tree = orjson.loads(file.read_bytes())
                except ValueError as fault:
                    raise ProfileError(f"{file}: {fault}") from fault
                if file.name == "levels.json":
                    levels.add(tree, str(file))
                elif isinstance(tree, dict) and "resourceType" in tree and "url" in tree:
                    key = f"{tree['resourceType']} {tree['url']}"
                    resources[key], sources[tree["url"]] = tree, str(file)
        return cls(resources.values(), levels, sources)

    def validate(
        self,
        tree: Any,
        profiles: Sequence[str] | None = None,
        level: str = "released",
        *,
        expression: str | None = None,
    ) -> list[Issue]:
        """All that is wrong or worth a remark with a resource; none when it conforms. `profiles` are asked of the
        resource itself, beside those it and the resources inside it declare (meta.profile). `level` is released, main
        or mhd (D1); `expression` the FHIRPath of the resource when it is part of something else."""
        return self.judge(self.walk(tree, expression=expression), profiles, level)

    def walk(self, tree: Any, *, expression: str | None = None) -> Walk:
        """The first half of a validation, the structure and invariants of R4: what is refused here is not worth more
        questions."""
        return structural_walk(tree, expression=expression, known=self._contexts)

    def judge(self, walk: Walk, profiles: Sequence[str] | None = None, level: str = "released") -> list[Issue]:
        """The second half, the profiles; with what the walk has found. What was walked has not changed since."""
        known = self._severity[level]

        def severity(rule: Rule) -> str:
            found = known.get(rule)
            if found is None:
                found = known[rule] = self.levels.severity(rule, level)
            return found

        tree, way, issues = walk.tree, walk.way, list(walk.issues)
        name = tree.get("resourceType") if type(tree) is dict else None
        if type(name) is not str or name not in resource_types():
            return issues
        visit = Visit(severity, tree, tree, way, most=self.levels.targets.get(level, "error"))
        if name == "Bundle":
            visit.bundle, visit.bundle_way = tree, way
        self._resource(visit, issues, tree, way, profiles or ())
        visit.settle()
        judge_noted(visit, walk, self.terminology)
        for url, value, place, holder, holder_way in walk.met:
            self._contexts.check(visit, url, place, holder, holder_way)
            self._contexts.check_parts(visit, url, value, place)
            visit.conform(self.profiles[url], value, place)
        if not visit.faults:
            return issues
        return _merged(issues, visit.faults)

    def _resource(self, visit: Visit, issues: list[Issue], node: Tree, way: Way, profiles: Iterable[str]) -> None:
        """A resource against the profiles asked for and declared, then the resources inside it."""
        meta = node.get("meta")
        declared = meta.get("profile") if type(meta) is dict else None
        wanted = (
            dict.fromkeys((url for url in declared if type(url) is str), "information")
            if type(declared) is list
            else {}
        )
        wanted |= dict.fromkeys(profiles, "error")
        for url, lacking in wanted.items():
            plan = self.profiles.get(url.split("|")[0])
            if len(wanted) > 1 and plan is not None and not plan.family.isdisjoint(wanted.keys() - {url}):
                continue  # a profile derived from it, asked for too, says all that it says
            self._conform(visit, issues, plan, url, node, way, lacking)
        contained = node.get("contained")
        if type(contained) is list:
            for n, each in enumerate(contained):
                if type(each) is dict and "meta" in each:
                    visit.resource = each
                    self._resource(visit, issues, each, (way, "contained", n), ())
            visit.resource = node
        if node.get("resourceType") == "Bundle":
            self._inside(visit, issues, node, "entry", way)
        elif node.get("resourceType") == "Parameters":
            self._inside(visit, issues, node, "parameter", way)

    def _inside(self, visit: Visit, issues: list[Issue], node: Tree, name: str, way: Way) -> None:
        items = node.get(name)
        for n, item in enumerate(items) if type(items) is list else ():
            resource = item.get("resource") if type(item) is dict else None
            if type(resource) is dict:
                inner = ((way, name, n), "resource", None)
                visit.resource, visit.root, visit.root_way = resource, resource, inner
                self._resource(visit, issues, resource, inner, ())
        visit.resource, visit.root, visit.root_way = node, node, way

    def _conform(
        self, visit: Visit, issues: list[Issue], plan: Plan | None, url: str, node: Tree, way: Way, lacking: str
    ) -> None:
        bare = url.split("|")[0]
        if plan is None:
            if not self.library.is_base(bare):
                fr = f"Le profil {url[:200]} n'est pas connu ici : la ressource n'y a pas été comparée."
                en = f"Profile {url[:200]} is not known here: the resource was not compared with it."
                issues.append(Issue(lacking, "not-found", fr, en, path_of(way), bare[:200]))
        elif plan.type != node.get("resourceType"):
            fr, en = f"Ce profil est fait pour {plan.type}.", f"This profile is for {plan.type}."
            found = str(node.get("resourceType"))[:64]
            visit.fault(Rule(bare, plan.type, "type", "error", fr, en), way, f"Trouvé : {found}.", f"Found: {found}.")
        else:
            visit.conform(plan, node, way)


def _merged(issues: list[Issue], faults: Sequence[Fault]) -> list[Issue]:
    """Issues of the structure, then of profiles: one for each mistake, most serious first."""
    refused = {issue.expression for issue in issues if issue.severity == "error" and issue.expression}
    told: set[tuple[str, ...]] = set()
    codes: list[str] = []
    merged = list(issues)
    for fault in sorted(faults, key=lambda fault: _ORDER[fault.severity]):
        rule, expression = fault.rule, path_of(fault.way)
        mistake = _mistake(rule, expression)
        if mistake in told or (refused and _refused_already(rule, expression, refused)):
            continue
        if rule.aspect == "system":
            # The code of a concept that is refused is not refused again; one that does not exist is in no value set.
            if any(("value", each) in told for each in _holders(expression)):
                continue
            codes.append(expression)
        elif codes and rule.aspect == "binding" and any(each.startswith(expression + ".") for each in codes):
            continue
        told.add(mistake)
        fr, en = f"{rule.fr} {fault.fr}".strip(), f"{rule.en} {fault.en}".strip()
        merged.append(Issue(fault.severity, _CODES[rule.aspect], fr, en, expression, rule.id))
    return merged[:MOST_ISSUES] if len(merged) > MOST_ISSUES else merged


def _holders(expression: str) -> Iterator[str]:
    """The elements that hold an element, nearest first."""
    while (cut := max(expression.rfind("."), expression.rfind("["))) > 0:
        expression = expression[:cut]
        yield expression


def _mistake(rule: Rule, expression: str) -> tuple[str, ...]:
    """What two rules have in common when they blame the same thing."""
    if rule.aspect in ("fixed", "pattern", "binding"):
        return "value", expression
    if rule.aspect in ("type", "target", "aggregation"):
        return rule.aspect, expression
    if rule.aspect in ("min", "max", "slicing"):
        return rule.aspect, expression, rule.element.rsplit(".", 1)[-1]
    return rule.id, expression


def _refused_already(rule: Rule, expression: str, refused: set[str]) -> bool:
    """Whether the structure has refused an element, one that holds it, or something inside a value that is wrong."""
    if rule.aspect in ("fixed", "pattern", "binding") and any(each.startswith(expression + ".") for each in refused):
        return True
    return expression in refused or any(each in refused for each in _holders(expression))
