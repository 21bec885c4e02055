"""A run as JUnit XML, which continuous integration servers read: one testsuite per group, one testcase per case."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from dmp_fhir.conformance.client import without_secrets
from dmp_fhir.conformance.results import BLOCKED, FAILED, SKIPPED, CaseResult, Report
from dmp_fhir.conformance.terminal import word

# What XML 1.0 can't hold.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_junit(report: Report, language: str) -> bytes:
    root = etree.Element("testsuites", name=_clean(report.title, report))
    _counts(root, report.results)
    for name, results in report.by_group():
        element = etree.SubElement(root, "testsuite", name=name, hostname=_clean(report.base_url, report))
        element.set("timestamp", datetime.fromtimestamp(report.started, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        _counts(element, results)
        for result in results:
            _case(element, result, report, language)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _counts(element: Any, results: list[CaseResult]) -> None:
    element.set("tests", str(len(results)))
    element.set("failures", str(sum(each.outcome == FAILED for each in results)))
    element.set("errors", str(sum(each.outcome == BLOCKED for each in results)))
    element.set("skipped", str(sum(each.outcome == SKIPPED for each in results)))
    element.set("time", f"{sum(each.seconds for each in results):.3f}")


def _case(parent: Any, result: CaseResult, report: Report, language: str) -> None:
    scenario = result.case.scenario
    element = etree.SubElement(parent, "testcase", name=result.case.id, classname=f"{scenario.group}.{scenario.id}")
    element.set("time", f"{result.seconds:.3f}")
    reason = result.reason.in_language(language) if result.reason else ""
    if result.outcome == SKIPPED:
        etree.SubElement(element, "skipped", message=_clean(reason, report))
    elif result.outcome in (FAILED, BLOCKED):
        lines = [each.in_language(language) for each in result.failures]
        kind = "failure" if result.outcome == FAILED else "error"
        what = etree.SubElement(element, kind, type=scenario.obligation)
        what.set("message", _clean(reason or (lines[0] if lines else word(result.outcome, language)), report))
        where = [f"{step.exchange.method} {step.exchange.url} -> {step.exchange.status}" for step in result.steps]
        source = f"{scenario.source.text} {scenario.source.url}"
        text = [*lines, "", *where, "", scenario.failure.in_language(language), source]
        what.text = _clean("\n".join(text), report)


def _clean(text: str, report: Report) -> str:
    return _FORBIDDEN.sub("\ufffd", without_secrets(text, report.secrets))
