"""What looks at the trace while the server runs (TF-169): every minute one process of a machine verifies the newest
entries and a part of the older ones, and compares the latest head outside with the database. What it finds is an alert,
once, and a line in the log that names positions only."""

from __future__ import annotations

import fcntl
import logging
import os
import random
from pathlib import Path

from dmp_fhir.audit.alerts import raise_with_trace
from dmp_fhir.audit.findings import Finding
from dmp_fhir.audit.heads import SEAL_EVERY_MS, Head, PublicKey, Sealing, head_of_size
from dmp_fhir.audit.placing import TILE
from dmp_fhir.audit.verification import verify_span
from dmp_fhir.outcome import Alert
from dmp_fhir.store.database import Database, Reader, StoreUnavailable

_log = logging.getLogger("dmp_fhir.alert")

KIND = "trace"
# Looked at every time: what came since the last look and, with it, at least so many of the newest entries.
NEWEST = 8 * TILE
MOST_NEW = 40 * TILE
# Of the older entries, so many each time: a million in eight hours.
OLDER = 8 * TILE
# Requests wait for no longer than it takes to verify so many.
PIECE = 2 * TILE


class Watch:
    """One per process; the one that holds the lock looks. `sealing` is that of the database."""

    def __init__(self, database: Database, sealing: Sealing, lock: Path) -> None:
        self._database, self._sealing, self._lock_file = database, sealing, lock
        self._lock: int | None = None
        self._next_look = 0
        # The log had so many entries, and the older ones are verified up to here.
        self._seen = 0
        self._older: int | None = None
        self._told: set[tuple[str, int | None]] = set()

    def look(self, now_ms: int) -> list[Finding]:
        """What is found now, when it is time to look and this process is the one; alerts for what is new."""
        # A clock that went back by more than a look is no reason to look no more.
        if self._next_look - SEAL_EVERY_MS <= now_ms < self._next_look or not self._elected():
            return []
        self._next_look = now_ms + SEAL_EVERY_MS
        findings = self._verified(self._sealing.keys.public())
        new = [each for each in findings if (each.kind, each.position) not in self._told]
        if new:
            self._told |= {(each.kind, each.position) for each in new}
            self._tell(new, now_ms)
        return findings

    def close(self) -> None:
        """Let another process look."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _elected(self) -> bool:
        if self._lock is None:
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def _verified(self, keys: dict[str, PublicKey]) -> list[Finding]:
        # Before the snapshot: what is outside was committed earlier.
        outside = self._latest_outside()
        with self._database.turns.turn(), self._database.snapshot() as reader:
            size = _size_of(reader)
            findings = self._end(reader, size, outside)
        start = max(min(self._seen, size - NEWEST), size - MOST_NEW, 0)
        findings += self._pieces(keys, start, size)
        if start > 0 and not findings:
            if self._older is None or self._older >= start:
                # Wherever the last process ended: no part is left out for long.
                self._older = 0 if self._older is not None else random.randrange(start)  # noqa: S311 - no secret
            end = min(self._older + OLDER, start)
            findings += self._pieces(keys, self._older, end)
            self._older = end
        self._seen = size
        return findings

    def _latest_outside(self) -> Head | None:
        try:
            return self._sealing.witness.latest()
        except OSError:
            return None  # the sealer says so

    def _end(self, reader: Reader, size: int, outside: Head | None) -> list[Finding]:
        """The log is not shorter than it was, and holds the latest head outside."""
        findings = []
        if size < self._seen:
            findings.append(Finding("missing", f"the log had {self._seen} entries", size))
        if outside is not None:
            inside = head_of_size(reader, outside.size)
            if inside is None or inside.root != outside.root:
                findings.append(Finding("outside", "the latest head outside is not in the database", outside.size))
        return findings

    def _pieces(self, keys: dict[str, PublicKey], start: int, end: int) -> list[Finding]:
        at = start - start % TILE
        while at < end:
            with self._database.turns.turn(), self._database.snapshot() as reader:
                found = verify_span(reader, keys, at, min(at + PIECE, end)).findings
            if found:
                return found
            at += PIECE
        return []

    def _tell(self, findings: list[Finding], now_ms: int) -> None:
        for each in findings:
            _log.critical("the trace is not what it was: %s at position %s: dmp-fhir audit verify", *_named(each))
        try:
            with self._database.turns.turn():
                raise_with_trace(self._database, Alert(KIND, findings[0].position or 0), None, now_ms)
        except StoreUnavailable:
            _log.critical("the alert could not be kept: the trace can't be written")


def _named(finding: Finding) -> tuple[str, int | None]:
    return finding.kind, finding.position


def _size_of(reader: Reader) -> int:
    row = reader.row("SELECT size FROM audit_tree WHERE id = 1")
    return int(row[0]) if row else 0
