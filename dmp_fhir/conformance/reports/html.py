"""A run as one HTML file: filters, the exchanges of what failed, no resource of elsewhere, no secret."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from dmp_fhir.conformance.client import shown, shown_headers, without_secrets
from dmp_fhir.conformance.results import OUTCOMES, PASSED, SKIPPED, CaseResult, Report
from dmp_fhir.conformance.scenarios import OBLIGATIONS
from dmp_fhir.conformance.terminal import word


def write_html(report: Report, language: str) -> bytes:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("dmp_fhir.conformance.reports").joinpath("report.html").read_text("utf-8")
    page = environment.from_string(source).render(
        fr=language == "fr",
        language=language,
        report=report,
        date=datetime.fromtimestamp(report.started, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=round(report.ended - report.started),
        outcomes=[(each, word(each, language)) for each in OUTCOMES],
        obligations=OBLIGATIONS,
        # What did not pass is what one looks for.
        nothing_failed=all(each.outcome in (PASSED, SKIPPED) for each in report.results),
        groups=[
            (name, report.groups[name].in_language(language), [_row(each, report, language) for each in results])
            for name, results in report.by_group()
        ],
        counts={
            obligation: {outcome: report.count(outcome, obligation) for outcome in OUTCOMES}
            for obligation in OBLIGATIONS
        },
    )
    # Whatever is in the page by another way than the fields below.
    return without_secrets(page, report.secrets).encode("utf-8", "replace")


def _row(result: CaseResult, report: Report, language: str) -> dict[str, Any]:
    scenario = result.case.scenario
    return {
        "id": result.case.id,
        "title": scenario.title.in_language(language),
        "obligation": scenario.obligation,
        "actor": scenario.actor,
        "source": scenario.source,
        "outcome": result.outcome,
        "word": word(result.outcome, language),
        "reason": result.reason.in_language(language) if result.reason else "",
        "failure": scenario.failure.in_language(language),
        "checks": len(result.findings),
        "failed": len(result.failures),
        "milliseconds": round(result.seconds * 1000),
        "steps": [] if result.outcome in (PASSED, SKIPPED) else _steps(result, report, language),
    }


def _steps(result: CaseResult, report: Report, language: str) -> list[dict[str, Any]]:
    rows = []
    for step in result.steps:
        exchange, secrets = step.exchange, report.secrets
        sent_type = next((value for name, value in exchange.sent_headers.items() if name.lower() == "content-type"), "")
        rows.append(
            {
                "method": exchange.method,
                "url": without_secrets(exchange.url, secrets),
                "persona": step.persona,
                "status": exchange.status or without_secrets(exchange.fault, secrets),
                "ok": step.ok,
                "findings": [(each.ok, without_secrets(each.in_language(language), secrets)) for each in step.findings],
                "sent_headers": shown_headers(exchange.sent_headers, secrets),
                "sent": shown(exchange.sent, sent_type, secrets),
                "headers": shown_headers(exchange.headers, secrets),
                "body": shown(exchange.content, exchange.media_type, secrets),
            }
        )
    return rows
