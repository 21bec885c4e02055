"""What the store can answer instead of rows."""

from __future__ import annotations


class ConstraintViolation(Exception):
    """The database refused a row: a CHECK, a NOT NULL, a trigger that guards what is never rewritten. A bug of ours
    unless it is a `UniqueViolation`. `table` is empty when the engine does not tell it."""

    def __init__(self, table: str, message: str = "") -> None:
        super().__init__(message or table)
        self.table = table


class UniqueViolation(ConstraintViolation):
    """Somebody else already holds this key of `table`. The message never holds the values (they are health data)."""


class StoreUnavailable(Exception):
    """The store cannot serve for the moment: lock or statement time-out, connection lost, disk full. HTTP 503.

    When it comes out of a commit over a connection that broke, whether the commit took place is unknown: the client
    sends again and uniqueness sorts it out (D17)."""


class TransactionConflict(StoreUnavailable):
    """Deadlock or serialisation failure: the transaction was rolled back whole and may be run again (TF-215)."""


class MigrationRefused(Exception):
    """A migration that is not begun, or was taken back whole; the sentence says why, for the operator."""


class StoreDamaged(Exception):
    """The engine found its own files damaged. Nothing of the answer can be believed: HTTP 500 and an alarm (TF-207)."""


class KeysUnavailable(StoreUnavailable):
    """The keys of the registry cannot be had for the moment, or it was opened without them: nothing sealed is read, and
    nothing is written, rather than written in clear (TF-242). HTTP 503."""


class KeysRefused(KeysUnavailable):
    """The keys are missing, empty, short, or not those of this registry: the start is refused with this sentence."""


class KeyDestroyed(Exception):
    """The record was erased: its key is gone, and what it sealed with it."""
