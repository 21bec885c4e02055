"""How many requests a client software and a person may send, and how often an address may fail to authenticate."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.instants import Clock
from dmp_fhir.limits.rates import Demand, Rates
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.relation import PATIENT_SIDE, PROFESSIONALS
from dmp_fhir.settings import Settings

BURST_S = 10
_PERSONS = PROFESSIONALS | PATIENT_SIDE


@dataclass(frozen=True, slots=True)
class Crowded:
    """Too many failed authentications: of one address, or of all together; seconds until there is room."""

    of_address: bool
    retry_s: int


class RequestRates:
    """The rates of the settings, on counters that are opened when first used. A limit that is None costs nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client, self._person = settings.limit("client_rate"), settings.limit("person_rate")
        self._failures = settings.limit("failures_per_minute")
        self._opened: Rates | None = None
        self._lock = threading.Lock()

    @property
    def _rates(self) -> Rates:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    reserve = self._settings.profile == "production"
                    self._opened = Rates(self._settings.counters_folder / "rates", reserve=reserve)
        return self._opened

    def admit(self, context: AccessContext, clock: Clock, cost: int = 1) -> None:
        """Count `cost` requests of this client and person; 429 `throttled` with Retry-After beyond their rates
        (TF-223). Structures are counted as clients only."""
        demands = []
        if self._client is not None:
            client = f"client|{context.issuer}|{context.client_id}"
            demands.append(Demand(client, self._client, self._client * BURST_S, cost))
        if self._person is not None and context.actor_category in _PERSONS:
            person = f"person|{context.actor_category}|{context.actor_id}"
            demands.append(Demand(person, self._person, self._person * BURST_S, cost))
        exceeded = self._rates.admit(demands, clock()) if demands else None
        if exceeded is None:
            return
        software = exceeded.demand.name.startswith("client|")
        rate = round(exceeded.demand.rate)
        fr, en = (
            ("Ce logiciel envoie", "This software sends")
            if software
            else ("Cette personne envoie", "This person sends")
        )
        refuse(
            429,
            "throttled",
            f"{fr} plus de {rate} requêtes par seconde : attendez le délai de Retry-After.",
            f"{en} more than {rate} requests a second: wait for the time in Retry-After.",
            rule="TF-223",
            reason="DEBIT",
            headers=(("Retry-After", str(exceeded.retry_s)),),
        )

    def failed(self, address: str, now_ms: int) -> Crowded | None:
        """Count a failed authentication of an address; what is over its limit, None when nothing is."""
        if self._failures is None:
            return None
        demands = [
            Demand(f"address|{address}", self._failures / 60, self._failures),
            Demand("addresses", self._failures / 60, 10 * self._failures),
        ]
        exceeded = self._rates.admit(demands, now_ms)
        return Crowded(exceeded.demand is demands[0], exceeded.retry_s) if exceeded else None

    @property
    def failures_per_minute(self) -> int:
        return self._failures or 0

    def first_in_the_hour(self, what: str, now_ms: int) -> bool:
        """Whether this worker, of all, has to raise an alert that is raised once an hour."""
        return self._rates.admit([Demand(f"alert|{what}", 1 / 3600, 1)], now_ms) is None

    def first_in_the_day(self, what: str, now_ms: int) -> bool:
        """The same for what is told once a day (UTC)."""
        today = now_ms // 86_400_000
        return self._rates.admit([Demand(f"day|{today}|{what}", 1 / 86_400, 1)], now_ms) is None
