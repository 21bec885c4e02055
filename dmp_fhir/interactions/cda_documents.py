"""CDA documents on their way in: against their metadata, the record, what they replace, and their other versions.

A CDA says by itself which version of which document it is (setId, versionNumber) and what it replaces; the registry
holds it to that, per record, by a unique constraint (CI-SIS « Structuration minimale », versions; rules CDA-21,
CDA-23 and CDA-24).
"""

from __future__ import annotations

from dmp_fhir.interactions.gate import Writing
from dmp_fhir.outcome import Issue, refuse_all
from dmp_fhir.profiles.cda import Examined, patient_issues, replacement_issues
from dmp_fhir.profiles.cda_header import Header, UnreadableCda, read_cda, xpath
from dmp_fhir.profiles.cda_rules import Saying, breach, said
from dmp_fhir.profiles.named import Named, identifier_key
from dmp_fhir.profiles.submission import SubmittedDocument
from dmp_fhir.registry.documents import StoredDocument, stored_document
from dmp_fhir.registry.identifiers import Owner, claim, owner_of, release
from dmp_fhir.registry.payloads import content_of, payload_of
from dmp_fhir.registry.records import find_record
from dmp_fhir.registry.search.query import PatientByIdentifier
from dmp_fhir.store.payloads import PayloadDamaged

VERSION = "cdaVersion"


def other_patient(gate: Writing, record_id: str, document: SubmittedDocument) -> list[Issue]:
    """CDA-05 against the record: a number that the metadata do not state may be one of it all the same."""
    examined = document.examined
    if examined is None or examined.header is None:
        return []
    known = Named(document.tree).matricules()
    for number in examined.header.keys("recordTarget/patientRole/id"):
        system, _, value = number.partition("|")
        if number not in known and value and find_record(gate.reader, PatientByIdentifier(system, value)) == record_id:
            known.add(number)
    return patient_issues(examined, document.place, known)


def version_issues(
    gate: Writing, record_id: str, document: SubmittedDocument, replaced: list[StoredDocument]
) -> list[Issue]:
    """What the CDA says of its versions against what the lot does and the record holds. Refused when the setting makes
    it an error; else the warnings."""
    examined = document.examined
    if examined is None or examined.header is None:
        return []
    trees = [each.tree(gate.reader) for each in replaced]
    keys = [identifier_key(each.get("masterIdentifier", {})) for each in trees]
    issues = [] if None in keys else replacement_issues(examined, document.place, [each for each in keys if each])
    for old in replaced:
        issues += _succession(gate, record_id, examined, document.place, old)
    issues += _taken(gate, record_id, examined, document.place)
    errors = [each for each in issues if each.severity == "error"]
    if errors:
        refuse_all(409 if all(each.rule == "CDA-23" for each in errors) else 422, issues)
    return issues


def claim_version(gate: Writing, record_id: str, document: SubmittedDocument, document_id: str) -> None:
    """Remember setId and versionNumber. Raises UniqueViolation when another writer was first."""
    version = _version_key(record_id, document.examined.header if document.examined else None)
    if version is None:
        return
    owner = owner_of(gate.reader, VERSION, version)
    if owner and _is_deleted(gate, owner):
        release(gate.tx, VERSION, owner.resource_id, version)
        owner = None
    if owner is None:
        claim(gate.tx, VERSION, version, Owner(record_id, "DocumentReference", document_id, None))


def _version_key(record_id: str, header: Header | None) -> str | None:
    if header is None or header.set_key is None or header.version is None:
        return None
    return f"{record_id}|{header.set_key}|{header.version}"


def _is_deleted(gate: Writing, owner: Owner) -> bool:
    document = stored_document(gate.reader, owner.record_id, owner.resource_id)
    return document is None or document.facts.status == "entered-in-error"


def _taken(gate: Writing, record_id: str, examined: Examined, place: str) -> list[Issue]:
    version = _version_key(record_id, examined.header)
    owner = owner_of(gate.reader, VERSION, version) if version else None
    if owner is None or _is_deleted(gate, owner):
        return []
    return [_version_breach("CDA-23", examined, place, Saying("un autre document l'a déjà", "another document has it"))]


def _succession(gate: Writing, record_id: str, examined: Examined, place: str, old: StoredDocument) -> list[Issue]:
    previous, header = _stored_header(gate, record_id, old), examined.header
    if previous is None or previous.set_key is None or header is None or header.set_key is None:
        return []
    if header.set_key == previous.set_key and (header.version or 0) > (previous.version or 0):
        return []
    shown = said(f"setId {previous.set_key}, versionNumber {previous.version}")
    return [_version_breach("CDA-24", examined, place, shown)]


def _stored_header(gate: Writing, record_id: str, document: StoredDocument) -> Header | None:
    """The header of a document that is here already; None when it is no CDA."""
    payload = payload_of(gate.reader, record_id, document.id)
    if payload is None or "xml" not in payload.content_type:
        return None
    try:
        return read_cda(content_of(gate.reader, gate.exchange.services.payloads, record_id, payload))
    except (UnreadableCda, PayloadDamaged):
        return None  # nothing to succeed to; a damaged file is told to who reads it


def _version_breach(rule: str, examined: Examined, place: str, metadata: Saying) -> Issue:
    header = examined.header
    element = header.first("versionNumber") if header else None
    number = said(
        f"setId {header.set_key if header else None}, versionNumber {header.version if header else None}",
        xpath(element) if element is not None else "",
        element.sourceline if element is not None else None,
    )
    return breach(rule, examined.errors, f"{place}.content[0].attachment", number, metadata)
