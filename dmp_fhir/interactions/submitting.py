"""Depositing a lot in a record: what ITI-65 and ITI-105 have in common.

All or nothing (TF-181). The same lot again is answered as done, with what exists (D17). A replacement supersedes
what it replaces, with or without the PATCH entry of MHD (D9), and inherits the patient's masks (AR-71).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import pybase64

from dmp_fhir.ids import new_id
from dmp_fhir.interactions.cda_documents import claim_version, version_issues
from dmp_fhir.interactions.gate import Writing
from dmp_fhir.interactions.references import document_named, rewritten, subject_of
from dmp_fhir.outcome import Issue, Refusal, Refused, information, refuse
from dmp_fhir.policy.actions import Action
from dmp_fhir.policy.engine import Decision
from dmp_fhir.policy.facts import DocumentFacts, depositor
from dmp_fhir.policy.refusals import refuse_record
from dmp_fhir.profiles.content import sha1
from dmp_fhir.profiles.submission import Submission, SubmittedDocument
from dmp_fhir.registry.authors import authors_of
from dmp_fhir.registry.documents import StoredDocument, amend_document, insert_document, stored_document
from dmp_fhir.registry.fingerprints import canonical_bytes, document_fingerprint, set_fingerprint
from dmp_fhir.registry.identifiers import UNIQUE_ID, Owner, claim, key_of, owner_of
from dmp_fhir.registry.labels import labels, masks_of
from dmp_fhir.registry.lists import insert_list
from dmp_fhir.registry.payloads import insert_payload, payload_of
from dmp_fhir.registry.shelves import current
from dmp_fhir.registry.versions import Found, stamp
from dmp_fhir.wire.json import dump_json

Tree = dict[str, Any]
# Obligations of the decision to deposit, and the mask each puts on the document (AR-62, AR-82).
_MASK_OBLIGATIONS = {"LABEL_MASQUE_PS": "MASQUE_PS", "LABEL_INVISIBLE_RL": "INVISIBLE_REPRESENTANTS_LEGAUX"}


@dataclass(slots=True)
class Deposited:
    """One document of the lot, as it now is. `fresh` is false when it was here already."""

    found: Found
    payload: tuple[str, str]
    fresh: bool
    remarks: list[Issue] = field(default_factory=list)


@dataclass(slots=True)
class Receipt:
    """What became of a lot, in the order of the submission. `replaced` are the superseded documents by id."""

    submission_set: Found
    set_is_fresh: bool
    documents: list[Deposited]
    replaced: dict[str, Found] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)


def submit(
    gate: Writing, record_id: str, submission: Submission, folders: Mapping[str, str] = MappingProxyType({})
) -> Receipt:
    """Deposit a lot that is consistent and valid, under the rights of the caller. `folders` are the addresses
    (`List/id`) of the folders of the lot by full URL."""
    _refuse_large(submission, gate.exchange.services.settings.max_document)
    digests = [_content_digest(document) for document in submission.documents]
    prints = [
        document_fingerprint(each.tree, digest) for each, digest in zip(submission.documents, digests, strict=True)
    ]
    known = [
        _known(gate, record_id, document, fingerprint)
        for document, fingerprint in zip(submission.documents, prints, strict=True)
    ]
    done = _already_done(gate, record_id, submission, known)
    if done:
        done.folders = folders
        return done
    ids = [owner.id if owner else new_id() for owner in known]
    set_id = new_id()
    addresses = {submission.set_url: f"List/{set_id}"} if submission.set_url else {}
    addresses |= {
        each.full_url: f"DocumentReference/{document_id}"
        for each, document_id in zip(submission.documents, ids, strict=True)
        if each.full_url
    }
    addresses |= folders
    receipt = Receipt(Found("List", set_id, 1, 0, b""), True, [], addresses=addresses, folders=folders)
    for document, owner, document_id, fingerprint in zip(submission.documents, known, ids, prints, strict=True):
        if owner:
            receipt.documents.append(_again(gate, owner))
        else:
            _deposit(gate, record_id, receipt, document, document_id, fingerprint)
    _deposit_set(gate, record_id, receipt, submission, set_id)
    return receipt


def _refuse_large(submission: Submission, most: int) -> None:
    for document in submission.documents:
        if len(document.content) > most:
            refuse(
                413,
                "too-long",
                f"Le document compte {len(document.content)} octets ; ce serveur en accepte {most} au plus.",
                f"The document has {len(document.content)} bytes; this server takes {most} at most.",
                expression=f"{_place(document.entry)}content[0].attachment",
                rule="TF-097",
            )


# --- resubmission ---------------------------------------------------------------------------------


def _content_digest(document: SubmittedDocument) -> bytes:
    if document.document_bundle is None:
        return hashlib.sha256(document.content).digest()
    bundle = {name: value for name, value in document.document_bundle.items() if name not in ("id", "meta")}
    return hashlib.sha256(canonical_bytes(bundle)).digest()


def _known(gate: Writing, record_id: str, document: SubmittedDocument, fingerprint: bytes) -> StoredDocument | None:
    """The document that was deposited before with the same uniqueId and content; 409 when the content differs. The
    answer is the same when the first belongs to a record that the caller can't see (TF-183)."""
    key = key_of(document.tree.get("masterIdentifier", {}))
    owner = owner_of(gate.reader, UNIQUE_ID, key) if key else None
    if owner is None:
        return None
    if owner.record_id == record_id and owner.fingerprint == fingerprint:
        stored = stored_document(gate.reader, record_id, owner.resource_id)
        if stored and stored.facts.status != "entered-in-error":
            return stored
    _refuse_duplicate(f"{_place(document.entry)}masterIdentifier", "XDSNonIdenticalHash")


