"""Provide Document Bundle [ITI-65], PDSm flux 01 and 02, DMP TD2 and TD2.1.

https://profiles.ihe.net/ITI/MHD/ITI-65.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dmp_fhir.ids import new_id
from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.cda_documents import other_patient
from dmp_fhir.interactions.conditions import etag, require_match
from dmp_fhir.interactions.conformance import refuse_errors
from dmp_fhir.interactions.folders import create_folder, folder_named, known_folder, replace_folder
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.references import document_named, one_record, patient_designators, rewritten
from dmp_fhir.interactions.services import Services
from dmp_fhir.interactions.submitting import Receipt, submit
from dmp_fhir.outcome import Issue, error, not_found, operation_outcome, refuse, refuse_all
from dmp_fhir.policy.actions import Action
from dmp_fhir.profiles.checks import lot_issues
from dmp_fhir.profiles.submission import Submission, SubmittedFolder, read_submission
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.registry.records import Designator, designator_of, ins_of
from dmp_fhir.registry.shelves import current
from dmp_fhir.registry.versions import Found
from dmp_fhir.wire.patches import changes_of_parameters

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot that was read and checked, as far as that needs no database: no record is locked meanwhile."""

    submission: Submission
    remarks: list[Issue]


def read_lot(walk: Walk, services: Services) -> Lot:
    """Read a sound provide bundle and note what its profiles have to say, at the level of the settings, and how its CDA
    documents differ from their metadata. A lot that is no whole is told only that."""
    submission, settings = read_submission(walk.tree), services.settings
    if any(each.severity == "error" for each in submission.issues):
        return Lot(submission, submission.issues)
    issues = lot_issues(services.validator, walk, submission, settings.profile_level, settings.cda_check)
    return Lot(submission, issues)


def provide(gate: Writing, lot: Lot) -> list[Tree]:
    """Deposit the lot; one response entry per request entry, in the same order."""
    submission = lot.submission
    refuse_errors(submission.issues)
    record_id = one_record(gate, _mentions(submission, gate.exchange.base_url))
    gate.permit(Action.DOC_CREATE, record_id)
    assert record_id is not None
    remarks = [*lot.remarks]
    for document in submission.documents:
        remarks += other_patient(gate, record_id, document)
    refuse_errors(remarks)
    receipt = submit(gate, record_id, submission, _folder_addresses(gate, record_id, submission))
    _check_patches(gate, record_id, submission, receipt)
    return _response(gate, record_id, submission, receipt, remarks)


def _mentions(submission: Submission, base_url: str) -> list[tuple[str, Designator]]:
    """Every mention of the patient in the lot. A reference to a Patient entry of the lot is one to its INS."""
    entries: dict[str, list[Designator]] = {}
    for n, url, patient in submission.patients:
        designators: list[Designator] = list(ins_of(patient))
        if not designators:
            refuse(
                422,
                "required",
                "L'entrée Patient du lot doit porter un INS : c'est par lui que le dossier est trouvé.",
                "The Patient entry of the lot must carry an INS number: the record is found by it.",
                expression=f"Bundle.entry[{n}].resource.identifier",
                rule="D18",
            )
        entries[url] = designators
    mentions = []
    resources = [
        (submission.set_entry, submission.set_tree),
        *((each.entry, each.tree) for each in submission.documents),
        *((each.entry, each.tree) for each in submission.folders),
    ]
    for entry, tree in resources:
        where = f"Bundle.entry[{entry}].resource"
        mentions += [(f"{where}.{path}", each) for path, each in patient_designators(tree, base_url)]
        subject = tree.get("subject", {})
        address = subject.get("reference", "")
        if address in entries:
            mentions += [(f"{where}.subject", each) for each in entries[address]]
        elif subject and designator_of(subject, base_url) is None and not address.startswith("#"):
            refuse(
                422,
                "value",
                "subject doit désigner le patient : Patient/id, Patient?identifier=système|matricule, ou identifier.",
                "subject must designate the patient: Patient/id, Patient?identifier=system|number, or identifier.",
                expression=f"{where}.subject",
                rule="D18",
            )
    return mentions


