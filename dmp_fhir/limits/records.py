"""How many different things an account looked at, in an hour and in a day, over all workers of a machine.

Two shared tables of fixed size: one remembers the pairs (account, thing) of the day, the other counts per account. An
hour is the current minute and the sixty before it, a day is one of UTC. When a table is full what is oldest goes:
a forgotten pair is counted again when it comes back, never too little.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from dmp_fhir.limits.shared import HEADER, SharedFile

HOUR_S, DAY_S = 3_600, 86_400
_MINUTES = 61

_WAYS = 8
_PAIR_BUCKETS = 131_072
# Fingerprint, second at which it was last counted in an hour, day in which it was counted.
_PAIR = struct.Struct("<QII")
_PAIRS = struct.Struct("<" + "QII" * _WAYS)

_ACCOUNT_BUCKETS = 16_384
_ACCOUNT_WAYS = 4
# Fingerprint, minute of the newest count, day, count of the day, until when the alerts of hour and day are told; then
# the counts of the last minutes, that of minute m at m % 61.
_ACCOUNT = struct.Struct(f"<QIIIII4x{_MINUTES}H6x")
_ACCOUNTS = _PAIR_BUCKETS * _PAIRS.size
_MOST_IN_A_MINUTE = 65_535


@dataclass(frozen=True, slots=True)
class Reached:
    """A ceiling: `period` is hour or day, `most` its height, `retry_s` when to come back. `first` for the look that
    has to raise the alert."""

    period: str
    most: int
    retry_s: int
    first: bool


class LookCounts:
    """A million pairs and 65,536 accounts."""

    def __init__(self, path: Path, *, reserve: bool = False) -> None:
        size = _ACCOUNTS + _ACCOUNT_BUCKETS * _ACCOUNT_WAYS * _ACCOUNT.size
        self._file = SharedFile(path, size, b"dmp-looks-1", reserve=reserve)

    def look(self, account: str, what: str, now_s: int, per_hour: int, per_day: int | None) -> Reached | None:
        """Count a look at `what`, unless it was counted already; or tell the ceiling that it would pass."""
        pair = self._file.fingerprint(f"{account}\0{what}")
        today = now_s // DAY_S
        place, since, day = self._pair(pair)
        if since > now_s - HOUR_S and day == today:
            return None
        with self._file.locked():
            place, since, day = self._pair(pair)
            new_in_hour, new_today = since <= now_s - HOUR_S, day != today
            if not (new_in_hour or new_today):
                return None
            counts = self._account(self._file.fingerprint(account), now_s)
            reached = counts.reached(
                now_s, per_hour if new_in_hour else None, per_day if new_today and per_day is not None else None
            )
            if reached is None:
                counts.add(hour=new_in_hour, day=new_today)
                _PAIR.pack_into(self._file.memory, place, pair, now_s if new_in_hour else since, today)
            counts.write(self._file)
            return reached

    def untell(self, account: str, period: str, now_s: int) -> None:
        """The alert could not be raised: the next look has to."""
        with self._file.locked():
            counts = self._account(self._file.fingerprint(account), now_s)
            counts.told[period] = 0
            counts.write(self._file)

    def _pair(self, pair: int) -> tuple[int, int, int]:
        """Where a pair is, or goes; when it was last counted in an hour, and in which day."""
        start = HEADER + pair % _PAIR_BUCKETS * _PAIRS.size
        found = _PAIRS.unpack_from(self._file.memory, start)
        names = found[::3]
        if pair in names:
            way = names.index(pair)
            return start + way * _PAIR.size, found[3 * way + 1], found[3 * way + 2]
        seconds = found[1::3]
        return start + seconds.index(min(seconds)) * _PAIR.size, -HOUR_S, -1

    def _account(self, name: int, now_s: int) -> _Account:
        start = HEADER + _ACCOUNTS + name % _ACCOUNT_BUCKETS * _ACCOUNT_WAYS * _ACCOUNT.size
        places = [start + way * _ACCOUNT.size for way in range(_ACCOUNT_WAYS)]
        found = [_ACCOUNT.unpack_from(self._file.memory, place) for place in places]
        for place, values in zip(places, found, strict=True):
            if values[0] == name:
                return _Account(place, values, now_s)
        oldest = min(range(_ACCOUNT_WAYS), key=lambda way: found[way][1])
        return _Account(places[oldest], (name,) + (0,) * (5 + _MINUTES), now_s)

    def close(self) -> None:
        self._file.close()


class _Account:
    """The counts of one account, moved on to the present minute and day."""

    def __init__(self, place: int, values: tuple[int, ...], now_s: int) -> None:
        self.place = place
        self.name, minute, day, count, told_hour, told_day = values[:6]
        self.told = {"hour": told_hour, "day": told_day}
        self.minutes = list(values[6:])
        # A clock that goes back goes on counting where it was.
        self.minute = max(minute, now_s // 60)
        for passed in range(minute + 1, min(self.minute, minute + _MINUTES) + 1):
            self.minutes[passed % _MINUTES] = 0
        self.day = max(day, now_s // DAY_S)
        self.count = count if self.day == day else 0

    def reached(self, now_s: int, per_hour: int | None, per_day: int | None) -> Reached | None:
        if per_hour is not None and sum(self.minutes) >= per_hour:
            oldest = min(
                (back for back in range(self.minute - _MINUTES + 1, self.minute + 1) if self.minutes[back % _MINUTES]),
                default=self.minute,
            )
            return self._reached("hour", per_hour, (oldest + _MINUTES) * 60 - now_s, now_s)
        if per_day is not None and self.count >= per_day:
            return self._reached("day", per_day, (self.day + 1) * DAY_S - now_s, now_s)
        return None

    def _reached(self, period: str, most: int, retry_s: int, now_s: int) -> Reached:
        first = self.told[period] <= now_s
        if first:
            self.told[period] = now_s + (HOUR_S if period == "hour" else retry_s)
        return Reached(period, most, max(1, retry_s), first)

    def add(self, *, hour: bool, day: bool) -> None:
        if hour:
            place = self.minute % _MINUTES
            self.minutes[place] = min(self.minutes[place] + 1, _MOST_IN_A_MINUTE)
        if day:
            self.count += 1

    def write(self, file: SharedFile) -> None:
        told = (self.told["hour"], self.told["day"])
        values = (self.name, self.minute, self.day, self.count, *told, *self.minutes)
        _ACCOUNT.pack_into(file.memory, self.place, *values)
