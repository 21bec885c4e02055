"""What a run found, as values: findings of steps, outcomes of cases, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dmp_fhir.conformance.checks import Finding
from dmp_fhir.conformance.client import Exchange
from dmp_fhir.conformance.scenarios import OBLIGATIONS, Case, Text

PASSED, FAILED, SKIPPED, BLOCKED = "passed", "failed", "skipped", "blocked"
OUTCOMES = (PASSED, FAILED, BLOCKED, SKIPPED)


@dataclass
class StepResult:
    """One exchange and what was checked of it."""

    exchange: Exchange
    persona: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(each.ok for each in self.findings)


@dataclass
class CaseResult:
    """The outcome of one case. `blocked`: what the scenario needs before it begins was not to be had, so that the
    requirement was not tried; it counts as a failure of the run. `skipped`: the configuration leaves it out."""

    case: Case
    outcome: str = PASSED
    steps: list[StepResult] = field(default_factory=list)
    reason: Text | None = None
    seconds: float = 0.0

    @property
    def findings(self) -> list[Finding]:
        return [finding for step in self.steps for finding in step.findings]

    @property
    def failures(self) -> list[Finding]:
        return [each for each in self.findings if not each.ok]


@dataclass
class Report:
    """A whole run. Times are seconds since 1970; `secrets` never appear in what is written of it."""

    title: str
    base_url: str
    run: str
    started: float
    ended: float
    results: list[CaseResult]
    groups: dict[str, Text]
    software: str = ""
    secrets: set[str] = field(default_factory=set)

    def count(self, outcome: str, obligation: str | None = None) -> int:
        return sum(
            each.outcome == outcome and obligation in (None, each.case.scenario.obligation) for each in self.results
        )

    @property
    def checks(self) -> int:
        """Checks made."""
        return sum(len(each.findings) for each in self.results)

    @property
    def failed_checks(self) -> int:
        return sum(len(each.failures) for each in self.results)

    @property
    def conforming(self) -> bool:
        """Nothing that SHALL be fails or is blocked, and something was tried."""
        tried = self.count(PASSED) > 0
        return tried and not self.count(FAILED, "SHALL") and not self.count(BLOCKED, "SHALL")

    def by_obligation(self) -> list[tuple[str, Counter[str]]]:
        return [
            (each, Counter(result.outcome for result in self.results if result.case.scenario.obligation == each))
            for each in OBLIGATIONS
        ]

    def by_group(self) -> list[tuple[str, list[CaseResult]]]:
        return [
            (name, found)
            for name in self.groups
            if (found := [each for each in self.results if each.case.scenario.group == name])
        ]


def total_checks(cases: Iterable[Case]) -> int:
    """Checks that the scenarios say, one by one; those of the built-in steps are not counted."""
    return sum(len(step.expectations) for case in cases for step in case.scenario.steps)
