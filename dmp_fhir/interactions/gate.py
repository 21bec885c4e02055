"""The gate: the one way from a request to the database.

A gate belongs to one database transaction. It knows the caller's standing in each record it opens, asks the policy,
hands out the predicates that every query carries, and collects the acts to be traced. Writes are traced in their
own transaction; a read answers only once its trace is durable (design decision 5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import DECISION, MINOR_FAILURE, SERIOUS_FAILURE, Act, Entity
from dmp_fhir.audit.alerts import raise_with_trace
from dmp_fhir.interactions.duties import carry_out, is_done, is_owed
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.services import Exchange
from dmp_fhir.outcome import Refusal, Refused
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision, decide
from dmp_fhir.policy.facts import ConsentTarget, DocumentFacts
from dmp_fhir.policy.obligations import AUDIT_SECRET
from dmp_fhir.policy.predicate import (
    Predicate,
    audit_predicate,
    consent_predicate,
    document_predicate,
    list_predicate,
)
from dmp_fhir.policy.refusals import PolicyInTrouble, refuse_record
from dmp_fhir.policy.relation import EMERGENCIES, EMERGENCY_PURPOSES, PROFESSIONALS, Relation
from dmp_fhir.policy.standing import NO_RECORD, NOT_LINKED, NOWHERE, Standing, load_grants, load_standing, nowhere
from dmp_fhir.registry.consents import consents_behind
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.clock import RecordClock, lock_record
from dmp_fhir.store.database import Reader, StoreUnavailable, Transaction, TransactionConflict, UniqueViolation
from dmp_fhir.store.tables import DIRECTORY

T = TypeVar("T")
# Longer than the database may take to give a lock up.
LONGEST_DECISION_S = 10.0
_OF_THE_STORE = (StoreUnavailable, TransactionConflict, UniqueViolation)
# The choices of the patient that a disclosure rests on, by relation.
_CHOICES = {
    Relation.BREAK_GLASS: ("URGENCE_BTG", "URGENCE_MASQUES"),
    Relation.CENTRE_15: ("URGENCE_SAMU", "URGENCE_MASQUES"),
    Relation.TREATING_PHYSICIAN: ("MEDECIN_TRAITANT",),
}


def _certain(ask: Callable[[], T], kind: type[T]) -> T:
    """What the rules answer. An exception, an answer of another kind or one that took too long is PolicyInTrouble:
    nothing is answered on it (TF-028)."""
    started = time.monotonic()
    try:
        answer = ask()
    except _OF_THE_STORE:
        raise
    except Exception as fault:
        raise PolicyInTrouble(type(fault).__name__) from fault
    if not isinstance(answer, kind):
        raise PolicyInTrouble(f"{kind.__name__} expected")
    if time.monotonic() - started > LONGEST_DECISION_S:
        raise PolicyInTrouble("too slow")
    return answer


class _Predicates(Mapping[str, Predicate]):
    """The predicate of each type of resource, compiled when it is first asked for: most requests need one."""

    def __init__(self, compilers: dict[str, Callable[[], Predicate]]) -> None:
        self._compilers = compilers
        self._compiled: dict[str, Predicate] = {}

    def __getitem__(self, resource_type: str) -> Predicate:
        if resource_type not in self._compiled:
            self._compiled[resource_type] = _certain(self._compilers[resource_type], Predicate)
        return self._compiled[resource_type]

    def __contains__(self, resource_type: object) -> bool:
        # Not by trying: a KeyError of the rules themselves would mean "no predicate", that is no restriction (TF-028).
        return resource_type in self._compilers

    def get(self, resource_type: str, default: Any = None) -> Any:
        return self[resource_type] if resource_type in self._compilers else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._compilers)

    def __len__(self) -> int:
        return len(self._compilers)


class Gate:
    """Reading, under the rights of one caller."""

    def __init__(self, exchange: Exchange, reader: Reader) -> None:
        self.exchange = exchange
        self.context = exchange.context
        self.reader = reader
        self.now = exchange.now
        self.settings = exchange.services.policy
        self.acts: list[Act] = []
        self.owed: dict[str, list[Decision]] = {}
        self._standings: dict[str, Standing] = {}
        self._reached: Refused | None = None

    def standing(self, record_id: str | None) -> Standing:
        if record_id is None or record_id == DIRECTORY:
            return NO_RECORD
        if record_id == NOWHERE:
            return nowhere(self.context.actor_id, self.context.person_id)
        if record_id not in self._standings:
            self._count(record_id)
            self._standings[record_id] = _certain(lambda: self._load(record_id), Standing)
        return self._standings[record_id]

    def look_into(self, home: str | None) -> str:
        """Load the standing that an id is looked for with (seeking.py), locking nothing: of the record it leads to,
        for nobody's id of the one where the caller looked last; the id of that record. A ceiling that is reached is no
        refusal before `found` is called: who may not see what they ask for learns nothing of it."""
        record_id = home if home is not None else self.exchange.services.latest.of(self.context)
        if record_id != DIRECTORY and record_id not in self._standings:
            try:
                self._count(record_id)
            except Refused as reached:
                self._reached = reached
            if home is None:
                self.exchange.trail.record_id = None
            self._standings[record_id] = _certain(lambda: self._look(record_id), Standing)
        return record_id

    def found(self, *, something: bool) -> None:
        """Whether there was something to see for who asked by id: then a ceiling that is reached is told."""
        reached, self._reached = self._reached, None
        if reached is not None and something:
            raise reached
        if reached is not None and reached.refusal.alert is not None:
            self.exchange.services.ceiling.alert_failed(self.context, reached.refusal.alert, self.now)

    def _count(self, record_id: str) -> None:
        self.exchange.trail.record_id = record_id
        self.exchange.services.latest.note(self.context, record_id)
        self.exchange.services.ceiling.look_at_record(self.context, record_id, self.now)

    def _load(self, record_id: str) -> Standing:
        return self._look(record_id, self._author())

    def _look(self, record_id: str, author: tuple[str, str | None] | None = None) -> Standing:
        standing = load_standing(self.reader, record_id, self.now, self.settings.majority_age, author=author)
        if self.context.purpose in EMERGENCY_PURPOSES:
            grants = load_grants(self.reader, record_id, self.context.actor_id, self.now)
            standing = replace(standing, grants=grants)
        return standing

    def _author(self) -> tuple[str, str | None] | None:
        """Whose documents to look for when a standing is loaded."""
        context = self.context
        return (context.actor_id, context.structure) if context.actor_category in PROFESSIONALS else None

    def decide(
        self,
        action: Action,
        record_id: str | None,
        facts: DocumentFacts | None = None,
        *,
        target: ConsentTarget | None = None,
    ) -> Decision:
        standing = self.standing(record_id)
        return _certain(
            lambda: decide(self.context, action, standing, facts, self.now, target=target, settings=self.settings),
            Decision,
        )

    def permit(
        self,
        action: Action,
        record_id: str | None,
        facts: DocumentFacts | None = None,
        *,
        target: ConsentTarget | None = None,
    ) -> Decision:
        """The decision, if it permits; else 403 for the record or the act, 404 for a hidden document (AR-06, D14)."""
        decision = self.decide(action, record_id, facts, target=target)
        if not decision.permit:
            refuse_record(decision)
        return decision

    def permit_not_linked(self, action: Action) -> None:
        """For a record that is not here: refuse as for one that is, when the caller has nothing to do with it (D27)."""
        decision = _certain(
            lambda: decide(self.context, action, NOT_LINKED, None, self.now, settings=self.settings), Decision
        )
        if not decision.permit:
            refuse_record(decision)

    def predicates(self, record_id: str, action: Action = Action.DOC_LIST) -> Mapping[str, Predicate]:
        """What the caller may see of a record, per type of resource: part of every query. With `DOC_FINDID`, also the
        caller's own documents (TD3.1b)."""
        asked = (self.context, self.standing(record_id), self.now)
        settings = self.settings
        return _Predicates(
            {
                "DocumentReference": lambda: document_predicate(*asked, action=action, settings=settings),
                "List": lambda: list_predicate(*asked, action=action, settings=settings),
                "Consent": lambda: consent_predicate(*asked, settings=settings),
                "AuditEvent": lambda: audit_predicate(*asked, settings=settings),
            }
        )

    def did(
        self,
        interaction: str,
        action: str,
        record_id: str | None,
        *found: Found,
        decision: Decision | None = None,
        query: bytes | None = None,
        entities: tuple[Entity, ...] = (),
        about: Entity | None = None,
        cleaned: str | None = None,
        masked: bool = False,
        done: tuple[Action, ...] = (),
    ) -> None:
        """Note an act to be traced, and what is owed with its decision (duties.py). `masked`: what is read is hidden
        from other professionals. `done`: what was written, when the decision alone does not say it. See audit.acts.Act
        for the rest."""
        if decision is not None and record_id and is_owed(decision):
            self.owed.setdefault(record_id, []).append(decision)
        named = (*entities, *((each.resource_type, each.id, each.version) for each in found))
        self.acts.append(
            Act(
                interaction=interaction,
                action=action,
                outcome="0",
                record_id=record_id or DIRECTORY,
                entities=named,
                query=query,
                rules=decision.rules if decision else (),
                reason=decision.reason if decision else None,
                request_id=self.exchange.request_id,
                matrix=self.settings.matrix.version if decision else None,
                secret=decision is not None and AUDIT_SECRET in decision.obligations,
                about=about,
                cleaned=cleaned,
                done=_written(action, done, decision),
            )
        )
        if decision is not None and record_id and decision.relation in _CHOICES:
            emergency = decision.relation in EMERGENCIES
            if emergency or (masked and decision.relation is Relation.TREATING_PHYSICIAN):
                self.acts.append(self._disclosure(record_id, decision))

    def _disclosure(self, record_id: str, decision: Decision) -> Act:
        """The decision to disclose, with the choices of the patient behind it (BALP AuthZconsent): traced for
        emergencies, and for what the treating physician alone may read."""
        kinds = _CHOICES[decision.relation] if decision.relation else ()
        behind = consents_behind(self.reader, record_id, kinds, self.context.actor_id)
        return Act(
            interaction="AuthZ-Consent",
            action="E",
            kind=DECISION,
            record_id=record_id,
            entities=tuple(("Consent", consent_id, version) for consent_id, version in behind),
            rules=decision.rules,
            matrix=self.settings.matrix.version,
            secret=AUDIT_SECRET in decision.obligations,
        )

    def forget_what_is_done(self) -> None:
        """Leave out what was owed with earlier reads already and is done."""
        for record_id, decisions in list(self.owed.items()):
            standing = self.standing(record_id)
            if all(is_done(self.reader, each, standing, self.context, self.now) for each in decisions):
                del self.owed[record_id]

    def trace_rows(self) -> list[dict[str, Any]]:
        """The trace of what was done, for acts that owe nothing."""
        return log.rows_of(self.acts, self.context, self.now, observer=self.exchange.services.observer)

    def leave_traces(self, tx: Transaction) -> None:
        """Write what must happen together with the acts, and the trace at the end of the transaction."""
        observer, request_id = self.exchange.services.observer, self.exchange.request_id
        log.append_many(tx, self.acts, self.context, self.now, observer=observer)
        for record_id, decisions in self.owed.items():
            standing = self.standing(record_id)
            carry_out(tx, decisions, standing, self.context, self.now, request_id, self.settings, observer)


