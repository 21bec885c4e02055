"""Forwarding the trace to an ATNA audit repository [ITI-20], as FHIR or as syslog over TLS.

https://profiles.ihe.net/ITI/TF/Volume2/ITI-20.html. The database is the spool, so nothing is dropped from it: a file
says up to which position of the log the repository has everything. What could not be handed over stays, nothing else
waits for it, and what may have been lost on the way is sent again (decision 0052).
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from dmp_fhir.audit.fhir_feed import FhirFeed
from dmp_fhir.audit.repository import FILE_NAME, SYSLOG, Feed, Repository, reached
from dmp_fhir.audit.syslog_feed import SyslogFeed
from dmp_fhir.files import alone, replace_whole
from dmp_fhir.instants import instant_text
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeyDestroyed

BATCH = 100
LONGEST_S = 120.0
# More events than this behind, or one for longer than this: an alert.
MOST_WAITING = 10_000
LONGEST_WAIT_MS = 3_600_000
_log = logging.getLogger("dmp_fhir.alert")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How many events the repository took now, and how many wait."""

    sent: int
    waiting: int

    def __str__(self) -> str:
        return f"forwarded {self.sent}, waiting {self.waiting}"


def forward(database: Database, repository: Repository, folder: Path, now_ms: int) -> Forwarded:
    """Hand over what the repository has not yet, in the order of the log, for at most two minutes. One process at a
    time: another one finds nothing to do."""
    with alone(folder / f".{FILE_NAME}.lock") as first:
        if not first:
            return Forwarded(0, _waiting(database, reached(folder, repository.address))[0])
        with closing(_feed(repository)) as feed:
            sent = _forward(database, repository, feed, folder)
    waiting, oldest = _waiting(database, reached(folder, repository.address))
    if waiting > MOST_WAITING or (waiting and now_ms - oldest > LONGEST_WAIT_MS):
        _log.critical("%d events wait for the audit repository, since %s", waiting, instant_text(oldest))
    return Forwarded(sent, waiting)


def _feed(repository: Repository) -> Feed:
    return SyslogFeed(repository) if repository.address.startswith(SYSLOG) else FhirFeed(repository)


def _forward(database: Database, repository: Repository, feed: Feed, folder: Path) -> int:
    cursor, sent, until = reached(folder, repository.address), 0, time.monotonic() + LONGEST_S
    while time.monotonic() < until and (events := _events(database, cursor)):
        try:
            taken = feed.hand_over([body for _, body in events])
        except OSError as fault:
            _log.error("the audit repository is away: %s", type(fault).__name__)
            break
        if taken:
            cursor = events[taken - 1][0] + 1
            _keep(folder, repository, cursor)
            sent += taken
        if taken < len(events):
            _log.error("the audit repository refused an event at position %d", cursor)
            break
    return sent


def _events(database: Database, cursor: int) -> list[tuple[int, bytes]]:
    """The next events with their positions; those of erased records, whose key is gone, can't be read any more."""
    while True:
        with database.snapshot() as reader:
            rows = reader.rows(
                "SELECT position, record_id, id, body FROM audit_event WHERE position >= :cursor"
                f" ORDER BY position LIMIT {BATCH:d}",
                {"cursor": cursor},
            )
            found = []
            for position, record_id, event_id, stored in rows:
                with suppress(KeyDestroyed):
                    body = open_body(reader.keys, record_id, event_place(record_id, event_id), stored)
                    found.append((int(position), body))
        if found or not rows:
            return found
        cursor = int(rows[-1][0]) + 1


def _waiting(database: Database, cursor: int) -> tuple[int, int]:
    """How many events wait, and when the first of them happened."""
    with database.snapshot() as reader:
        row = reader.row(
            "SELECT COUNT(*), MIN(recorded) FROM audit_event WHERE position >= :cursor", {"cursor": cursor}
        )
    return (int(row[0]), int(row[1] or 0)) if row else (0, 0)


def _keep(folder: Path, repository: Repository, cursor: int) -> None:
    replace_whole(folder / FILE_NAME, orjson.dumps({repository.address: cursor}))
