"""Emergency accesses over HTTP: their grant, its bounds, who is told, what waits for the privacy officer."""

from __future__ import annotations

from typing import Any

import orjson

from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.notify.sender import FileSender, send_all
from dmp_fhir.registry.grants import to_review
from tests.access.consents import Office, closing, consent
from tests.rest.bodies import CLAIRE, JULIEN, lot, mask
from tests.rest.caller import Caller

LEA = "urn:oid:1.2.250.1.213.1.4.10|212056912390317"
MOTIVE = "patiente inconsciente aux urgences"
MATRICULE = CLAIRE.rpartition("|")[2]
GRANTS = "SELECT person, structure, session, purpose, motive, expires - granted, review FROM emergency_grant"


def breaks(registry: Caller, session: str, *, motive: str = MOTIVE, by: str = "dr-chevalier", **claims: Any) -> int:
    path = f"DocumentReference?patient.identifier={CLAIRE}&status=current"
    claims = {"purpose": "bris_de_glace", "reason": motive, "token_id": session} | claims
    return registry.get(path, by=by, claims=claims).status


def test_one_grant_one_message_one_review_per_session(registry: Caller, office: Office) -> None:
    for _ in range(3):
        assert breaks(registry, "s1") == 200
    (grant,) = office.rows(GRANTS)
    assert grant[:5] == ("899700000229", "1990000010", "s1", "bris_de_glace", MOTIVE)
    assert (grant[5], bool(grant[6])) == (86_400_000, True)
    assert office.messages(CLAIRE, "emergency") == [
        ("patient", MATRICULE),
        ("treating_physician", "899700000112"),
    ]
    with office.services.database.snapshot() as reader:
        (waiting,) = to_review(reader)
    assert (waiting.person, waiting.motive) == ("899700000229", MOTIVE)
    assert waiting.record_id == office.record(CLAIRE)
    # Every read is in the trace, though told once.
    traced = office.rows(
        "SELECT COUNT(*) FROM audit_event WHERE record_id = :r AND purpose = :p AND outcome = '0' AND type = 'rest'",
        r=office.record(CLAIRE),
        p="bris_de_glace",
    )
    assert traced == [(3,)]
    # And each with the decision to disclose (BALP AuthZconsent).
    assert office.rows("SELECT COUNT(*) FROM audit_event WHERE type = '110113'") == [(3,)]


def test_another_session_needs_another_motive(registry: Caller, office: Office) -> None:
    assert breaks(registry, "s1") == 200
    assert breaks(registry, "s2") == 400
    assert breaks(registry, "s2", motive=f"  {MOTIVE.title()} ") == 400
    assert breaks(registry, "s2", motive="toujours inconsciente, choc hémorragique") == 200
    assert len(office.rows(GRANTS)) == 2
    # A colleague's grant is a colleague's: with the same words, it is his first.
    assert breaks(registry, "s3", by="dr-perrin") == 200
    assert len(office.rows(GRANTS)) == 3


def test_the_next_token_of_a_session_goes_on_with_it(registry: Caller, office: Office) -> None:
    """Tokens of Pro Santé Connect last two minutes: the grant is for the session of the professional (AR-50)."""
    for token in ("t1", "t2", "t3"):
        assert breaks(registry, token, sid="login-1") == 200
    ((_, _, session, *_),) = office.rows(GRANTS)
    assert session == "login-1"
    assert len(office.messages(CLAIRE, "emergency")) == 2
    assert breaks(registry, "t4", sid="login-2") == 400


def test_a_session_lasts_a_day_at_most(registry: Caller, office: Office) -> None:
    # Tokens are signed again for the same session: it is over all the same after a day.
    assert breaks(registry, "s1") == 200
    office.clock.advance(seconds=86_390)
    assert breaks(registry, "s1") == 200
    office.clock.advance(seconds=60)
    assert breaks(registry, "s1", motive="un autre motif pour la même session") == 403
    assert breaks(registry, "s2", motive="un autre motif dans une autre session") == 200


def test_closing_ends_the_grants_for_good(registry: Caller, office: Office) -> None:
    assert breaks(registry, "s1") == 200
    assert registry.create(closing(CLAIRE), by="patient-claire-martin").status == 201
    assert registry.create(consent("OUVERTURE", "permit", CLAIRE), by="patient-claire-martin").status == 201
    assert breaks(registry, "s1") == 403
    assert breaks(registry, "s2", motive="de nouveau inconsciente, autre jour") == 200


