"""What happens by itself, when its time has come: `dmp-fhir jobs run`, from cron or a timer, once an hour or a day.

Idempotent: run twice, or late, it does what is due once. Each record is a transaction of its own, with its trace, under
the record's lock, and what is due is looked at again under that lock.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act, Entity
from dmp_fhir.audit.events import THIS_SERVER, Observer
from dmp_fhir.canonicals import (
    CONSENT_KIND_SYSTEM,
    DMP,
    EXT_CLOSURE,
    HIDE_PATIENT,
    HIDE_REPRESENTATIVES,
    LOINC,
    PROJECT,
)
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.ids import new_id
from dmp_fhir.instants import instant_text
from dmp_fhir.notify.messages import ANNOUNCEMENT, CLOSED, VISIBLE, patient_and_representatives
from dmp_fhir.notify.sender import Sender, send_all
from dmp_fhir.policy.facts import DELETED
from dmp_fhir.policy.rules.masks import one_month_before
from dmp_fhir.policy.settings import DEFAULT_SETTINGS, PolicySettings
from dmp_fhir.policy.standing import load_standing
from dmp_fhir.registry.consents import consequences
from dmp_fhir.registry.documents import amend_document, stored_document
from dmp_fhir.registry.grants import forget_grants
from dmp_fhir.registry.labels import labels, masks_of
from dmp_fhir.registry.lifecycle import erase, suspended_before, to_erase
from dmp_fhir.registry.notifications import forget_sent, post
from dmp_fhir.registry.shelves import put_new
from dmp_fhir.retention import DAY_MS, OBJECTION_DAYS, ORPHAN_HOURS, OUTBOX_DAYS, RECORD_YEARS
from dmp_fhir.store.clock import RecordClock, lock_record
from dmp_fhir.store.database import Database, Transaction
from dmp_fhir.store.identifiers import keys_of
from dmp_fhir.store.payloads import PayloadStore

Tree = dict[str, Any]
Work = Callable[[Transaction, RecordClock], int]
NOTICE_MS = 14 * DAY_MS
OBJECTION_MS = OBJECTION_DAYS * DAY_MS
ORPHAN_GRACE_MS = ORPHAN_HOURS * 3_600_000
KEPT_MS = OUTBOX_DAYS * DAY_MS
AGENT = AccessContext(
    "SUPPORT", "dmp-fhir", "Tâches planifiées du registre", "SYSTEME", purpose="systeme", client_id="dmp-fhir"
)
"""Who acts in the trace."""


@dataclass(frozen=True, slots=True)
class Done:
    """How many of each: notices at 14 days, documents made visible, records closed after suspension, records erased,
    rows cleaned up, messages sent."""

    notices: int
    lifted: int
    closed: int
    erased: int
    cleaned: int
    sent: int

    @property
    def anything(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self))


def run(
    database: Database,
    payloads: PayloadStore,
    sender: Sender,
    now_ms: int,
    settings: PolicySettings,
    observer: Observer = THIS_SERVER,
) -> Done:
    """Everything that is due at `now_ms`; traced by `observer`."""
    jobs = _Jobs(database, now_ms, settings, observer)
    again = jobs.erase_again()  # first: nothing else can be done with what is left of them
    done = Done(
        notices=jobs.notices(),
        lifted=jobs.lift(),
        closed=jobs.close_suspended(),
        erased=again + jobs.erase(),
        cleaned=jobs.clean(),
        sent=send_all(database, sender, now_ms, observer),
    )
    if done.erased:
        # The bytes of the documents of erased records; those that another record names too stay.
        payloads.collect_orphans(database, ORPHAN_GRACE_MS, now_ms)
    return done


def erase_again(database: Database, now_ms: int) -> int:
    """Records that a restored backup brought back after their erasure: their keys are destroyed, and what is left of
    them goes again. How many."""
    return _Jobs(database, now_ms, DEFAULT_SETTINGS, THIS_SERVER).erase_again()


def years_before(now_ms: int, years: int) -> int:
    """The same instant so many years ago; 28 February for a 29th that was not."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    day = min(now.day, monthrange(now.year - years, now.month)[1])
    return int(now.replace(year=now.year - years, day=day).timestamp()) * 1000 + now_ms % 1000


