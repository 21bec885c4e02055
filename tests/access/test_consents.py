"""Consents over HTTP: who decides, what is stored, what it entails on the very next request."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.canonicals import CONSENT_KIND_SYSTEM
from dmp_fhir.store.check import check
from tests.access.consents import Office, closing, consent, helper, professional, purposes, structure
from tests.rest.bodies import CLAIRE, JULIEN, lot
from tests.rest.caller import Caller

PETIT, COLIN, ROUX, ROBERT = "899700000146", "899700000120", "899700000138", "899700000187"
CLAIRE_HERSELF, JULIEN_HIMSELF = "patient-claire-martin", "patient-julien-martin"
MARCEL = "urn:oid:1.2.250.1.213.1.4.10|141025935090609"


def looks(registry: Caller, by: str, ins: str = CLAIRE, **claims: Any) -> int:
    path = f"DocumentReference?patient.identifier={ins}&status=current"
    return registry.get(path, by=by, claims=claims).status


def end_of(registry: Caller, tree: dict[str, Any], by: str, **claims: Any) -> str:
    answer = registry.create(tree, by=by, claims=claims)
    assert answer.status == 201, answer.content
    return registry.get(answer.address, by=by).tree["provision"]["period"]["end"]


# --- periods (D20) --------------------------------------------------------------------------------


def test_an_authorisation_without_end_gets_one(registry: Caller) -> None:
    assert looks(registry, "dr-chevalier", JULIEN) == 403
    given = consent("AUTORISATION", "permit", JULIEN, professional("899700000229"))
    assert end_of(registry, given, JULIEN_HIMSELF) == "2027-11-22"
    assert looks(registry, "dr-chevalier", JULIEN) == 200


def test_the_29th_of_february_ends_on_the_28th(registry: Caller) -> None:
    given = consent("AUTORISATION", "permit", JULIEN, professional(COLIN), dateTime="2024-02-29T10:00:00+01:00")
    assert end_of(registry, given, JULIEN_HIMSELF) == "2025-02-28"


def test_an_end_that_is_stated_is_kept(registry: Caller) -> None:
    period = {"start": "2026-11-22", "end": "2026-11-30"}
    given = consent("AUTORISATION", "permit", JULIEN, structure("1990000010"), provision={"period": period})
    assert end_of(registry, given, JULIEN_HIMSELF) == "2026-11-30"


def test_outside_the_declared_team_a_day(registry: Caller) -> None:
    """Marcel Durand has a declared team; Dr Petit is not of it (AR-26)."""
    given = consent("AUTORISATION", "permit", MARCEL, professional(PETIT))
    assert end_of(registry, given, "dr-petit", patient_agreement=True) == "2026-11-23T07:00:00.000Z"
    for_long = consent("AUTORISATION", "permit", JULIEN, professional(PETIT))
    assert end_of(registry, for_long, "dr-petit", patient_agreement=True) == "2027-11-22"


def team_consents(registry: Caller) -> list[dict[str, Any]]:
    kind = f"{CONSENT_KIND_SYSTEM}|EQUIPE"
    return registry.get(f"Consent?patient.identifier={MARCEL}&category={kind}", by="patient-marcel-durand").matches


def test_using_a_team_renews_it(registry: Caller, office: Office) -> None:
    """AR-25: twelve months from the latest use, written once a month at most; an end that was stated stays."""
    (stated,) = team_consents(registry)
    assert looks(registry, "infirmiere-robert", MARCEL) == 200
    assert team_consents(registry) == [stated]
    # The stated one lasts for decades: it goes, so that the other one alone is used.
    withdrawn = registry.ask(
        "PUT", f"Consent/{stated['id']}", stated | {"status": "inactive"}, by="patient-marcel-durand"
    )
    assert withdrawn.status == 200, withdrawn.content
    assert looks(registry, "infirmiere-robert", MARCEL) == 403
    team = stated["provision"]["actor"][0]["reference"]
    answer = registry.create(consent("EQUIPE", "permit", MARCEL, team), by="patient-marcel-durand")
    assert answer.status == 201, answer.content
    ends = []
    for months in (0, 2, 0, 11):
        office.clock.advance(seconds=months * 30 * 86_400)
        assert looks(registry, "infirmiere-robert", MARCEL) == 200
        given = next(each for each in team_consents(registry) if each["id"] != stated["id"])
        ends.append((given["meta"]["versionId"], given["provision"]["period"]["end"]))
    assert ends == [("1", "2027-11-22"), ("2", "2028-01-21"), ("2", "2028-01-21"), ("3", "2028-12-17")]
    traced = office.rows(
        "SELECT agent_id FROM audit_event WHERE entity_id = :id AND subtype = 'update' AND action = 'U'", id=given["id"]
    )
    assert traced == [(ROBERT,), (ROBERT,)]
    assert check(office.services.database, office.services.payloads) == []
    office.clock.advance(seconds=13 * 30 * 86_400)
    assert looks(registry, "infirmiere-robert", MARCEL) == 403
    assert next(each for each in team_consents(registry) if each["id"] == given["id"])["meta"]["versionId"] == "3"


def test_the_end_acts(registry: Caller, office: Office) -> None:
    given = consent("AUTORISATION", "permit", MARCEL, professional(PETIT))
    assert registry.create(given, by="dr-petit", claims={"patient_agreement": True}).status == 201
    assert looks(registry, "dr-colin", MARCEL) == 403
    elsewhere = {"structure": "1990000028"}
    assert looks(registry, "dr-petit", MARCEL, **elsewhere) == 200
    office.clock.advance(seconds=86_400)
    assert looks(registry, "dr-petit", MARCEL, **elsewhere) == 403


# --- blocks (AR-43) -------------------------------------------------------------------------------


def test_a_block_revokes_and_unblocking_restores_nothing(registry: Caller, office: Office) -> None:
    assert looks(registry, "dr-petit") == 200
    blocked = registry.create(consent("BLOCAGE", "deny", CLAIRE, professional(PETIT)), by=CLAIRE_HERSELF)
    assert blocked.status == 201
    assert looks(registry, "dr-petit") == 403
    active = (
        "SELECT COUNT(*) FROM consent WHERE actor_id = :actor AND status = 'active' AND kind = 'AUTORISATION'"
        " AND record_id = :record"
    )
    assert office.rows(active, actor=PETIT, record=office.record(CLAIRE)) == [(0,)]
    again = registry.create(consent("AUTORISATION", "permit", CLAIRE, professional(PETIT)), by=CLAIRE_HERSELF)
    assert (again.status, "AR-43" in again.rules) == (403, True)
    # The treating physician's colleague may record it without learning of the block: it dies with the block.
    quiet = registry.create(
        consent("AUTORISATION", "permit", CLAIRE, professional(PETIT)),
        by="infirmiere-robert",
    )
    assert quiet.status == 403  # no agreement attested
    quiet = registry.create(
        consent("AUTORISATION", "permit", CLAIRE, professional(PETIT)),
        by="infirmiere-robert",
        claims={"patient_agreement": True},
    )
    assert quiet.status == 201
    assert looks(registry, "dr-petit") == 403
    tree = registry.get(blocked.address, by=CLAIRE_HERSELF).tree | {"status": "inactive"}
    assert registry.ask("PUT", blocked.address, tree, by=CLAIRE_HERSELF).status == 200
    assert looks(registry, "dr-petit") == 403
    assert office.rows(active, actor=PETIT, record=office.record(CLAIRE)) == [(0,)]


def test_a_blocked_treating_physician_loses_the_status(registry: Caller) -> None:
    assert looks(registry, "dr-moreau") == 200
    answer = registry.create(consent("BLOCAGE", "deny", CLAIRE, professional("899700000112")), by=CLAIRE_HERSELF)
    assert answer.status == 201
    assert looks(registry, "dr-moreau") == 403
    tree = registry.get(answer.address, by=CLAIRE_HERSELF).tree | {"status": "inactive"}
    assert registry.ask("PUT", answer.address, tree, by=CLAIRE_HERSELF).status == 200
    assert looks(registry, "dr-moreau") == 403


def test_the_treating_physician_blocks_at_the_request_of_the_patient(registry: Caller, office: Office) -> None:
    answer = registry.create(consent("BLOCAGE", "deny", CLAIRE, professional(PETIT)), by="dr-moreau")
    assert answer.status == 201
    assert looks(registry, "dr-petit") == 403
    assert office.messages(CLAIRE, "decision") == [("patient", CLAIRE.rpartition("|")[2])]


# --- who may write which --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "kind", "decision", "actor", "status"),
    [
        (CLAIRE_HERSELF, "MEDECIN_TRAITANT", "permit", professional(COLIN), 201),
        (CLAIRE_HERSELF, "MASQUAGE_DEFAUT", "deny", None, 201),
        (CLAIRE_HERSELF, "OPPOSITION_ALIMENTATION", "deny", structure("1990000010"), 201),
        (CLAIRE_HERSELF, "URGENCE_BTG", "deny", None, 201),
        (JULIEN_HIMSELF, "URGENCE_BTG", "deny", None, 403),
        ("dr-moreau", "URGENCE_BTG", "deny", None, 403),
        ("dr-moreau", "MASQUAGE_DEFAUT", "deny", None, 403),
        ("dr-petit", "BLOCAGE", "deny", professional(COLIN), 403),
        ("dr-petit", "MEDECIN_TRAITANT", "permit", professional(COLIN), 403),
        ("infirmiere-robert", "MEDECIN_TRAITANT", "permit", professional(ROBERT), 403),
        ("chu-feeder", "AUTORISATION", "permit", structure("1990000010"), 403),
        ("exploitant", "AUTORISATION", "permit", professional(COLIN), 403),
        ("exploitant", "BLOCAGE", "deny", professional(COLIN), 403),
        ("dr-roux", "AUTORISATION", "permit", professional(ROUX), 403),
    ],
)
def test_who_may_write_which(
    registry: Caller, by: str, kind: str, decision: str, actor: dict[str, Any] | None, status: int
) -> None:
    before = registry.count("consent")
    answer = registry.create(
        consent(kind, decision, CLAIRE, actor), by=by, claims={"patient_agreement": by.startswith("dr-")}
    )
    assert answer.status == status, answer.content
    assert registry.count("consent") == before + (status == 201)


def test_a_patient_has_three_helpers(registry: Caller) -> None:
    numbers = ["269085935090740", "138014410990813", "285101305590966", "295042A00491071"]
    statuses = [
        registry.create(consent("DELEGATION", "permit", CLAIRE, helper(number)), by=CLAIRE_HERSELF).status
        for number in numbers
    ]
    assert statuses == [201, 201, 201, 403]


@pytest.mark.parametrize(
    ("changes", "expression"),
    [
        ({"provision": {"provision": [{"type": "deny"}]}}, "Consent.provision.provision"),
        ({"provision": {"dataPeriod": {"start": "2026"}}}, "Consent.provision.dataPeriod"),
        ({"provision": {"type": "deny"}, "kind": "EQUIPE"}, "Consent.provision.actor[0].reference"),
        ({"provision": {"purpose": purposes("HPAYMT")}}, "Consent.provision.purpose"),
        ({"provision": {"actor": []}}, "Consent.provision"),
        ({"scope": {"coding": [{"code": "research"}]}}, "Consent.scope"),
        ({"category": [{"coding": [{"code": "AUTORISATION"}]}]}, "Consent.category"),
        ({"kind": "BLOCAGE"}, "Consent.provision.type"),
        ({"kind": "URGENCE_BTG"}, "Consent.provision.actor"),
    ],
)
def test_what_the_registry_would_not_apply_is_refused(
    registry: Caller, changes: dict[str, Any], expression: str
) -> None:
    """TF-026, TF-027: a consent that says less than was understood gives a right that nobody gave."""
    changes = dict(changes)
    kind = changes.pop("kind", "AUTORISATION")
    before = registry.count("consent")
    answer = registry.create(consent(kind, "permit", CLAIRE, professional(COLIN), **changes), by=CLAIRE_HERSELF)
    assert answer.status == 422, answer.content
    assert any(issue.get("expression", [""])[0].startswith(expression) for issue in answer.tree["issue"]), (
        answer.content
    )
    assert registry.count("consent") == before


def test_the_decision_about_somebody_does_not_turn(registry: Caller) -> None:
    given = registry.create(consent("AUTORISATION", "permit", JULIEN, professional(COLIN)), by=JULIEN_HIMSELF)
    tree = registry.get(given.address, by=JULIEN_HIMSELF).tree
    turned = tree | {"provision": tree["provision"] | {"type": "deny"}}
    assert registry.ask("PUT", given.address, turned, by=JULIEN_HIMSELF).status == 422
    assert looks(registry, "dr-colin", JULIEN) == 200


# --- closing and reopening (AR-08 to AR-11) -------------------------------------------------------


@pytest.mark.parametrize("broken", [closing(CLAIRE, motive="AUTRE"), closing(CLAIRE, reason=None)])
def test_closing_needs_a_motive_and_a_reason(registry: Caller, broken: dict[str, Any]) -> None:
    answer = registry.create(broken, by=CLAIRE_HERSELF)
    assert (answer.status, "AR-09" in answer.rules) == (422, True)
    assert looks(registry, "dr-moreau") == 200


def test_after_closing_nothing_and_after_reopening_only_what_was_refused(registry: Caller, office: Office) -> None:
    opposed = registry.create(consent("URGENCE_BTG", "deny", CLAIRE), by=CLAIRE_HERSELF)
    assert opposed.status == 201
    assert looks(registry, "dr-petit") == 200
    closed = registry.create(closing(CLAIRE), by=CLAIRE_HERSELF)
    assert closed.status == 201
    for by in ("dr-moreau", "dr-petit", CLAIRE_HERSELF):
        assert looks(registry, by) == 403
    deposit = registry.provide(lot("after"), by="dr-moreau")
    assert (deposit.status, "DMP_FERME" in deposit.rules) == (403, True)
    (patient,) = registry.get(f"Patient?identifier={CLAIRE}").matches
    assert patient["active"] is False
    (told,) = [each for each in patient["extension"] if each["url"].endswith("dmp-fermeture")]
    parts = {each["url"]: each for each in told["extension"]}
    assert parts["dateFermeture"]["valueDate"] == "2026-11-22"
    assert parts["raisonFermeture"]["valueString"] == "Je ferme mon dossier."
    assert office.messages(CLAIRE, "record-closed") == [("patient", CLAIRE.rpartition("|")[2])]

    assert registry.create(consent("OUVERTURE", "permit", CLAIRE), by=CLAIRE_HERSELF).status == 201
    (patient,) = registry.get(f"Patient?identifier={CLAIRE}").matches
    assert patient["active"] is True
    assert not any(each["url"].endswith("dmp-fermeture") for each in patient.get("extension", []))
    assert looks(registry, CLAIRE_HERSELF) == 200
    assert looks(registry, "dr-petit") == 403  # authorisations don't come back
    assert looks(registry, "dr-moreau") == 403  # nor does the treating physician's status
    assert looks(registry, "dr-roux") == 403  # blocks do
    emergency = {"purpose": "bris_de_glace", "reason": "patiente inconsciente aux urgences"}
    assert looks(registry, "dr-chevalier", **emergency) == 403  # preferences do
    assert office.messages(CLAIRE, "record-reopened") == [("patient", CLAIRE.rpartition("|")[2])]


def test_the_operator_closes_and_a_professional_does_not(registry: Caller) -> None:
    assert registry.create(closing(CLAIRE), by="dr-moreau").status == 403
    assert registry.create(closing(CLAIRE, "DECES", "Décès."), by="exploitant").status == 201
    assert looks(registry, "dr-moreau") == 403


# --- the habilitation matrix over HTTP (AR-58) ----------------------------------------------------


def test_a_dentist_does_not_see_a_psychological_assessment(registry: Caller) -> None:
    coding = {"coding": [{"system": "http://loinc.org", "code": "83901-9"}]}
    deposited = registry.provide(lot("psy", ins=JULIEN, type=coding))
    assert deposited.status == 200, deposited.content
    (address,) = [each for each in deposited.addresses if each.startswith("DocumentReference/")]
    assert registry.get(address, by="dr-moreau").status == 200
    assert registry.get(address, by=JULIEN_HIMSELF).status == 200
    hidden = registry.get(address, by="dr-masson")
    assert (hidden.status, hidden.rules) == (404, {"D14"})
    listed = registry.get(f"DocumentReference?patient.identifier={JULIEN}&status=current", by="dr-masson")
    assert address not in {f"DocumentReference/{each['id']}" for each in listed.matches}
    with registry.database.snapshot() as reader:
        rows = reader.rows(
            "SELECT COUNT(*) FROM audit_event WHERE entity_id = :id AND outcome = '4'",
            {"id": address.partition("/")[2]},
        )
    assert rows[0][0] >= 1
