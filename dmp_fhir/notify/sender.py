"""Sending the outbox. The sender that comes with the program writes each message as a file in a folder, for the sandbox
and for hosts whose own mailer takes them from there.

A message is marked as sent after its file is durable: a kill in between sends the same message, by the same id, again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import orjson

from dmp_fhir.instants import instant_text
from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.registry.notifications import Notification, mark_sent, unsent
from dmp_fhir.store.database import Database

BATCH = 200


class Sender(Protocol):
    """Takes messages over; raises OSError when it cannot."""

    def send(self, message: Notification) -> None: ...


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
        draft = self.folder / f".{message.id}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(self.folder / f"{message.id}.json")


def send_all(database: Database, sender: Sender, now_ms: int) -> int:
    """Send everything that waits, oldest first; how many messages."""
    count = 0
    while True:
        with database.snapshot() as reader:
            messages = unsent(reader, BATCH)
        if not messages:
            return count
        for message in messages:
            sender.send(message)
        _mark(database, messages, now_ms)
        count += len(messages)


def _mark(database: Database, messages: list[Notification], now_ms: int) -> None:
    database.write(lambda tx: mark_sent(tx, messages, now_ms))
