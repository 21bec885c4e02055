"""Counts what was tried against the server, by area of the threat catalogue, and prints it when the run ends.

One line per area, `area C: inputs tried 1234, stored 0, leaked 0, 5xx 0`. Works alone and with pytest-xdist, whose
workers hand their counts to the controller.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

FIGURES = ("inputs tried", "stored", "leaked", "5xx")
_counts: Counter[tuple[str, str]] = Counter()


def tried(area: str, *, stored: bool = False, leaked: bool = False, fault: bool = False) -> None:
    """Count one input and what went wrong with it."""
    for figure, happened in zip(FIGURES, (True, stored, leaked, fault), strict=True):
        _counts[area, figure] += happened


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tally"] = [(*key, count) for key, count in _counts.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for area, figure, count in getattr(node, "workeroutput", {}).get("tally", ()):
        _counts[area, figure] += count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for area in sorted({area for area, _ in _counts}):
        figures = ", ".join(f"{figure} {_counts[area, figure]}" for figure in FIGURES)
        terminalreporter.write_line(f"area {area}: {figures}")
