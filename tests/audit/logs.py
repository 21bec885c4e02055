"""Logs for the tests of the trace, made quickly, and the hands of an insider in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.findings import Report
from dmp_fhir.audit.heads import HeadKeys, Sealing, Witness, attach
from dmp_fhir.audit.verification import verify
from dmp_fhir.store.database import Database
from tests.audit.test_events import CONTEXT, NOW, READ
from tests.support.keys import with_new_keys

RECORDS = 7


class Clock:
    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@dataclass
class Log:
    """A log of its own keys and file of heads."""

    database: Database
    folder: Path
    clock: Clock

    @classmethod
    def made(cls, url: str, folder: Path, *, sealed_from: int = 0) -> Log:
        clock, keys = Clock(), folder / "keys"
        database = with_new_keys(url, keys, sealed_from=sealed_from)
        return cls(attach(database, keys, folder / "heads", clock), folder, clock)

    @property
    def sealing(self) -> Sealing:
        sealing: Sealing = self.database.sealing
        return sealing

    def grow(self, count: int, at_once: int = 40) -> None:
        """Entries of `RECORDS` records and of none, one millisecond apart."""
        for start in range(0, count, at_once):
            acts = [self.act(n) for n in range(start, min(start + at_once, count))]
            self.clock.now += len(acts)
            with self.database.transaction() as tx:
                log.append_many(tx, acts, CONTEXT, self.clock.now)

    def act(self, number: int) -> Act:
        if number % (RECORDS + 1) == RECORDS:
            return Act("search-type", "E", query=b"name=x")
        entity = (("DocumentReference", f"d{number}", 1),)
        return replace(READ, record_id=f"r{number % (RECORDS + 1)}", entities=entity)

    def seal(self) -> None:
        self.clock.now += 1000
        self.sealing.seal_now()

    def verify(self, **changes: Any) -> Report:
        arguments: dict[str, Any] = {
            "keys": HeadKeys(self.folder / "keys").public(),
            "witness": Witness(self.folder / "heads"),
            "now_ms": self.clock.now,
        }
        return verify(self.database, **(arguments | changes))

    def rows(self, sql: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self.database.snapshot() as reader:
            return reader.rows(sql, params)

    def as_insider(self, act: Callable[[Any], None]) -> None:
        """What somebody with all rights on the database does, who took the guards away first."""
        with self.database.transaction() as tx:
            act(tx)


def disarm(database: Database) -> None:
    """Take away every trigger and unique index of the trace."""
    with database.transaction() as tx:
        if database.dialect == "sqlite":
            names = tx.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'audit%'")
            for (name,) in names:
                tx.execute(f"DROP TRIGGER {name}")
        else:
            for table in ("audit_event", "audit_tree", "audit_tile", "audit_head"):
                tx.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for index in ("audit_event_by_position", "audit_event_by_sequence"):
            tx.execute(f"DROP INDEX {index}")