class Writing(Gate):
    """Writing, under the rights of one caller. The first look at a record locks it until the end of the
    transaction, and its clock gives the instant of everything written in it."""

    reader: Transaction

    def __init__(self, exchange: Exchange, tx: Transaction) -> None:
        super().__init__(exchange, tx)
        self.tx = tx
        self._clocks: dict[str, RecordClock] = {}

    def _load(self, record_id: str) -> Standing:
        # Without asking for authorship: what is deposited in this transaction has authors too.
        self.lock(record_id)
        return self._look(record_id)

    def lock(self, record_id: str) -> RecordClock:
        if record_id not in self._clocks:
            self._clocks[record_id] = lock_record(self.tx, record_id)
        return self._clocks[record_id]

    def instant(self, record_id: str) -> int:
        return self.lock(record_id).tick(self.now)

    def rights_changed(self, record_id: str) -> None:
        """A consent or a person around the patient was written: the next decision looks again."""
        self._standings.pop(record_id, None)


def _written(action: str, done: tuple[Action, ...], decision: Decision | None) -> tuple[str, ...]:
    if action not in ("C", "U", "D"):
        return ()
    named = done or ((decision.action,) if decision is not None and decision.action else ())
    return tuple(each.value for each in named)


def reading(exchange: Exchange, work: Callable[[Gate], Response]) -> Response:
    """Read in one snapshot, then make the trace durable, then answer."""
    database = exchange.services.database
    with database.snapshot() as reader:
        gate = Gate(exchange, reader)
        response = work(gate)
        gate.forget_what_is_done()
    if gate.owed:
        database.write(gate.leave_traces)
    else:
        exchange.services.traces.keep(gate.trace_rows())
    return response