def _refuse_duplicate(expression: str, xds: str) -> NoReturn:
    refuse(
        409,
        "duplicate",
        "Cet identifiant unique est déjà celui d'un autre contenu : donnez-en un nouveau à chaque document.",
        "This unique id already belongs to other content: give each document a new one.",
        expression=expression,
        rule="D17",
        xds=xds,
    )


def _place(entry: int | None) -> str:
    return "DocumentReference." if entry is None else f"Bundle.entry[{entry}].resource."


def list_key(tree: Tree) -> str | None:
    """The uniqueId of a submission set or folder, as a key."""
    usual = next((each for each in tree.get("identifier", []) if each.get("use") == "usual"), None)
    return key_of(usual) if usual else None


def _already_done(
    gate: Writing, record_id: str, submission: Submission, known: list[StoredDocument | None]
) -> Receipt | None:
    """The receipt of a lot that was deposited before, whole; 409 when its submission set was another one."""
    key = list_key(submission.set_tree)
    owner = owner_of(gate.reader, UNIQUE_ID, key) if key else None
    documents = [each for each in known if each]
    complete = len(documents) == len(known)
    if owner is None:
        if not complete or key:
            return None
        set_id = documents[0].submission_set_id or ""
    else:
        same = owner.record_id == record_id and owner.fingerprint == set_fingerprint(submission.set_tree)
        if not (same and complete):
            _refuse_duplicate(
                f"Bundle.entry[{submission.set_entry}].resource.identifier", "XDSDuplicateUniqueIdInRegistry"
            )
        set_id = owner.resource_id
    found = current(gate.reader, record_id, "List", set_id)
    if found is None:
        raise LookupError(f"submission set {set_id} is missing")
    gate.did("create", "C", record_id, found)
    return Receipt(found, False, [_again(gate, each) for each in documents])


def _again(gate: Writing, stored: StoredDocument) -> Deposited:
    found = current(gate.reader, stored.record_id, "DocumentReference", stored.id)
    payload = payload_of(gate.reader, stored.record_id, stored.id)
    if found is None or payload is None:
        raise LookupError(f"document {stored.id} is not whole")
    remark = information(
        "duplicate",
        "Ce document était déjà là : rien n'a été enregistré une seconde fois.",
        "This document was here already: nothing was stored twice.",
        rule="D17",
        xds="XDSDuplicateUniqueIdInRegistry",
    )
    gate.did("create", "C", stored.record_id, found)
    return Deposited(found, (payload.resource_type, payload.id), False, [remark])


