"""What signs a head of the trace every minute: one thread in each worker; the database elects one of them. The same
thread tells what the worker counted without tracing it at once (failures.py), and looks at the trace (watching.py)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dmp_fhir.instants import Clock
from dmp_fhir.store.database import Database

_log = logging.getLogger("dmp_fhir.audit")

LOOK_EVERY_S = 10.0


class Sealer(threading.Thread):
    """Ends with the process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        look_every_s: float = LOOK_EVERY_S,
        also: Callable[[Clock], None] = lambda clock: None,
        watch: Callable[[int], object] = lambda now_ms: None,
    ) -> None:
        super().__init__(name="sealer", daemon=True)
        self._database = database
        self._clock = clock
        self._also = also
        self._watch = watch
        self._look_every_s = look_every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        while True:
            self.look()
            if self._stopped.wait(self._look_every_s):
                return

    def look(self) -> None:
        """Seal when it is due. A store that is away is no reason to end: requests are refused meanwhile, and nothing is
        left unsealed."""
        try:
            with self._database.turns.turn():
                self._database.sealing.seal_if_due(self._clock())
                self._also(self._clock)
            self._watch(self._clock())
        except Exception as fault:
            # Values of the fault may be health data; its kind is not.
            _log.error("ALERT: the trace can't be sealed or looked at: %s", type(fault).__name__)

    def stop(self) -> None:
        self._stopped.set()
