"""Rules of profiles as values, and how serious each is at each level of the guides (D1).

A rule is named by the canonical URL of the profile that states it, the id of the element and the aspect
(`…/pdsm-comprehensive-document-reference#DocumentReference.custodian/min`), or the key of the invariant
(`…#fr-core-1`). A folder of profiles says in `levels.json` where a level departs from the profile's own severity:

    {"guides": [{"canonical": "https://interop.esante.gouv.fr/", "mhd": "information"}],
     "rules": {"…#DocumentReference.custodian/min": {"released": "warning", "mhd": "off"}},
     "targets": {"released": "warning"}, "open": ["http://hl7.org/fhir/ValueSet/languages"],
     "text": {"constr-bind-type": "content.py"}}

`guides` caps the rules of a canonical prefix, `rules` sets one rule, `targets` caps what a resource breaks of the
profile asked of the target of a reference, `open` names value sets that can't be enumerated offline, `text` the
invariants without expression and where they are enforced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("released", "main", "mhd")
SEVERITIES = ("off", "information", "warning", "error")


class ProfileError(ValueError):
    """A profile, or something in it, that is not understood: loading stops. The text names profile and element."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One constraint of one profile. `aspect` is min, max, type, target, aggregation, fixed, pattern, binding, slicing,
    length, value, invariant, system (a code) or search (a reference); `severity` the one the profile gives; `fr` and
    `en` say it in general."""

    source: str
    element: str
    aspect: str
    severity: str
    fr: str
    en: str
    key: str | None = None
    detail: str = ""
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        name = f"{self.source}#{self.key}" if self.key else f"{self.source}#{self.element}/{self.aspect}"
        object.__setattr__(self, "id", name)


@dataclass(slots=True)
class Levels:
    """The level tables of all the folders loaded."""

    guides: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    rules: dict[str, Mapping[str, str]] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    text: dict[str, str] = field(default_factory=dict)

    def add(self, table: Mapping[str, Any], where: str) -> None:
        """Raises ProfileError for a key, level or severity that doesn't exist."""
        if unknown := table.keys() - {"guides", "rules", "targets", "open", "text"}:
            raise ProfileError(f"{where}: {', '.join(sorted(unknown))} is not understood")
        for guide in table.get("guides", ()):
            settings = {name: value for name, value in guide.items() if name != "canonical"}
            self.guides.append((guide["canonical"], _checked(settings, where)))
        for rule, settings in table.get("rules", {}).items():
            self.rules[rule] = _checked(settings, where)
        self.targets.update(_checked(table.get("targets", {}), where))
        self.open.update(table.get("open", ()))
        self.text.update(table.get("text", {}))

    def severity(self, rule: Rule, level: str) -> str:
        """`off`, `information`, `warning` or `error`."""
        if level in self.rules.get(rule.id, ()):
            return self.rules[rule.id][level]
        found = rule.severity
        for prefix, caps in self.guides:
            if rule.source.startswith(prefix) and level in caps:
                found = min(found, caps[level], key=SEVERITIES.index)
        return found

    def check_names(self, rules: Iterable[Rule]) -> None:
        """Raises ProfileError when the table names a rule no profile has: a slip would go unseen."""
        if unknown := self.rules.keys() - {rule.id for rule in rules}:
            raise ProfileError(f"levels.json names rules no profile has: {', '.join(sorted(unknown))}")


def _checked(settings: Mapping[str, str], where: str) -> Mapping[str, str]:
    for level, severity in settings.items():
        if level not in LEVELS or severity not in SEVERITIES:
            raise ProfileError(f"{where}: level {level} = {severity} is not understood")
    return settings