# --- deposit --------------------------------------------------------------------------------------


def _deposit(
    gate: Writing,
    record_id: str,
    receipt: Receipt,
    document: SubmittedDocument,
    document_id: str,
    fingerprint: bytes,
) -> None:
    tree = document.tree
    authors = authors_of(gate.reader, tree, depositor(gate.context))
    decision = _may_deposit(gate, record_id, tree, authors)
    relations, replaced = _relations(gate, record_id, receipt, document)
    remarks = version_issues(gate, record_id, document, replaced)
    masks = set(masks_of(tree.get("securityLabel", [])))
    masks |= {_MASK_OBLIGATIONS[each] for each in decision.obligations if each in _MASK_OBLIGATIONS}
    masks |= {mask for old in replaced for mask in old.facts.labels}
    instant = gate.instant(record_id)
    payload_type = "Binary" if document.document_bundle is None else "Bundle"
    payload_id = new_id()
    content = document.content
    if document.document_bundle is not None:
        content = dump_json(stamp(document.document_bundle, payload_id, 1, instant))
    stored = {
        **rewritten(tree, receipt.addresses),
        "id": document_id,
        "subject": subject_of(tree, record_id),
        "securityLabel": labels(tree.get("securityLabel", []), masks),
        "content": [_content(tree, f"{payload_type}/{payload_id}", content), *tree["content"][1:]],
    }
    if relations:
        stored["relatesTo"] = relations
    found = insert_document(gate.tx, record_id, stored, instant, authors, receipt.submission_set.id)
    payloads = gate.exchange.services.payloads
    insert_payload(
        gate.tx, record_id, payload_id, payload_type, document_id, document.content_type, content, payloads, instant
    )
    key = key_of(tree.get("masterIdentifier", {}))
    if key:
        claim(gate.tx, UNIQUE_ID, key, Owner(record_id, "DocumentReference", document_id, fingerprint))
    claim_version(gate, record_id, document, document_id)
    for old in replaced:
        superseded = old.tree(gate.reader) | {"status": "superseded"}
        receipt.replaced[old.id] = amend_document(gate.tx, old, superseded, instant, replaced_by=document_id)
        gate.did("patch", "U", record_id, receipt.replaced[old.id], decision=decision, done=(Action.DOC_REPLACE,))
    gate.did("create", "C", record_id, found, decision=decision)
    receipt.documents.append(Deposited(found, (payload_type, payload_id), True, remarks))


def _may_deposit(gate: Writing, record_id: str, tree: Tree, authors: list[tuple[str, str]]) -> Decision:
    """The decision on this very document (AR-39, AR-73, AR-93): any refusal is a record-level one."""
    coding: Tree = next(iter(tree.get("type", {}).get("coding", [])), {})
    facts = DocumentFacts(
        type_system=coding.get("system"),
        type_code=coding.get("code"),
        labels=masks_of(tree.get("securityLabel", [])),
        author_persons=frozenset(identifier for kind, identifier in authors if kind == "person"),
        author_structures=frozenset(identifier for kind, identifier in authors if kind == "structure"),
        author_patients=frozenset(identifier for kind, identifier in authors if kind == "patient"),
        deposited_ms=gate.now,
    )
    decision = gate.decide(Action.DOC_CREATE, record_id, facts)
    if not decision.permit:
        refuse_record(decision)
    return decision


def _content(tree: Tree, address: str, content: bytes) -> Tree:
    """content[0] as stored: the address of the payload, its true size and hash (D8), no data."""
    first = tree["content"][0]
    attachment = {name: value for name, value in first["attachment"].items() if name != "data"}
    attachment |= {
        "url": address,
        "size": len(content),
        "hash": pybase64.b64encode_as_string(sha1(content)),
    }
    return first | {"attachment": attachment}


