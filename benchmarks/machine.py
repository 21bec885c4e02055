"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# A load average below this is a machine that does nothing else.
IDLE = 0.7
PACKAGES = ("flask", "granian", "apsw", "psycopg", "orjson")


def describe() -> list[str]:
    model = next(
        (line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) // 1_000_000 for line in _lines("/proc/meminfo") if "MemTotal" in line), 0)
    load = os.getloadavg()[0]
    busy = "" if load < IDLE else " — **the machine was busy with something else: these figures are provisional**"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"{os.cpu_count()} cores ({model.strip()}), {memory} GB, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {packages}",
        f"{time.strftime('%Y-%m-%d %H:%M')}, load average before the run {load:.1f}{busy}",
    ]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def sync_cost(folder: Path, times: int = 300) -> tuple[float, float]:
    """Seconds (median, 95th percentile) that the disk takes to keep 4 kB for good."""
    spans = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for number in range(times):
            os.pwrite(file.fileno(), b"x" * 4096, number * 4096)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            spans.append(time.perf_counter() - begun)
    spans.sort()
    return spans[times // 2], spans[times * 95 // 100]