class _Jobs:
    def __init__(self, database: Database, now_ms: int, settings: PolicySettings, observer: Observer) -> None:
        self.database, self.now, self.settings, self.observer = database, now_ms, settings, observer

    def notices(self) -> int:
        """The patient is invited to see a professional when a document has awaited its announcement for two weeks
        (AR-64; CSP R1111-53). The message does not say which, nor that there is one."""

        def notify(tx: Transaction, clock: RecordClock, document_id: str) -> int:
            return self._tell(tx, clock.record_id, ANNOUNCEMENT, f"{ANNOUNCEMENT}|{document_id}", document_id)

        return self._documents(self.now - NOTICE_MS, notify)

    def lift(self) -> int:
        """A document becomes visible to the patient one month after its deposit (AR-64)."""
        return self._documents(one_month_before(self.now), self._show)

    def close_suspended(self) -> int:
        """A suspension to which the holder did not object within six weeks ends in the closure (AR-12)."""
        with self.database.snapshot() as reader:
            due = suspended_before(reader, self.now - OBJECTION_MS)
        return sum(self._one(record_id, self._close) for record_id in due)

    def erase(self) -> int:
        """Records closed for ten years, and those whose holder asked for it, are destroyed (AR-10): their rows and,
        after the commit, their key."""
        before = years_before(self.now, RECORD_YEARS)
        with self.database.snapshot() as reader:
            due = [record_id for record_id, _ in to_erase(reader, before)]

        def destroy(tx: Transaction, clock: RecordClock) -> int:
            record_id = clock.record_id
            asked = dict(to_erase(tx, before)).get(record_id)
            if asked is None:
                return 0
            self._erased(tx, record_id, "EFFACEMENT_DEMANDE" if asked else "FIN_DE_CONSERVATION")
            return 1

        erased = sum(self._one(record_id, destroy) for record_id in due)
        self.destroy_keys()
        return erased

    def destroy_keys(self) -> int:
        """The keys of erased records, once the erasure is committed; also those that an earlier run left behind. How
        many. From then on nothing opens what they sealed, in a backup either (TF-246)."""
        with self.database.snapshot() as reader:
            keys = keys_of(reader)
            erased = [row[0] for row in reader.rows("SELECT record_id FROM record_state WHERE erased IS NOT NULL")]
        return keys.destroy(sorted(set(erased) - set(keys.store.destroyed())), self.now)

    def erase_again(self) -> int:
        with self.database.snapshot() as reader:
            destroyed = keys_of(reader).store.destroyed()
            gone = [each for each in destroyed if reader.row("SELECT 1 FROM record WHERE id = :id", {"id": each})]

        def destroy(tx: Transaction, clock: RecordClock) -> int:
            self._erased(tx, clock.record_id, "EFFACEMENT_REPRIS")
            return 1

        return sum(self._one(record_id, destroy) for record_id in gone)

    def _erased(self, tx: Transaction, record_id: str, reason: str) -> None:
        erase(tx, record_id, self.now)
        entities = (("Patient", record_id, None),)
        self._trace(tx, record_id, "delete", "D", ("AR-10",), entities, reason, lasting=True)

    def clean(self) -> int:
        """Messages sent, and emergency accesses ended and reviewed, more than 90 days ago: the trace has them."""
        before = self.now - KEPT_MS
        return self.database.write(lambda tx: forget_sent(tx, before) + forget_grants(tx, before))

    # --- one record at a time ---------------------------------------------------------------------

    def _documents(self, deposited_before: int, work: Callable[..., int]) -> int:
        with self.database.snapshot() as reader:
            due = reader.rows(
                "SELECT d.record_id, d.id FROM document d JOIN record r ON r.id = d.record_id"
                " WHERE d.hidden_patient AND d.created <= :before AND d.status <> :deleted AND r.status = 'open'"
                " ORDER BY d.record_id, d.created, d.id",
                {"before": deposited_before, "deleted": DELETED},
            )
        return sum(self._one(record_id, partial(work, document_id=document_id)) for record_id, document_id in due)

    def _one(self, record_id: str, work: Work) -> int:
        return self.database.write(partial(self._locked, record_id=record_id, work=work))

    def _locked(self, tx: Transaction, record_id: str, work: Work) -> int:
        try:
            clock = lock_record(tx, record_id)
        except LookupError:
            return 0  # erased meanwhile
        return work(tx, clock)

    def _show(self, tx: Transaction, clock: RecordClock, document_id: str) -> int:
        record_id = clock.record_id
        document = stored_document(tx, record_id, document_id)
        if document is None or HIDE_PATIENT not in document.facts.labels or document.facts.status == DELETED:
            return 0
        tree = document.tree(tx)
        present = tree.get("securityLabel", [])
        tree |= {"securityLabel": labels(present, masks_of(present) - {HIDE_PATIENT})}
        found = amend_document(tx, document, tree, clock.tick(self.now))
        self._trace(tx, record_id, "patch", "U", ("AR-64",), ((found.resource_type, found.id, found.version),))
        self._tell(tx, record_id, VISIBLE, f"{VISIBLE}|{document_id}", document_id)
        return 1

    def _close(self, tx: Transaction, clock: RecordClock) -> int:
        record_id = clock.record_id
        if record_id not in suspended_before(tx, self.now - OBJECTION_MS):
            return 0
        instant = clock.tick(self.now)
        consent = closing_consent(record_id, self.now)
        found = put_new(tx, record_id, consent, instant)
        changed = [found, *consequences(tx, record_id, consent, instant)]
        entities = tuple((each.resource_type, each.id, each.version) for each in changed)
        self._trace(tx, record_id, "update", "U", ("AR-12",), entities, "SUSPENSION_SANS_OPPOSITION")
        self._tell(tx, record_id, CLOSED, f"{CLOSED}|{found.id}", None)
        return 1

    def _tell(self, tx: Transaction, record_id: str, kind: str, topic: str, document_id: str | None) -> int:
        document = stored_document(tx, record_id, document_id) if document_id else None
        discreet = document is not None and HIDE_REPRESENTATIVES in document.facts.labels
        standing = load_standing(tx, record_id, self.now, self.settings.majority_age)
        recipients = patient_and_representatives(standing, self.now, discreet=discreet)
        return 1 if post(tx, record_id, kind, topic, recipients, self.now) else 0

    def _trace(
        self,
        tx: Transaction,
        record_id: str,
        interaction: str,
        action: str,
        rules: tuple[str, ...],
        entities: tuple[Entity, ...],
        reason: str | None = None,
        *,
        lasting: bool = False,
    ) -> None:
        act = Act(
            interaction=interaction,
            action=action,
            record_id=record_id,
            entities=entities,
            rules=rules,
            reason=reason,
            lasting=lasting,
        )
        log.append(tx, act, AGENT, self.now, observer=self.observer)


