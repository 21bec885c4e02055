"""The trace of failed authentications, which anybody can cause without end (TF-162, TF-178).

Up to a number per minute each one is an entry of its own. Beyond, those of one address are counted, and an entry tells
their number once a minute: the trace grows by a bounded number of entries a day whatever comes, and the flood raises an
alert. A worker that ends loses the count of its last minute, not the entries.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.alerts import raise_with_trace
from dmp_fhir.audit.keeping import TraceKeeper
from dmp_fhir.instants import Clock
from dmp_fhir.limits.requests import RequestRates
from dmp_fhir.outcome import Alert
from dmp_fhir.store.database import Database

EVERY_MS = 60_000
MOST_ADDRESSES = 20
OTHERS = "others"


class FailedAuthentications:
    """One per process."""

    def __init__(self, database: Database, traces: TraceKeeper, rates: RequestRates) -> None:
        self._database, self._traces, self._rates = database, traces, rates
        self._guard = threading.Lock()
        self._counted: dict[str, Act] = {}
        self._first = self._latest = 0

    def keep(self, act: Act, address: str, now_ms: int) -> int | None:
        """Trace a failed authentication, alone or with others; after how many seconds its address is below its limit
        again, None when it is. StoreUnavailable when the trace cannot be kept."""
        crowded = self._rates.failed(address, now_ms)
        if crowded is None:
            self._traces.keep(log.rows_of([replace(act, origin=address or None)], None, now_ms))
            return None
        self._count(act, address if crowded.of_address else OTHERS, now_ms)
        if self._rates.first_in_the_hour("failures", now_ms):
            alert = Alert("failures", self._rates.failures_per_minute)
            raise_with_trace(self._database, alert, None, now_ms, origin=address or None)
        self._tell_if_due(now_ms)
        return crowded.retry_s if crowded.of_address else None

    def _count(self, act: Act, address: str, now_ms: int) -> None:
        with self._guard:
            if address not in self._counted and len(self._counted) >= MOST_ADDRESSES:
                address = OTHERS
            if not self._counted:
                self._first = now_ms
            known = self._counted.get(address)
            self._counted[address] = (
                replace(known, times=known.times + 1) if known else replace(act, origin=address, request_id=None)
            )
            self._latest = now_ms

    def tell_if_due(self, clock: Clock) -> None:
        """Write what was counted a minute ago; called with each request and by the sealer, free when nothing was."""
        if self._counted:
            self._tell_if_due(clock())

    def _tell_if_due(self, now_ms: int) -> None:
        if now_ms - self._first >= EVERY_MS:
            self.tell(now_ms)

    def tell(self, now_ms: int | None = None) -> None:
        """Write what was counted."""
        with self._guard:
            acts, self._counted = list(self._counted.values()), {}
        self._traces.keep(log.rows_of(acts, None, now_ms or self._latest))
