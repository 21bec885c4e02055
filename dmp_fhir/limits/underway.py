"""What is under way in this process: whose requests are worked on, and how much of its memory large bodies take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Underway:
    """The requests of this process whose answers are being made, by the address they came from: their connections rest
    by our doing."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[str, float]] = {}

    @contextmanager
    def request(self, address: str) -> Iterator[None]:
        me = threading.get_ident()
        self._since[me] = (address, time.monotonic())
        try:
            yield
        finally:
            self._since.pop(me, None)

    @contextmanager
    def awaiting_the_client(self) -> Iterator[None]:
        """While the rest of a request is read it is the client's turn to move."""
        me = threading.get_ident()
        ours = self._since.pop(me, None)
        try:
            yield
        finally:
            if ours:
                self._since[me] = (ours[0], time.monotonic())

    def at_work_since(self, instant: float) -> set[str]:
        """Addresses with a request that has been worked on since then or longer."""
        return {address for address, since in list(self._since.values()) if since <= instant}


class Room:
    """How many bytes the large bodies of this process may take together while they come (TF-222)."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        with self._lock:
            self._left += size
