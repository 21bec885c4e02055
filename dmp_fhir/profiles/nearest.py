"""Which codes a wrong one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice

MOST_COMPARED = 2000


def nearest_codes(known: Iterable[tuple[str, str]], code: str, display: str = "", count: int = 3) -> list[str]:
    """The codes most like a wrong one, by code or by display, as `code (display)`; `known` are codes with displays,
    which may be empty."""
    code, display = code[:100].lower(), display[:200].lower()

    def likeness(one: tuple[str, str]) -> float:
        by_code = SequenceMatcher(None, code, one[0].lower()).ratio()
        by_name = SequenceMatcher(None, display, one[1].lower()).ratio() if display and one[1] else 0.0
        return max(by_code, by_name)

    best = sorted(islice(known, MOST_COMPARED), key=likeness, reverse=True)[:count]
    return [f"{each} ({name})" if name else each for each, name in best]
