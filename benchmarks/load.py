"""The load generator: processes with one keep-alive connection each, which ask again as soon as they are answered.

It runs on the same cores as the server, so the figures are those of a machine that carries both.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import time
from array import array
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.operations import NUMBERS_PER_STREAM, OPERATIONS, Index, Operation
from benchmarks.servers import Server, cpu_seconds, tree_of

WARM_UP_SECONDS = 0.7
_streams = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """Latencies in seconds, sorted; `cpu` is the processor time of the server (and its database) per request."""

    per_second: float
    latencies: list[float]
    cpu: float

    def quantile(self, share: float) -> float:
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


class Client:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer."""
        self._socket.sendall(request)
        received = self._socket.recv(262_144)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end]
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        body = received[end + 4 :]
        if len(body) < length:
            parts, size = [body], len(body)
            while size < length:
                part = self._more()
                parts.append(part)
                size += len(part)
            body = b"".join(parts)
        return head, body

    def _more(self) -> bytes:
        part = self._socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def measure(
    server: Server, operation: Operation, index: Index, seconds: float, connections: int, beside: int | None = None
) -> Measure:
    """Ask for `seconds`; `beside` is the process of a database server whose work counts too."""
    global _streams
    generators: list[tuple[multiprocessing.Process, Connection]] = []
    start = time.monotonic() + 0.3 + WARM_UP_SECONDS
    for _ in range(connections):
        _streams += 1
        here, there = multiprocessing.Pipe(duplex=False)
        arguments = (there, server.port, operation.key, index, _streams, start, start + seconds)
        generator = multiprocessing.Process(target=_generate, args=arguments)
        generator.start()
        generators.append((generator, here))
    processes = server.processes + (tree_of(beside) if beside else [])
    time.sleep(max(0.0, start - time.monotonic()))
    before = cpu_seconds(processes)
    time.sleep(seconds)
    used = cpu_seconds(processes) - before
    latencies: list[float] = []
    for generator, pipe in generators:
        answer = pipe.recv()
        generator.join()
        if isinstance(answer, str):
            raise RuntimeError(f"{operation.key}: {answer}")
        latencies += array("d", answer)
    if not latencies:
        # A machine that is busy with something else: nothing was begun and answered in this time.
        return measure(server, operation, index, 3 * seconds, connections, beside)
    latencies.sort()
    return Measure(len(latencies) / seconds, latencies, used / len(latencies))


def _generate(pipe: Connection, port: int, key: str, index: Index, number: int, start: float, end: float) -> None:
    operation = next(each for each in OPERATIONS if each.key == key)
    stream = operation.stream(index, random.Random(number), number * NUMBERS_PER_STREAM)
    client = Client(port)
    latencies = array("d")
    clock = time.monotonic
    try:
        while True:
            request = next(stream)
            begun = clock()
            head, body = client.ask(request)
            done = clock()
            if head[9:12] != operation.status:
                pipe.send(f"answered {head[:15].decode()}: {body[:500].decode(errors='replace')}")
                return
            if begun >= start and done <= end:
                latencies.append(done - begun)
            if done > end:
                break
    except OSError as error:
        pipe.send(f"the connection failed: {error}")
        return
    pipe.send(latencies.tobytes())
