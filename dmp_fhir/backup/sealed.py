"""The outside of a backup: a stream in chunks, each encrypted and bound to its place.

    MAGIC | key id (8) | salt (16) | chunk* ;  chunk = length (4, big-endian) | AES-256-GCM(at most 1 MiB)

Each backup has its own key, made of the registry's backup key and the salt (HKDF-SHA-256); the nonce is the number of
the chunk and whether it is the last; the head is associated data. So a chunk that is altered, left out, repeated, moved
or of another backup does not open, nor does a file that ends early (the STREAM construction:
https://eprint.iacr.org/2015/189).
"""

from __future__ import annotations

import hmac
import os
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"dmp-fhir backup 1\n"
KEY_BYTES = 32
CHUNK = 1 << 20
_KEY_ID, _SALT, _LENGTH, _TAG = 8, 16, 4, 16
_HEAD = len(MAGIC) + _KEY_ID + _SALT


class BackupDamaged(Exception):
    """A file that is not, or not wholly, what was written; the text says what and where, for the operator."""


class SealedWriter:
    """A file object to write to; `close` writes the end, without which nothing can be read."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._head = MAGIC + key_id(key) + os.urandom(_SALT)
        self._cipher = _cipher(key, self._head)
        self._pending = bytearray()
        self._number = 0
        file.write(self._head)

    def write(self, data: bytes) -> int:
        self._pending += data
        while len(self._pending) > CHUNK:
            self._seal(bytes(self._pending[:CHUNK]), last=False)
            del self._pending[:CHUNK]
        return len(data)

    def close(self) -> None:
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), chunk, self._head)
        self._file.write(len(sealed).to_bytes(_LENGTH) + sealed)
        self._number += 1


class SealedReader:
    """A file object to read from; BackupDamaged as soon as something is not as written."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._head = file.read(_HEAD)
        if not self._head.startswith(MAGIC) or len(self._head) < _HEAD:
            raise BackupDamaged("this is no backup of dmp-fhir, or its first bytes are damaged")
        if self._head[len(MAGIC) : -_SALT] != key_id(key):
            raise BackupDamaged("made with another key than this one (keys/backup.key), or its first bytes are damaged")
        self._cipher = _cipher(key, self._head)
        self._pending = bytearray()
        self._number = 0
        self._ended = False

    def read(self, size: int) -> bytes:
        while len(self._pending) < size and not self._ended:
            self._open_next()
        data = bytes(self._pending[:size])
        del self._pending[:size]
        return data

    def finish(self) -> None:
        """Read what is left: the end has to be there, and nothing after it."""
        while not self._ended:
            self._pending.clear()
            self._open_next()

    def _open_next(self) -> None:
        at = self._file.tell()
        length = int.from_bytes(self._file.read(_LENGTH))
        sealed = self._file.read(length) if _TAG <= length <= CHUNK + _TAG else b""
        if not sealed and at + _LENGTH < os.fstat(self._file.fileno()).st_size:
            raise BackupDamaged(f"damaged at byte {at}")
        if len(sealed) < length or not sealed:
            raise BackupDamaged(f"truncated: it ends at byte {at + len(sealed)}, in the middle")
        chunk = self._try(sealed, last=False)
        if chunk is None:
            chunk, self._ended = self._try(sealed, last=True), True
        if chunk is None:
            raise BackupDamaged(f"damaged between bytes {at} and {self._file.tell()}")
        if self._ended and self._file.read(1):
            raise BackupDamaged(f"something follows its end at byte {self._file.tell() - 1}")
        self._number += 1
        self._pending += chunk

    def _try(self, sealed: bytes, *, last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(_nonce(self._number, last), sealed, self._head)
        except InvalidTag:
            return None


def key_id(key: bytes) -> bytes:
    """What tells keys apart and says nothing of them."""
    return hmac.digest(key, b"dmp-fhir backup key id", "sha256")[:_KEY_ID]


def _cipher(key: bytes, head: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=head[-_SALT:], info=MAGIC).derive(key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(8) + last.to_bytes(4)
