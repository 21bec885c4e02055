"""Small worlds for the tests: every caller, standing and document that differ in something that rules look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from dmp_fhir.identity.context import AccessContext
from dmp_fhir.policy.facts import DocumentFacts
from dmp_fhir.policy.standing import NO_RECORD, Permit, Representative, Standing

NOW = 1_790_000_000_000
DAY = 86_400_000
INS = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
MATRICULE = INS.rpartition("|")[2]
PARENT = "172113523890227"
HELPER = "269085935090740"
ME = "899700000112"
OTHER = "899700000120"
HERE = "1990000010"
ELSEWHERE = "1990000028"
SYSTEM = "exploitant"

DOCTOR = AccessContext("PS", ME, "Dr", "CPS", profession="10", structure=HERE)
PATIENT = AccessContext("PATIENT", MATRICULE, "P", "PORTAIL", purpose="patient", person_id=INS)
PARENT_CONTEXT = AccessContext("REPRESENTANT", PARENT, "R", "PORTAIL", purpose="patient", person_id=INS)
HELPER_CONTEXT = AccessContext("AIDANT", HELPER, "A", "PORTAIL", purpose="patient")
FEEDER = AccessContext("STRUCTURE", HERE, "S", "INDIRECTE", structure=HERE)
STAFF = AccessContext("CPE", "1990000010/CPE1", "C", "CPE", structure=HERE)
OPERATOR = AccessContext("SUPPORT", SYSTEM, "O", "SYSTEME", purpose="systeme")

OPEN = Standing("record", "open", ins=frozenset({INS}), majority_ms=NOW - 10_000 * DAY)
MINOR = replace(OPEN, majority_ms=NOW + DAY, representatives=(Representative(PARENT),))

ROLES = (
    DOCTOR,
    replace(DOCTOR, auth_mode="AIR"),
    replace(DOCTOR, auth_mode="INDIRECTE"),
    replace(DOCTOR, purpose="bris_de_glace", reason="patient inconscient aux urgences"),
    replace(DOCTOR, purpose="bris_de_glace", reason="vite"),
    replace(DOCTOR, purpose="centre_15", regulation=True),
    replace(DOCTOR, purpose="centre_15"),
    replace(DOCTOR, purpose="patient"),
    replace(DOCTOR, patient_request=True, patient_agreement=True),
    replace(DOCTOR, practice_context="MEDECINE_TRAVAIL"),
    replace(DOCTOR, practice_context="EXPERTISE"),
    replace(DOCTOR, person_id="urn:oid:1.2.250.1.213.1.4.10|172113523890227"),
    replace(DOCTOR, secret=True),
    replace(DOCTOR, ins_status="VALIDEE"),
    replace(DOCTOR, profession="60"),
    replace(DOCTOR, actor_category="PS_ROLE", profession="41"),
    PATIENT,
    replace(PATIENT, actor_id=PARENT, person_id="urn:oid:1.2.250.1.213.1.4.10|" + PARENT),
    PARENT_CONTEXT,
    replace(PARENT_CONTEXT, actor_id=HELPER),
    HELPER_CONTEXT,
    replace(HELPER_CONTEXT, actor_id=PARENT),
    FEEDER,
    replace(FEEDER, actor_id=ELSEWHERE, structure=ELSEWHERE),
    STAFF,
    OPERATOR,
    AccessContext("AM_SYSTEM", "am", "AM", "SYSTEME", purpose="systeme"),
    AccessContext("SERVICE", "service", "S", "SYSTEME", purpose="systeme"),
    AccessContext("TIERS_EXCLU", "assureur", "T", "SYSTEME", purpose="systeme"),
)


def standings() -> Iterator[Standing]:
    """No record, then every combination of status, age, link, block and emergency preference."""
    yield NO_RECORD
    links = {
        "none": {},
        "treating": {"treating_physicians": frozenset({ME})},
        "person": {"permits": (Permit("Practitioner", ME),)},
        "structure": {"permits": (Permit("Organization", HERE),)},
        "team": {"permits": (Permit("CareTeam", "team", members=frozenset({ME})),)},
        "expired": {"permits": (Permit("Practitioner", ME, 0, NOW),)},
        "not mine": {"permits": (Permit("Practitioner", OTHER), Permit("Organization", ELSEWHERE))},
    }
    blocks = (frozenset(), frozenset({ME}), frozenset({HERE}), frozenset({OTHER, ELSEWHERE}))
    emergencies = ((True, True, False), (True, True, True), (False, False, False))
    around = {"representatives": (Representative(PARENT),), "helpers": frozenset({HELPER})}
    for status, minor, link, block, emergency in product(
        ("open", "closed", "suspended"), (False, True), links.values(), blocks, emergencies
    ):
        break_glass, centre_15, masked = emergency
        yield Standing(
            record_id="record",
            status=status,
            ins=frozenset({INS}),
            majority_ms=NOW + DAY if minor else NOW - DAY,
            blocked=block,
            break_glass=break_glass,
            centre_15=centre_15,
            masked_in_emergency=masked,
            **around,
            **link,
        )


def documents() -> Iterator[DocumentFacts]:
    """Every combination of masks, status, author and age of the deposit."""
    authors = (
        {"author_persons": frozenset({ME}), "author_structures": frozenset({HERE})},
        {"author_persons": frozenset({OTHER}), "author_structures": frozenset({HERE})},
        {"author_structures": frozenset({HERE})},
        {"author_persons": frozenset({OTHER}), "author_structures": frozenset({ELSEWHERE})},
        {"author_patients": frozenset({MATRICULE})},
    )
    labels = ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    for bits, status, author, age in product(
        range(8), ("current", "superseded", "entered-in-error"), authors, (DAY, 40 * DAY)
    ):
        yield DocumentFacts(
            type_system="http://loinc.org",
            type_code="11488-4",
            labels=frozenset(label for n, label in enumerate(labels) if bits >> n & 1),
            status=status,
            deposited_ms=NOW - age,
            **author,
        )
