"""Sending the outbox. The sender that comes with the program writes each message as a file in a folder, for the sandbox
and for hosts whose own mailer takes them from there.

Each message is marked as sent once it was handed over: a kill in between sends that one again, by the same id. A file
of that id is the same file; a mail has it as Message-ID. Nothing is lost, and `dmp-fhir jobs run` is alone.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Protocol

import orjson

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.events import THIS_SERVER, Observer
from dmp_fhir.files import replace_whole
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.instants import instant_text
from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.registry.notifications import Notification, mark_sent, unsent
from dmp_fhir.store.database import Database, Transaction

BATCH = 200
# In a row; then the mail server is taken to be away.
MOST_FAILURES = 3
LONGEST_S = 60.0
MAILER = AccessContext(
    "SUPPORT", "dmp-fhir", "Messages du registre", "SYSTEME", purpose="systeme", client_id="dmp-fhir"
)
"""Who sends, in the trace."""
_log = logging.getLogger("dmp_fhir")


class Sender(Protocol):
    """Takes messages over; raises OSError when it cannot."""

    def send(self, message: Notification) -> None: ...

    def close(self) -> None:
        """Nothing more is sent for now."""


class FileSender:
    """Writes `<id>.json` in a folder: recipient, kind, instant, text in French and English. The folder is for its owner
    only: recipients are named by their national identifiers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def send(self, message: Notification) -> None:
        text = TEXTS[message.kind]
        body = orjson.dumps(
            {
                "id": message.id,
                "to": {"kind": message.recipient_kind, "identifier": message.recipient_id},
                "kind": message.kind,
                "at": instant_text(message.created),
                "fr": text.fr,
                "en": text.en,
            }
        )
        replace_whole(self.folder / f"{message.id}.json", body)

    def close(self) -> None:
        """Files need none."""


def send_all(database: Database, sender: Sender, now_ms: int, observer: Observer = THIS_SERVER) -> int:
    """Send what waits, oldest first, each in the trace (who was told, when); how many messages. What can't be sent
    stays for the next run; one failure in a row too many, or too much time, ends this one."""
    count, failures, after = 0, 0, None
    until = time.monotonic() + LONGEST_S
    while messages := _waiting(database, after):
        after = (messages[-1].created, messages[-1].id)
        for message in messages:
            if failures >= MOST_FAILURES or time.monotonic() > until:
                break
            try:
                sender.send(message)
            except OSError as fault:
                failures += 1
                _log.warning("a message could not be sent: %s", type(fault).__name__)
            else:
                failures = 0
                _mark(database, message, now_ms, observer)
                count += 1
        if failures >= MOST_FAILURES or time.monotonic() > until:
            _log.error("ALERT: messages wait, the sender is away or slow; the next run tries again")
            break
    sender.close()
    return count


def _waiting(database: Database, after: tuple[int, str] | None) -> list[Notification]:
    with database.snapshot() as reader:
        return unsent(reader, BATCH, after)


def _mark(database: Database, message: Notification, now_ms: int, observer: Observer) -> None:
    # Which messages somebody got is theirs to know: representatives could learn of an act done in secret (AR-82).
    act = Act(
        "update",
        "U",
        record_id=message.record_id,
        entities=(("Communication", message.id, None),),
        rules=("AR-30",),
        reason="MESSAGE_ENVOYE",
        secret=True,
    )

    def mark(tx: Transaction) -> None:
        mark_sent(tx, message, now_ms)
        log.append(tx, act, MAILER, now_ms, observer=observer)

    database.write(mark)
