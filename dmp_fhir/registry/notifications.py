"""The outbox: messages written in the transaction of the act they tell about, sent later (dmp_fhir/notify)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmp_fhir.ids import new_id
from dmp_fhir.store.database import Reader, Transaction

Recipient = tuple[str, str]  # patient, representative or treating_physician; and the national identifier


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one person: its kind says all there is to say."""

    record_id: str
    topic: str
    recipient_kind: str
    recipient_id: str
    id: str
    kind: str
    created: int


def post(
    tx: Transaction, record_id: str, kind: str, topic: str, recipients: Iterable[Recipient], instant: int
) -> list[Recipient]:
    """Put a message in the outbox for each recipient who has none on this topic yet; those who get one."""
    return [
        (recipient_kind, recipient_id)
        for recipient_kind, recipient_id in recipients
        if tx.claim(
            "notification",
            {
                "record_id": record_id,
                "topic": topic,
                "recipient_kind": recipient_kind,
                "recipient_id": recipient_id,
                "id": new_id(),
                "kind": kind,
                "created": instant,
            },
        )
    ]


def told(reader: Reader, record_id: str, topic: str) -> set[Recipient]:
    """Who has a message on this topic, sent or to be sent."""
    rows = reader.rows(
        "SELECT recipient_kind, recipient_id FROM notification WHERE record_id = :record_id AND topic = :topic",
        {"record_id": record_id, "topic": topic},
    )
    return {(kind, recipient) for kind, recipient in rows}


def unsent(reader: Reader, most: int, after: tuple[int, str] | None = None) -> list[Notification]:
    """The oldest messages that were not sent yet, of those that follow `after` (instant, id)."""
    created, last = after or (-1, "")
    rows = reader.rows(
        "SELECT record_id, topic, recipient_kind, recipient_id, id, kind, created FROM notification"
        " WHERE sent IS NULL AND (created > :created OR (created = :created AND id > :last))"
        f" ORDER BY created, id LIMIT {most:d}",
        {"created": created, "last": last},
    )
    return [Notification(*row) for row in rows]


def mark_sent(tx: Transaction, sent: Notification, instant: int) -> None:
    tx.execute(
        "UPDATE notification SET sent = :sent WHERE record_id = :record_id AND topic = :topic"
        " AND recipient_kind = :recipient_kind AND recipient_id = :recipient_id",
        {
            "sent": instant,
            "record_id": sent.record_id,
            "topic": sent.topic,
            "recipient_kind": sent.recipient_kind,
            "recipient_id": sent.recipient_id,
        },
    )


def forget_sent(tx: Transaction, before_ms: int) -> int:
    """Remove messages of a request that were sent before an instant; how many. What must be told once in the life of a
    record (topics that name no request) is kept, or it would be told again."""
    return tx.execute("DELETE FROM notification WHERE sent < :before AND topic LIKE 'request|%'", {"before": before_ms})
