"""Instants of this program: whole milliseconds since 1970 UTC, and how they are written."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

Clock = Callable[[], int]
_EPOCH = datetime(1970, 1, 1)  # of UTC: what has no zone is written faster
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def system_clock() -> int:
    return time.time_ns() // 1_000_000


def instant_text(instant: int) -> str:
    """FHIR instant in UTC with milliseconds: `2026-11-22T01:06:51.042Z`."""
    return (_EPOCH + timedelta(milliseconds=instant)).isoformat(timespec="milliseconds") + "Z"


def http_date(instant: int) -> str:
    """`Sun, 22 Nov 2026 01:06:51 GMT` (RFC 9110, 5.6.7)."""
    at = _EPOCH + timedelta(milliseconds=instant)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} GMT"


def parse_http_date(text: str) -> int | None:
    """Milliseconds, or None when the text is not an HTTP date (RFC 9110, 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
