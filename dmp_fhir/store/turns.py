"""Whose turn it is to work, among the threads of one process.

Python runs one thread at a time, and threads that compete for it beside a database driver halve each other's speed. So
one thread works, in the order of arrival, and hands its turn on while it waits for the disk or for its client. It
never does so with a lock of the database in its hands, or the next in turn could wait for that lock for ever:
only before a transaction begins and while it commits.

Those who work or wait for the disk are bounded in number, which bounds the connections to the database; those who wait
for their client are not among them, so that slow clients take nobody's place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Threads that never took a turn (the command line, a test) pass through everything here untouched."""

    def __init__(self) -> None:
        self._places: threading.Semaphore | None = None
        self._guard = threading.Lock()
        self._queue: deque[tuple[int, threading.Lock]] = deque()
        self._working: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place and a turn, and work."""
        if self._places:
            self._places.acquire()
        self._take()
        try:
            yield
        finally:
            self._give()
            if self._places:
                self._places.release()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others work during the block; afterwards it is this thread's turn again."""
        if self._working != threading.get_ident():
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._take()

    @contextmanager
    def away(self) -> Iterator[None]:
        """As `waiting`, and the place is free for others meanwhile: for waits of which nobody knows the end."""
        if self._working != threading.get_ident():
            yield
            return
        self._give()
        if self._places:
            self._places.release()
        try:
            yield
        finally:
            if self._places:
                self._places.acquire()
            self._take()

    def bound(self, places: int) -> None:
        """Let at most so many be at work at once; said before anybody is."""
        self._places = threading.Semaphore(places)

    def let_others_first(self) -> None:
        """Let everybody who waits for a turn now have one before this thread goes on."""
        if self._queue:
            with self.waiting():
                pass

    def _take(self) -> None:
        me = threading.get_ident()
        with self._guard:
            if self._working is None:
                self._working = me
                return
            called = threading.Lock()
            called.acquire()
            self._queue.append((me, called))
        called.acquire()

    def _give(self) -> None:
        with self._guard:
            if not self._queue:
                self._working = None
                return
            self._working, called = self._queue.popleft()
        called.release()
