"""Statements about permits that do not come from the code of the rules: each says when a permit would be wrong.

`STATEMENTS` are about one decision; `COMPARISONS` about two worlds that differ in one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.actions import CONSENT_ACTS, CONSULTATION, DEPOSIT, MASKING, OWN_DOCUMENT, VISIBILITY, Action
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.matrix import packaged
from dmp_fhir.policy.standing import Permit, Standing
from tests.policy.worlds import DAY, HERE, ME, NOW

PREFERENCES = {Action.PREF_EMERGENCY, Action.PREF_FEEDING, Action.PREF_MASK_DEFAULT, Action.DELEGATE}
DOCUMENTS = CONSULTATION | VISIBILITY | OWN_DOCUMENT


@dataclass(frozen=True)
class Permitted:
    """A permit to look at."""

    context: AccessContext
    action: Action
    standing: Standing
    document: DocumentFacts | None

    @property
    def category(self) -> str:
        return self.context.actor_category

    @property
    def professional(self) -> bool:
        return self.category in ("PS", "PS_ROLE")

    @property
    def in_directory(self) -> bool:
        return self.standing.record_id == "" and self.action is Action.PARTY_READ

    @property
    def patient_side(self) -> bool:
        return self.category in ("PATIENT", "REPRESENTANT", "AIDANT")

    @property
    def labels(self) -> frozenset[str]:
        return self.document.labels if self.document else frozenset()

    @property
    def minor(self) -> bool:
        return self.standing.majority_ms > NOW

    @property
    def treating(self) -> bool:
        context = self.context
        return (
            self.category == "PS"
            and context.practice_context is None
            and context.actor_id in self.standing.treating_physicians
        )

    def names_me(self, *kinds: str) -> bool:
        """Whether a running permit of one of these kinds names the caller."""
        context = self.context
        return any(
            permit.kind in kinds
            and permit.start_ms <= NOW < permit.end_ms
            and {context.actor_id, context.structure} & {permit.actor, *permit.members}
            for permit in self.standing.permits
        )

    @property
    def related(self) -> bool:
        return self.treating or self.names_me("Practitioner", "Organization", "CareTeam")

    @property
    def emergency(self) -> bool:
        """Let in by the emergency alone."""
        return self.professional and self.context.purpose in ("bris_de_glace", "centre_15") and not self.related

    @property
    def blocked(self) -> bool:
        return bool({self.context.actor_id, self.context.structure} & self.standing.blocked)

    @property
    def author(self) -> bool:
        if self.document is None:
            return False
        if self.patient_side:
            return bool(self.document.author_patients)
        if self.category in ("STRUCTURE", "CPE"):
            return self.context.structure in self.document.author_structures
        named = self.document.author_persons
        return self.context.actor_id in named or (
            not named and self.context.structure in self.document.author_structures
        )


Statement = Callable[[Permitted], bool]
STATEMENTS: dict[str, Statement] = {
    "excluded parties may do nothing": lambda p: p.category != "TIERS_EXCLU",
    "experts, insurers and employers may do nothing": lambda p: (
        p.context.practice_context not in ("EXPERTISE", "ASSURANCE", "EMPLOYEUR")
    ),
    "services, heirs and insurance staff may do nothing": lambda p: (
        p.category not in ("SERVICE", "AYANT_DROIT", "AM_AGENT")
    ),
    "a token of another patient opens nothing": lambda p: (
        p.context.person_id is None or p.standing.status == "absent" or p.context.person_id in p.standing.ins
    ),
    "a professional never comes for another purpose than care": lambda p: (
        not p.professional or p.context.purpose in ("normal", "bris_de_glace", "centre_15")
    ),
    "no document of a record that is not open": lambda p: p.action not in DOCUMENTS or p.standing.status == "open",
    "no deposit in a record that is not open": lambda p: p.action not in DEPOSIT or p.standing.status == "open",
    "what is deleted is deleted for all": lambda p: (
        p.action not in DOCUMENTS or p.document is None or p.document.status != "entered-in-error"
    ),
    "feeding accounts never consult": lambda p: (
        p.category not in ("STRUCTURE", "CPE") or p.action not in CONSULTATION | VISIBILITY | CONSENT_ACTS
    ),
    "nobody consults by indirect authentication": lambda p: (
        p.action not in CONSULTATION or p.context.auth_mode not in ("INDIRECTE", "CPE")
    ),
    "visibility changes by direct authentication only": lambda p: (
        p.action not in VISIBILITY or not p.professional or p.context.auth_mode == "CPS"
    ),
    "a blocked professional never consults": lambda p: not (p.professional and p.blocked and p.action in CONSULTATION),
    "a blocked professional changes neither visibility nor consents": lambda p: (
        not (p.professional and p.blocked and p.action in VISIBILITY | CONSENT_ACTS)
    ),
    "no consulting without a relation or an emergency": lambda p: (
        p.action not in CONSULTATION or not p.professional or p.related or p.emergency
    ),
    "masked is for author, treating physician, patient side and chosen emergencies": lambda p: (
        p.action not in CONSULTATION | VISIBILITY
        or "MASQUE_PS" not in p.labels
        or not p.professional
        or p.author
        or p.treating
        or (p.emergency and p.standing.masked_in_emergency)
    ),
    "the matrix holds for all but author and treating physician": lambda p: (
        p.action not in CONSULTATION
        or p.document is None
        or not p.professional
        or p.author
        or p.treating
        or packaged().cell(p.category, p.context.profession, p.document.type_code or "").read
    ),
    "what awaits an announcement is not for the side of the patient": lambda p: (
        p.action not in CONSULTATION | VISIBILITY
        or not p.patient_side
        or "INVISIBLE_PATIENT" not in p.labels
        or (p.document is not None and NOW - p.document.deposited_ms >= 28 * DAY)
    ),
    "what a minor hides is not for representatives and helpers": lambda p: (
        p.action not in CONSULTATION | VISIBILITY
        or p.category not in ("REPRESENTANT", "AIDANT")
        or not p.minor
        or "INVISIBLE_REPRESENTANTS_LEGAUX" not in p.labels
    ),
    "patients do nothing in the record of another": lambda p: (
        p.category != "PATIENT"
        or p.in_directory
        or any(ins.endswith(f"|{p.context.actor_id}") for ins in p.standing.ins)
    ),
    "nobody represents an adult without a mandate": lambda p: (
        p.category != "REPRESENTANT"
        or p.in_directory
        or p.minor
        or any(one.mandate for one in p.standing.representatives)
    ),
    "helpers act only where they are named": lambda p: (
        p.category != "AIDANT" or p.in_directory or p.context.actor_id in p.standing.helpers
    ),
    "helpers manage no consent": lambda p: p.category != "AIDANT" or p.action not in CONSENT_ACTS,
    "emergencies only for health professionals": lambda p: (
        not (p.action in CONSULTATION and p.emergency)
        or (p.category == "PS" and p.context.practice_context != "MEDECINE_TRAVAIL")
    ),
    "no glass broken without a motive, nor against the patient": lambda p: (
        not (p.action in CONSULTATION and p.emergency and p.context.purpose == "bris_de_glace")
        or (len((p.context.reason or "").strip()) >= 10 and p.standing.break_glass)
    ),
    "centre 15 is for physicians on duty, unless opposed": lambda p: (
        not (p.action in CONSULTATION and p.emergency and p.context.purpose == "centre_15")
        or (p.context.regulation and p.context.profession == "10" and p.standing.centre_15)
    ),
    "emergencies change nothing": lambda p: not (p.emergency and p.action in VISIBILITY | CONSENT_ACTS | PREFERENCES),
    "occupational physicians and social roles by their own authorisation only": lambda p: (
        p.action not in CONSULTATION
        or not (p.category == "PS_ROLE" or p.context.practice_context == "MEDECINE_TRAVAIL")
        or p.names_me("Practitioner")
    ),
    "only the author replaces, archives and deletes": lambda p: (
        p.action not in OWN_DOCUMENT or p.document is None or p.author
    ),
    "only a qualified INS feeds": lambda p: (
        p.action not in DEPOSIT | {Action.DOC_REPLACE, Action.DOC_DELETE}
        or not (p.professional or p.category in ("STRUCTURE", "CPE"))
        or p.context.ins_status == "QUALIFIEE"
    ),
    "secret connection is for minors": lambda p: (
        not p.context.secret or p.minor or p.action not in DOCUMENTS | DEPOSIT | CONSENT_ACTS
    ),
    "the operator and the insurance read no document": lambda p: (
        p.category not in ("SUPPORT", "AM_SYSTEM") or p.action not in CONSULTATION | VISIBILITY
    ),
    "professionals decide on no preference": lambda p: not (p.professional and p.action in PREFERENCES),
    "blocks are for the patient and the treating physician": lambda p: (
        p.action not in (Action.AUTH_BLOCK, Action.AUTH_UNBLOCK)
        or p.category in ("PATIENT", "REPRESENTANT")
        or p.treating
    ),
    "closing is for the patient and the operator": lambda p: (
        p.action not in (Action.DMP_CLOSE, Action.DMP_REOPEN) or p.category in ("PATIENT", "REPRESENTANT", "SUPPORT")
    ),
    "a professional masks at the patient's request only": lambda p: (
        not (p.professional and p.action in MASKING) or p.context.patient_request
    ),
    "an authorisation is recorded with the patient's agreement only": lambda p: (
        not (p.professional and p.action in (Action.AUTH_ADD, Action.MT_DECLARE)) or p.context.patient_agreement
    ),
    "nothing is hidden from the patient after its deposit": lambda p: p.action is not Action.DOC_HIDE_PATIENT,
    "records are created by the operator and the insurance": lambda p: (
        p.action is not Action.RECORD_CREATE or p.category in ("SUPPORT", "AM_SYSTEM")
    ),
    "the directory is kept by the operator and the insurance": lambda p: (
        p.action is not Action.PARTY_WRITE or p.standing.record_id != "" or p.category in ("SUPPORT", "AM_SYSTEM")
    ),
    "the whole history is for the patient and the treating physician": lambda p: (
        p.action is not Action.AUDIT_READ_FULL or p.category in ("PATIENT", "REPRESENTANT") or p.treating
    ),
}

World = tuple[Standing, DocumentFacts | None]


def _consent_to_me(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    for permit in (
        Permit("Practitioner", ME),
        Permit("Organization", HERE),
        Permit("CareTeam", "another team", members=frozenset({ME})),
    ):
        yield replace(standing, permits=(*standing.permits, permit)), document


def _treating(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    yield replace(standing, treating_physicians=standing.treating_physicians | {ME}), document


def _unblocked(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    yield replace(standing, blocked=frozenset()), document


def _emergencies_open(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    yield replace(standing, break_glass=True, centre_15=True), document
    yield replace(standing, break_glass=True, centre_15=True, masked_in_emergency=True), document


def _unmasked(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    if document is not None:
        for label in document.labels:
            yield standing, replace(document, labels=document.labels - {label})


def _mine_too(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    if document is not None:
        yield standing, replace(document, author_persons=document.author_persons | {ME})


def _others_change(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    yield replace(standing, permits=(*standing.permits, Permit("Practitioner", "899799999999"))), document
    yield replace(standing, blocked=standing.blocked | {"899799999999"}), document
    yield replace(standing, treating_physicians=standing.treating_physicians | {"899799999999"}), document


def _reopened(standing: Standing, document: DocumentFacts | None) -> Iterator[World]:
    if standing.status in ("closed", "suspended"):
        yield replace(standing, status="open"), document


MORE_RIGHTS: dict[str, Callable[[Standing, DocumentFacts | None], Iterator[World]]] = {
    "more consent never removes a right": _consent_to_me,
    "naming a treating physician never removes a right": _treating,
    "a block never adds a right": _unblocked,
    "opposing emergencies never adds a right": _emergencies_open,
    "a mask never adds a right": _unmasked,
    "being an author never removes a right": _mine_too,
    "closing or suspending never adds a right": _reopened,
    "what happens to others changes nothing": _others_change,
}
"""Each gives worlds with at least the rights of the world it is given."""

SAME_RIGHTS = frozenset({"what happens to others changes nothing"})
NOT_MONOTONE: dict[str, frozenset[Action]] = {
    # A record that is open is not reopened; the other statements hold for every act.
    "closing or suspending never adds a right": frozenset({Action.DMP_REOPEN}),
}
