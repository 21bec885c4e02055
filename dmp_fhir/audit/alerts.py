"""Security alerts: kept for the privacy officer, traced as AuditEvents of type 110113 (DCM Security Alert), and told to
the operator by a line in the log that names a number and no account (TF-056, TF-150, TF-178)."""

from __future__ import annotations

import logging

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import ALERT, MINOR_FAILURE, Act
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.outcome import Alert
from dmp_fhir.registry.alerts import raise_alert
from dmp_fhir.store.database import Database, Transaction

RULES = {"failures": "TF-178", "trace": "TF-169"}
logger = logging.getLogger("dmp_fhir.alert")


def raise_with_trace(
    database: Database,
    alert: Alert,
    context: AccessContext | None,
    now_ms: int,
    *,
    with_act: Act | None = None,
    origin: str | None = None,
) -> int:
    """Keep an alert with its trace, and the act that caused it, in one transaction; then tell the log. Its number."""

    def keep(tx: Transaction) -> int:
        number = raise_alert(tx, alert, context, now_ms)
        told = Act(
            interaction=alert.kind,
            action="E",
            outcome=MINOR_FAILURE,
            rules=(RULES.get(alert.kind, "TF-056"),),
            reason=f"alert {number}: {alert.text}",
            origin=origin,
            kind=ALERT,
        )
        log.append_many(tx, [told] if with_act is None else [with_act, told], context, now_ms)
        return number

    number = database.write(keep)
    logger.critical("security alert %d: %s; see dmp-fhir review", number, alert.text)
    return number
