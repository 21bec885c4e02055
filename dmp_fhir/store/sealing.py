"""Sealing: what AES-256-GCM makes of a body or a document under the key of a record (decision record 0038).

Every message has a key of its own: HMAC-SHA256 of 20 random bytes under the key of the record (the expand step of
HKDF, RFC 5869, for one block). The 96-bit nonce of GCM (NIST SP 800-38D) is then free to count: chunk number, and a
mark on the last chunk, as in the STREAM construction, so that chunks cannot be left out, cut off or put in another
order. The associated data say what it is and where it belongs, so that it opens nowhere else.

    body:      kind | salt | ciphertext and tag
    document:  kind | salt | (ciphertext and tag) of 1 MiB each, the last one shorter or empty
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
SALT_SIZE = 20
CHUNK = 1 << 20
_TAG = 16
# First byte of what is sealed: a body under the key of its record, a body under that of the directory, a document.
# None of them begins a zstd frame (store/bodies.py).
BODY, DIRECTORY_BODY, DOCUMENT = b"\xd1", b"\xd2", b"\xd3"
_FIRST_AND_LAST = bytes(11) + b"\x01"


class SealBroken(Exception):
    """What was sealed does not open: altered, moved from elsewhere, or under another key. Never served (TF-243)."""


class SealingKey:
    """The key of one record. `repr` and exceptions never show it."""

    __slots__ = ("_pads",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("a key has 32 bytes")
        self._pads = _pads(key)

    def seal(self, kind: bytes, place: str, content: bytes) -> bytes:
        """A sealed body; opens only as the same kind at the same place."""
        salt = os.urandom(SALT_SIZE)
        return b"".join((kind, salt, self._cipher(kind, salt).encrypt(_FIRST_AND_LAST, content, place.encode())))

    def open(self, kind: bytes, place: str, sealed: bytes) -> bytes:
        """The content of a sealed body; SealBroken when it is not what was sealed there."""
        salt = sealed[1 : 1 + SALT_SIZE]
        try:
            return self._cipher(kind, salt).decrypt(_FIRST_AND_LAST, sealed[1 + SALT_SIZE :], place.encode())
        except InvalidTag:
            raise SealBroken("a sealed body does not open") from None

    def seal_document(self, place: str, content: bytes) -> Iterator[bytes]:
        """A sealed document, piece by piece."""
        salt = os.urandom(SALT_SIZE)
        cipher, data, whole = self._cipher(DOCUMENT, salt), place.encode(), memoryview(content)
        yield DOCUMENT + salt
        for number, start in enumerate(range(0, max(len(content), 1), CHUNK)):
            last = start + CHUNK >= len(content)
            yield cipher.encrypt(_nonce(number, last), whole[start : start + CHUNK], data)

    def open_document(self, place: str, sealed: bytes) -> bytes:
        """The document; SealBroken when a chunk is altered, missing, from elsewhere or not in its place."""
        salt, pieces = sealed[1 : 1 + SALT_SIZE], memoryview(sealed)[1 + SALT_SIZE :]
        if sealed[:1] != DOCUMENT or len(pieces) < _TAG:
            raise SealBroken("a sealed document does not open")
        cipher, data, step = self._cipher(DOCUMENT, salt), place.encode(), CHUNK + _TAG
        opened = []
        try:
            for number, start in enumerate(range(0, len(pieces), step)):
                last = start + step >= len(pieces)
                opened.append(cipher.decrypt(_nonce(number, last), pieces[start : start + step], data))
        except InvalidTag:
            raise SealBroken("a sealed document does not open") from None
        return opened[0] if len(opened) == 1 else b"".join(opened)

    def _cipher(self, kind: bytes, salt: bytes) -> AESGCM:
        return AESGCM(_derived(self._pads, kind, salt))


class TraceKey:
    """The key of the seals of the trace (audit/entries.py), and from which position on every entry has one."""

    __slots__ = ("_pads", "since")

    def __init__(self, key: bytes, since: int) -> None:
        self._pads = _pads(key)
        self.since = since

    def seal(self, content: bytes) -> bytes:
        """HMAC-SHA256 (RFC 2104), cut to 16 bytes."""
        inner, outer = self._pads
        return sha256(outer + sha256(inner + content).digest()).digest()[:16]


def message_key(key: bytes, kind: bytes, salt: bytes) -> bytes:
    """HKDF-Expand of one block: T(1) = HMAC(key, info | 0x01), the info being kind and salt."""
    return _derived(_pads(key), kind, salt)


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """What HMAC (RFC 2104) makes of a key before it sees a message."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _derived(pads: tuple[bytes, bytes], kind: bytes, salt: bytes) -> bytes:
    # Two plain hashes: asked for HMAC, the library takes three times as long for so short a message.
    inner, outer = pads
    return sha256(outer + sha256(inner + b"dmp-fhir 1" + kind + salt + b"\x01").digest()).digest()


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
