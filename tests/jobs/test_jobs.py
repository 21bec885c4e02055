"""What happens by itself: when it is due, once, with its trace, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from dmp_fhir.jobs import Done, years_before
from dmp_fhir.registry import lifecycle
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.check import check
from tests.access.consents import Office, closing, consent
from tests.rest.bodies import CLAIRE, JULIEN, lot, mask
from tests.rest.caller import Caller

Run = Callable[[], Done]
DAY = 86_400
MATRICULE = CLAIRE.rpartition("|")[2]
LEA = "urn:oid:1.2.250.1.213.1.4.10|212056912390317"
HENRI = "urn:oid:1.2.250.1.213.1.4.10|138014410990813"
CLAIRE_HERSELF, JULIEN_HIMSELF = "patient-claire-martin", "patient-julien-martin"


def hidden(registry: Caller, name: str = "hidden", ins: str = JULIEN, *more: str) -> str:
    labels = [mask("INVISIBLE_PATIENT"), *(mask(each) for each in more)]
    answer = registry.provide(lot(name, ins=ins, securityLabel=labels))
    assert answer.status == 200, answer.content
    return next(each for each in answer.addresses if each.startswith("DocumentReference/"))


def test_nothing_is_due_in_a_fresh_world(run: Run) -> None:
    done = run()
    assert (done.notices, done.lifted, done.closed, done.erased, done.cleaned) == (0, 0, 0, 0, 0)
    assert done.sent > 0
    assert run().sent == 0


def test_notice_at_two_weeks_then_visible_after_a_month(registry: Caller, office: Office, run: Run) -> None:
    address = hidden(registry)
    assert registry.get(address, by=JULIEN_HIMSELF).status == 404
    office.clock.advance(seconds=14 * DAY - 60)
    run()
    assert office.messages(JULIEN, "announcement") == []
    office.clock.advance(seconds=120)
    assert (run().notices, run().notices) == (1, 0)
    assert office.messages(JULIEN, "announcement") == [("patient", JULIEN.rpartition("|")[2])]
    assert registry.get(address, by=JULIEN_HIMSELF).status == 404

    office.clock.advance(seconds=15 * DAY)  # 21 December: not the same day of the next month yet
    run()
    assert registry.get(address, by="dr-moreau").tree["meta"]["versionId"] == "1"
    office.clock.advance(seconds=DAY)
    assert (run().lifted, run().lifted) == (1, 0)
    seen = registry.get(address, by=JULIEN_HIMSELF)
    assert seen.status == 200
    assert [label["coding"][0]["code"] for label in seen.tree["securityLabel"]] == ["N"]
    assert seen.tree["meta"]["versionId"] == "2"
    assert office.messages(JULIEN, "document-visible") == [("patient", JULIEN.rpartition("|")[2])]
    ((agent, record_id, event_id, body),) = office.rows(
        "SELECT agent_id, record_id, id, body FROM audit_event WHERE entity_id = :id AND subtype = 'patch'",
        id=address.partition("/")[2],
    )
    assert agent == "dmp-fhir"
    opened = open_body(office.services.database.keys, record_id, event_place(record_id, event_id), body)
    details = orjson.loads(opened)["entity"][0]["detail"]
    assert {"type": "rule", "valueString": "AR-64"} in details


def test_what_is_hidden_from_representatives_is_not_told_to_them(registry: Caller, office: Office, run: Run) -> None:
    hidden(registry, "secret", LEA, "INVISIBLE_REPRESENTANTS_LEGAUX")
    hidden(registry, "plain", LEA)
    office.clock.advance(seconds=14 * DAY + 1)
    run()
    kinds = [kind for kind, _ in office.messages(LEA, "announcement")]
    assert (kinds.count("patient"), kinds.count("representative")) == (2, 2)  # two parents, one message each


@pytest.mark.parametrize("end", ["deleted", "closed"])
def test_nothing_of_a_deleted_document_or_a_closed_record(registry: Caller, office: Office, run: Run, end: str) -> None:
    address = hidden(registry)
    if end == "deleted":
        assert registry.ask("DELETE", address).status == 204
    else:
        assert registry.create(closing(JULIEN), by=JULIEN_HIMSELF).status == 201
    office.clock.advance(seconds=40 * DAY)
    run()
    assert office.messages(JULIEN, "announcement") == []
    assert office.messages(JULIEN, "document-visible") == []


def test_a_suspension_without_objection_ends_in_closure(registry: Caller, office: Office, run: Run) -> None:
    record_id = office.record(CLAIRE)
    office.services.database.write(lambda tx: lifecycle.suspend(tx, record_id, office.clock()))
    assert registry.get(f"DocumentReference?patient.identifier={CLAIRE}&status=current").status == 403
    patient = registry.get(f"Patient/{record_id}", by="exploitant").tree
    assert registry.ask("PUT", f"Patient/{record_id}", patient, by="exploitant").status == 200
    assert office.rows("SELECT status FROM record WHERE id = :id", id=record_id) == [("suspended",)]
    office.clock.advance(seconds=41 * DAY)
    assert run().closed == 0
    office.clock.advance(seconds=DAY + 1)
    assert (run().closed, run().closed) == (1, 0)
    assert office.rows("SELECT status FROM record WHERE id = :id", id=record_id) == [("closed",)]
    assert office.messages(CLAIRE, "record-closed") == [("patient", MATRICULE)]


def test_a_suspension_that_ended_changes_nothing(registry: Caller, office: Office, run: Run) -> None:
    record_id = office.record(CLAIRE)
    office.services.database.write(lambda tx: lifecycle.suspend(tx, record_id, office.clock()))
    office.services.database.write(lambda tx: lifecycle.resume(tx, record_id))
    office.clock.advance(seconds=60 * DAY)
    assert run().closed == 0
    assert registry.get(f"DocumentReference?patient.identifier={CLAIRE}&status=current").status == 200


def content_of(office: Office, record_id: str) -> dict[str, int]:
    return {
        table: office.rows(f"SELECT COUNT(*) FROM {table} WHERE record_id = :id", id=record_id)[0][0]
        for table in lifecycle.CONTENT
    }


def test_a_record_is_destroyed_ten_years_after_its_closing(registry: Caller, office: Office, run: Run) -> None:
    """Henri Leroy closed his on 18 September 2025."""
    record_id = office.record(HENRI)
    assert content_of(office, record_id)["resource_version"] > 3
    # The messages of the fixtures are sent by the way.
    counted = "SELECT COUNT(*) FROM audit_event WHERE record_id = :id AND entity_type <> 'Communication'"
    traces = office.rows(counted, id=record_id)[0][0]
    until = datetime(2035, 9, 18, tzinfo=UTC).timestamp()
    office.clock.now = int(until * 1000)
    assert run().erased == 0
    office.clock.advance(seconds=DAY)
    assert (run().erased, run().erased) == (1, 0)
    assert set(content_of(office, record_id).values()) == {0}
    assert office.rows("SELECT 1 FROM record WHERE id = :id", id=record_id) == []
    assert office.rows(counted, id=record_id) == [(traces + 1,)]
    assert check(office.services.database, office.services.payloads) == []


def test_erasure_on_request_then_a_new_empty_record(registry: Caller, office: Office, run: Run) -> None:
    record_id = office.record(CLAIRE)
    patient = registry.get(f"Patient/{record_id}", by="exploitant").tree
    files = set(office.services.payloads.folder.rglob("*"))
    office.services.database.write(lambda tx: lifecycle.ask_erasure(tx, record_id, office.clock()))
    assert run().erased == 0  # an open record is not erased
    assert registry.create(closing(CLAIRE), by=CLAIRE_HERSELF).status == 201
    office.services.database.write(lambda tx: lifecycle.ask_erasure(tx, record_id, office.clock()))
    office.clock.now = max(office.clock.now, 4_000_000_000_000)  # the bytes are older than the grace time
    assert run().erased == 2  # and Henri Leroy's, whose ten years are over
    assert set(content_of(office, record_id).values()) == {0}
    assert len(set(office.services.payloads.folder.rglob("*"))) < len(files)
    assert check(office.services.database, office.services.payloads) == []
    fresh = {name: value for name, value in patient.items() if name not in ("id", "meta", "extension")}
    assert registry.create(fresh | {"active": True}, by="exploitant").status == 201
    assert office.record(CLAIRE) != record_id
    found = registry.get(f"DocumentReference?patient.identifier={CLAIRE}&status=current", by=CLAIRE_HERSELF)
    assert (found.status, found.matches) == (200, [])


def test_only_an_erased_record_loses_versions(office: Office) -> None:
    record_id = office.record(CLAIRE)
    with pytest.raises(Exception, match="append-only"):
        office.services.database.write(
            lambda tx: tx.execute("DELETE FROM resource_version WHERE record_id = :id", {"id": record_id})
        )


def test_reopening_forgets_the_request_of_erasure(registry: Caller, office: Office, run: Run) -> None:
    record_id = office.record(CLAIRE)
    assert registry.create(closing(CLAIRE), by=CLAIRE_HERSELF).status == 201
    office.services.database.write(lambda tx: lifecycle.ask_erasure(tx, record_id, office.clock()))
    assert registry.create(consent("OUVERTURE", "permit", CLAIRE), by=CLAIRE_HERSELF).status == 201
    assert registry.create(closing(CLAIRE), by=CLAIRE_HERSELF).status == 201
    assert run().erased == 0


def test_clean_up_keeps_what_must_not_be_told_twice(registry: Caller, office: Office, run: Run) -> None:
    path = f"DocumentReference?patient.identifier={CLAIRE}&status=current"
    assert registry.get(path, by="dr-petit").status == 200
    claims = {"purpose": "bris_de_glace", "reason": "patiente inconsciente aux urgences", "token_id": "s1"}
    assert registry.get(path, by="dr-chevalier", claims=claims).status == 200
    run()
    office.clock.advance(seconds=91 * DAY)
    assert run().cleaned > 0
    assert len(office.messages(CLAIRE, "first-access")) == 1
    assert office.messages(CLAIRE, "document") == []
    # Not reviewed yet: it stays in the queue.
    assert office.rows("SELECT COUNT(*) FROM emergency_grant") == [(1,)]


@pytest.mark.parametrize(
    ("now", "then"), [("2036-02-29T10:00:00", "2026-02-28T10:00:00"), ("2035-09-18T00:00:00", "2025-09-18T00:00:00")]
)
def test_ten_years_before(now: str, then: str) -> None:
    def instant(text: str) -> int:
        return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)

    assert years_before(instant(now), 10) == instant(then)
