"""Around every request: its line in the access log and its place in the figures.

The line says what was done to which type of resource, how it ended, how long it took and who answered; never the
address, the query, or who asked (TF-149). The trace in the database says the rest to those who have the right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.routes import TYPES, act_of
from dmp_fhir.telemetry.logs import request_id_shown
from dmp_fhir.telemetry.metrics import Metrics

logger = logging.getLogger("dmp_fhir.access")

# What the endpoint leaves in the WSGI environment: the interactions.messages.Request it understood, and whose fault a
# failure was.
ASKED = "dmp_fhir.asked"
FAULT = "dmp_fhir.fault"
REQUEST_ID = "dmp_fhir.request_id"


def observed(application: WSGIApplication, metrics: Metrics) -> WSGIApplication:
    """The application with its requests logged and counted. Its answers are whole when it returns."""

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        metrics.begins()
        started = time.perf_counter()
        status = 500

        def start(line: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers, *more)

        try:
            return application(environ, start)
        finally:
            _tell(environ, status, time.perf_counter() - started, metrics)

    return respond


def _tell(environ: WSGIEnvironment, status: int, seconds: float, metrics: Metrics) -> None:
    interaction, kind = _what(environ.get(ASKED))
    metrics.ends(interaction, kind, status, seconds)
    if FAULT in environ:
        metrics.fault(environ[FAULT])
    if logger.isEnabledFor(logging.INFO):
        line = {
            "interaction": interaction,
            "type": kind,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "request": request_id_shown(environ.get(REQUEST_ID, "")),
        }
        # Without looking for the line of code that logs, which costs more than the line.
        record = logging.LogRecord(logger.name, logging.INFO, __file__, 0, "request", None, None)
        record.fields = line
        logger.handle(record)


def _what(asked: Request | None) -> tuple[str, str]:
    """Interaction and type in words of ours: addresses are made by clients, and may hold anything."""
    if asked is None:
        return "none", "none"
    kind = asked.resource_type
    if asked.operation == "metadata":
        return "capabilities", "none"
    if asked.operation == "audit-keys":
        return "operation", "none"
    return act_of(asked)[0], "none" if kind is None else kind if kind in TYPES else "other"
