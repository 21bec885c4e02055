"""Security alerts: raised with their trace, listed and closed by the privacy officer (`dmp-fhir review`)."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.outcome import Alert
from dmp_fhir.store.database import Reader, Transaction


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """One alert, as the privacy officer sees it; the account is empty for callers who did not say who they are."""

    number: int
    kind: str
    agent_category: str
    agent_id: str
    agent_name: str
    most: int
    raised: int


def raise_alert(tx: Transaction, alert: Alert, context: AccessContext | None, now_ms: int) -> int:
    """Keep an alert; its number, by which logs name it. Two at the same instant: the second one is written again
    (Database.write)."""
    row = tx.row("SELECT COALESCE(MAX(number), 0) + 1 FROM security_alert")
    number = int(row[0]) if row else 1
    tx.insert(
        "security_alert",
        {
            "number": number,
            "kind": alert.kind,
            "agent_category": context.actor_category if context else "",
            "agent_id": context.actor_id if context else "",
            "agent_name": context.actor_name if context else "",
            "most": alert.most,
            "raised": now_ms,
        },
    )
    return number


def alerts_to_review(reader: Reader) -> list[RaisedAlert]:
    """The alerts that wait, oldest first."""
    rows = reader.rows(
        "SELECT number, kind, agent_category, agent_id, agent_name, most, raised FROM security_alert"
        " WHERE reviewed IS NULL ORDER BY number"
    )
    return [RaisedAlert(*row) for row in rows]


def close_alert(tx: Transaction, number: int, reviewer: str, finding: str, now_ms: int) -> bool:
    """Note what was found; False when the alert does not wait."""
    changed = tx.execute(
        "UPDATE security_alert SET reviewed = :now, reviewer = :reviewer, finding = :finding"
        " WHERE number = :number AND reviewed IS NULL",
        {"now": now_ms, "reviewer": reviewer, "finding": finding, "number": number},
    )
    return changed == 1
