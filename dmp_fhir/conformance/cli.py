"""`dmp-fhir conformance`: run the scenarios against a server, list them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dmp_fhir.conformance.clients.command import client
from dmp_fhir.conformance.config import BadConfig, read_config, sandbox_file
from dmp_fhir.conformance.reports import WRITERS
from dmp_fhir.conformance.results import total_checks
from dmp_fhir.conformance.runner import Runner
from dmp_fhir.conformance.scenarios import BadScenario, Scenario, suite
from dmp_fhir.conformance.terminal import LiveView, summary

_LANGUAGE = click.option("--lang", "language", type=click.Choice(["fr", "en"]), default="fr", show_default=True)
_GROUPS = click.option("--group", "groups", multiple=True, metavar="GROUP", help="Only this group; may be repeated.")


@click.group(name="conformance")
def conformance() -> None:
    """The conformance suite: try any server, or list what is tried."""


@conformance.command()
@click.option("--base-url", default=None, help="Address of the FHIR endpoint under test; else that of the file.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Platform under test (YAML); without it, our own sandbox.",
)
@_GROUPS
@click.option("--only", multiple=True, metavar="ID", help="Only this scenario; may be repeated.")
@click.option(
    "--report",
    "reports",
    type=(click.Choice(sorted(WRITERS)), click.Path(dir_okay=False, path_type=Path)),
    multiple=True,
    metavar="FORMAT PATH",
    help="Write a report: html, junit or fhir, and where; may be repeated.",
)
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 16), help="Scenarios done at once.")
@click.option("--fail-fast", is_flag=True, help="End at the first case that does not pass.")
@_LANGUAGE
def run(
    base_url: str | None,
    config_path: Path | None,
    groups: tuple[str, ...],
    only: tuple[str, ...],
    reports: tuple[tuple[str, Path], ...],
    jobs: int,
    fail_fast: bool,
    language: str,
) -> None:
    """Run the scenarios against a server. Exit code: 0 when nothing that SHALL be fails, 1 otherwise, 2 for a mistake
    of the command or its configuration."""
    try:
        config = read_config(config_path or sandbox_file(), base_url)
        chosen = suite().chosen(groups, only)
    except (BadConfig, BadScenario) as bad:
        raise click.UsageError(str(bad)) from bad
    console = Console()
    view = LiveView(console, sum(1 for each in chosen for _ in each.cases()), language)
    with view:
        report = Runner(config, suite(), observe=view, jobs=jobs, fail_fast=fail_fast).run(chosen)
    summary(console, report, language)
    for kind, path in reports:
        path.write_bytes(WRITERS[kind](report, language))
        console.print(f"{kind}: {path}", highlight=False)
    sys.exit(0 if report.conforming else 1)


conformance.add_command(client)


@conformance.command(name="list")
@_GROUPS
@_LANGUAGE
def list_scenarios(groups: tuple[str, ...], language: str) -> None:
    """List the scenarios with their obligation and paragraph."""
    try:
        chosen = suite().chosen(groups)
    except BadScenario as bad:
        raise click.UsageError(str(bad)) from bad
    console = Console()
    for name, text in suite().groups.items():
        found = [each for each in chosen if each.group == name]
        if not found:
            continue
        console.print(f"[bold]{name}[/] — {text.in_language(language)}", highlight=False)
        console.print(_table(found, language))
    cases = [case for each in chosen for case in each.cases()]
    words = ("scénarios", "cas", "vérifications") if language == "fr" else ("scenarios", "cases", "checks")
    numbers = (len(chosen), len(cases), total_checks(cases))
    console.print(", ".join(f"{n} {word}" for n, word in zip(numbers, words, strict=True)), highlight=False)


def _table(scenarios: list[Scenario], language: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for each in scenarios:
        table.add_row(each.id, each.obligation, each.title.in_language(language), each.source.text)
    return table
