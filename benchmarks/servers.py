"""The processes under test: the server as an operator starts it, a bare WSGI function, PostgreSQL with fsync on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fill import Place

START_SECONDS = 60
_TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server and the processes whose CPU time and memory count as its own."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, path: str) -> None:
        self.port = port
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait(path)
        self.seconds_to_first_answer = time.perf_counter() - started

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with code {self._process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(request)
                    if connection.recv(12) == b"HTTP/1.1 200":
                        return
            except OSError:
                time.sleep(0.005)
        raise RuntimeError("the server did not answer")

    @property
    def processes(self) -> list[int]:
        return tree_of(self._process.pid)

    def worker_memory(self) -> int:
        """Resident bytes of the largest process."""
        return max(_resident(pid) for pid in self.processes)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def registry(place: Place, workers: int) -> Iterator[Server]:
    """`dmp-fhir serve` on a registry."""
    port = free_port()
    environment = {
        "DMP_FHIR_DATA": str(place.folder),
        "DATABASE_URL": place.url,
        "DMP_FHIR_RECORDS_PER_HOUR": "1000000",
        "DMP_FHIR_RECORDS_PER_DAY": "10000000",
        "DMP_FHIR_BASE_URL": f"http://127.0.0.1:{port}/fhir",
    }
    program = str(Path(sys.executable).with_name("dmp-fhir"))
    command = [program, "serve", "--port", str(port), "--workers", str(workers)]
    server = Server(command, environment, port, "/fhir/metadata")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def bare(answers: Path, workers: int) -> Iterator[Server]:
    """A WSGI function that does nothing but answer (bare.py), on the same Granian."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(workers)]
    environment = {"BENCH_ANSWERS": str(answers), "PYTHONPATH": str(Path(__file__).parents[1])}
    server = Server(command, environment, port, "/")
    try:
        yield server
    finally:
        server.stop()


# --- what the system says about processes ---------------------------------------------------------


def tree_of(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += children.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that these processes have used so far."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def _resident(pid: int) -> int:
    """Resident bytes of a process without the mapped pages of the SQLite file, which the system may take back."""
    total, counted = 0, True
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, rest = line.partition(":")
        if line[0] in "0123456789abcdef":  # the line that begins a mapping: addresses, ..., file
            counted = ".sqlite" not in line
        elif name == "Rss" and counted:
            total += int(rest.split()[0]) * 1024
    return total
