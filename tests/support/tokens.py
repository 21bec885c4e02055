"""Tokens that a careless or hostile issuer could make."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey


def segment(data: bytes | Mapping[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key: ECKey, header: bytes | Mapping[str, Any], payload: bytes | Mapping[str, Any]) -> str:
    """A good ES256 signature over any header and payload."""
    text = f"{segment(header)}.{segment(payload)}"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(text.encode(), key)
    return f"{text}.{segment(signature)}"
