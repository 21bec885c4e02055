"""Records (one per patient, one per INS) and how a submission or a search names them (D18)."""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import INS_SYSTEMS
from dmp_fhir.identity.identifiers import parse_ins
from dmp_fhir.outcome import refuse
from dmp_fhir.registry.search.query import PatientById, PatientByIdentifier
from dmp_fhir.registry.shelves import put_new, put_next
from dmp_fhir.registry.versions import Found
from dmp_fhir.store.database import Reader, Transaction
from dmp_fhir.store.identifiers import hidden, ins_row, keys_of
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]
Designator = PatientById | PatientByIdentifier


def find_record(reader: Reader, designator: Designator) -> str | None:
    """The record's id, or None. Only INS matricules name a record: local numbers and INS-C do not. They are looked up
    by their keyed hash (TF-159)."""
    if isinstance(designator, PatientById):
        row = reader.row("SELECT id FROM record WHERE id = :id AND status <> 'directory'", {"id": designator.id})
    elif designator.system:
        row = reader.row(
            "SELECT record_id FROM ins WHERE system = :system AND value = :value",
            {"system": designator.system, "value": hidden(reader, designator.value)},
        )
    else:
        rows = reader.rows(
            "SELECT record_id FROM ins WHERE system IN ("
            + ", ".join(f":s{n}" for n in range(len(INS_SYSTEMS)))
            + ") AND value = :value",
            {f"s{n}": system for n, system in enumerate(sorted(INS_SYSTEMS))}
            | {"value": hidden(reader, designator.value)},
        )
        row = rows[0] if len({each[0] for each in rows}) == 1 else None
    return row[0] if row else None


def designator_of(reference: Tree, base_url: str) -> Designator | None:
    """Whom a reference to a patient designates, when it says so itself: `Patient/id` (relative, or absolute at this
    server), `Patient?identifier=system|value`, or a logical reference. None for the others (`#id`, `urn:uuid:`)."""
    text = reference.get("reference", "").removeprefix(f"{base_url}/")
    if text.startswith("Patient/"):
        return PatientById(text.removeprefix("Patient/").partition("/_history/")[0])
    if text.startswith("Patient?"):
        wanted = dict(query_pairs(text.removeprefix("Patient?")) or ())
        system, bar, value = wanted.get("identifier", "").partition("|")
        if wanted.keys() == {"identifier"} and bar and value:
            return PatientByIdentifier(system, value)
    identifier = reference.get("identifier", {})
    if not text and identifier.get("value"):
        return PatientByIdentifier(identifier.get("system", ""), identifier["value"])
    return None


def ins_of(patient: Tree) -> list[PatientByIdentifier]:
    """The INS matricules that a Patient resource carries."""
    return [
        PatientByIdentifier(each["system"], each["value"])
        for each in patient.get("identifier", [])
        if each.get("system") in INS_SYSTEMS and each.get("value")
    ]


def create_record(
    tx: Transaction, record_id: str, patient: Tree, instant: int, systems: frozenset[str] = INS_SYSTEMS
) -> Found:
    """Open a record: the Patient, and its claim on its matricules (UniqueViolation when somebody has one).
    Refused (422) when one of them is none: two spellings of a matricule would be two records (TF-105); or when it is of
    none of `systems`, those that this registry serves."""
    keys_of(tx).make(record_id, instant)
    found = put_new(tx, record_id, patient, instant, {"clock": instant})
    _claim_ins(tx, record_id, patient, systems)
    return found


def update_record(
    tx: Transaction,
    record_id: str,
    patient: Tree,
    version: int,
    instant: int,
    systems: frozenset[str] = INS_SYSTEMS,
) -> Found:
    """The next version of the Patient. A suspension lasts whatever the Patient says (AR-12)."""
    tx.execute("DELETE FROM ins WHERE record_id = :record_id", {"record_id": record_id})
    _claim_ins(tx, record_id, patient, systems)
    suspended = tx.row("SELECT 1 FROM record WHERE id = :id AND status = 'suspended'", {"id": record_id})
    more = {"status": "suspended"} if suspended else None
    return put_next(tx, record_id, patient, version, instant, "PUT", more)


def _claim_ins(tx: Transaction, record_id: str, patient: Tree, systems: frozenset[str]) -> None:
    matricules = dict.fromkeys(ins_of(patient))
    if not matricules:
        refuse(
            422,
            "required",
            "Un dossier porte au moins un matricule INS (identifier, système urn:oid:1.2.250.1.213.1.4.8 à .11).",
            "A record carries at least one INS number (identifier, system urn:oid:1.2.250.1.213.1.4.8 to .11).",
            expression="Patient.identifier",
            rule="D18",
        )
    for each in matricules:
        parse_ins(each.system or "", each.value, systems=systems, expression="Patient.identifier")
        tx.insert("ins", ins_row(keys_of(tx), record_id, each.system or "", each.value))
