"""Simplified Publish [ITI-105], PDSm flux 09 and 10, DMP TD2: one DocumentReference with its document in data.

https://profiles.ihe.net/ITI/MHD/ITI-105.html. The registry takes the document out, derives the submission set, and
supersedes what `relatesTo` replaces (D9).
"""

from __future__ import annotations

from typing import Any

from dmp_fhir.canonicals import (
    EXT_DESIGNATION_TYPE,
    EXT_SOURCE_ID,
    MHD_LIST_TYPES,
    PROJECT,
)
from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.cda_documents import other_patient
from dmp_fhir.interactions.conditions import answer_written
from dmp_fhir.interactions.conformance import refuse_errors
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import one_record, patient_designators
from dmp_fhir.interactions.submitting import submit
from dmp_fhir.outcome import operation_outcome, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.profiles.checks import carried, published_issues
from dmp_fhir.profiles.submission import Submission
from dmp_fhir.profiles.walk import Walk

Tree = dict[str, Any]
# The full URL of the one document of the derived set, inside this module only.
_DOCUMENT = "urn:uuid:derived"


def publish(gate: Writing, request: Request, walk: Walk) -> Response:
    tree = walk.tree
    record_id = one_record(gate, patient_designators(tree, gate.exchange.base_url))
    gate.permit(Action.DOC_CREATE, record_id)
    assert record_id is not None
    services, document = gate.exchange.services, carried(tree, _DOCUMENT)
    settings = services.settings
    issues = published_issues(services.validator, walk, document, settings.profile_level, settings.cda_check)
    if document is not None:
        issues += other_patient(gate, record_id, document)
    refuse_errors(issues)
    if document is None:  # for profiles, loaded by the operator, that do not ask for it
        refuse(
            422,
            "required",
            "Le document est attendu dans content.attachment.data.",
            "The document is expected in content.attachment.data.",
            expression="DocumentReference.content[0].attachment.data",
            rule="ITI-105",
        )
    receipt = submit(gate, record_id, Submission(_derived_set(gate, tree), "", None, [document]))
    deposited = receipt.documents[0]
    response = answer_written(request, deposited.found, 201 if deposited.fresh else 200)
    if request.prefer_return == "OperationOutcome":
        response.json = None
        response.tree = operation_outcome(issues + deposited.remarks) if issues or deposited.remarks else response.tree
    return response


def _derived_set(gate: Writing, tree: Tree) -> Tree:
    """The submission set of one document: its class as designation type, its author as source (MHD 2:3.105.4.1.3)."""
    designation = next(iter(tree.get("category", [])), None) or tree.get("type") or {"text": "Document"}
    author: Tree = next(iter(tree.get("author", [])), {})
    source_set: Tree = {
        "resourceType": "List",
        "extension": [
            {"url": EXT_DESIGNATION_TYPE, "valueCodeableConcept": designation},
            {"url": EXT_SOURCE_ID, "valueIdentifier": _source_id(gate)},
        ],
        "status": "current",
        "mode": "working",
        "title": tree["content"][0]["attachment"].get("title", ""),
        "code": {"coding": [{"system": MHD_LIST_TYPES, "code": "submissionset"}]},
        "subject": tree["subject"],
        "date": instant_text(gate.now),
        "source": author,
        "entry": [{"item": {"reference": _DOCUMENT}}],
    }
    reference = author.get("reference", "")
    if reference.startswith("#"):
        source_set["contained"] = _closure(tree, reference)
    if not source_set["title"]:
        del source_set["title"]
    return source_set


def _source_id(gate: Writing) -> Tree:
    """Who feeds: the client software, as the token names it."""
    return {"system": f"{PROJECT}/NamingSystem/client", "value": gate.context.client_id or "unknown"}


def _closure(tree: Tree, reference: str) -> list[Tree]:
    """The contained resource a reference names, and those it needs in turn."""
    contained = {f"#{each.get('id')}": each for each in tree.get("contained", [])}
    wanted, found = [reference], {}
    while wanted:
        name = wanted.pop()
        if name in contained and name not in found:
            found[name] = contained[name]
            wanted += _local_references(contained[name])
    return list(found.values())


def _local_references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if str(value.get("reference", "")).startswith("#") else []
        return own + [each for inner in value.values() for each in _local_references(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _local_references(inner)]
    return []
