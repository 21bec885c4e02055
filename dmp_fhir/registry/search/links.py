"""Page links: sealed, short-lived, good for one caller only (TF-013, TF-014, TF-149).

A link carries everything needed to run the next page (parameters, cursor), encrypted: no identity shows in an address.
"""

from __future__ import annotations

import os
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.registry.search.query import SearchQuery

LIFETIME_MS = 3_600_000
LONGEST_TOKEN = 32_768
_VERSION = b"\x02"
_NONCE = 12


class PageLinks:
    """Seals and opens the state of a search under a 256-bit key of its own (engineering notes, section 4)."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the key of page links is 32 bytes long")
        self._cipher = AESGCM(key)

    def seal(self, state: dict[str, Any], *, caller: str, now_ms: int) -> str:
        """An opaque token of base64url letters. `state` is JSON; `caller` names who may use it (person and client)."""
        content = orjson.dumps([now_ms + LIFETIME_MS, caller, state])
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, _packed(content), _VERSION)
        return urlsafe_b64encode(_VERSION + nonce + sealed).rstrip(b"=").decode()

    def open(self, token: str, *, caller: str, now_ms: int) -> dict[str, Any]:
        """The state. Refused: 400 for an edited or outdated token, the uniform 404 for another caller's."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            _refuse_link()
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            _refuse_link()
        # Base64 has several spellings of the same bytes; only ours is the token.
        if urlsafe_b64encode(raw).rstrip(b"=").decode() != token or raw[:1] != _VERSION or len(raw) < 1 + _NONCE + 16:
            _refuse_link()
        try:
            packed = self._cipher.decrypt(raw[1 : 1 + _NONCE], raw[1 + _NONCE :], _VERSION)
        except InvalidTag:
            _refuse_link()
        expiry, owner, state = orjson.loads(zlib.decompress(packed))
        if owner != caller:
            not_found()
        if now_ms >= expiry:
            _refuse_link()
        return dict(state)


def _packed(content: bytes) -> bytes:
    # A window of 1 kB: clearing the memory of the usual one costs ten times as much as packing a link.
    packer = zlib.compressobj(9, zlib.DEFLATED, 10, 4)
    return packer.compress(content) + packer.flush()


def _refuse_link() -> NoReturn:
    refuse(
        400,
        "invalid",
        "Ce lien de page n'est pas valable ou a plus d'une heure : recommencer la recherche.",
        "This page link is not valid or is over an hour old: start the search again.",
        rule="TF-014",
    )


def self_link(base_url: str, query: SearchQuery) -> str:
    """The address of the search with what was used, in the order sent."""
    address = f"{base_url.rstrip('/')}/{query.resource_type}"
    parameters = urlencode(query.used, quote_via=quote, safe=":/,")
    return f"{address}?{parameters}" if parameters else address
