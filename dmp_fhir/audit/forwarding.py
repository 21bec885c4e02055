"""Forwarding the trace to an ATNA audit repository [ITI-20], FHIR feed.

https://profiles.ihe.net/ITI/TF/Volume2/ITI-20.html: each AuditEvent is created at the repository, in batches. The
database is the spool: a file says up to which position of the log the repository has everything. What could not be
handed over stays, nothing else waits for it, and after a lost answer events are sent again (by the same fullUrl).
"""

from __future__ import annotations

import fcntl
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import requests

from dmp_fhir.files import replace_whole
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Database
from dmp_fhir.store.errors import KeyDestroyed

BATCH = 100
TIMEOUT_S = 10
LONGEST_S = 120.0
# More events than this behind, or none taken for so long: an alert.
MOST_WAITING = 10_000
FILE_NAME = "audit-forwarded.json"
_log = logging.getLogger("dmp_fhir.alert")


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the trace goes: the base of a FHIR endpoint, over https. `authorities` is a PEM file, `certificate` a PEM
    file with the certificate and key of this server (node authentication, ITI-19), `token` a bearer token."""

    address: str
    authorities: Path | None = None
    certificate: Path | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How many events the repository took now, and how many wait."""

    sent: int
    waiting: int

    def __str__(self) -> str:
        return f"forwarded {self.sent}, waiting {self.waiting}"


def forward(database: Database, repository: Repository, folder: Path) -> Forwarded:
    """Hand over what the repository has not yet, in the order of the log, for at most two minutes. One process at a
    time: another one finds nothing to do."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f".{FILE_NAME}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Forwarded(0, _waiting(database, _cursor(folder, repository)))
        return _forward(database, repository, folder)


def _forward(database: Database, repository: Repository, folder: Path) -> Forwarded:
    cursor, sent, until = _cursor(folder, repository), 0, time.monotonic() + LONGEST_S
    with requests.Session() as session:
        session.verify = str(repository.authorities) if repository.authorities else True
        session.cert = str(repository.certificate) if repository.certificate else None
        session.trust_env = False
        while time.monotonic() < until and (events := _events(database, cursor)):
            try:
                taken = _hand_over(session, repository, [body for _, body in events])
            except requests.RequestException as fault:
                _log.error("the audit repository is away: %s", type(fault).__name__)
                break
            if taken:
                cursor = events[taken - 1][0] + 1
                _keep(folder, repository, cursor)
                sent += taken
            if taken < len(events):
                _log.error("the audit repository refused an event at position %d", cursor)
                break
    waiting = _waiting(database, cursor)
    if waiting > MOST_WAITING:
        _log.critical("%d events wait for the audit repository", waiting)
    return Forwarded(sent, waiting)


def _hand_over(session: requests.Session, repository: Repository, bodies: list[bytes]) -> int:
    """How many of the events, from the first, the repository took."""
    entries = [
        b'{"fullUrl":"urn:uuid:%s","resource":%s,"request":{"method":"POST","url":"AuditEvent"}}'
        % (orjson.loads(body)["id"].encode(), body)
        for body in bodies
    ]
    bundle = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join(entries) + b"]}"
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    if repository.token:
        headers["Authorization"] = f"Bearer {repository.token}"
    answer = session.post(repository.address, data=bundle, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
    if answer.status_code != 200:
        raise requests.HTTPError(f"status {answer.status_code}")
    try:
        told = answer.json()["entry"]
        statuses = [str(each["response"]["status"])[:3] for each in told]
    except (ValueError, KeyError, TypeError) as fault:
        raise requests.HTTPError("no batch-response") from fault
    taken = 0
    for status in statuses[: len(bodies)]:
        if status not in ("200", "201"):
            break
        taken += 1
    return taken


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


def _waiting(database: Database, cursor: int) -> int:
    with database.snapshot() as reader:
        row = reader.row("SELECT COUNT(*) FROM audit_event WHERE position >= :cursor", {"cursor": cursor})
    return int(row[0]) if row else 0


def _cursor(folder: Path, repository: Repository) -> int:
    try:
        kept: dict[str, Any] = orjson.loads((folder / FILE_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return 0  # from the beginning: sent twice is better than lost
    return int(kept.get(repository.address, 0))


def _keep(folder: Path, repository: Repository, cursor: int) -> None:
    replace_whole(folder / FILE_NAME, orjson.dumps({repository.address: cursor}))