def test_a_refused_emergency_leaves_no_grant_and_no_message(registry: Caller, office: Office) -> None:
    assert breaks(registry, "s1", motive="vite") == 400
    assert breaks(registry, "s1", by="dr-roux") == 403  # blocked
    assert office.rows(GRANTS) == []
    assert office.messages(CLAIRE, "emergency") == []


def test_the_regulation_centre_is_told_but_not_reviewed(registry: Caller, office: Office) -> None:
    path = f"DocumentReference?patient.identifier={JULIEN}&status=current"
    answer = registry.get(path, by="dr-regnier", claims={"purpose": "centre_15", "token_id": "call"})
    assert answer.status == 200
    (grant,) = office.rows(GRANTS)
    assert (grant[3], bool(grant[6])) == ("centre_15", False)
    assert ("patient", JULIEN.rpartition("|")[2]) in office.messages(JULIEN, "emergency")


def test_the_first_access_of_a_professional_is_told_once(registry: Caller, office: Office) -> None:
    path = f"DocumentReference?patient.identifier={CLAIRE}&status=current"
    for _ in range(2):
        assert registry.get(path, by="dr-petit").status == 200
    assert office.messages(CLAIRE, "first-access") == [("patient", MATRICULE)]
    assert registry.get(path, by="infirmiere-robert").status == 200
    assert len(office.messages(CLAIRE, "first-access")) == 2
    assert registry.get(path, by="dr-moreau").status == 200  # the treating physician needs no authorisation
    assert len(office.messages(CLAIRE, "first-access")) == 2


def test_secret_acts_never_reach_the_representatives(registry: Caller, office: Office) -> None:
    path = f"DocumentReference?patient.identifier={LEA}&status=current"
    before = office.messages(LEA, "document")
    assert {kind for kind, _ in before} == {"patient", "representative"}
    secret = registry.provide(lot("secret", ins=LEA), by="dr-moreau", claims={"secret": True})
    assert secret.status == 200, secret.content
    assert office.messages(LEA, "document") == before
    assert registry.get(path, by="sage-femme-henry", claims={"secret": True}).status == 200
    assert {kind for kind, _ in office.messages(LEA, "first-access")} == {"patient"}
    kept = lot("kept", ins=LEA, securityLabel=[mask("INVISIBLE_REPRESENTANTS_LEGAUX")])
    assert registry.provide(kept, by="dr-moreau").status == 200
    told = office.messages(LEA, "document")
    assert [each for each in told if each[0] == "representative"] == [
        each for each in before if each[0] == "representative"
    ]
    assert len([each for each in told if each[0] == "patient"]) == 1 + len([e for e in before if e[0] == "patient"])


def test_a_document_that_awaits_its_announcement_is_not_told(registry: Caller, office: Office) -> None:
    before = len(office.messages(CLAIRE, "document"))
    hidden = registry.provide(lot("hidden", securityLabel=[mask("INVISIBLE_PATIENT")]))
    assert hidden.status == 200, hidden.content
    assert len(office.messages(CLAIRE, "document")) == before
    (address,) = [each for each in hidden.addresses if each.startswith("DocumentReference/")]
    shown = registry.patch(address, {"op": "remove", "path": "/securityLabel/1"})
    assert shown.status == 200, shown.content
    assert office.messages(CLAIRE, "document-visible") == [("patient", MATRICULE)]


def test_messages_say_nothing_of_health(registry: Caller, office: Office, tmp_path: Any) -> None:
    assert breaks(registry, "s1") == 200
    sender = FileSender(tmp_path / "outbox")
    waiting = office.rows("SELECT COUNT(*) FROM notification WHERE sent IS NULL")[0][0]
    assert send_all(office.services.database, sender, office.clock()) == waiting > 0
    assert send_all(office.services.database, sender, office.clock()) == 0
    files = sorted((tmp_path / "outbox").iterdir())
    assert len(files) == waiting
    for path in files:
        message = orjson.loads(path.read_bytes())
        assert message.keys() == {"id", "to", "kind", "at", "fr", "en"}
        assert (message["fr"], message["en"]) == TEXTS[message["kind"]]
        assert path.stat().st_mode & 0o077 == 0


def test_the_trace_names_the_matrix(registry: Caller, office: Office) -> None:
    path = f"DocumentReference?patient.identifier={CLAIRE}&status=current"
    assert registry.get(path, by="dr-petit").status == 200
    events = registry.get(f"AuditEvent?patient.identifier={CLAIRE}&_count=100", by="patient-claire-martin").matches
    named = [
        detail["valueString"]
        for each in events
        for entity in each["entity"]
        for detail in entity.get("detail", [])
        if detail["type"] == "matrix"
    ]
    assert office.services.policy.matrix.version in named
