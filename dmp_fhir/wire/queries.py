"""Query strings to pairs, wherever one comes from: an address, a form, a header, a reference of a bundle. One reading
for all of them, so that none lets through what another refuses (TF-104, TF-114)."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from dmp_fhir.wire.json import FORBIDDEN_TEXT

MOST_PAIRS = 200
# A percent sign that encodes nothing: some readers keep it, others drop it.
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")

Pairs = tuple[tuple[str, str], ...]


def query_pairs(query: str | bytes) -> Pairs | None:
    """Names and values, decoded, in the order sent, empty ones included. None when the text is not percent-encoded
    UTF-8, holds a control character or a code point that is no character, or has more than `MOST_PAIRS` pairs."""
    try:
        text = query.decode("ascii") if isinstance(query, bytes) else query
        if _STRAY.search(text):
            return None
        pairs = tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PAIRS))
    except ValueError:
        return None
    return None if any(FORBIDDEN_TEXT.search(part) for pair in pairs for part in pair) else pairs