def _folder_addresses(gate: Writing, record_id: str, submission: Submission) -> dict[str, str]:
    """Where the folders of the lot are, or will be. 404 when an update names none."""
    addresses = {}
    for folder in submission.folders:
        if folder.method == "PUT":
            list_id = folder_named(gate, record_id, folder.url) or not_found()
        else:
            list_id = known_folder(gate, record_id, folder.tree) or new_id()
        addresses[folder.full_url] = f"List/{list_id}"
    return addresses


def _check_patches(gate: Writing, record_id: str, submission: Submission, receipt: Receipt) -> None:
    """A PATCH entry of a lot only says again that a replaced document is superseded (MHD slice UpdateDocumentRefs)."""
    for patch in submission.patches:
        changes = changes_of_parameters(patch.parameters)
        target = document_named(gate, record_id, {"reference": patch.url})
        supersedes = len(changes) == 1 and (changes[0].target, changes[0].value) == ("status", "superseded")
        named = target is not None and (target.id in receipt.replaced or not receipt.set_is_fresh)
        if not (supersedes and named):
            issue = error(
                "business-rule",
                "Dans un lot, PATCH passe seulement à superseded un document que le lot remplace (relatesTo replaces).",
                "In a lot, PATCH only sets to superseded a document that the lot replaces (relatesTo replaces).",
                expression=f"Bundle.entry[{patch.entry}]",
                rule="LOT-15",
                xds="XDSReplaceFailed",
            )
            refuse_all(422, [issue])
        if target and target.id in receipt.replaced:
            before = receipt.replaced[target.id].version - 1
            require_match(Request("PATCH", if_match=patch.if_match), before)


def _response(
    gate: Writing, record_id: str, submission: Submission, receipt: Receipt, remarks: list[Issue]
) -> list[Tree]:
    entries: list[Tree] = [{} for _ in range(submission.entry_count)]

    def answer(entry: int | None, response: Tree) -> None:
        if entry is not None:
            entries[entry] = {"response": response}

    answer(submission.set_entry, written(receipt.submission_set, receipt.set_is_fresh))
    for document, deposited in zip(submission.documents, receipt.documents, strict=True):
        where = f"Bundle.entry[{document.entry}]."
        own = [each for each in remarks if (each.expression or "").startswith(where)] + deposited.remarks
        answer(document.entry, written(deposited.found, deposited.fresh, own))
        payload_type, payload_id = deposited.payload
        answer(
            document.content_entry,
            {
                "status": "201 Created" if deposited.fresh else "200 OK",
                "location": f"{payload_type}/{payload_id}",
                "lastModified": instant_text(deposited.found.last_updated),
            },
        )
    for folder in submission.folders:
        found = _file(gate, record_id, folder, receipt)
        answer(folder.entry, written(found, folder.method == "POST" and receipt.set_is_fresh))
    for patch in submission.patches:
        target = document_named(gate, record_id, {"reference": patch.url})
        if target:
            found = Found("DocumentReference", target.id, target.version, target.last_updated, b"")
            answer(patch.entry, written(found, fresh=False))
    for n, _, _ in submission.patients:
        answer(n, {"status": "200 OK", "location": f"Patient/{record_id}"})
    return entries


def _file(gate: Writing, record_id: str, folder: SubmittedFolder, receipt: Receipt) -> Found:
    """The folder as it now is; a lot that was here already changes none."""
    tree = rewritten(folder.tree, receipt.addresses)
    list_id = receipt.folders[folder.full_url].partition("/")[2]
    place = f"Bundle.entry[{folder.entry}].resource."
    if not receipt.set_is_fresh:
        return current(gate.reader, record_id, "List", list_id) or not_found()
    if folder.method == "PUT":
        return replace_folder(gate, record_id, tree, list_id, place, Request("PUT", if_match=folder.if_match))
    return create_folder(gate, record_id, tree, list_id, place)


def written(found: Found, fresh: bool, remarks: list[Issue] | None = None) -> Tree:
    """Bundle.entry.response of a resource that was written."""
    response: Tree = {
        "status": "201 Created" if fresh else "200 OK",
        "location": f"{found.resource_type}/{found.id}/_history/{found.version}",
        "etag": etag(found.version),
        "lastModified": instant_text(found.last_updated),
    }
    if remarks:
        response["outcome"] = operation_outcome(remarks)
    return response
