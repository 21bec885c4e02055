"""Our own server under test, in process, on a copy of the demonstration world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import pytest

from dmp_fhir.conformance.config import Config, read_config, sandbox_file
from dmp_fhir.conformance.results import CaseResult, Report
from dmp_fhir.conformance.runner import Runner
from dmp_fhir.conformance.scenarios import Scenario, suite
from tests.conformance.platform import SandboxTokens, session_on
from tests.support.server import MakeApp, TickingClock, copy_of_world

Try = Callable[..., Report]


@pytest.fixture
def config() -> Config:
    return read_config(sandbox_file())


@pytest.fixture
def trial(config: Config, key_folder: Path, clock: TickingClock) -> Try:
    """`trial(application, scenarios, **options of Runner)`: a run against an application."""

    def run(application: WSGIApplication, scenarios: Sequence[Scenario] | None = None, **options: Any) -> Report:
        options = {"tokens": SandboxTokens(key_folder, clock), "session": session_on(application), "jobs": 1} | options
        runner = Runner(config, suite(), clock=lambda: clock.now / 1000, **options)
        return runner.run(suite().scenarios if scenarios is None else scenarios)

    return run


@pytest.fixture
def sqlite_app(request: pytest.FixtureRequest, data_folder: Path, make_app: MakeApp) -> Iterator[Any]:
    """Our application on SQLite."""
    copy = copy_of_world(request, "sqlite", data_folder)
    yield make_app(next(copy))
    next(copy, None)


def told(report: Report) -> list[tuple[str, str, list[str]]]:
    """What did not pass, for the message of an assertion."""
    return [
        (each.case.id, each.outcome, _why(each)) for each in report.results if each.outcome not in ("passed", "skipped")
    ]


def _why(result: CaseResult) -> list[str]:
    return [result.reason.en] if result.reason else [each.en for each in result.failures]
