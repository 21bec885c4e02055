"""The README as a program: its ```sh blocks, what they must print, and a server started as the page says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DEFAULT_ADDRESS = "127.0.0.1:8000"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ block"


@dataclass(frozen=True)
class Step:
    """A ```sh block and the lines of the ```text or ```json block that follows it; `…` stands for anything."""

    command: str
    expected: tuple[str, ...]


def steps(page: str) -> list[Step]:
    fences = [(match[1], match[2]) for match in _FENCE.finditer(page)]
    found = []
    for n, (language, text) in enumerate(fences):
        if language == "sh":
            following = fences[n + 1] if n + 1 < len(fences) else ("", "")
            shown = following[1] if following[0] in ("text", "json") else ""
            found.append(Step(text, tuple(shown.splitlines())))
    return found


def differences(step: Step, printed: str) -> list[str]:
    """What was printed against what the page shows, line by line."""
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    if len(lines) != len(step.expected):
        return [f"{len(step.expected)} lines shown, {len(lines)} printed: {lines}"]
    return [
        f"shown {shown!r}, printed {line!r}"
        for shown, line in zip(step.expected, lines, strict=True)
        if not re.fullmatch(".+".join(re.escape(part) for part in shown.split("…")), line)
    ]


def run(tour: list[Step], folder: Path, port: int, path: str = "") -> list[str]:
    """Run every block in order in one bash session; the output of each. AssertionError when a command fails."""
    script = "set -euo pipefail\n" + "\n".join(f"echo '{_MARK}'\n{step.command}" for step in tour)
    script = script.replace(DEFAULT_ADDRESS, f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment(path), capture_output=True, text=True, timeout=120
    )
    outputs = done.stdout.replace(f"127.0.0.1:{port}", DEFAULT_ADDRESS).split(f"{_MARK}\n")[1:]
    assert done.returncode == 0, f"{tour[len(outputs) - 1].command}\n{done.stdout[-2000:]}\n{done.stderr}"
    return outputs


def environment(path: str) -> dict[str, str]:
    """A user's environment: nothing of the tests; `path` is where Python looks first, when not empty."""
    ours = ("DMP_FHIR_", "DATABASE_URL", "PYTHON", "PYTEST", "MAKE", "MFLAGS", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | ({"PYTHONPATH": path} if path else {})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def make_run(folder: Path, *options: str, patience: float, path: str = "", target: str = "run") -> Iterator[int]:
    """`make run` (or another target that serves) in `folder`, until the block ends; the port it serves on."""
    port = free_port()
    log = folder / "make-run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", *options, target, f"PORT={port}"],
            cwd=folder,
            env=environment(path),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, port, patience, log)
            yield port
        finally:
            with suppress(ProcessLookupError):  # it ended by itself: what it said is in the log
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _wait(process: subprocess.Popen[bytes], port: int, patience: float, log: Path) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/fhir/metadata", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            running = process.poll() is None and time.monotonic() < until
            assert running, f"make run did not serve:\n{log.read_text(errors='replace')[-3000:]}"
            time.sleep(0.2)
