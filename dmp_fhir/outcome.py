"""Refusals and remarks as values, and their FHIR form.

An `Issue` is one remark about a request; a `Refusal` is the whole answer to a request that is not carried out. A
refusal is built and compared like any value; `Refused` only carries it out of a transaction, so that leaving means
rolling back (docs/decisions/0002-refusals.md).

OperationOutcome: https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dmp_fhir.canonicals import RULE_SYSTEM, XDS_ERROR_SYSTEM

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"


@dataclass(frozen=True, slots=True)
class Issue:
    """One remark: `severity` and `code` are those of FHIR, `rule` is an access rule, decision, profile or TF id,
    `xds` the name of the IHE error (ITI TF-3 table 4.2.4.1-2), `expression` the FHIRPath of the element."""

    severity: str
    code: str
    fr: str
    en: str
    expression: str | None = None
    rule: str | None = None
    xds: str | None = None

    def tree(self) -> dict[str, Any]:
        coding = [{"system": XDS_ERROR_SYSTEM, "code": self.xds}] if self.xds else []
        if self.rule:
            coding.append({"system": RULE_SYSTEM, "code": self.rule})
        details: dict[str, Any] = {"coding": coding} if coding else {}
        details["text"] = self.fr
        translation = [{"url": "lang", "valueCode": "en"}, {"url": "content", "valueString": self.en}]
        details["_text"] = {"extension": [{"url": TRANSLATION, "extension": translation}]}
        issue: dict[str, Any] = {
            "severity": self.severity,
            "code": self.code,
            "details": details,
            "diagnostics": self.en,
        }
        if self.expression:
            issue["expression"] = [self.expression]
        return issue


@dataclass(frozen=True, slots=True)
class Alert:
    """What the operator and the privacy officer must look into: `kind` is records-hour, records-day, ins-hour, ins-day
    or failures, `most` the number that was passed; or trace, with the position where the trace is not what it was."""

    kind: str
    most: int

    @property
    def text(self) -> str:
        return f"{self.kind} {'at position' if self.kind == 'trace' else 'over'} {self.most}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not carried out: HTTP `status`, at least one issue, extra response headers, and the internal
    `reason` code that goes to the trace only (AR-06). `rules` are the access rules that decided; `alert` is raised with
    the trace."""

    status: int
    issues: tuple[Issue, ...]
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None
    rules: tuple[str, ...] = field(default=())
    alert: Alert | None = None

    @property
    def tree(self) -> dict[str, Any]:
        return operation_outcome(self.issues)


class Refused(Exception):
    """Carries a `Refusal` out of whatever was under way."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def error(
    code: str,
    fr: str,
    en: str,
    *,
    expression: str | None = None,
    rule: str | None = None,
    xds: str | None = None,
) -> Issue:
    return Issue("error", code, fr, en, expression, rule, xds)


def information(
    code: str, fr: str, en: str, *, expression: str | None = None, rule: str | None = None, xds: str | None = None
) -> Issue:
    return Issue("information", code, fr, en, expression, rule, xds)


def warning(
    code: str, fr: str, en: str, *, expression: str | None = None, rule: str | None = None, xds: str | None = None
) -> Issue:
    return Issue("warning", code, fr, en, expression, rule, xds)


def refuse(
    status: int,
    code: str,
    fr: str,
    en: str,
    *,
    expression: str | None = None,
    rule: str | None = None,
    xds: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    reason: str | None = None,
    rules: tuple[str, ...] = (),
    alert: Alert | None = None,
) -> NoReturn:
    """Raise a refusal with one issue."""
    issue = error(code, fr, en, expression=expression, rule=rule, xds=xds)
    raise Refused(Refusal(status, (issue,), headers, reason, rules, alert))


def refuse_all(status: int, issues: Iterable[Issue]) -> NoReturn:
    raise Refused(Refusal(status, tuple(issues)))


def not_found(reason: str | None = None, rules: tuple[str, ...] = ()) -> NoReturn:
    """The uniform 404: one answer for hidden, foreign, deleted and missing (D14, TF-153). `reason` and `rules` only
    go to the trace."""
    refuse(
        404,
        "not-found",
        "Aucune ressource de ce nom n'est accessible.",
        "No resource of this name can be reached.",
        rule="D14",
        reason=reason,
        rules=rules,
    )


def in_english(outcome: dict[str, Any]) -> dict[str, Any]:
    """The same OperationOutcome with English texts, the French ones as their translations."""
    return outcome | {"issue": [_in_english(issue) for issue in outcome["issue"]]}


def _in_english(issue: dict[str, Any]) -> dict[str, Any]:
    details = issue.get("details", {})
    if "_text" not in details or "diagnostics" not in issue:
        return issue
    translation = [{"url": "lang", "valueCode": "fr"}, {"url": "content", "valueString": details["text"]}]
    text = {"extension": [{"url": TRANSLATION, "extension": translation}]}
    return issue | {"details": details | {"text": issue["diagnostics"], "_text": text}}


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [issue.tree() for issue in issues]}
