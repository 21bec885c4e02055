"""A settings file that is read again when it changes, so that what it says changes without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What `read(path)` makes of a file or folder.

    The first reading raises what `read` raises (OSError, ValueError...). Later a change that can't be read is an
    alert in the log, and what was read before stays in force: a half-written file must not close the registry.
    `every_ms` is how often the file system is asked, 0 for each time; `beside` are files that `read` reads as well.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        clock: Callable[[], int],
        *,
        every_ms: int = 2000,
        beside: Iterable[Path] = (),
    ) -> None:
        self._path, self._read, self._clock, self._every_ms = path, read, clock, every_ms
        self._all = (path, *beside)
        self._lock = Lock()
        self._stamp = [_stamp(each) for each in self._all]
        self._looked_ms = clock()
        self._value = read(path)

    def current(self) -> T:
        now = self._clock()
        if abs(now - self._looked_ms) < self._every_ms:
            return self._value
        with self._lock:
            self._looked_ms = now
            stamp = [_stamp(each) for each in self._all]
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._value = self._read(self._path)
                    _log.info("%s was read again", self._path)
                except Exception as bad:
                    _log.critical("%s can't be read, what it said before stays in force: %s", self._path, bad)
        return self._value


def _stamp(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when the file does, or a file of the folder; empty when there is none."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(each.name, each.stat()) for each in files]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found)
