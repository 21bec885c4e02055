"""Keeping the trace of acts that write nothing else: one commit for all who wait for one (design decision 5).

https://www.sqlite.org/wal.html: a commit costs the disk the same for one row as for ten.
"""

from __future__ import annotations

import threading
from typing import Any

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.store.database import Database, StoreUnavailable, Transaction

Row = dict[str, Any]


class _Lot:
    """Rows that are committed together, and what became of them."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.ended = threading.Event()
        self.failure: BaseException | None = None


class TraceKeeper:
    """One per process. The first who comes opens a lot, lets the threads that wait for their turn work, waits for the
    lot before and for any other writer, and commits; who comes meanwhile goes along."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._open: _Lot | None = None
        self._committing = threading.Lock()

    def keep(self, rows: list[Row]) -> None:
        """Return once these rows (audit/log.py, `rows_of`) are on the disk; StoreUnavailable when they are not."""
        if not rows:
            return
        with self._guard:
            lot, first = self._open, self._open is None
            if lot is None:
                lot = self._open = _Lot(list(rows))
            else:
                lot.rows += rows
        if first:
            self._commit(lot)
            return
        with self._database.turns.waiting():
            lot.ended.wait()
        if lot.failure is not None:
            raise StoreUnavailable("the trace was not kept") from lot.failure

    def _commit(self, lot: _Lot) -> None:
        try:
            self._database.turns.let_others_first()
            with self._database.turns.alone(self._committing):
                self._database.write(lambda tx: self._append(tx, lot))
        except BaseException as failure:
            lot.failure = failure
            raise
        finally:
            self._close(lot)
            lot.ended.set()

    def _append(self, tx: Transaction, lot: _Lot) -> None:
        # On SQLite the transaction is that of the one writer now: until here others could come along.
        self._close(lot)
        append_rows(tx, lot.rows)

    def _close(self, lot: _Lot) -> None:
        with self._guard:
            if self._open is lot:
                self._open = None
