"""A file of fixed size that the workers of one machine map into their memory, and its lock.

The file holds counters and keyed fingerprints, never an identifier. It outlives restarts; losing it means counting
anew. A worker that is killed leaves its lock behind (POSIX releases it) and at worst one counter half a step ahead.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

HEADER = 64
_SALT = slice(16, 48)


class SharedFile:
    """`mark` (16 bytes at most) names what is inside, its version included: a file with another mark or size is
    replaced. `reserve` takes the disk space at once, since a full disk would stop a worker that writes later."""

    def __init__(self, path: Path, size: int, mark: bytes, *, reserve: bool = False) -> None:
        self._path, self._size, self._mark = path, HEADER + size, mark.ljust(16, b"\0")
        self._guard = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if reserve:
            os.posix_fallocate(self._descriptor, 0, self._size)
        self.memory = mmap.mmap(self._descriptor, self._size)
        self.fingerprint = lru_cache(maxsize=8192)(self._fingerprint)

    def _make(self) -> None:
        """The file, empty unless it is there already. Several workers start at once: one makes it."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self._is_ours():
                return
            draft = self._path.with_name(f".{self._path.name}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(self._mark + secrets.token_bytes(32))
                file.truncate(self._size)
            draft.replace(self._path)
        finally:
            os.close(folder)

    def _is_ours(self) -> bool:
        try:
            with self._path.open("rb") as file:
                return file.read(16) == self._mark and os.fstat(file.fileno()).st_size == self._size
        except FileNotFoundError:
            return False

    def _fingerprint(self, name: str) -> int:
        """64 bits of a name under the salt of this file: nobody can choose names that collide, or read them back."""
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self.memory[_SALT]).digest()
        return int.from_bytes(digest, "little") or 1

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among the threads and processes that have this file open."""
        with self._guard:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1)
            try:
                yield
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1)

    def close(self) -> None:
        self.memory.close()
        os.close(self._descriptor)
