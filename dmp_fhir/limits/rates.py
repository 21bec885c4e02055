"""Rates of requests: the generic cell rate algorithm (ITU-T I.371) over a shared table of fixed size.

Per name one number is kept: the theoretical arrival time, the instant at which all that was admitted would have come at
the sustained rate. A request is admitted while that instant is no further ahead than what may come at once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmp_fhir.limits.shared import HEADER, SharedFile

_SECOND = 1_000_000
_WAYS = 8
_BUCKETS = 8_192
_BUCKET = struct.Struct(f"<{2 * _WAYS}Q")
_SLOT = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Demand:
    """`cost` requests in the name of `name`, who may sustain `rate` a second and send `burst` at once."""

    name: str
    rate: float
    burst: int
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The demand that is too much, and after how many whole seconds it would be admitted."""

    demand: Demand
    retry_s: int


class Rates:
    """65,536 names at once; beyond, the name that has been quiet for longest is forgotten, which costs it nothing."""

    def __init__(self, path: Path, *, reserve: bool = False) -> None:
        self._file = SharedFile(path, _BUCKETS * _BUCKET.size, b"dmp-rates-1", reserve=reserve)

    def admit(self, demands: Sequence[Demand], now_ms: int) -> Exceeded | None:
        """Count all demands, or none and tell which one is too much."""
        now, memory = now_ms * 1_000, self._file.memory
        written: list[tuple[int, int, int]] = []
        with self._file.locked():
            for each in demands:
                name = self._file.fingerprint(each.name)
                place, arrival = self._slot(name)
                interval = max(1, round(_SECOND / each.rate))
                tolerance = interval * (each.burst - 1)
                # Further ahead than it can be: the clock went back, or the limit was lowered. Counted anew.
                start = arrival if now < arrival <= now + interval * each.burst else now
                end = start + interval * (each.cost - 1)
                if end - now > tolerance:
                    return Exceeded(each, -(-(end - now - tolerance) // _SECOND))
                written.append((place, name, end + interval))
            for slot in written:
                _SLOT.pack_into(memory, *slot)
        return None

    def _slot(self, name: int) -> tuple[int, int]:
        """Where a name has its number, or gets one; the number."""
        start = HEADER + name % _BUCKETS * _BUCKET.size
        found = _BUCKET.unpack_from(self._file.memory, start)
        names = found[::2]
        if name in names:
            way = names.index(name)
            return start + way * _SLOT.size, found[2 * way + 1]
        arrivals = found[1::2]
        return start + arrivals.index(min(arrivals)) * _SLOT.size, 0

    def close(self) -> None:
        self._file.close()