def _deposit_set(gate: Writing, record_id: str, receipt: Receipt, submission: Submission, set_id: str) -> None:
    tree = rewritten(submission.set_tree, receipt.addresses)
    tree |= {"id": set_id, "subject": subject_of(submission.set_tree, record_id)}
    for n, entry in enumerate(tree.get("entry", [])):
        _require_member(gate, record_id, receipt, entry, f"{_place(submission.set_entry)}entry[{n}].item")
    instant = gate.instant(record_id)
    receipt.submission_set = insert_list(gate.tx, record_id, tree, instant, depositor(gate.context))
    key = list_key(submission.set_tree)
    if key:
        claim(gate.tx, UNIQUE_ID, key, Owner(record_id, "List", set_id, set_fingerprint(submission.set_tree)))
    gate.did("create", "C", record_id, receipt.submission_set)


def _require_member(gate: Writing, record_id: str, receipt: Receipt, entry: Tree, expression: str) -> None:
    if entry["item"].get("reference") in receipt.addresses.values():
        return
    require_known(gate, record_id, entry["item"], expression)


# --- relations ------------------------------------------------------------------------------------


def _relations(
    gate: Writing, record_id: str, receipt: Receipt, document: SubmittedDocument
) -> tuple[list[Tree], list[StoredDocument]]:
    """relatesTo as stored, and the documents that are replaced."""
    relations: list[Tree] = []
    replaced: list[StoredDocument] = []
    for n, relation in enumerate(document.tree.get("relatesTo", [])):
        expression = f"{_place(document.entry)}relatesTo[{n}].target"
        address = receipt.addresses.get(relation["target"].get("reference", ""))
        if address and relation["code"] != "replaces":
            relations.append(relation | {"target": relation["target"] | {"reference": address}})
            continue
        if relation["code"] == "replaces":
            target = _replaceable(gate, record_id, relation["target"], expression)
            if any(each.id == target.id for each in replaced):
                _refuse_twice(expression)
            replaced.append(target)
        else:
            target = require_known(gate, record_id, relation["target"], expression)
        reference = {"reference": f"DocumentReference/{target.id}"}
        relations.append(relation | {"target": relation["target"] | reference})
    return relations, replaced


def _refuse_twice(expression: str) -> NoReturn:
    refuse(
        422,
        "duplicate",
        "Ce document est déjà remplacé par cette même fiche : nommez-le une seule fois.",
        "This document is replaced by this DocumentReference already: name it once.",
        expression=expression,
        rule="D9",
        xds="XDSReplaceFailed",
    )


def _replaceable(gate: Writing, record_id: str, reference: Tree, expression: str) -> StoredDocument:
    """Only its author replaces a current document of the same record; what the caller may not replace is answered
    like what is not there (TF-034), an already superseded one with 409 (TF-187)."""
    target = document_named(gate, record_id, reference)
    decision = gate.decide(Action.DOC_REPLACE, record_id, target.facts) if target else None
    if target is None or decision is None or not decision.permit:
        _refuse_relation(expression, "XDSReplaceFailed", decision)
    if target.facts.status != "current":
        refuse(
            409,
            "conflict",
            "Ce document est déjà remplacé : remplacez sa version en vigueur.",
            "This document has already been replaced: replace the current one.",
            expression=expression,
            rule="D9",
            xds="XDSReplaceFailed",
        )
    return target


def require_known(gate: Writing, record_id: str, reference: Tree, expression: str) -> StoredDocument:
    """A document of the record that the caller may read, or is the author of."""
    target = document_named(gate, record_id, reference)
    if target is None or not any(
        gate.decide(action, record_id, target.facts).permit for action in (Action.DOC_READ, Action.DOC_REPLACE)
    ):
        _refuse_relation(expression, "UnresolvedReferenceException", None)
    return target


def _refuse_relation(expression: str, xds: str, decision: Decision | None) -> NoReturn:
    issue = Issue(
        "error",
        "business-rule",
        "Ce document n'existe pas dans ce dossier, ou vous n'en êtes pas l'auteur.",
        "There is no such document in this record, or you are not its author.",
        expression,
        "D9",
        xds,
    )
    rules = decision.rules if decision else ()
    raise Refused(Refusal(422, (issue,), reason=decision.reason if decision else None, rules=rules))
