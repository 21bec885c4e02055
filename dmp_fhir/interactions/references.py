"""References of a submission: to the patient, inside the lot, to documents of the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dmp_fhir.interactions.conditions import one_identifier
from dmp_fhir.interactions.gate import Gate
from dmp_fhir.outcome import refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.refusals import refuse_record
from dmp_fhir.registry.documents import StoredDocument, stored_document
from dmp_fhir.registry.identifiers import UNIQUE_ID, key_of, owner_of
from dmp_fhir.registry.records import Designator, designator_of, find_record, ins_of
from dmp_fhir.store.database import Reader
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]

# The element that names the record of what is around a patient.
RECORD_ELEMENT = {"RelatedPerson": "patient", "CareTeam": "subject", "Consent": "patient", "List": "subject"}


def patient_designators(tree: Tree, base_url: str) -> Iterator[tuple[str, Designator]]:
    """Every mention of a patient in a DocumentReference or List, with its FHIRPath relative to the resource (D18):
    the subject, and the INS of contained patients."""
    subject = tree.get("subject", {})
    designator = designator_of(subject, base_url)
    if designator:
        yield "subject", designator
    for n, each in enumerate(tree.get("contained", [])):
        if each.get("resourceType") == "Patient":
            for ins in ins_of(each):
                yield f"contained[{n}].identifier", ins


def one_record(gate: Gate, mentions: Iterable[tuple[str, Designator]]) -> str | None:
    """The record that all mentions designate; None when it is not here. 422 when they do not agree (TF-033)."""
    places: dict[Designator, str] = {}
    for expression, designator in mentions:
        places.setdefault(designator, expression)
    found: dict[str | None, str] = {}
    for designator, expression in places.items():
        found.setdefault(find_record(gate.reader, designator), expression)
    if len(found) > 1:
        refuse(
            422,
            "business-rule",
            "Toutes les mentions du patient doivent désigner le même dossier : vérifiez ses identifiants.",
            "All mentions of the patient must designate the same record: check the identifiers.",
            expression=next(reversed(found.values())),
            rule="LOT-09",
            xds="XDSPatientIdDoesNotMatch",
        )
    if not found:
        refuse(
            422,
            "required",
            "Désignez le patient (subject) par son INS : Patient?identifier=urn:oid:…|matricule, ou identifier.",
            "Designate the patient (subject) by the INS number: Patient?identifier=urn:oid:…|number, or identifier.",
            expression="subject",
            rule="D18",
        )
    return next(iter(found))


def record_of(gate: Gate, tree: Tree) -> str:
    """The record that a resource around a patient belongs to, by its patient or subject (D18); refused like a record
    that one may not open when there is none (D27)."""
    element = RECORD_ELEMENT[tree["resourceType"]]
    designator = designator_of(tree.get(element, {}), gate.exchange.base_url)
    record_id = one_record(gate, [(f"{tree['resourceType']}.{element}", designator)] if designator else [])
    return record_id or refuse_record(gate.decide(Action.DOC_LIST, None))


def subject_of(tree: Tree, record_id: str) -> Tree:
    """The subject as stored: a literal reference, the rest of what the client said kept."""
    kept = {name: value for name, value in tree.get("subject", {}).items() if name != "reference"}
    return {"reference": f"Patient/{record_id}"} | kept


_NESTED = frozenset({dict, list})


def rewritten(value: Any, addresses: Mapping[str, str]) -> Any:
    """A tree in which references to addresses of the lot are references to what they became."""
    if isinstance(value, dict):
        return {
            name: rewritten(each, addresses)
            if type(each) in _NESTED
            else (addresses.get(each, each) if name == "reference" and isinstance(each, str) else each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [rewritten(each, addresses) for each in value]
    return value


def document_named(gate: Gate, record_id: str, reference: Tree) -> StoredDocument | None:
    """The document of the record that a reference names, by id or by identifier; None when there is none, or when
    it was deleted. Rights are the caller's to check."""
    text = reference.get("reference", "").removeprefix(f"{gate.exchange.base_url}/")
    identifier = reference.get("identifier", {})
    document = None
    if text.startswith("DocumentReference/"):
        document = stored_document(gate.reader, record_id, text.split("/")[1])
    elif text.startswith("DocumentReference?"):
        wanted = dict(query_pairs(text.removeprefix("DocumentReference?")) or ())
        named = one_identifier(wanted.get("identifier", ""))
        document = document_identified(gate, record_id, named) if named else None
    elif identifier:
        document = document_identified(gate, record_id, identifier)
    return document if document and document.facts.status != "entered-in-error" else None


def document_identified(gate: Gate, record_id: str, identifier: Tree) -> StoredDocument | None:
    """By uniqueId, or by any entryUUID that the document ever had (D2)."""
    key = key_of(identifier)
    owner = owner_of(gate.reader, UNIQUE_ID, key) if key else None
    if owner and owner.record_id == record_id and owner.resource_type == "DocumentReference":
        return stored_document(gate.reader, record_id, owner.resource_id)
    document_id = identified_by_entry(gate.reader, record_id, identifier)
    return stored_document(gate.reader, record_id, document_id) if document_id else None


def identified_by_entry(reader: Reader, record_id: str, identifier: Tree) -> str:
    """The id of the document of a record that has or had an entryUUID; empty when there is none."""
    row = reader.row(
        "SELECT resource_id FROM search_token WHERE record_id = :record_id AND resource_type = 'DocumentReference'"
        " AND parameter = 'identifier' AND code = :code",
        {"record_id": record_id, "code": identifier.get("value", "")},
    )
    return str(row[0]) if row else ""
