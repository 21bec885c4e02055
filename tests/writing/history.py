"""Histories of one versioned resource, and whether they are linearizable (TF-191).

Each write makes one version, so the order is given: a history is linearizable if and only if no operation that began
after another one had ended saw an older version, all that saw a version saw the same state, and every version was made
by a write. Failed operations must have left nothing: they are judged by the versions that the others saw.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """What a client asked and was answered: `began` and `ended` by one clock; `version` and `state` as answered."""

    kind: str  # "read" or "write"
    began: float
    ended: float
    version: int
    state: object


def anomalies(operations: Iterable[Operation], first: int = 1) -> list[str]:
    """What no order of the operations explains; `first` is the version before all of them."""
    found: list[str] = []
    done = sorted(operations, key=lambda each: each.ended)
    states: dict[int, object] = {}
    for each in done:
        if states.setdefault(each.version, each.state) != each.state:
            found.append(f"version {each.version} seen with two states")
    # The newest version that any operation had seen by each end.
    ends = [each.ended for each in done]
    newest = [first]
    for each in done:
        newest.append(max(newest[-1], each.version))
    for each in done:
        before = newest[bisect.bisect_left(ends, each.began)]
        if each.version < before:
            found.append(f"{each.kind} of version {each.version} began after version {before} had been seen")
    written = {each.version for each in done if each.kind == "write"} | {first}
    found += [f"version {each} seen, which nobody wrote" for each in sorted(set(states) - written)]
    found += [f"version {each} missing" for each in range(first, max(written)) if each not in written]
    return found