def closing_consent(record_id: str, now_ms: int) -> Tree:
    """The closing of a record by the operator, after a suspension without objection, as a Consent OUVERTURE."""
    moment = instant_text(now_ms)
    motive = {"system": f"{DMP}/CodeSystem/dmp-motif-fermeture", "code": "FRAUDE_DOUBLON"}
    return {
        "resourceType": "Consent",
        "id": new_id(),
        "extension": [
            {
                "url": EXT_CLOSURE,
                "extension": [
                    {"url": "dateFermeture", "valueDate": moment[:10]},
                    {"url": "motifFermeture", "valueCodeableConcept": {"coding": [motive]}},
                    {"url": "raisonFermeture", "valueString": "Suspension sans opposition pendant six semaines."},
                ],
            }
        ],
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [
            {"coding": [{"system": LOINC, "code": "59284-0"}]},
            {"coding": [{"system": CONSENT_KIND_SYSTEM, "code": "OUVERTURE"}]},
        ],
        "patient": {"reference": f"Patient/{record_id}"},
        "dateTime": moment,
        "performer": [{"display": "Exploitant du registre"}],
        "organization": [{"display": "Exploitant du registre"}],
        "sourceAttachment": {"contentType": "text/plain", "title": "Suspension du dossier"},
        "policy": [{"uri": f"{PROJECT}/policies/ouverture/1"}],
        "provision": {"type": "deny", "period": {"start": moment}},
    }
