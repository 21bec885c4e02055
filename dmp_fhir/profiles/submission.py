"""A lot of documents as a whole: what an ITI-65 bundle must be beyond its resources.

https://profiles.ihe.net/ITI/MHD/ITI-65.html#2365412-message-semantics. Rules LOT-01 … LOT-17 are ours, each in one
place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pybase64

from dmp_fhir.canonicals import MHD_LIST_TYPES, URI
from dmp_fhir.outcome import Issue, error
from dmp_fhir.profiles.cda import Examined, examine
from dmp_fhir.profiles.content import content_issues, fhir_document_issues

Tree = dict[str, Any]


@dataclass(slots=True)
class SubmittedDocument:
    """A DocumentReference of the lot and the document it describes. `entry` is the place in the bundle of the
    DocumentReference, `content_entry` that of the Binary or Bundle; None when there is no bundle (ITI-105).
    `examined` is what the document was found to be, once it has been compared with its metadata."""

    tree: Tree
    full_url: str
    entry: int | None
    content_type: str
    content: bytes
    document_bundle: Tree | None = None
    content_entry: int | None = None
    examined: Examined | None = None

    @property
    def place(self) -> str:
        """The FHIRPath of the DocumentReference."""
        return "DocumentReference" if self.entry is None else f"Bundle.entry[{self.entry}].resource"

    def compare(self, cda_check: str) -> list[Issue]:
        """Find out what the document is (`examined`), and how a CDA differs from its metadata: all that can be told
        without the record. `cda_check` is the setting (cda_rules.refusing). An empty document is LOT-13's matter."""
        if self.document_bundle is not None or not self.content:
            return []
        self.examined = examine(self.tree, self.content, self.place, cda_check)
        return self.examined.issues


@dataclass(slots=True)
class SubmittedFolder:
    tree: Tree
    full_url: str
    entry: int
    method: str
    url: str
    if_match: str | None = None


@dataclass(slots=True)
class SubmittedPatch:
    """A PATCH entry: the replaced document says again that it is superseded."""

    entry: int
    url: str
    parameters: Tree
    if_match: str | None = None


@dataclass(slots=True)
class Submission:
    """A lot: one submission set, its documents and folders, and the PATCH entries of replacements."""

    set_tree: Tree
    set_url: str
    set_entry: int | None
    documents: list[SubmittedDocument] = field(default_factory=list)
    folders: list[SubmittedFolder] = field(default_factory=list)
    patches: list[SubmittedPatch] = field(default_factory=list)
    patients: list[tuple[int, str, Tree]] = field(default_factory=list)
    entry_count: int = 0
    issues: list[Issue] = field(default_factory=list)


def list_kind(tree: Tree) -> str | None:
    """`submissionset`, `folder`, or None for a List that is neither."""
    codes = {
        each.get("code") for each in tree.get("code", {}).get("coding", []) if each.get("system") == MHD_LIST_TYPES
    }
    kinds = codes & {"submissionset", "folder"}
    return kinds.pop() if len(kinds) == 1 else None


def is_submission(bundle: Tree) -> bool:
    """Does a transaction provide documents (ITI-65), or is it plain FHIR?"""
    for entry in bundle.get("entry", []):
        resource = entry.get("resource", {})
        method = entry.get("request", {}).get("method")
        if resource.get("resourceType") == "List" and list_kind(resource) == "submissionset":
            return True
        if resource.get("resourceType") in ("DocumentReference", "Binary") and method == "POST":
            return True
    return False


def read_submission(bundle: Tree) -> Submission:
    """The lot that a bundle holds. Faults of the lot are in `issues`; the rest of the value means something only when
    none of them is an error. The bundle is structurally valid R4."""
    return _Reading(bundle).result()


