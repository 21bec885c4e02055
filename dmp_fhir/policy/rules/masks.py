"""Stage 7: documents hidden from somebody who may look into the record (AR-59 to AR-68, AR-70)."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

from dmp_fhir.canonicals import HIDE_PATIENT, HIDE_REPRESENTATIVES, MASK_PROFESSIONALS
from dmp_fhir.policy.algebra import (
    Authored,
    DeniedByMatrix,
    DepositedAfter,
    FromPatientSide,
    HasLabel,
    HasStatus,
    Known,
)
from dmp_fhir.policy.facts import DELETED
from dmp_fhir.policy.relation import EMERGENCIES, FEEDERS, PATIENT_SIDE, PROFESSIONALS, Caller, Relation
from dmp_fhir.policy.rules.base import DocumentRule


def one_month_before(now_ms: int) -> int:
    """The latest deposit that is one month old at `now_ms`: the same day of the month before, at the same time; the end
    of that month when it has no such day."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    year, month = (now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)
    last = monthrange(year, month)[1]
    if now.day > last:
        return int(datetime(year, month, last, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999
    return int(now.replace(year=year, month=month).timestamp()) * 1000 + now_ms % 1000


def _as_author(caller: Caller) -> tuple[tuple[str, str], ...]:
    context = caller.context
    if context.actor_category in PROFESSIONALS:
        structure = (("structure", context.structure),) if context.structure else ()
        return (("person", context.actor_id), *structure)
    if context.actor_category in FEEDERS:
        return (("structure", context.structure),) if context.structure else ()
    return (("system", context.actor_id),)


def _has_authored(caller: Caller) -> bool:
    return caller.context.actor_category not in PATIENT_SIDE | FEEDERS


def _is_feeder(caller: Caller) -> bool:
    return caller.context.actor_category in FEEDERS


def _is_professional(caller: Caller) -> bool:
    return caller.context.actor_category in PROFESSIONALS


def _emergency_reads_masked(caller: Caller) -> bool:
    return caller.relation in EMERGENCIES and caller.standing.masked_in_emergency


BY_PATIENT_SIDE = Known(lambda caller: caller.context.actor_category in PATIENT_SIDE)
# A structure account manages all deposits of its structure, whoever signed them (AR-70); the patient and those who act
# for them manage what was deposited from their side, whoever of them did it (AR-73, AR-84).
AUTHORED_BY_CALLER = (
    (Known(_is_feeder) & Authored(_as_author, any_structure=True))
    | (Known(_has_authored) & Authored(_as_author))
    | (BY_PATIENT_SIDE & FromPatientSide())
)
BY_PROFESSIONAL = Known(_is_professional)
BY_TREATING_PHYSICIAN = Known(lambda caller: caller.relation is Relation.TREATING_PHYSICIAN)
BY_REPRESENTATIVE = Known(lambda caller: caller.context.actor_category in ("REPRESENTANT", "AIDANT"))
OF_A_MINOR = Known(lambda caller: not caller.standing.adult(caller.now_ms))
EMERGENCY_READS_MASKED = Known(_emergency_reads_masked)

DELETED_FOR_ALL = DocumentRule(
    id="AR-70",
    source="guide TD3.3c NB2",
    fr="Le document a été supprimé par son auteur.",
    en="The document was deleted by its author.",
    when=HasStatus(DELETED),
    reason="DOCUMENT_SUPPRIME",
)
MASKED_TO_PROFESSIONALS = DocumentRule(
    id="AR-60",
    source="CSP R1111-49",
    fr="Le patient a masqué ce document aux professionnels de santé.",
    en="The patient has masked this document to professionals.",
    when=HasLabel(MASK_PROFESSIONALS, "masked_professionals")
    & BY_PROFESSIONAL
    & ~BY_TREATING_PHYSICIAN
    & ~EMERGENCY_READS_MASKED,
    unless=AUTHORED_BY_CALLER,
    reason="DOCUMENT_MASQUE",
)
HIDDEN_FROM_PATIENT = DocumentRule(
    id="AR-63",
    source="CSP R1111-53",
    fr="Ce document attend une annonce ; il devient visible un mois après son dépôt au plus tard (AR-64).",
    en="This document awaits an announcement; it becomes visible one month after its deposit at the latest (AR-64).",
    when=HasLabel(HIDE_PATIENT, "hidden_patient") & BY_PATIENT_SIDE & DepositedAfter(one_month_before),
    reason="DOCUMENT_INVISIBLE_PATIENT",
)
HIDDEN_FROM_REPRESENTATIVES = DocumentRule(
    id="AR-66",
    source="CSP R1111-50",
    fr="Ce document est invisible aux représentants légaux du mineur.",
    en="This document is invisible to the legal representatives of the minor.",
    when=HasLabel(HIDE_REPRESENTATIVES, "hidden_representatives") & BY_REPRESENTATIVE & OF_A_MINOR,
    reason="DOCUMENT_INVISIBLE_RL",
)

DENIED_BY_MATRIX = DocumentRule(
    id="AR-58",
    source="CSP R1111-46; arrêté du 26 octobre 2023; D32",
    fr="La matrice d'habilitation n'ouvre pas ce type de document à cette profession.",
    en="The habilitation matrix does not open this type of document to this profession.",
    when=BY_PROFESSIONAL & ~BY_TREATING_PHYSICIAN & DeniedByMatrix(),
    unless=AUTHORED_BY_CALLER,
    reason="MATRICE",
)

MASKS = (DENIED_BY_MATRIX, MASKED_TO_PROFESSIONALS, HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES)
DOCUMENTS = (DELETED_FOR_ALL, *MASKS)
