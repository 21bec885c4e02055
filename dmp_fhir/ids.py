"""The ids that this server gives: of resources, events, messages."""

from __future__ import annotations

import uuid


def new_id() -> str:
    """122 random bits of the kernel (UUIDv4, RFC 9562, section 5.4): no order, no time, nothing of what it names
    (TF-154, docs/decisions/0048-random-ids.md)."""
    return str(uuid.uuid4())
