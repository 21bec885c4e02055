"""A run in the terminal: each case as it ends, then what failed and the summary."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dmp_fhir.conformance.client import without_secrets
from dmp_fhir.conformance.results import BLOCKED, FAILED, PASSED, SKIPPED, CaseResult, Report

MOST_FAILURES = 3
_STYLES = {PASSED: "green", FAILED: "red", BLOCKED: "yellow", SKIPPED: "dim"}
WORDS = {
    PASSED: ("réussi", "passed"),
    FAILED: ("échec", "failed"),
    BLOCKED: ("empêché", "blocked"),
    SKIPPED: ("laissé de côté", "skipped"),
}


def word(outcome: str, language: str) -> str:
    return WORDS[outcome][0 if language == "fr" else 1]


class LiveView:
    """A progress bar; cases that do not pass are printed above it. Usable as a context manager and as an observer."""

    def __init__(self, console: Console, total: int, language: str) -> None:
        self.console, self.language = console, language
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> LiveView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, result: CaseResult) -> None:
        scenario = result.case.scenario
        self._progress.update(self._task, advance=1, description=escape(f"{scenario.group}  {result.case.id}"))
        if result.outcome in (FAILED, BLOCKED):
            self._show(result)

    def _show(self, result: CaseResult) -> None:
        scenario, style = result.case.scenario, _STYLES[result.outcome]
        title = scenario.title.in_language(self.language)
        self._print(
            f"[{style}]{word(result.outcome, self.language)}[/] [bold]{escape(result.case.id)}[/]"
            f" [dim]{scenario.obligation}[/] {escape(title)}"
        )
        if result.reason:
            self._print(f"    {escape(result.reason.in_language(self.language))}")
        for finding in result.failures[:MOST_FAILURES]:
            self._print(f"    [red]✗[/] {escape(finding.in_language(self.language))}")
        self._print(f"    [dim]{escape(scenario.source.text)} {escape(scenario.source.url)}[/]")

    def _print(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, soft_wrap=True)


def summary(console: Console, report: Report, language: str) -> None:
    """Groups, obligations and the one line that counts."""
    fr = language == "fr"
    table = Table("groupe" if fr else "group", *(word(each, language) for each in WORDS), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, results in report.by_group():
        table.add_row(name, *(str(sum(each.outcome == outcome for each in results)) for outcome in WORDS))
    table.add_section()
    for obligation, counts in report.by_obligation():
        table.add_row(obligation, *(str(counts[outcome]) for outcome in WORDS))
    console.print(table)
    scenarios = len({each.case.scenario.id for each in report.results})
    texts = (
        f"{scenarios} scénarios, {len(report.results)} cas, {report.checks} vérifications dont"
        f" {report.failed_checks} en échec, {report.ended - report.started:.0f} s",
        f"{scenarios} scenarios, {len(report.results)} cases, {report.checks} checks of which"
        f" {report.failed_checks} failed, {report.ended - report.started:.0f} s",
    )
    console.print(without_secrets(texts[0 if fr else 1], report.secrets), highlight=False)
    verdict = (
        ("conforme à ce qui est obligatoire (SHALL)", "conforms to what is mandatory (SHALL)")
        if report.conforming
        else ("non conforme à ce qui est obligatoire (SHALL)", "does not conform to what is mandatory (SHALL)")
    )
    console.print(f"[bold {'green' if report.conforming else 'red'}]{verdict[0 if fr else 1]}[/]", highlight=False)
