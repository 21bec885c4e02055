"""The standing of a record, read from the real tables of both databases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dmp_fhir.policy.standing import NO_RECORD, PARIS, load_grants, load_standing, majority
from dmp_fhir.store.database import Database
from tests.policy.worlds import DAY, HERE, INS, ME, NOW, OTHER, PARENT

SYSTEM, _, MATRICULE = INS.partition("|")


def put_record(database: Database, **changes: Any) -> None:
    with database.transaction() as tx:
        row = {"id": "r", "status": "open", "version": 1, "created": 1, "last_updated": 1, "clock": 1}
        tx.insert("record", row | {"birth_date": "1974-03-12"} | changes)
        tx.insert("ins", {"system": SYSTEM, "value": MATRICULE, "record_id": "r"})
        put_token(tx, "Patient", "r", "identifier", SYSTEM, MATRICULE)
        put_token(tx, "Patient", "r", "identifier", "urn:oid:1.2.3", "local-number")


def put_token(tx: Any, resource_type: str, resource_id: str, parameter: str, system: str, code: str) -> None:
    tx.insert(
        "search_token",
        {
            "record_id": "r" if resource_type != "Practitioner" else "",
            "resource_type": resource_type,
            "parameter": parameter,
            "code": code,
            "system": system,
            "resource_id": resource_id,
        },
    )


def put_consent(tx: Any, number: int, kind: str, decision: str, actor: tuple[str, str] | None, **more: Any) -> None:
    row = {"record_id": "r", "id": f"c{number}", "version": 1, "created": 1, "last_updated": 1, "status": "active"}
    row |= {"kind": kind, "decision": decision, "decided": number}
    if actor:
        row |= {"actor_kind": actor[0], "actor_id": actor[1]}
    tx.insert("consent", row | more)


def put_party(tx: Any, resource_type: str, resource_id: str, **more: Any) -> None:
    row = {"record_id": "r", "resource_type": resource_type, "id": resource_id, "version": 1, "created": 1}
    tx.insert("party", row | {"last_updated": 1, "active": True, "deleted": False} | more)


def standing(database: Database, record_id: str = "r"):
    with database.snapshot() as reader:
        return load_standing(reader, record_id, NOW)


def test_no_record_has_the_empty_standing(database: Database) -> None:
    assert standing(database) == NO_RECORD
    assert standing(database, "") == NO_RECORD


def test_only_matricules_of_the_register_name_the_patient(database: Database) -> None:
    put_record(database)
    found = standing(database)
    assert found.ins == {INS}
    assert found.matricules == {MATRICULE}
    assert found.adult(NOW)


def test_consents_become_rights(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 1, "MEDECIN_TRAITANT", "permit", ("Practitioner", ME))
        put_consent(tx, 2, "AUTORISATION", "permit", ("Practitioner", OTHER), period_low=0, period_high=NOW)
        put_consent(tx, 3, "AUTORISATION", "permit", ("Organization", HERE), period_low=NOW - 1, period_high=NOW + 1)
        put_consent(tx, 4, "AUTORISATION", "permit", ("Practitioner", "later"), period_low=NOW + 1)
        put_consent(tx, 5, "BLOCAGE", "deny", ("Practitioner", OTHER))
        put_consent(tx, 6, "BLOCAGE", "deny", ("Practitioner", "ended"), status="inactive")
        put_consent(tx, 7, "OPPOSITION_ALIMENTATION", "deny", ("Organization", HERE))
        put_consent(tx, 8, "MASQUAGE_DEFAUT", "deny", None)
    found = standing(database)
    assert found.treating_physicians == {ME}
    assert [(permit.kind, permit.actor) for permit in found.permits] == [
        ("Practitioner", OTHER),
        ("Organization", HERE),
    ]
    assert found.blocked == {OTHER}
    assert found.feeding_opposed == {HERE}
    assert found.mask_by_default


def test_the_latest_emergency_preference_counts(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 2, "URGENCE_BTG", "deny", None)
        put_consent(tx, 1, "URGENCE_BTG", "permit", None)
        put_consent(tx, 4, "URGENCE_SAMU", "permit", None, decided=4)
        put_consent(tx, 5, "URGENCE_SAMU", "deny", None, decided=4)
        put_consent(tx, 6, "URGENCE_MASQUES", "permit", None)
    found = standing(database)
    assert not found.break_glass
    assert not found.centre_15
    assert not found.masked_in_emergency


def test_representatives_are_those_with_a_legal_relation(database: Database) -> None:
    put_record(database, birth_date="2012-05-20")
    with database.transaction() as tx:
        for person, code in (("father", "FTH"), ("guardian", "GUARD"), ("neighbour", "NBOR")):
            put_party(tx, "RelatedPerson", person, period_low=1, period_high=NOW + DAY)
            put_token(tx, "RelatedPerson", person, "relationship", "", code)
            put_token(tx, "RelatedPerson", person, "identifier", SYSTEM, PARENT if person == "father" else person)
        put_party(tx, "RelatedPerson", "gone", deleted=True)
        put_token(tx, "RelatedPerson", "gone", "relationship", "", "MTH")
        put_token(tx, "RelatedPerson", "gone", "identifier", SYSTEM, "gone")
    found = standing(database)
    assert {(one.actor, one.mandate, one.end_ms) for one in found.representatives} == {
        (PARENT, False, NOW + DAY),
        ("guardian", True, NOW + DAY),
    }
    assert not found.adult(NOW)


def test_a_parent_who_is_legally_responsible_has_no_mandate_for_an_adult(database: Database) -> None:
    """GUARD beside MTH is parental authority, which ends at majority (AR-80); alone it is a protection measure."""
    put_record(database, birth_date="2012-05-20")
    with database.transaction() as tx:
        for person, codes in (("mother", ("MTH", "GUARD")), ("tutor", ("MTH", "TUTEUR")), ("guardian", ("GUARD",))):
            put_party(tx, "RelatedPerson", person)
            put_token(tx, "RelatedPerson", person, "identifier", SYSTEM, person)
            for code in codes:
                put_token(tx, "RelatedPerson", person, "relationship", "", code)
    found = {one.actor: one.mandate for one in standing(database).representatives}
    assert found == {"mother": False, "tutor": True, "guardian": True}


def test_the_members_of_a_care_team(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 1, "EQUIPE", "permit", ("CareTeam", "team-name"))
        put_party(tx, "CareTeam", "team")
        put_token(tx, "CareTeam", "team", "identifier", "urn:x", "team-name")
        put_token(tx, "Practitioner", "p1", "identifier", "urn:oid:1.2.250.1.71.4.2.1", OTHER)
        for target_id, value in (("", ME), ("p1", "")):
            reference = {"record_id": "r", "resource_type": "CareTeam", "parameter": "participant"}
            reference |= {"target_type": "Practitioner", "target_id": target_id, "identifier_value": value}
            tx.insert("search_reference", reference | {"identifier_system": "", "resource_id": "team"})
    (permit,) = standing(database).permits
    assert permit.members == {ME, OTHER}


@pytest.mark.parametrize(
    ("birth_date", "birthday"),
    [
        ("2008-11-22", (2026, 11, 22)),
        ("2008-02-29", (2026, 3, 1)),
        ("2008-06", (2026, 7, 1)),
        ("2008-12", (2027, 1, 1)),
        ("2008", (2027, 1, 1)),
    ],
)
def test_majority_is_when_it_is_sure(birth_date: str, birthday: tuple[int, int, int]) -> None:
    assert majority(birth_date) == int(datetime(*birthday, tzinfo=PARIS).timestamp() * 1000)


def test_an_unknown_age_protects_as_a_minor() -> None:
    assert majority(None) > NOW * 1000


@pytest.mark.parametrize("kind", ["AUTORISATION", "MEDECIN_TRAITANT", "BLOCAGE", "OPPOSITION_ALIMENTATION"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 1)])
def test_of_two_consents_about_one_actor_the_refusal_wins(
    database: Database, kind: str, order: tuple[int, int]
) -> None:
    """TF-026: whatever the order in which they were decided or stored."""
    put_record(database)
    with database.transaction() as tx:
        for number, (decision, decided) in enumerate(zip(("permit", "deny"), order, strict=True)):
            put_consent(tx, number, kind, decision, ("Practitioner", ME), decided=decided)
    found = standing(database)
    assert found.permits == ()
    assert found.treating_physicians == frozenset()
    assert found.blocked == (frozenset({ME}) if kind == "BLOCAGE" else frozenset())
    assert found.feeding_opposed == (frozenset({ME}) if kind == "OPPOSITION_ALIMENTATION" else frozenset())


def test_a_refusal_takes_back_no_right_of_another_nor_outside_its_period(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 1, "AUTORISATION", "permit", ("Practitioner", ME))
        put_consent(tx, 2, "AUTORISATION", "deny", ("Practitioner", OTHER))
        put_consent(tx, 3, "AUTORISATION", "deny", ("Practitioner", ME), period_high=NOW)
        put_consent(tx, 4, "AUTORISATION", "deny", ("Practitioner", ME), period_low=NOW + 1)
    assert [permit.actor for permit in standing(database).permits] == [ME]


@pytest.mark.parametrize(
    "changes",
    [
        *({"status": status} for status in ("draft", "proposed", "rejected", "inactive", "entered-in-error")),
        {"period_low": NOW + 1},
        {"kind": "RECHERCHE"},
        {"decision": "deny"},
    ],
)
def test_a_consent_that_is_not_in_force_gives_nothing(database: Database, changes: dict[str, Any]) -> None:
    """TF-027."""
    put_record(database)
    with database.transaction() as tx:
        for number, kind in enumerate(("AUTORISATION", "MEDECIN_TRAITANT")):
            values = {"kind": kind, "decision": "permit"} | changes
            put_consent(tx, number, values.pop("kind"), values.pop("decision"), ("Practitioner", ME), **values)
    found = standing(database)
    assert (found.permits, found.treating_physicians) == ((), frozenset())


@pytest.mark.parametrize(("low", "high", "valid"), [(NOW, NOW + 1, True), (0, NOW, False), (NOW + 1, NOW + 2, False)])
def test_a_period_begins_with_its_first_instant_and_ends_before_its_last(
    database: Database, low: int, high: int, valid: bool
) -> None:
    """TF-025: [low, high)."""
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 1, "AUTORISATION", "permit", ("Practitioner", ME), period_low=low, period_high=high)
        put_consent(tx, 2, "DELEGATION", "permit", ("RelatedPerson", "helper"), period_low=low, period_high=high)
    found = standing(database)
    assert any(permit.start_ms <= NOW < permit.end_ms for permit in found.permits) == valid
    assert found.helpers == (frozenset({"helper"}) if valid else frozenset())


def test_a_helper_is_named_by_number_or_by_the_person_around_the_patient(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        put_consent(tx, 1, "DELEGATION", "permit", ("RelatedPerson", "daughter"))
        put_consent(tx, 2, "DELEGATION", "permit", ("RelatedPerson", OTHER))
        put_party(tx, "RelatedPerson", "daughter")
        put_token(tx, "RelatedPerson", "daughter", "identifier", SYSTEM, PARENT)
    assert standing(database).helpers == {PARENT, OTHER}


def test_grants_of_one_person_that_still_count(database: Database) -> None:
    put_record(database)
    with database.transaction() as tx:
        for session, person, expires in (
            ("now", ME, NOW + 1),
            ("before", ME, NOW - DAY),
            ("long ago", ME, NOW - 31 * DAY),
            ("somebody", OTHER, NOW + 1),
        ):
            row = {"record_id": "r", "person": person, "structure": HERE, "session": session, "id": session}
            row |= {"purpose": "bris_de_glace", "person_name": "Dr", "motive": "m", "granted": 1, "expires": expires}
            tx.insert("emergency_grant", row | {"review": True})
    with database.snapshot() as reader:
        found = load_grants(reader, "r", ME, NOW)
    assert {grant.session for grant in found} == {"now", "before"}


def test_the_age_of_majority_is_a_setting() -> None:
    assert majority("2008-11-22", 16) == majority("2006-11-22")
