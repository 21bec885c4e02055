"""Connections that no longer move are ended: a body or a header that comes byte by byte, an answer that nobody reads
(TF-224, TF-225).

The server that holds the connections (Granian, Gunicorn) has no time limit for bodies and does not say which
connection a request came on, so it is the kernel that is asked, about each accepted connection of this process: how
much came, how much was taken by the client, and what waits (tcp(7), TCP_INFO). Linux only; elsewhere nothing is
watched, and a proxy has to do it (docs/decisions/0024-turns.md).
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import struct
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dmp_fhir.limits.underway import Underway
from dmp_fhir.telemetry.logs import event

logger = logging.getLogger("dmp_fhir")

# Slower than this, in bytes a second over the whole time, a connection does not move.
SLOWEST = 500
TICK_S = 1.0
# struct linger: on, no seconds.
_THROW_AWAY = struct.pack("ii", 1, 0)
_DESCRIPTORS = "/proc/self/fd"
_ESTABLISHED = 1
# In struct tcp_info of linux/tcp.h: tcpi_state, tcpi_bytes_acked, tcpi_bytes_received.
_TCP_INFO = struct.Struct("=B119xQQ")


class Moved(NamedTuple):
    """What a connection has carried so far, and what waits in the kernel for us and for the client."""

    received: int
    taken: int
    unread: int
    unsent: int


@dataclass(slots=True)
class _Mark:
    """Since when a connection is looked at, and what it had carried then."""

    since: float
    moved: Moved

    def stalls(self, now: float, moved: Moved, seconds: float) -> bool | None:
        """True when it did not move for so long, None while that is open, False when it moved: a new mark is due.

        While nothing waits to be sent the client has to send: whoever took an answer meanwhile began anew, and what
        lies unread is our own delay. While something waits the client has to read."""
        before = self.moved
        if bool(moved.unsent) != bool(before.unsent):
            return False
        if moved.unsent:
            other_way, carried = moved.received != before.received, moved.taken - before.taken
        else:
            other_way, carried = bool(moved.unread) or moved.taken != before.taken, moved.received - before.received
        if other_way:
            return False
        if now - self.since < seconds:
            return None
        return carried < SLOWEST * seconds


class Watch(threading.Thread):
    """Ends the connections of this process that carried less than 500 bytes a second for `seconds`."""

    def __init__(self, seconds: float, underway: Underway) -> None:
        super().__init__(name="stalled-connections", daemon=True)
        self._seconds, self._underway = seconds, underway
        self._marks: dict[int, _Mark] = {}

    def run(self) -> None:
        while os.path.isdir(_DESCRIPTORS):
            time.sleep(TICK_S)
            try:
                ended = self.look(time.monotonic())
            except OSError:
                continue  # no descriptor left for the look itself: the next one may have some
            if ended:
                event(logger, logging.WARNING, "stalled connections ended", connections=ended)

    def look(self, now: float) -> int:
        """Look at every connection once; how many were ended."""
        seen: dict[int, _Mark] = {}
        ended = 0
        at_work = self._underway.at_work_since(now - self._seconds)
        for inode, connection in _connections():
            moved = moved_of(connection)
            if moved is None:
                continue
            mark = self._marks.get(inode)
            stalls = mark.stalls(now, moved, self._seconds) if mark else False
            if stalls and (moved.unsent or _address(connection) not in at_work):
                ended += _end(connection)
            seen[inode] = _Mark(now, moved) if mark is None or stalls is False else mark
        self._marks = seen
        return ended


def moved_of(connection: socket.socket) -> Moved | None:
    """What an established connection has carried; None for one that is not, or where the kernel does not tell."""
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        if len(told) < _TCP_INFO.size:
            return None
        state, taken, received = _TCP_INFO.unpack(told)
        if state != _ESTABLISHED:
            return None
        return Moved(received, taken, _waiting(connection, termios.FIONREAD), _waiting(connection, termios.TIOCOUTQ))
    except OSError:
        return None


def _waiting(connection: socket.socket, which: int) -> int:
    return int.from_bytes(fcntl.ioctl(connection.fileno(), which, b"\0\0\0\0"), "little")


def _connections() -> Iterator[tuple[int, socket.socket]]:
    """The accepted TCP connections of this process with their inodes, each open until the next one is asked for."""
    found: list[tuple[int, socket.socket]] = []
    try:
        for name in os.listdir(_DESCRIPTORS):
            try:
                if not stat.S_ISSOCK((told := os.stat(f"{_DESCRIPTORS}/{name}")).st_mode):
                    continue
                # A descriptor of our own: the server may close its own at any moment.
                found.append((told.st_ino, socket.socket(fileno=os.dup(int(name)))))
            except OSError:
                continue
        tcp = [each for each in found if each[1].family in (socket.AF_INET, socket.AF_INET6)]
        ports = {each.getsockname()[1] for _, each in tcp if _listens(each)}
        for inode, connection in tcp:
            if not _listens(connection) and connection.getsockname()[1] in ports:
                yield inode, connection
    finally:
        for _, connection in found:
            connection.close()


def _listens(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _address(connection: socket.socket) -> str:
    try:
        return str(connection.getpeername()[0]).removeprefix("::ffff:")
    except OSError:
        return ""


def _end(connection: socket.socket) -> int:
    try:
        # What was not taken is thrown away with it, or the kernel would go on sending to whoever reads slowly.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _THROW_AWAY)
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return 0
    return 1
