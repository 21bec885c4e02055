"""How many different records one account opens in an hour and in a day; beyond, 429 and an alert (TF-056, TF-057).

A stolen card opens record after record, each request legal; only the number tells. Counted are the records that an
account looks at, refused or not, and the INS whose record it asks about (TD0.2), found or not; by account, whatever
software or address it comes from, over all workers of the machine and over restarts (limits/records.py). What is open
already stays open. Which records were touched is in the trace (`dmp-fhir review --account`).
"""

from __future__ import annotations

import threading
from typing import NoReturn

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.limits.records import LookCounts, Reached
from dmp_fhir.outcome import Alert, refuse
from dmp_fhir.policy.relation import FEEDERS, PROFESSIONALS
from dmp_fhir.settings import Settings

_PERIODS = {"hour": ("en une heure", "in an hour"), "day": ("en un jour", "in a day")}


class Ceilings:
    """The ceilings of the settings, on counters that are opened when first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: LookCounts | None = None
        self._lock = threading.Lock()

    @property
    def _counts(self) -> LookCounts:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    reserve = self._settings.profile == "production"
                    self._opened = LookCounts(self._settings.counters_folder / "looks", reserve=reserve)
        return self._opened

    def look_at_record(self, context: AccessContext, record_id: str, now_ms: int) -> None:
        """A professional looks at a record. Feeding accounts of structures have no ceiling here: they never read."""
        if context.actor_category in PROFESSIONALS:
            settings = self._settings
            self._look("records", context, record_id, now_ms, settings.records_per_hour, settings.records_per_day)

    def look_for_ins(self, context: AccessContext, ins: str, now_ms: int) -> None:
        """Somebody asks whether there is a record for an INS."""
        settings = self._settings
        if context.actor_category in PROFESSIONALS:
            self._look("ins", context, ins, now_ms, settings.records_per_hour, settings.records_per_day)
        elif context.actor_category in FEEDERS:
            self._look("ins", context, ins, now_ms, settings.ins_per_hour, None)

    def alert_failed(self, context: AccessContext, alert: Alert, now_ms: int) -> None:
        """An alert could not be kept: the next look over the ceiling raises it again."""
        kind, _, period = alert.kind.partition("-")
        self._counts.untell(_account(kind, context), period, now_ms // 1000)

    def _look(
        self, kind: str, context: AccessContext, what: str, now_ms: int, per_hour: int, per_day: int | None
    ) -> None:
        reached = self._counts.look(_account(kind, context), what, now_ms // 1000, per_hour, per_day)
        if reached is not None:
            _refuse(kind, reached)


def _account(kind: str, context: AccessContext) -> str:
    return f"{kind}|{context.actor_category}|{context.actor_id}"


def _refuse(kind: str, reached: Reached) -> NoReturn:
    fr, en = _PERIODS[reached.period]
    refuse(
        429,
        "throttled",
        f"Ce compte a ouvert plus de {reached.most} dossiers {fr} : recommencez plus tard.",
        f"This account has opened more than {reached.most} records {en}: try again later.",
        rule="TF-056",
        reason="PLAFOND",
        headers=(("Retry-After", str(reached.retry_s)),),
        alert=Alert(f"{kind}-{reached.period}", reached.most) if reached.first else None,
    )
