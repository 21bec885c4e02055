"""Figures of the long runs: each has its seed (`SEED=` replays it) and its line in benchmarks/campaigns.md."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "benchmarks" / "campaigns.md"
HEAD = """# Campaigns

Long seeded runs of `make campaign`; each replaces its line here. `lost` is acknowledged but missing or changed,
`doubled` stored twice, `half-written` neither whole nor absent (data, bytes, submission set and trace together).
`SEED=` replays.

| campaign | count | lost | doubled | half-written | seed | date |
| --- | --- | --- | --- | --- | --- | --- |
"""


def seed_of(request: pytest.FixtureRequest) -> int:
    """SEED when given; else a new one for a campaign, and a fixed one for the quick run. Printed."""
    campaign = request.node.get_closest_marker("campaign") is not None
    seed = int(os.environ.get("SEED") or (time.time_ns() % 1_000_000_007 if campaign else 20261122))
    print(f"{request.node.name}: SEED={seed}")
    return seed


class Figures:
    """The table of benchmarks/campaigns.md."""

    def add(
        self, campaign: str, counted: str, *, lost: int = 0, doubled: int = 0, half_written: int = 0, seed: int | str
    ) -> None:
        """Replace or add the line of a campaign."""
        day = time.strftime("%Y-%m-%d", time.gmtime())
        line = f"| {campaign} | {counted} | {lost} | {doubled} | {half_written} | {seed} | {day} |\n"
        print(line)
        text = PAGE.read_text() if PAGE.exists() else HEAD
        mine = re.compile(rf"^\| {re.escape(campaign)} \|.*\n", re.MULTILINE)
        if mine.search(text):
            text = mine.sub(lambda _: line, text)
        else:
            # At the end of the first table: other pages of figures follow it.
            end = re.search(r"^\|.*\n(?!\|)", text, re.MULTILINE)
            place = end.end() if end else len(text)
            text = text[:place] + line + text[place:]
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