def writing(exchange: Exchange, work: Callable[[Writing], T]) -> T:
    """Write in one transaction, trace included; retried when it lost a race (store/database.py)."""

    def attempt(tx: Transaction) -> T:
        gate = Writing(exchange, tx)
        result = work(gate)
        gate.leave_traces(tx)
        return result

    return exchange.services.database.write(attempt)


def trace_refusal(exchange: Exchange, interaction: str, action: str, refusal: Refusal) -> None:
    """A refused act leaves a trace too (AR-96, TF-162), in a transaction of its own since the act's was rolled back."""
    act = Act(
        interaction=interaction,
        action=action,
        outcome=MINOR_FAILURE,
        record_id=exchange.trail.record_id or DIRECTORY,
        rules=refusal.rules,
        reason=refusal.reason or refusal.issues[0].code,
        request_id=exchange.request_id,
        status=refusal.status,
        matrix=exchange.services.policy.matrix.version if refusal.rules else None,
    )
    act = _asking(act, exchange.request)
    if refusal.alert is None:
        _keep(exchange, act)
        return
    services, now = exchange.services, exchange.now
    try:
        raise_with_trace(services.database, refusal.alert, exchange.context, now, with_act=act)
    except StoreUnavailable:
        services.ceiling.alert_failed(exchange.context, refusal.alert, now)
        raise


