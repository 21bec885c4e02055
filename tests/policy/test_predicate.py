"""The two faces of the rules agree, row by row, on real tables of both databases."""

from __future__ import annotations

from dataclasses import replace

from dmp_fhir.audit.placing import append_rows
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import decide
from dmp_fhir.policy.facts import author_key
from dmp_fhir.policy.predicate import audit_predicate, consent_predicate, document_predicate, list_predicate
from dmp_fhir.policy.standing import Permit
from dmp_fhir.store.database import Database
from tests.policy.worlds import (
    DOCTOR,
    FEEDER,
    HERE,
    MATRICULE,
    ME,
    MINOR,
    NOW,
    OPEN,
    OTHER,
    PARENT_CONTEXT,
    PATIENT,
    ROLES,
    documents,
    standings,
)
from tests.store.rows import trace

_FLAGS = ("masked_professionals", "hidden_patient", "hidden_representatives")
_LABELS = ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")


def store(database: Database) -> dict[str, object]:
    """Insert a record and all the documents of the small world; the facts by document id."""
    facts = {f"d{n}": document for n, document in enumerate(documents())}
    with database.transaction() as tx:
        tx.insert(
            "record", {"id": "record", "status": "open", "version": 1, "created": 1, "last_updated": 1, "clock": 1}
        )
        for number, document in facts.items():
            row = {
                "record_id": "record",
                "id": number,
                "version": 1,
                "created": document.deposited_ms,
                "last_updated": 1,
                "status": document.status,
                "archived": document.archived,
                "type_system": document.type_system,
                "type_code": document.type_code,
            }
            row |= {flag: label in document.labels for flag, label in zip(_FLAGS, _LABELS, strict=True)}
            authors = [(kind, name) for kind in ("person", "structure", "patient") for name in document.authors(kind)]
            tx.insert("document", row | {"author_key": author_key(authors)})
            for kind, name in authors:
                tx.insert(
                    "document_author",
                    {"record_id": "record", "document_id": number, "kind": kind, "identifier": name},
                )
    return facts


def test_the_predicate_finds_exactly_what_may_be_read(database: Database) -> None:
    facts = store(database)
    compared = found = 0
    with database.snapshot() as reader:
        for context in ROLES:
            for standing in list(standings())[::11]:
                standing = replace(standing, record_id="record")
                predicate = document_predicate(context, standing, NOW)
                rows = reader.rows(f"SELECT d.id FROM document d WHERE {predicate.sql}", dict(predicate.params))
                seen = {row[0] for row in rows}
                expected = {
                    number
                    for number, document in facts.items()
                    if decide(context, Action.DOC_READ, standing, document, NOW).permit
                }
                assert seen == expected, (context, standing)
                compared += len(facts)
                found += len(seen)
    assert compared > 100_000
    assert found > 1_000


def test_finding_by_identifier_adds_own_documents_only(database: Database) -> None:
    facts = store(database)
    stranger = replace(OPEN, permits=())
    blocked = replace(OPEN, permits=(Permit("Practitioner", ME),), blocked=frozenset({ME}))
    with database.snapshot() as reader:
        for context, standing in ((DOCTOR, stranger), (DOCTOR, blocked), (FEEDER, OPEN)):
            predicate = document_predicate(context, standing, NOW, action=Action.DOC_FINDID)
            rows = reader.rows(f"SELECT d.id FROM document d WHERE {predicate.sql}", dict(predicate.params))
            expected = {
                number
                for number, document in facts.items()
                if decide(context, Action.DOC_ARCHIVE, standing, document, NOW).permit
            }
            assert {row[0] for row in rows} == expected
            assert expected


def put_lists(database: Database) -> None:
    with database.transaction() as tx:
        for number, kind, depositor, entries in (
            ("visible", "submissionset", ("person", OTHER), ("open", "masked")),
            ("hidden", "folder", ("person", OTHER), ("masked",)),
            ("mine", "submissionset", ("person", ME), ("masked",)),
            ("empty", "folder", ("patient", MATRICULE), ()),
        ):
            tx.insert(
                "document_list",
                {
                    "record_id": "record",
                    "id": number,
                    "version": 1,
                    "created": 1,
                    "last_updated": 1,
                    "kind": kind,
                    "status": "current",
                    "archived": False,
                    "depositor_kind": depositor[0],
                    "depositor_id": depositor[1],
                },
            )
            for position, target in enumerate(entries):
                tx.insert(
                    "list_entry",
                    {
                        "record_id": "record",
                        "list_id": number,
                        "position": position,
                        "target_type": "DocumentReference",
                        "target_id": target,
                    },
                )
        for number, masked in (("open", False), ("masked", True)):
            tx.insert(
                "document",
                {
                    "record_id": "record",
                    "id": number,
                    "version": 1,
                    "created": NOW,
                    "last_updated": 1,
                    "status": "current",
                    "archived": False,
                    "masked_professionals": masked,
                    "hidden_patient": False,
                    "hidden_representatives": masked,
                },
            )


