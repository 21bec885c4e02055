"""What must happen together with a permitted act: the obligations of decisions, carried out in one place.

Everything is written in the transaction of the trace, so that an emergency access is never answered without its grant,
its messages and its place in the review queue. Access rules, stage 8: AR-25, AR-30, AR-50, AR-51, AR-63.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.events import THIS_SERVER, Observer
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.notify.messages import (
    EMERGENCY,
    FIRST_ACCESS,
    kind_of,
    patient_and_representatives,
    treating_physicians,
)
from dmp_fhir.policy.engine import Decision
from dmp_fhir.policy.obligations import NOTIFY_FIRST_ACCESS, NOTIFY_MT, NOTIFY_PATIENT, REVIEW
from dmp_fhir.policy.relation import EMERGENCIES, Relation
from dmp_fhir.policy.settings import PolicySettings
from dmp_fhir.policy.standing import Standing
from dmp_fhir.registry.consents import renew_teams
from dmp_fhir.registry.grants import open_grant
from dmp_fhir.registry.notifications import post, told
from dmp_fhir.store.database import Reader, Transaction

_HOUR_MS = 3_600_000
_OWED = frozenset({NOTIFY_PATIENT, NOTIFY_MT, NOTIFY_FIRST_ACCESS, REVIEW})
_RENEWED = frozenset({Relation.PERMIT_TEAM})


def is_owed(decision: Decision) -> bool:
    """Whether a decision leaves anything to do besides its trace and the labels of a deposit."""
    return bool(decision.obligations & _OWED) or decision.relation in EMERGENCIES


def is_done(reader: Reader, decision: Decision, standing: Standing, context: AccessContext, now_ms: int) -> bool:
    """Whether all that is owed is the message of a first access, and everybody has it: so it is with most reads."""
    if decision.obligations & _OWED != {NOTIFY_FIRST_ACCESS} or decision.relation in {*EMERGENCIES, *_RENEWED}:
        return False
    wanted = set(patient_and_representatives(standing, now_ms, discreet=decision.discreet))
    return wanted <= told(reader, standing.record_id, _first_access(context))


def carry_out(
    tx: Transaction,
    decisions: Iterable[Decision],
    standing: Standing,
    context: AccessContext,
    now_ms: int,
    request_id: str,
    settings: PolicySettings,
    observer: Observer = THIS_SERVER,
) -> None:
    """Fulfil the obligations of the decisions of one request about one record."""
    for decision in decisions:
        duty = _Duty(tx, decision, standing, context, now_ms, observer)
        if decision.relation in EMERGENCIES:
            duty.emergency(settings.emergency_hours * _HOUR_MS)
        elif NOTIFY_PATIENT in decision.obligations:
            kind = kind_of(decision.action)
            duty.tell_patient(kind, f"request|{request_id}|{kind}")
        if NOTIFY_FIRST_ACCESS in decision.obligations:
            duty.tell_patient(FIRST_ACCESS, _first_access(context))
            if decision.relation in _RENEWED:
                duty.renew_team(request_id, settings)


def _first_access(context: AccessContext) -> str:
    return f"{FIRST_ACCESS}|{context.actor_id}"


class _Duty:
    def __init__(
        self,
        tx: Transaction,
        decision: Decision,
        standing: Standing,
        context: AccessContext,
        now_ms: int,
        observer: Observer,
    ) -> None:
        self.tx, self.decision, self.standing, self.context, self.now = tx, decision, standing, context, now_ms
        self.observer = observer

    def emergency(self, length_ms: int) -> None:
        """Open the grant of this session; its opening is told once (the trace has each read)."""
        record_id, review = self.standing.record_id, REVIEW in self.decision.obligations
        grant_id = open_grant(self.tx, record_id, self.context, self.now, length_ms, review=review)
        if grant_id is None:
            return
        topic = f"request|{EMERGENCY}|{grant_id}"
        if NOTIFY_PATIENT in self.decision.obligations:
            self.tell_patient(EMERGENCY, topic)
        if NOTIFY_MT in self.decision.obligations:
            post(self.tx, record_id, EMERGENCY, topic, treating_physicians(self.standing), self.now)

    def renew_team(self, request_id: str, settings: PolicySettings) -> None:
        """Consulting as a member of a care team renews its presumption (AR-25)."""
        context, record_id = self.context, self.standing.record_id
        teams = {
            permit.actor.removeprefix("CareTeam/")
            for permit in self.standing.permits
            if permit.kind == "CareTeam" and permit.names(context.actor_id, context.structure)
        }
        renewed = renew_teams(self.tx, record_id, teams, self.now, settings)
        acts = [
            Act(
                interaction="update",
                action="U",
                record_id=record_id,
                entities=((each.resource_type, each.id, each.version),),
                rules=("AR-25",),
                request_id=request_id,
            )
            for each in renewed
        ]
        log.append_many(self.tx, acts, context, self.now, observer=self.observer)

    def tell_patient(self, kind: str, topic: str) -> None:
        recipients = patient_and_representatives(self.standing, self.now, discreet=self.decision.discreet)
        post(self.tx, self.standing.record_id, kind, topic, recipients, self.now)
