"""The ids that this server gives: of resources, events, messages."""

from __future__ import annotations

import os
import time

_STEP_BITS = 60
_latest = (0, 0)


def new_id() -> str:
    """A time-ordered random id (UUIDv7, RFC 9562 section 6.2, method 2). What is equal in every other way is found in
    the order in which it was made, within a millisecond too; each is a random step of 60 bits after the one before, so
    that an id does not lead to its neighbours (TF-154, docs/decisions/0045-ids.md)."""
    global _latest
    instant = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10)) >> 7  # one bit of 74 left free for steps
    if instant <= _latest[0]:
        instant, random = _latest[0], _latest[1] + 1 + (random >> 73 - _STEP_BITS)
        if random >> 74:
            instant, random = instant + 1, random & (1 << 73) - 1
    _latest = (instant, random)
    number = instant << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
