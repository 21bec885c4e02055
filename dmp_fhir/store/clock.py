"""The clock of a record: the order of its writes.

Whoever writes to a record first locks its row, then takes the instant of the write. The instant never goes back and
never repeats, whatever the clock of the machine does, so `lastUpdated` strictly increases within a record (TF-190)
and a delta search by it misses nothing.
"""

from __future__ import annotations

from dmp_fhir.store.database import Transaction

_LOCK = {
    "sqlite": "SELECT status, clock FROM record WHERE id = :id",
    "postgresql": "SELECT status, clock FROM record WHERE id = :id FOR UPDATE",
}


class RecordClock:
    """A locked record: its `status` as it was when locked, and the instant of this transaction's write."""

    __slots__ = ("_instant", "_latest", "_tx", "record_id", "status")

    def __init__(self, tx: Transaction, record_id: str, status: str, latest: int) -> None:
        self._tx = tx
        self.record_id = record_id
        self.status = status
        self._latest = latest
        self._instant: int | None = None

    def tick(self, now_ms: int) -> int:
        """The instant of this transaction: `now_ms`, or just after the record's latest write if that is not later. The
        same answer each time within one transaction."""
        if self._instant is None:
            self._instant = max(now_ms, self._latest + 1)
            self._tx.execute(
                "UPDATE record SET clock = :clock WHERE id = :id", {"clock": self._instant, "id": self.record_id}
            )
        return self._instant


def lock_record(tx: Transaction, record_id: str) -> RecordClock:
    """Keep other writers off the record until the transaction ends (SQLite has one writer anyway); LookupError when
    there is no such record. A transaction that locks two records locks them in the order of their ids, never the
    other way."""
    found = tx.row(_LOCK[tx.dialect], {"id": record_id})
    if found is None:
        raise LookupError("no record of this id")
    return RecordClock(tx, record_id, found[0], found[1])
