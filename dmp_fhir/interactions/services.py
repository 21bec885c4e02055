"""The parts an interaction works with, and the request it works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dmp_fhir.audit.events import Observer
from dmp_fhir.audit.failures import FailedAuthentications
from dmp_fhir.audit.keeping import TraceKeeper
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.identity.expiring import Seen
from dmp_fhir.identity.peers import Peers
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.instants import Clock
from dmp_fhir.interactions.ceilings import Ceilings
from dmp_fhir.interactions.messages import Request
from dmp_fhir.limits.requests import RequestRates
from dmp_fhir.limits.underway import Room, Underway
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.profiles import active
from dmp_fhir.profiles.validator import Validator
from dmp_fhir.registry.search.links import PageLinks
from dmp_fhir.settings import Settings
from dmp_fhir.store.database import Database
from dmp_fhir.store.payloads import PayloadStore

# Bodies as large as they may be that one process takes in at once.
_LARGEST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Services:
    """Built once at the start (app.py)."""

    settings: Settings
    database: Database
    payloads: PayloadStore
    verifier: TokenVerifier
    page_links: PageLinks
    clock: Clock
    policy: PolicySettings = DEFAULT_SETTINGS
    validator: Validator = field(default_factory=active.validator)
    peers: Peers = field(default_factory=Peers)
    traces: TraceKeeper = field(init=False)
    ceiling: Ceilings = field(init=False)
    rates: RequestRates = field(init=False)
    failures: FailedAuthentications = field(init=False)
    seen: Seen = field(init=False)
    observer: Observer = field(init=False)
    underway: Underway = field(default_factory=Underway)
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ceiling", Ceilings(self.settings))
        object.__setattr__(self, "rates", RequestRates(self.settings))
        object.__setattr__(self, "traces", TraceKeeper(self.database))
        object.__setattr__(self, "observer", Observer(address=self.settings.base_url))
        object.__setattr__(self, "room", Room(_LARGEST_AT_ONCE * self.settings.max_submission))
        failures = FailedAuthentications(self.database, self.traces, self.rates)
        object.__setattr__(self, "failures", failures)
        object.__setattr__(self, "seen", Seen(self.settings.seen_folder))


@dataclass(slots=True)
class Trail:
    """What became known on the way, for the trace of a refusal."""

    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of one caller. An entry of a batch or transaction is an exchange of its own."""

    services: Services
    context: AccessContext
    request: Request
    request_id: str
    trail: Trail = field(default_factory=Trail)

    def asking(self, request: Request) -> Exchange:
        """The same caller asking for something else."""
        return replace(self, request=request, trail=Trail())

    @property
    def now(self) -> int:
        return self.services.clock()

    @property
    def base_url(self) -> str:
        return self.services.settings.base_url
