"""Security alerts in the queue of `dmp-fhir review`."""

from __future__ import annotations

import click

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.instants import instant_text
from dmp_fhir.outcome import Alert
from dmp_fhir.registry.alerts import alerts_to_review, close_alert
from dmp_fhir.store.database import Database, Transaction

_HINTS = {
    "failures": "see the AuditEvents of that hour without a known caller",
    "trace": "it is not what it was from there on: dmp-fhir audit verify",
}


def list_alerts(database: Database) -> None:
    """Print the alerts that wait: the number that logs name, and whose account it is."""
    with database.snapshot() as reader:
        waiting = alerts_to_review(reader)
    for each in waiting:
        who = " ".join(filter(None, (each.agent_category, each.agent_id, each.agent_name))) or "unknown callers"
        hint = _HINTS.get(each.kind, f"records: dmp-fhir review --account {each.agent_id}")
        what = Alert(each.kind, each.most).text
        click.echo(f"alert {each.number}  {instant_text(each.raised)}  {what}  {who}  ({hint})")
    click.echo(f"{len(waiting)} alerts")


def close(database: Database, number: int, operator: AccessContext, finding: str, now_ms: int) -> bool:
    """Close an alert, with its trace; False when it does not wait."""

    def work(tx: Transaction) -> bool:
        if not close_alert(tx, number, operator.actor_id, finding, now_ms):
            return False
        log.append(tx, Act("update", "U", rules=("TF-056",), reason=f"alert {number} reviewed"), operator, now_ms)
        return True

    return database.write(work)