def test_a_list_is_seen_through_its_documents(database: Database) -> None:
    put_lists(database)
    authorised = replace(OPEN, permits=(Permit("Practitioner", ME),))
    expected = (
        (DOCTOR, authorised, {"visible", "mine", "empty"}),
        (DOCTOR, replace(OPEN, treating_physicians=frozenset({ME})), {"visible", "hidden", "mine", "empty"}),
        (DOCTOR, OPEN, set()),
        (FEEDER, OPEN, set()),
        (PATIENT, OPEN, {"visible", "hidden", "mine", "empty"}),
        (PARENT_CONTEXT, MINOR, {"visible", "empty"}),
    )
    with database.snapshot() as reader:
        for context, standing, lists in expected:
            predicate = list_predicate(context, standing, NOW)
            rows = reader.rows(f"SELECT l.id FROM document_list l WHERE {predicate.sql}", dict(predicate.params))
            assert {row[0] for row in rows} == lists, context


def test_consents_are_for_the_patient_side_the_treating_physician_and_those_they_name(database: Database) -> None:
    with database.transaction() as tx:
        for number, kind, actor in (
            ("mine", "AUTORISATION", ME),
            ("here", "AUTORISATION", HERE),
            ("other", "BLOCAGE", OTHER),
            ("preference", "URGENCE_BTG", None),
        ):
            tx.insert(
                "consent",
                {
                    "record_id": "record",
                    "id": number,
                    "version": 1,
                    "created": 1,
                    "last_updated": 1,
                    "status": "active",
                    "kind": kind,
                    "decision": "permit",
                    "actor_id": actor,
                    "decided": 1,
                },
            )
    everything = {"mine", "here", "other", "preference"}
    expected = (
        (DOCTOR, OPEN, {"mine", "here"}),
        (DOCTOR, replace(OPEN, treating_physicians=frozenset({ME})), everything),
        (DOCTOR, replace(OPEN, blocked=frozenset({ME})), set()),
        (PATIENT, OPEN, everything),
        (PARENT_CONTEXT, OPEN, set()),
        (PARENT_CONTEXT, MINOR, everything),
        (FEEDER, OPEN, set()),
    )
    with database.snapshot() as reader:
        for context, standing, consents in expected:
            predicate = consent_predicate(context, standing, NOW)
            rows = reader.rows(f"SELECT c.id FROM consent c WHERE {predicate.sql}", dict(predicate.params))
            assert {row[0] for row in rows} == consents, (context, standing)


def test_traces_follow_what_their_reader_may_see(database: Database) -> None:
    put_lists(database)
    with database.transaction() as tx:
        for number, agent, entity, secret in (
            ("mine-open", ME, ("DocumentReference", "open"), False),
            ("mine-masked", ME, ("DocumentReference", "masked"), False),
            ("mine-search", ME, ("", ""), False),
            ("other-open", OTHER, ("DocumentReference", "open"), False),
            ("other-list", OTHER, ("List", "hidden"), False),
            ("other-secret", OTHER, ("", ""), True),
        ):
            about = {"agent_id": agent, "entity_type": entity[0], "entity_id": entity[1], "secret": secret}
            tx.at_the_end(append_rows, [trace("record", number) | about])
    everything = {"mine-open", "mine-masked", "mine-search", "other-open", "other-list", "other-secret"}
    expected = (
        (DOCTOR, replace(OPEN, permits=(Permit("Practitioner", ME),)), {"mine-open", "mine-search"}),
        (DOCTOR, replace(OPEN, treating_physicians=frozenset({ME})), everything),
        (PATIENT, OPEN, everything),
        (PARENT_CONTEXT, MINOR, {"mine-open", "mine-search", "other-open"}),
        (PARENT_CONTEXT, OPEN, set()),
        (FEEDER, OPEN, set()),
    )
    with database.snapshot() as reader:
        for context, standing, traces in expected:
            predicate = audit_predicate(context, standing, NOW)
            rows = reader.rows(f"SELECT a.id FROM audit_event a WHERE {predicate.sql}", dict(predicate.params))
            assert {row[0] for row in rows} == traces, (context, standing)
