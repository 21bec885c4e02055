"""Counts what was tried against the server, by area of the threat catalogue, and prints it when the run ends.

One line per area, `area C: inputs tried 1234, stored 0, leaked 0, 5xx 0`, figures in the order in which they were first
named. Works alone and with pytest-xdist, whose workers hand their counts to the controller.
"""

from __future__ import annotations

from typing import Any

import pytest

FIGURES = ("inputs tried", "stored", "leaked", "5xx")
_counts: dict[tuple[str, str], int] = {}


def count(area: str, figure: str, number: int = 1) -> None:
    """Add to a figure of an area; 0 makes it be printed."""
    _counts[area, figure] = _counts.get((area, figure), 0) + number


def tried(area: str, *, stored: bool = False, leaked: bool = False, fault: bool = False) -> None:
    """Count one input and what went wrong with it."""
    for figure, happened in zip(FIGURES, (True, stored, leaked, fault), strict=True):
        count(area, figure, int(happened))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tally"] = [(*key, number) for key, number in _counts.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for area, figure, number in getattr(node, "workeroutput", {}).get("tally", ()):
        count(area, figure, number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for area in sorted({area for area, _ in _counts}):
        figures = ", ".join(f"{figure} {number}" for (its, figure), number in _counts.items() if its == area)
        terminalreporter.write_line(f"area {area}: {figures}")
