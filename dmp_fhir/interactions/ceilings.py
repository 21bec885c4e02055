"""How many different records one account opens in an hour; beyond the ceiling, 429 and an alert (TF-056, TF-057).

A stolen card opens record after record, each request legal; only the number tells. Counted are the records that an
account looks at, refused or not, and the INS whose record it asks about (TD0.2), found or not; by account, whatever
software or address it comes from. Each worker process counts for itself, so that an account gets at most the ceiling
times the workers, and a restart begins anew. Which records were touched is in the trace (`dmp-fhir review --account`).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.relation import FEEDERS, PROFESSIONALS

HOUR_MS = 3_600_000
MOST_ACCOUNTS = 5_000
logger = logging.getLogger("dmp_fhir.alert")


@dataclass
class _Account:
    """When each record was first looked at in the hour; `told` that the alert went out."""

    looked: dict[str, int] = field(default_factory=dict)
    told: bool = False


class Ceiling:
    """`most` different records an hour for each account, and as many INS."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        self._lock = threading.Lock()

    def look_at_record(self, context: AccessContext, record_id: str, now_ms: int) -> None:
        """A professional looks at a record. Feeding accounts of structures have no ceiling here: they never read."""
        if context.actor_category in PROFESSIONALS:
            self._look("record", context, record_id, now_ms)

    def look_for_ins(self, context: AccessContext, ins: str, now_ms: int) -> None:
        """Somebody asks whether there is a record for an INS."""
        if context.actor_category in PROFESSIONALS | FEEDERS:
            self._look("ins", context, ins, now_ms)

    def _look(self, kind: str, context: AccessContext, what: str, now_ms: int) -> None:
        with self._lock:
            if len(self._accounts) > MOST_ACCOUNTS:
                self._leave_out_idle(now_ms)
            account = self._accounts.setdefault((kind, context.actor_category, context.actor_id), _Account())
            if what in account.looked and account.looked[what] > now_ms - HOUR_MS:
                return
            account.looked.pop(what, None)
            if len(account.looked) >= self._most:
                self._forget(account, now_ms)
            if len(account.looked) < self._most:
                account.looked[what] = now_ms
                return
            first = next(iter(account.looked.values()))
            told, account.told = account.told, True
        if not told:
            logger.critical(
                "ceiling reached: %s %s asked for more than %d different records in an hour (%s)",
                context.actor_category,
                context.actor_id,
                self._most,
                kind,
            )
        refuse(
            429,
            "throttled",
            f"Ce compte a ouvert plus de {self._most} dossiers en une heure : recommencez plus tard.",
            f"This account has opened more than {self._most} records in an hour: try again later.",
            rule="TF-056",
            reason="PLAFOND",
            headers=(("Retry-After", str(max(1, (first + HOUR_MS - now_ms) // 1000 + 1))),),
        )

    def _leave_out_idle(self, now_ms: int) -> None:
        for name, account in list(self._accounts.items()):
            if max(account.looked.values(), default=0) <= now_ms - HOUR_MS:
                del self._accounts[name]

    @staticmethod
    def _forget(account: _Account, now_ms: int) -> None:
        """Leave out what was looked at more than an hour ago; the order of looking is that of time."""
        account.looked = {what: since for what, since in account.looked.items() if since > now_ms - HOUR_MS}
        account.told = account.told and bool(account.looked)
