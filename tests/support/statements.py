"""The SQL statements that a database runs, as they come, without their values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dmp_fhir.store.database import Database, Reader, Transaction
from dmp_fhir.store.key_store import KeyStore

_RUN = (
    (Reader, "rows"),
    (Reader, "row"),
    (Transaction, "execute"),
    (Transaction, "insert"),
    (Transaction, "insert_many"),
)


class _OfThisThread(list[str]):
    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def append(self, statement: str) -> None:
        if threading.get_ident() == self._thread:
            super().append(statement)


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Every statement that this thread runs inside the block, and where sessions begin; without those that fetch a key,
    which is kept for a minute."""
    statements = _OfThisThread()

    def noting(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def noted(session: Any, what: str, *values: Any) -> Any:
            statements.append(f"{name} {what}" if name.startswith("insert") else what)
            return run(session, what, *values)

        return noted

    begin, key = Database._begin, KeyStore.key

    def begun(database: Database, write: bool) -> Any:
        statements.append("BEGIN, to write" if write else "BEGIN")
        return begin(database, write)

    def fetched(store: KeyStore, record_id: str) -> bytes:
        before = len(statements)
        found = key(store, record_id)
        del statements[before:]
        return found

    with pytest.MonkeyPatch.context() as patching:
        for kind, name in _RUN:
            patching.setattr(kind, name, noting(name, getattr(kind, name)))
        patching.setattr(Database, "_begin", begun)
        patching.setattr(KeyStore, "key", fetched)
        yield statements
