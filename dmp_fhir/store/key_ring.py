"""The keys of a registry as its parts use them: one per record, kept in memory for a short while.

A key that another process destroyed is out of use here within `LIFE_S`; the rows it sealed are gone by then.
"""

from __future__ import annotations

import base64
import hmac
import threading
import time
from collections import OrderedDict

from dmp_fhir.store.errors import KeysUnavailable
from dmp_fhir.store.key_store import LOOKUP, KeyStore
from dmp_fhir.store.sealing import SealingKey, TraceKey

MOST_KEYS = 10_000
LIFE_S = 60.0


class KeyRing:
    """`plain_readable`: the registry is older than its keys, so bodies in clear may be its own."""

    def __init__(self, store: KeyStore, *, plain_readable: bool = False) -> None:
        self.store = store
        self.plain_readable = plain_readable
        self._known: OrderedDict[str, tuple[float, SealingKey]] = OrderedDict()
        self._guard = threading.Lock()
        self._lookup = store.key(LOOKUP)
        self._trace = store.trace_key()

    def of(self, record_id: str) -> SealingKey:
        """The key of a record, or of the directory; KeyDestroyed or KeysUnavailable."""
        known = self._known.get(record_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        key = SealingKey(self.store.key(record_id))
        with self._guard:
            self._known[record_id] = (time.monotonic() + LIFE_S, key)
            self._known.move_to_end(record_id)
            while len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return key

    @property
    def trace(self) -> TraceKey:
        """What seals the entries of the trace."""
        if self._trace is None:
            raise KeysUnavailable("the key of the trace was not made: it is when a registry is opened")
        return self._trace

    def make(self, record_id: str, now_ms: int) -> None:
        """Make the key of a new record: durable when this returns, so before the first row that needs it."""
        self.store.make([record_id], now_ms)

    def destroy(self, record_ids: list[str], now_ms: int) -> int:
        """Destroy the keys of erased records: how many there were."""
        with self._guard:
            for record_id in record_ids:
                self._known.pop(record_id, None)
        return self.store.destroy(record_ids, now_ms)

    def hidden(self, value: str) -> str:
        """What stands in the database for an identifier that is looked up by equality: 32 characters that only this
        registry can make. It stays the same whatever master key is in use."""
        digest = hmac.digest(self._lookup, b"identifier|" + value.encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode("ascii")

    def close(self) -> None:
        self.store.close()
