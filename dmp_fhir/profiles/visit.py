"""What the profile checks know while they go through a resource, and how they say that a rule is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dmp_fhir.profiles.definitions import resource_types
from dmp_fhir.profiles.references import type_named_by
from dmp_fhir.profiles.rules import Rule
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


@dataclass(slots=True)
class Visit:
    """The resource under way and the outermost one, the faults so far, the resources a reference may reach."""

    severity: Callable[[Rule], str]
    resource: Tree
    root: Tree
    faults: list[Fault] = field(default_factory=list)
    bundle: Tree | None = None
    done: set[tuple[int, str]] = field(default_factory=set)
    _entries: dict[str, Tree] | None = None

    def fault(self, rule: Rule, way: Way, fr: str = "", en: str = "") -> None:
        severity = self.severity(rule)
        if severity != "off":
            self.faults.append(Fault(rule, severity, way, fr, en))

    def trial(self) -> Visit:
        """The same visit with a list of faults of its own, to see whether something conforms."""
        return Visit(self.severity, self.resource, self.root, [], self.bundle, set(self.done), self._entries)

    def conform(self, plan: Any, resource: Tree, way: Way) -> None:
        """Check a resource against a profile, once, however many ask for it."""
        if (id(resource), plan.url) not in self.done:
            self.done.add((id(resource), plan.url))
            plan(self, resource, way)

    def errors(self) -> int:
        return sum(fault.severity == "error" for fault in self.faults)

    def resolve(self, reference: str) -> Tree | None:
        """The resource a reference names, contained or in the same bundle; None when it is elsewhere."""
        if reference[:1] == "#":
            if reference == "#":
                return self.root
            found = self.root.get("contained")
            for each in found if type(found) is list else ():
                if type(each) is dict and each.get("id") == reference[1:]:
                    return each
            return None
        return self._by_address().get(reference) if self.bundle is not None else None

    def _by_address(self) -> dict[str, Tree]:
        if self._entries is None:
            self._entries = {}
            entries = self.bundle.get("entry") if self.bundle else None
            for entry in entries if type(entries) is list else ():
                resource = entry.get("resource") if type(entry) is dict else None
                if type(resource) is dict:
                    if type(entry.get("fullUrl")) is str:
                        self._entries.setdefault(entry["fullUrl"], resource)
                    self._entries.setdefault(f"{resource.get('resourceType')}/{resource.get('id')}", resource)
        return self._entries

    def target_type(self, value: Tree) -> str | None:
        """The resource type a Reference leads to; None when nothing says it."""
        reference = value.get("reference")
        if type(reference) is str:
            found = self.resolve(reference)
            if found is not None:
                kind = found.get("resourceType")
                return kind if type(kind) is str else None
            named = type_named_by(reference)
            if named is not None:
                return named
        kind = value.get("type")
        return kind if type(kind) is str and kind in resource_types() else None
