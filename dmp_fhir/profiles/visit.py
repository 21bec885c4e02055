"""What the profile checks know while they go through a resource, and how they say that a rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dmp_fhir.profiles.definitions import resource_types
from dmp_fhir.profiles.references import type_named_by
from dmp_fhir.profiles.rules import SEVERITIES, Rule
from dmp_fhir.profiles.walk import Way

Tree = dict[str, Any]
Check = Callable[["Visit", Any, Way], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken rule: where (a way, written out only when wanted), what was found or is lacking."""

    rule: Rule
    severity: str
    way: Way
    fr: str
    en: str


# A resource that a reference leads to, the way to it, the profiles of which it follows one, the text they are known by,
# what contains it and the way to that.
# https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type.targetProfile
Target = tuple[Tree, Way, Sequence[Any], str, Tree, Way]


@dataclass(slots=True)
class Visit:
    """The resource under way and the outermost one, the faults so far, the resources a reference may reach. `most` is
    the severity at most of what is wrong with a resource that a reference leads to."""

    severity: Callable[[Rule], str]
    resource: Tree
    root: Tree
    root_way: Way = ""
    faults: list[Fault] = field(default_factory=list)
    bundle: Tree | None = None
    bundle_way: Way = ""
    most: str = "error"
    done: set[tuple[int, str]] = field(default_factory=set)
    targets: list[Target] = field(default_factory=list)
    _entries: dict[str, tuple[Tree, Way]] | None = None
    _held: dict[int, dict[str, tuple[Tree, int]]] = field(default_factory=dict)

    def fault(self, rule: Rule, way: Way, fr: str = "", en: str = "") -> None:
        severity = self.severity(rule)
        if severity != "off":
            self.faults.append(Fault(rule, severity, way, fr, en))

    def trial(self) -> Visit:
        """The same visit with faults and targets of its own, to see whether something conforms."""
        return replace(self, faults=[], targets=[], done=set(self.done))

    def adopt(self, trial: Visit, most: str = "error") -> None:
        """Take over what a trial has found, as no more serious than `most`."""
        self.faults += trial.faults if most == "error" else (_softer(fault, most) for fault in trial.faults)
        self.targets += trial.targets

    def conform(self, plan: Any, resource: Tree, way: Way) -> None:
        """Check a resource against a profile, once, however many ask for it."""
        key = (id(resource), plan.url)
        if key not in self.done:
            self.done.add(key)
            plan.check(self, resource, way)

    def errors(self) -> int:
        return sum(fault.severity == "error" for fault in self.faults)

    def lead(self, plans: Sequence[Any], known: str, reference: str, resource: Tree, way: Way) -> None:
        """A reference leads to a resource at hand, which follows one of these profiles."""
        if (id(resource), known) in self.done:
            return
        if reference[0] == "#":
            self.targets.append((resource, way, plans, known, self.root, self.root_way))
        else:
            self.targets.append((resource, way, plans, known, resource, way))

    def settle(self) -> None:
        """Check the resources that references have led to: at the end, since most are checked for another reason."""
        outer = self.resource, self.root, self.root_way
        while self.targets:
            resource, way, plans, known, root, root_way = self.targets.pop()
            if (id(resource), known) in self.done:
                continue
            self.done.add((id(resource), known))
            self.resource, self.root, self.root_way = resource, root, root_way
            told = len(self.faults)
            best_of(plans, self, resource, way)
            if self.most != "error":
                self.faults[told:] = [_softer(fault, self.most) for fault in self.faults[told:]]
        self.resource, self.root, self.root_way = outer

    def locate(self, reference: str) -> tuple[Tree, Way] | None:
        """The resource a reference names, contained or in the same bundle, and the way to it; None when it is
        elsewhere."""
        if reference[:1] == "#":
            if reference == "#":
                return self.root, self.root_way
            held = (self._held.get(id(self.root)) or self._contained()).get(reference)
            return None if held is None else (held[0], (self.root_way, "contained", held[1]))
        return self._by_address().get(reference) if self.bundle is not None else None

    def resolve(self, reference: str) -> Tree | None:
        found = self.locate(reference)
        return None if found is None else found[0]

    def _contained(self) -> dict[str, tuple[Tree, int]]:
        """The resources contained in the outermost one and their places, by the text that refers to each (`#id`)."""
        found = self._held[id(self.root)] = {}
        items = self.root.get("contained")
        for n, each in enumerate(items if type(items) is list else ()):
            if type(each) is dict and type(each.get("id")) is str:
                found.setdefault("#" + each["id"], (each, n))
        return found

    def _by_address(self) -> dict[str, tuple[Tree, Way]]:
        if self._entries is None:
            self._entries = {}
            entries = self.bundle.get("entry") if self.bundle else None
            for n, entry in enumerate(entries if type(entries) is list else ()):
                resource = entry.get("resource") if type(entry) is dict else None
                if type(resource) is dict:
                    found = resource, ((self.bundle_way, "entry", n), "resource", None)
                    if type(entry.get("fullUrl")) is str:
                        self._entries.setdefault(entry["fullUrl"], found)
                    self._entries.setdefault(f"{resource.get('resourceType')}/{resource.get('id')}", found)
        return self._entries

    def target(self, value: Tree) -> tuple[str | None, tuple[Tree, Way] | None]:
        """The resource type a Reference leads to, None when nothing says it; and the resource and the way to it, when
        it is at hand."""
        reference = value.get("reference")
        if type(reference) is str:
            found = self.locate(reference)
            if found is not None:
                kind = found[0].get("resourceType")
                return (kind if type(kind) is str else None), found
            named = type_named_by(reference)
            if named is not None:
                return named, None
        kind = value.get("type")
        return (kind if type(kind) is str and kind in resource_types() else None), None


def best_of(plans: Sequence[Any], visit: Visit, value: Any, way: Way) -> None:
    """The value follows one of the profiles; when it follows none, the faults are those against the nearest."""
    if len(plans) == 1:
        plans[0].check(visit, value, way)
        return
    nearest: Visit | None = None
    for plan in plans:
        trial = visit.trial()
        plan.check(trial, value, way)
        if nearest is None or trial.errors() < nearest.errors():
            nearest = trial
        if not nearest.errors():
            break
    if nearest is not None:
        visit.adopt(nearest)


def least(one: str, other: str) -> str:
    """The less serious of two severities."""
    return min(one, other, key=SEVERITIES.index)


def _softer(fault: Fault, most: str) -> Fault:
    return replace(fault, severity=least(fault.severity, most))
