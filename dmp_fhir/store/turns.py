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
from contextlib import AbstractContextManager, contextmanager


class Turns:
    """Threads that never took a turn (the command line, a test) pass through everything here untouched."""

    def __init__(self) -> None:
        self._places: threading.Semaphore | None = None
        self._guard = threading.Lock()
        self._queue: deque[tuple[int, threading.Lock]] = deque()
        self._working: int | None = None

    def turn(self) -> AbstractContextManager[None]:
        """Wait for a place and a turn, and work."""
        return _Turn(self)

    def waiting(self) -> AbstractContextManager[None]:
        """Let others work during the block; afterwards it is this thread's turn again."""
        return _Waiting(self)

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

    def acquire(self, lock: threading.Lock, timeout_s: float = -1) -> bool:
        """Acquire a lock, letting others work until it is free; whether it was within the time."""
        if lock.acquire(blocking=False):
            return True
        with self.waiting():
            return lock.acquire(timeout=timeout_s)

    @contextmanager
    def alone(self, lock: threading.Lock) -> Iterator[None]:
        """The block with a lock in hand."""
        self.acquire(lock)
        try:
            yield
        finally:
            lock.release()

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


# Classes: they are entered several times in each request, and generators cost three times as much.
class _Turn(AbstractContextManager[None]):
    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def __enter__(self) -> None:
        if self._turns._places:
            self._turns._places.acquire()
        self._turns._take()

    def __exit__(self, *fault: object) -> None:
        self._turns._give()
        if self._turns._places:
            self._turns._places.release()


class _Waiting(AbstractContextManager[None]):
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._handed_on = False

    def __enter__(self) -> None:
        if self._turns._working == threading.get_ident():
            self._handed_on = True
            self._turns._give()

    def __exit__(self, *fault: object) -> None:
        if self._handed_on:
            self._turns._take()