def trace_fault(exchange: Exchange, interaction: str, action: str) -> None:
    """A fault of ours in the middle of a request: nothing was done, and that is told (outcome 8, D31)."""
    act = Act(
        interaction=interaction,
        action=action,
        outcome=SERIOUS_FAILURE,
        record_id=exchange.trail.record_id or DIRECTORY,
        reason="ERREUR_INTERNE",
        request_id=exchange.request_id,
    )
    _keep(exchange, _asking(act, exchange.request))


def stranger(request: Request, interaction: str, action: str, refusal: Refusal, request_id: str) -> Act:
    """A request without a valid token: what was asked, and what was wrong with the token (TF-162)."""
    act = Act(
        interaction=interaction,
        action=action,
        outcome=MINOR_FAILURE if refusal.status < 500 else SERIOUS_FAILURE,
        reason=refusal.reason or refusal.issues[0].code,
        rules=refusal.rules,
        request_id=request_id,
        status=refusal.status,
    )
    return _asking(act, request)


def _asking(act: Act, request: Request) -> Act:
    """With what was asked for."""
    kind, asked = request.resource_type, (request.id or "")
    if kind and (asked or (act.action == "E" and kind not in ("DocumentReference", "List"))):
        act = replace(act, entities=((kind, asked, None),))
    if request.query or (act.action == "E" and kind):
        act = replace(act, query=raw_request(request))
    elif not act.entities:
        act = replace(act, cleaned=f"{act.interaction} {kind or ''}".strip())
    return act


def raw_request(request: Request) -> bytes:
    """A search or an operation as it was sent: type, operation and raw query (BALP, entity.query)."""
    path = "/".join(each for each in (request.resource_type, request.id, request.operation) if each)
    return path.encode() + b"?" + request.query


def _keep(exchange: Exchange, act: Act) -> None:
    services = exchange.services
    services.traces.keep(log.rows_of([act], exchange.context, exchange.now, observer=services.observer))
