"""Figures of the running server for Prometheus: requests, durations, faults. No label names a person, record or
document: interactions, types and classes of status are words of ours (TF-156).

Workers are processes: under `dmp-fhir serve` each keeps its figures in files of a folder of its own run, which any of
them adds up (https://prometheus.github.io/client_python/multiprocess/). prometheus_client decides between memory and
files when it is imported, so it is imported here when the first `Metrics` is made, after the server named the folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Figures that are looked up when they are asked for are looked up at most so often.
FRESH_S = 30.0

Figures = Callable[[], dict[str, float]]


class Metrics:
    """The figures of one process, and the sum over all. `look_up` gives what is counted in the database and on the
    disk: {name: value}, with `HELP` of each."""

    def __init__(self, look_up: Figures) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._folder = os.environ.get(FOLDER_VARIABLE)
        own = None if self._folder else CollectorRegistry()
        self._registry = own
        labels = ("interaction", "type", "status")
        self._requests = Counter("dmp_fhir_requests", "Requests answered", labels, registry=own)
        self._durations = Histogram(
            "dmp_fhir_request_duration_seconds",
            "From the arrival of a request to its answer",
            ("interaction",),
            buckets=DURATIONS,
            registry=own,
        )
        self._in_flight = Gauge(
            "dmp_fhir_requests_in_flight", "Requests under way", registry=own, multiprocess_mode="livesum"
        )
        self._faults = Counter("dmp_fhir_faults", "Requests that failed by our side", ("kind",), registry=own)
        for kind in ("database", "policy", "own"):
            self._faults.labels(kind)
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._looked_up = _Fresh(look_up)

    def begins(self) -> None:
        self._in_flight.inc()

    def ends(self, interaction: str, kind: str, status: int, seconds: float) -> None:
        """A request was answered: `kind` is its resource type, one of ours or `other`."""
        self._in_flight.dec()
        key = (interaction, kind, status // 100)
        if key not in self._children:
            counter = self._requests.labels(interaction, kind, f"{status // 100}xx")
            self._children[key] = (counter, self._durations.labels(interaction))
        counter, durations = self._children[key]
        counter.inc()
        durations.observe(seconds)

    def fault(self, kind: str) -> None:
        """`database`, `policy` or `own`."""
        self._faults.labels(kind).inc()

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess
        from prometheus_client.core import GaugeMetricFamily

        registry = self._registry
        if registry is None:
            registry = CollectorRegistry()
            _forget_the_dead(Path(str(self._folder)))
            multiprocess.MultiProcessCollector(registry, self._folder)
        looked_up = CollectorRegistry()
        families = [
            GaugeMetricFamily(f"dmp_fhir_{name}", HELP[name], value) for name, value in self._looked_up.now().items()
        ]
        looked_up.register(_Collector(families))
        return generate_latest(registry) + generate_latest(looked_up)


HELP = {
    "up": "1 when the database answers",
    "records": "Records, closed ones included",
    "documents": "Documents, earlier versions of them and deleted ones included",
    "audit_entries": "Entries of the trace",
    "audit_unsealed": "Entries of the trace since the latest signed head",
    "audit_to_forward": "Entries of the trace that the audit repository has not yet",
    "alerts_waiting": "Security alerts that wait for the privacy officer",
    "trace_alerts_waiting": "Those of them that say that the trace was altered",
    "outbox_waiting": "Messages that wait to be sent",
    "database_bytes": "Size of the database",
    "disk_free_bytes": "Free space where the documents are",
}


class _Collector:
    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        return iter(self._families)


class _Fresh:
    """The latest figures, looked up again when they are older than FRESH_S."""

    def __init__(self, look_up: Figures) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._until = 0.0
        self._figures: dict[str, float] = {}

    def now(self) -> dict[str, float]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._figures = self._look_up()
                self._until = time.monotonic() + FRESH_S
            return self._figures


def _forget_the_dead(folder: Path) -> None:
    """What a killed worker had under way is under way no more; what it counted stays counted."""
    for path in folder.glob("gauge_live*_*.db"):
        process = int(path.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except PermissionError:
            continue
