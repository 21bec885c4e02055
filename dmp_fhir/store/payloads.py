"""Document payloads, outside the rows, each in a file named by the SHA-256 of its bytes: those of the sealed document
(registry/payloads.py seals and opens), so the name says nothing of what the document holds.

A file appears whole or not at all: written under a temporary name, flushed, renamed, and the folder flushed, before the
commit of the row that names it. A transaction that then fails leaves an orphan, which `collect_orphans` removes after a
grace time. Another back end (an object store) needs the same four acts: put, get, size, collect_orphans.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmp_fhir.files import flush_folder
from dmp_fhir.store.database import Database, StoreUnavailable

_ASIDE = ".aside"
_TEMPORARY = "tmp"


class PayloadDamaged(Exception):
    """A payload that is missing or whose bytes are not those of its name: never served, an alarm for the operator
    (TF-207, TF-208)."""

    def __init__(self, digest: bytes, reason: str) -> None:
        super().__init__(f"payload {digest.hex()}: {reason}")
        self.digest = digest


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed: files and their bytes, payloads and left-over temporary files together."""

    count: int
    bytes: int


class PayloadStore:
    """A folder of payloads, shared by all processes of the server. Creates what is missing of it."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._temporary = self.folder / _TEMPORARY
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._temporary.mkdir(exist_ok=True, mode=0o700)

    def put(self, content: bytes) -> bytes:
        """Keep `content` durably; its SHA-256, which is its name. Content that is here already is used again, and
        repaired if it was damaged. StoreUnavailable when it cannot be written (disk full, input/output error)."""
        digest = hashlib.sha256(content).digest()
        self.adopt(digest, content)
        return digest

    def put_pieces(self, pieces: Iterable[bytes]) -> bytes:
        """The same for content that comes piece by piece, of which there is no other copy."""
        try:
            return self._write(pieces)
        except OSError as error:
            raise StoreUnavailable(f"payload not written: {error.strerror}") from error

    def get(self, digest: bytes) -> bytes:
        """The bytes whose SHA-256 is `digest`, verified; PayloadDamaged when missing or altered."""
        path = self._path(digest)
        for place in (path, _aside(path), path):
            try:
                content = place.read_bytes()
                break
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PayloadDamaged(digest, f"unreadable: {error.strerror}") from error
        else:
            raise PayloadDamaged(digest, "missing")
        if hashlib.sha256(content).digest() != digest:
            raise PayloadDamaged(digest, "altered")
        return content

    def stored(self, digest: bytes) -> bytes:
        """The bytes of the file as it lies there, for a backup; PayloadDamaged as `get`."""
        return self.get(digest)

    def adopt(self, digest: bytes, stored: bytes) -> None:
        """Keep durably a file that `stored` gave, here or in another registry."""
        path = self._path(digest)
        try:
            if self._refresh(path, stored):
                flush_folder(path.parent)
            else:
                self._write([stored])
        except OSError as error:
            raise StoreUnavailable(f"payload not written: {error.strerror}") from error

    def size(self, digest: bytes) -> int | None:
        """The size of the stored file in bytes, None when it is missing. The bytes are not verified."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def collect_orphans(self, database: Database, older_than_ms: int, now_ms: int) -> Collected:
        """Remove the payloads that no row names, and the temporary files, that were last put more than `older_than_ms`
        before `now_ms`. The grace time is longer than any transaction: a put made for a commit still to come
        refreshes the file and so keeps it."""
        limit = (now_ms - older_than_ms) * 1_000_000
        count = size = 0
        for path in self._old_files(limit):
            freed = self._remove_if_orphan(database, path, limit)
            if freed is not None:
                count += 1
                size += freed
        return Collected(count, size)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self.folder / name[:2] / name

    def _refresh(self, path: Path, content: bytes) -> bool:
        """Whether the same bytes are here already; if so they count as put now."""
        try:
            if path.read_bytes() != content:
                return False
            os.utime(path)
        except FileNotFoundError:
            # Never here, or just moved aside by a collection: written anew.
            return False
        return True

    def _write(self, pieces: Iterable[bytes]) -> bytes:
        """The SHA-256 of the pieces, once they are on the disk."""
        hashed = hashlib.sha256()
        temporary = self._temporary / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    hashed.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            path = self._path(hashed.digest())
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True, mode=0o700)
                flush_folder(self.folder)
            temporary.rename(path)
            flush_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return hashed.digest()

    def _old_files(self, limit: int) -> Iterator[Path]:
        for shard in sorted(self.folder.iterdir()):
            if shard.is_dir():
                for entry in list(os.scandir(shard)):
                    try:
                        if entry.stat().st_mtime_ns < limit:
                            yield Path(entry.path)
                    except FileNotFoundError:
                        continue

    def _remove_if_orphan(self, database: Database, path: Path, limit: int) -> int | None:
        """The bytes freed, None when the file stays."""
        try:
            if path.parent == self._temporary:
                size = path.stat().st_size
                path.unlink()
                return size
            home = path.with_name(path.name.removesuffix(_ASIDE))
            digest = bytes.fromhex(home.name)
            aside = _aside(home)
            if path == home:
                if _named(database, digest):
                    return None
                # Moved aside first: a put that comes now does not see the file and writes its own; one that came
                # between the look and the move left its mark in the time of the file.
                home.rename(aside)
            state = aside.stat()
            if state.st_mtime_ns >= limit or _named(database, digest):
                if home.exists():
                    aside.unlink()
                else:
                    aside.rename(home)
                return None
            aside.unlink()
            return state.st_size
        except FileNotFoundError:
            # Another collection was faster.
            return None


def _aside(path: Path) -> Path:
    return path.with_name(path.name + _ASIDE)


def _named(database: Database, digest: bytes) -> bool:
    with database.snapshot() as reader:
        return reader.row("SELECT 1 FROM payload WHERE sha256 = :digest LIMIT 1", {"digest": digest}) is not None