class _Reading:
    def __init__(self, bundle: Tree) -> None:
        self.entries: list[Tree] = bundle.get("entry", [])
        self.issues: list[Issue] = []
        self.by_url = self._full_urls()
        self.used: Counter[int] = Counter()

    def refuse(self, code: str, fr: str, en: str, where: str, rule: str, xds: str | None = None) -> None:
        self.issues.append(error(code, fr, en, expression=where, rule=rule, xds=xds))

    def _full_urls(self) -> dict[str, int]:
        urls: dict[str, int] = {}
        for n, entry in enumerate(self.entries):
            url = entry.get("fullUrl")
            if url is None:
                continue
            if url in urls:
                self.refuse(
                    "duplicate",
                    f"L'adresse {url} est donnée à deux entrées.",
                    f"The address {url} is given to two entries.",
                    f"Bundle.entry[{n}].fullUrl",
                    "LOT-04",
                )
            urls[url] = n
        return urls

    def result(self) -> Submission:
        sets = [n for n, each in enumerate(self.entries) if self._is(each, "List", "submissionset")]
        if len(sets) != 1:
            self.refuse(
                "business-rule",
                f"Un lot contient un seul lot de soumission (List, code submissionset) ; {len(sets)} trouvés.",
                f"A lot holds exactly one submission set (List, code submissionset); {len(sets)} found.",
                "Bundle.entry",
                "LOT-01",
            )
            return Submission({}, "", None, issues=self.issues)
        place = sets[0]
        submission = Submission(
            self.entries[place]["resource"],
            self.entries[place].get("fullUrl", ""),
            place,
            entry_count=len(self.entries),
            issues=self.issues,
        )
        for n, entry in enumerate(self.entries):
            if n != place:
                self._sort(submission, n, entry)
        if not submission.documents:
            self.refuse(
                "required",
                "Un lot contient au moins une fiche (DocumentReference).",
                "A lot holds at least one DocumentReference.",
                "Bundle.entry",
                "LOT-02",
            )
        self._require_method(place, "POST")
        self._attach(submission)
        self._check_membership(submission)
        self._check_unique_ids(submission)
        return submission

    @staticmethod
    def _is(entry: Tree, resource_type: str, kind: str) -> bool:
        resource = entry.get("resource", {})
        return resource.get("resourceType") == resource_type and list_kind(resource) == kind

    def _require_method(self, n: int, *methods: str) -> None:
        method = self.entries[n].get("request", {}).get("method")
        if method not in methods:
            self.refuse(
                "not-supported",
                f"Méthode attendue dans cette entrée : {' ou '.join(methods)}.",
                f"Method expected in this entry: {' or '.join(methods)}.",
                f"Bundle.entry[{n}].request.method",
                "LOT-03",
            )
        kind = self.entries[n].get("resource", {}).get("resourceType", "")
        if method == "POST" and self.entries[n]["request"].get("url") != kind:
            self.refuse(
                "value",
                f"Cette ressource se dépose à l'adresse {kind} : « url » : « {kind} ».",
                f"This resource is posted to the address {kind}: 'url': '{kind}'.",
                f"Bundle.entry[{n}].request.url",
                "LOT-03",
            )

    def _sort(self, submission: Submission, n: int, entry: Tree) -> None:
        resource = entry.get("resource", {})
        request = entry.get("request", {})
        url = entry.get("fullUrl", "")
        kind = resource.get("resourceType")
        if kind == "DocumentReference":
            self._require_method(n, "POST")
            submission.documents.append(SubmittedDocument(resource, url, n, "", b""))
        elif kind == "List" and list_kind(resource) == "folder":
            self._require_method(n, "POST", "PUT")
            submission.folders.append(
                SubmittedFolder(
                    resource, url, n, request.get("method", ""), request.get("url", ""), request.get("ifMatch")
                )
            )
        elif kind == "Parameters" and request.get("method") == "PATCH":
            submission.patches.append(SubmittedPatch(n, request.get("url", ""), resource, request.get("ifMatch")))
        elif kind == "Patient" or (kind is None and request.get("url", "").startswith("Patient")):
            self._require_method(n, "GET", "POST", "PUT")
            submission.patients.append((n, url, resource))
        elif kind in ("Binary", "Bundle"):
            self._require_method(n, "POST")
            self.used[n] += 0
        else:
            self.refuse(
                "business-rule",
                f"Une entrée {kind or 'sans ressource'} n'a pas sa place dans un lot : retirez-la.",
                f"An entry {kind or 'without resource'} has no place in a lot: remove it.",
                f"Bundle.entry[{n}]",
                "LOT-03",
            )

    def _attach(self, submission: Submission) -> None:
        for document in submission.documents:
            where = f"Bundle.entry[{document.entry}].resource.content[0].attachment"
            contents = document.tree.get("content") or [{}]
            attachment = contents[0].get("attachment", {})
            place = self.by_url.get(attachment.get("url", ""))
            if place is None or place not in self.used:
                self.refuse(
                    "business-rule",
                    "attachment.url doit désigner un Binary (ou un Bundle document) du lot par son fullUrl ;"
                    " aucune autre adresse n'est lue.",
                    "attachment.url must name a Binary (or a document Bundle) of the lot by its fullUrl;"
                    " no other address is read.",
                    f"{where}.url",
                    "D26",
                    "XDSMissingDocument",
                )
                continue
            self.used[place] += 1
            document.content_entry = place
            self._take(document, self.entries[place]["resource"], attachment, where)
        for n, count in self.used.items():
            if count != 1:
                self.refuse(
                    "business-rule",
                    "Ce document n'est désigné par aucune fiche du lot."
                    if count == 0
                    else "Deux fiches désignent ce document.",
                    "No DocumentReference of the lot names this document."
                    if count == 0
                    else "Two DocumentReferences name this document.",
                    f"Bundle.entry[{n}]",
                    "LOT-08",
                    "XDSMissingDocumentMetadata" if count == 0 else None,
                )

    def _take(self, document: SubmittedDocument, resource: Tree, attachment: Tree, where: str) -> None:
        if resource["resourceType"] == "Bundle":
            if resource.get("type") != "document":
                self.refuse(
                    "business-rule",
                    "Un Bundle déposé comme document est de type document.",
                    "A Bundle provided as a document has the type document.",
                    f"Bundle.entry[{document.content_entry}].resource.type",
                    "LOT-07",
                )
            document.document_bundle = resource
            document.content_type = attachment.get("contentType", "")
            self.issues += fhir_document_issues(attachment, where)
            return
        if "securityContext" in resource:
            self.refuse(
                "business-rule",
                "securityContext n'est pas lu : un Binary suit les droits de sa fiche. Retirez-le.",
                "securityContext is not read: a Binary follows the rights of its DocumentReference. Remove it.",
                f"Bundle.entry[{document.content_entry}].resource.securityContext",
                "TF-004",
            )
        document.content_type = resource.get("contentType", "")
        document.content = decode(resource.get("data", ""))
        self.issues += content_issues(attachment, document.content_type, document.content, where)

    def _check_membership(self, submission: Submission) -> None:
        listed = Counter(entry.get("item", {}).get("reference", "") for entry in submission.set_tree.get("entry", []))
        members: list[SubmittedDocument | SubmittedFolder] = [*submission.documents, *submission.folders]
        for each in members:
            if listed.get(each.full_url, 0) != 1 or not each.full_url:
                self.refuse(
                    "business-rule",
                    "Chaque fiche et chaque classeur du lot figure une fois parmi les entrées (entry.item) du lot de"
                    " soumission.",
                    "Each DocumentReference and folder of the lot stands once among the entries (entry.item) of the"
                    " submission set.",
                    f"Bundle.entry[{each.entry}]",
                    "LOT-05",
                )
        for n, entry in enumerate(submission.set_tree.get("entry", [])):
            reference = entry.get("item", {}).get("reference", "")
            place = self.by_url.get(reference)
            named = self.entries[place].get("resource", {}).get("resourceType") if place is not None else None
            itself = place == submission.set_entry
            elsewhere = named not in ("DocumentReference", "List") and not reference.startswith("DocumentReference/")
            if itself or elsewhere:
                self.refuse(
                    "business-rule",
                    f"{reference or 'Cette entrée'} ne désigne ni une fiche ni un classeur du lot.",
                    f"{reference or 'This entry'} names neither a DocumentReference nor a folder of the lot.",
                    f"Bundle.entry[{submission.set_entry}].resource.entry[{n}].item",
                    "LOT-06",
                )

    def _check_unique_ids(self, submission: Submission) -> None:
        """uniqueIds and entryUUIDs of the lot are all different (TF-185)."""
        place = f"Bundle.entry[{submission.set_entry}].resource.identifier"
        identifiers = [(place, each) for each in _usual(submission.set_tree)]
        for folder in submission.folders:
            identifiers += [(f"Bundle.entry[{folder.entry}].resource.identifier", each) for each in _usual(folder.tree)]
        for document in submission.documents:
            place = f"Bundle.entry[{document.entry}].resource"
            identifiers.append((f"{place}.masterIdentifier", document.tree.get("masterIdentifier", {})))
            entry_uuids = [each for each in document.tree.get("identifier", []) if each.get("use") == "official"]
            identifiers += [(f"{place}.identifier", each) for each in entry_uuids]
        seen: set[tuple[str, str]] = set()
        for expression, identifier in identifiers:
            # `urn:ietf:rfc:3986` only says that the value is a URI.
            system = identifier.get("system", "")
            key = ("" if system == URI else system, identifier.get("value", ""))
            if key[1] and key in seen:
                self.refuse(
                    "duplicate",
                    "Deux ressources du lot portent le même identifiant unique.",
                    "Two resources of the lot carry the same unique id.",
                    expression,
                    "LOT-14",
                    "XDSRegistryDuplicateUniqueIdInMessage",
                )
            seen.add(key)


def _usual(tree: Tree) -> list[Tree]:
    """The uniqueId of a submission set or folder."""
    return [each for each in tree.get("identifier", []) if each.get("use") == "usual"]


def decode(data: str) -> bytes:
    """base64Binary of a structurally valid resource: line breaks and blanks are allowed in it."""
    return pybase64.b64decode(data.encode(), validate=False)
