"""Instants of this program: whole milliseconds since 1970 UTC, and how they are written."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

Clock = Callable[[], int]


def system_clock() -> int:
    return time.time_ns() // 1_000_000


def instant_text(instant: int) -> str:
    """FHIR instant in UTC with milliseconds: `2026-11-22T01:06:51.042Z`."""
    seconds, milliseconds = divmod(instant, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def http_date(instant: int) -> str:
    return format_datetime(datetime.fromtimestamp(instant // 1000, UTC), usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Milliseconds, or None when the text is not an HTTP date (RFC 9110, 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
