"""A run as FHIR TestReports, one per scenario, in a Bundle of type collection. http://hl7.org/fhir/R4/testreport.html"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from dmp_fhir.conformance.client import without_secrets
from dmp_fhir.conformance.results import BLOCKED, FAILED, PASSED, SKIPPED, CaseResult, Report, StepResult

Tree = dict[str, Any]
SCRIPTS = "https://dmp-fhir.example/conformance/scenarios"
_RESULTS = {PASSED: "pass", FAILED: "fail", BLOCKED: "error", SKIPPED: "skip"}
MOST_TEXT = 2_000


def write_fhir(report: Report, language: str) -> bytes:
    by_scenario: dict[str, list[CaseResult]] = {}
    for result in report.results:
        by_scenario.setdefault(result.case.scenario.id, []).append(result)
    issued = datetime.fromtimestamp(report.ended, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": issued,
        "entry": [
            {
                "fullUrl": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{report.run}/{name}')}",
                "resource": _test_report(report, results, issued, language),
            }
            for name, results in by_scenario.items()
        ],
    }
    return json.dumps(bundle, ensure_ascii=False, indent=1).encode()


def _test_report(report: Report, results: list[CaseResult], issued: str, language: str) -> Tree:
    scenario = results[0].case.scenario
    tried = [each for each in results if each.outcome != SKIPPED]
    passed = sum(each.outcome == PASSED for each in tried)
    tree: Tree = {
        "resourceType": "TestReport",
        "identifier": {"system": f"{SCRIPTS}/run", "value": f"{report.run}/{scenario.id}"},
        "name": scenario.id,
        "status": "completed",
        "testScript": {
            "identifier": {"system": SCRIPTS, "value": scenario.id},
            "display": f"{scenario.obligation} {scenario.title.in_language(language)}",
        },
        "result": "pending" if not tried else "pass" if passed == len(tried) else "fail",
        "tester": "dmp-fhir conformance",
        "issued": issued,
        "participant": [
            {"type": "server", "uri": report.base_url, "display": report.software or report.title},
            {"type": "test-engine", "uri": "https://dmp-fhir.example/conformance", "display": "dmp-fhir conformance"},
        ],
        "test": [_test(each, report, language) for each in results],
    }
    if tried:
        tree["score"] = round(100 * passed / len(tried), 2)
    return tree


def _test(result: CaseResult, report: Report, language: str) -> Tree:
    scenario = result.case.scenario
    actions = [action for step in result.steps for action in _actions(step, report, language)]
    if result.reason or not actions:
        text = result.reason.in_language(language) if result.reason else scenario.title.in_language(language)
        actions.append({"assert": {"result": _RESULTS[result.outcome], "message": _short(text, report)}})
    source = f"{scenario.source.text} ({scenario.source.url})"
    return {"name": result.case.id, "description": _short(source, report), "action": actions}


def _actions(step: StepResult, report: Report, language: str) -> list[Tree]:
    exchange = step.exchange
    said = f"{exchange.method} {exchange.url} -> {exchange.status} {exchange.fault}".strip()
    answered = "pass" if exchange.status else "error"
    return [
        {"operation": {"result": answered, "message": _short(said, report)}},
        *(
            {
                "assert": {
                    "result": "pass" if each.ok else "fail",
                    "message": _short(each.in_language(language), report),
                }
            }
            for each in step.findings
        ),
    ]


def _short(text: str, report: Report) -> str:
    clean = without_secrets(text, report.secrets).strip()
    clean = "".join(each for each in clean if each in "\t\r\n" or each >= " ")
    return clean[:MOST_TEXT] or "-"
