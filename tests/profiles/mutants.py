"""The constraints of the PDSm guide (profiles with their MHD parents), each with the ways to break it.

Written from the guide, not from profiles/*.json: a slip there shows here. A mutant names the rule that must refuse it:
the StructureDefinition that states it (C, S, … below), the element and the aspect; or the rule of FHIR R4 itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.profiles import samples
from tests.profiles.samples import LIST_TYPES, MHD, PDSM, Tree, concept, extension, nos, recipient

C, S = PDSM + "pdsm-comprehensive-document-reference", PDSM + "pdsm-simplified-publish"
L, F = PDSM + "pdsm-submissionset-comprehensive", PDSM + "pdsm-folder-comprehensive"
B = PDSM + "pdsm-comprehensive-provide-document-bundle"
FD, FL = PDSM + "pdsm-find-documentreferences-comprehensive-response", PDSM + "pdsm-find-lists-response"
ARCHIVED, RECIPIENT = PDSM + "pdsm-ext-is-archived", PDSM + "pdsm-ext-intended-recipient"
MIN, UN, COMP = (
    MHD + f"IHE.MHD.{name}.DocumentReference" for name in ("Minimal", "UnContained.Comprehensive", "Comprehensive")
)
SIMPLE = MHD + "IHE.MHD.SimplifiedPublish.DocumentReference"
LIST, LMIN, LUN = (
    MHD + "IHE.MHD.List",
    MHD + "IHE.MHD.Minimal.SubmissionSet",
    MHD + "IHE.MHD.UnContained.Comprehensive.SubmissionSet",
)
FMIN, FCOMP = MHD + "IHE.MHD.Minimal.Folder", MHD + "IHE.MHD.Comprehensive.Folder"
UNIQUE, SETID, ENTRY = (
    MHD + f"IHE.MHD.{name}"
    for name in ("UniqueIdIdentifier", "SubmissionSetUniqueIdIdentifier", "EntryUUID.Identifier")
)
BUNDLE, PATCH = MHD + "IHE.MHD.Minimal.ProvideBundle", MHD + "IHE.MHD.Patch.Parameters"
FOUND, LISTS = (
    MHD + "IHE.MHD.FindDocumentReferencesComprehensiveResponseMessage",
    MHD + "IHE.MHD.FindDocumentListsResponseMessage",
)

Change = Callable[[Tree], None]


@dataclass(frozen=True)
class Mutant:
    """`changes` break one constraint; `rule` and `severity` are what the validator must say, and no other error."""

    constraint: str
    way: str
    changes: tuple[Change, ...]
    rule: str
    severity: str = "error"
    level: str = "main"
    # Rules that can't but break with it.
    also: frozenset[str] = frozenset()

    def tree(self, valid: Tree) -> Tree:
        tree = copy.deepcopy(valid)
        for change in self.changes:
            change(tree)
        return tree


def _steps(path: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]


def put(path: str, value: Any) -> Change:
    """Put a value at a path (`content[0].attachment.size`), making the objects above it."""

    def change(tree: Tree) -> None:
        *above, last = _steps(path)
        node: Any = tree
        for step in above:
            node = node[step] if isinstance(step, int) else node.setdefault(step, {})
        node[last] = copy.deepcopy(value)

    return change


def drop(path: str) -> Change:
    def change(tree: Tree) -> None:
        *above, last = _steps(path)
        node: Any = tree
        for step in above:
            node = node[step]
        del node[last]

    return change


def add(path: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        node: Any = tree
        for step in _steps(path):
            node = node.setdefault(step, []) if isinstance(node, dict) else node[step]
        node.append(copy.deepcopy(value))

    return change


def twice(path: str) -> Change:
    """Repeat the first item of a list."""

    def change(tree: Tree) -> None:
        node: Any = tree
        for step in _steps(path):
            node = node[step]
        node.append(copy.deepcopy(node[0]))

    return change


def unextend(url: str) -> Change:
    def change(tree: Tree) -> None:
        tree["extension"] = [each for each in tree["extension"] if each["url"] != url]

    return change


def contain(resource: Tree, *uses: str) -> Change:
    """Contain another resource and refer to it, so that it is not an orphan."""

    def change(tree: Tree) -> None:
        tree.setdefault("contained", []).append(copy.deepcopy(resource))
        for path in uses:
            put(path, {"reference": f"#{resource['id']}"})(tree)

    return change


def lacks(path: str, rule: str, element: str, root: str = "DocumentReference") -> Mutant:
    return Mutant(f"{element} is required", "removed", (drop(path),), f"{rule}#{root}.{element}/min")


def forbids(path: str, value: Any, rule: str, element: str, root: str = "DocumentReference") -> Mutant:
    # A modifier extension that is not understood is refused wherever it stands, too.
    also = frozenset({"TF-107"} if path == "modifierExtension" else ())
    return Mutant(f"{element} is forbidden", "added", (put(path, value),), f"{rule}#{root}.{element}/max", also=also)


def outside(path: str, rule: str, element: str, severity: str, value: Any, root: str = "DocumentReference") -> Mutant:
    return Mutant(f"{element} binding", "other code", (put(path, value),), f"{rule}#{root}.{element}/binding", severity)


OTHER = concept("http://example.org/codes", "zz")
EVENT = [concept("http://example.org", "1")] * 2
DEVICE = {"resourceType": "Device", "id": "device"}
RELATED = {"resourceType": "RelatedPerson", "id": "related", "patient": {"reference": "Patient/p1"}}
ORGANIZATION = {"resourceType": "Organization", "id": "extra", "name": "Structure"}
PRACTITIONER = {"resourceType": "Practitioner", "id": "extra"}
ODD = [extension("http://example.org/odd", valueBoolean=True)]
A = "content[0].attachment"
R = "DocumentReference"


def _reference(path: str, rule: str, element: str, wrong: str, root: str = R) -> Mutant:
    return Mutant(
        f"{element} targets", f"to {wrong}", (put(path, {"reference": wrong}),), f"{rule}#{root}.{element}/target"
    )


def _identifiers(kind: Any, unique: str, root: str, first: str) -> list[Mutant]:
    """MHD identifiers: the unique id at `first`, the entryUUID at identifier[0]."""
    found = [
        Mutant("uniqueId.system is required", "removed", (drop(f"{first}.system"),), f"{unique}#Identifier.system/min"),
        Mutant("uniqueId.value is required", "removed", (drop(f"{first}.value"),), f"{unique}#Identifier.value/min"),
        Mutant(
            "entryUUID.system is required", "removed", (drop("identifier[0].system"),), f"{ENTRY}#Identifier.system/min"
        ),
        Mutant(
            "entryUUID.system is a URI system",
            "other",
            (put("identifier[0].system", "urn:oid:1.2.3"),),
            f"{ENTRY}#Identifier.system/fixed",
        ),
        Mutant(
            "entryUUID.value is required", "removed", (drop("identifier[0].value"),), f"{ENTRY}#Identifier.value/min"
        ),
        Mutant(
            "mhd-startswithuuid",
            "an OID",
            (put("identifier[0].value", "urn:oid:1.2.3"),),
            f"{ENTRY}#mhd-startswithuuid",
        ),
    ]
    return found


FHIR_DOCUMENT = {
    "fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828d",
    "resource": {"resourceType": "Bundle", "type": "collection"},
    "request": {"method": "PUT", "url": "Bundle/b1"},
}

COMPREHENSIVE = [
    Mutant(
        "contained 1..*",
        "removed",
        (
            drop("contained"),
            put("author", [{"display": "x"}]),
            put("authenticator", {"display": "x"}),
            put("context.sourcePatientInfo", {"display": "x"}),
        ),
        f"{C}#{R}.contained/min",
    ),
    Mutant(
        "isArchived 0..1",
        "repeated",
        (add("extension", extension(ARCHIVED, valueBoolean=True)),),
        f"{C}#{R}.extension:isArchived/max",
    ),
    forbids("modifierExtension", ODD, MIN, "modifierExtension"),
    lacks("masterIdentifier", MIN, "masterIdentifier"),
    Mutant(
        "masterIdentifier.use is required", "removed", (drop("masterIdentifier.use"),), f"{UNIQUE}#Identifier.use/min"
    ),
    Mutant(
        "masterIdentifier.use in 3.1.1",
        "removed",
        (drop("masterIdentifier.use"),),
        f"{UNIQUE}#Identifier.use/min",
        "warning",
        "released",
    ),
    Mutant(
        "masterIdentifier.use is usual",
        "other",
        (put("masterIdentifier.use", "official"),),
        f"{UNIQUE}#Identifier.use/pattern",
    ),
    *_identifiers(samples.comprehensive, UNIQUE, R, "masterIdentifier"),
    Mutant("status is required", "removed", (drop("status"),), "FHIR R4 DocumentReference.status"),
    Mutant(
        "status current or superseded",
        "entered-in-error",
        (put("status", "entered-in-error"),),
        f"{MIN}#{R}.status/binding",
    ),
    forbids("docStatus", "final", MIN, "docStatus"),
    lacks("type", UN, "type"),
    outside("type", C, "type", "information", OTHER),
    lacks("category", UN, "category"),
    Mutant("category 0..1", "repeated", (twice("category"),), f"{MIN}#{R}.category/max"),
    outside("category[0]", C, "category", "information", OTHER),
    lacks("subject", UN, "subject"),
    _reference("subject", C, "subject", "Group/g1"),
    lacks("date", C, "date"),
    Mutant("date in 3.1.1", "removed", (drop("date"),), f"{C}#{R}.date/min", "warning", "released"),
    Mutant("date is an instant", "a day", (put("date", "2026-11-20"),), "FHIR R4 instant"),
    Mutant("author 1..*", "removed", (drop("author"),), f"{C}#{R}.author/min"),
    Mutant("author targets", "a RelatedPerson", (contain(RELATED, "author[0]"),), f"{C}#{R}.author/target"),
    Mutant("author targets", "an Organization", (contain(ORGANIZATION, "author[0]"),), f"{C}#{R}.author/target"),
    Mutant(
        "author targets in 3.1.1",
        "a Practitioner",
        (contain(PRACTITIONER, "author[0]"),),
        f"{C}#pdsm-311-author",
        level="released",
    ),
    Mutant(
        "author is contained",
        "elsewhere",
        (put("author[0]", {"reference": "PractitionerRole/r1"}),),
        f"{C}#{R}.author/aggregation",
    ),
    Mutant(
        "author is contained",
        "by identifier",
        (put("author[0]", {"identifier": {"value": "1"}}),),
        f"{C}#{R}.author/aggregation",
    ),
    Mutant(
        "authenticator 1..1 in 3.1.1",
        "removed",
        (drop("authenticator"),),
        f"{C}#{R}.authenticator/min",
        level="released",
    ),
    Mutant(
        "authenticator targets in 3.1.1",
        "a Practitioner",
        (contain(PRACTITIONER, "authenticator"),),
        f"{C}#pdsm-311-authenticator",
        level="released",
    ),
    Mutant("authenticator targets", "a Device", (contain(DEVICE, "authenticator"),), "FHIR R4 authenticator"),
    Mutant(
        "authenticator is contained",
        "elsewhere",
        (put("authenticator", {"reference": "PractitionerRole/r1"}),),
        f"{C}#{R}.authenticator/aggregation",
    ),
    lacks("custodian", C, "custodian"),
    Mutant("custodian in 3.1.1", "removed", (drop("custodian"),), f"{C}#{R}.custodian/min", "warning", "released"),
    Mutant("custodian targets", "a Patient", (put("custodian", {"reference": "Patient/p1"}),), "FHIR R4 custodian"),
    Mutant(
        "relatesTo.code is required",
        "removed",
        (drop("relatesTo[0].code"),),
        "FHIR R4 DocumentReference.relatesTo.code",
    ),
    Mutant(
        "relatesTo.code",
        "other code",
        (put("relatesTo[0].code", "follows"),),
        "http://hl7.org/fhir/ValueSet/document-relationship-type",
    ),
    Mutant(
        "relatesTo.target is required",
        "removed",
        (drop("relatesTo[0].target"),),
        "FHIR R4 DocumentReference.relatesTo.target",
    ),
    Mutant("relatesTo.target", "a List", (put("relatesTo[0].target", {"reference": "List/l1"}),), "FHIR R4 target"),
    lacks("securityLabel", UN, "securityLabel"),
    outside("securityLabel[0]", C, "securityLabel", "warning", OTHER),
    Mutant("content 1..1", "removed", (drop("content"),), "FHIR R4 DocumentReference.content"),
    Mutant("content 1..1", "repeated", (twice("content"),), f"{MIN}#{R}.content/max"),
    lacks(f"{A}.contentType", MIN, "content.attachment.contentType"),
    lacks(f"{A}.language", UN, "content.attachment.language"),
    forbids(f"{A}.data", "Qm9u", MIN, "content.attachment.data"),
    lacks(f"{A}.url", MIN, "content.attachment.url"),
    lacks(f"{A}.size", C, "content.attachment.size"),
    Mutant("size is an unsignedInt", "text", (put(f"{A}.size", "12"),), "FHIR R4 unsignedInt"),
    lacks(f"{A}.hash", C, "content.attachment.hash"),
    lacks(f"{A}.title", C, "content.attachment.title"),
    lacks(f"{A}.creation", UN, "content.attachment.creation"),
    lacks("content[0].format", UN, "content.format"),
    outside("content[0].format", C, "content.format", "information", {"system": "http://example.org", "code": "z"}),
    Mutant("context is required", "removed", (drop("context"), drop("contained[0]")), f"{UN}#{R}.context/min"),
    lacks("context.period", C, "context.period"),
    lacks("context.period.start", C, "context.period.start"),
    lacks("context.facilityType", UN, "context.facilityType"),
    outside("context.facilityType", C, "context.facilityType", "information", OTHER),
    lacks("context.practiceSetting", UN, "context.practiceSetting"),
    outside("context.practiceSetting", C, "context.practiceSetting", "information", OTHER),
    Mutant(
        "sourcePatientInfo is required",
        "removed",
        (drop("context.sourcePatientInfo"), drop("contained[0]")),
        f"{UN}#{R}.context.sourcePatientInfo/min",
    ),
    Mutant(
        "sourcePatientInfo is contained",
        "elsewhere",
        (put("context.sourcePatientInfo", {"reference": "Patient/p1"}), drop("contained[0]")),
        f"{C}#{R}.context.sourcePatientInfo/aggregation",
    ),
    Mutant(
        "related.identifier.value is required",
        "removed",
        (drop("context.related[0].identifier.value"),),
        f"{C}#{R}.context.related.identifier.value/min",
    ),
    Mutant(
        "related.identifier.type system",
        "other",
        (put("context.related[0].identifier.type.coding[0].system", "urn:oid:1.2"),),
        f"{C}#{R}.context.related.identifier.type.coding.system/pattern",
    ),
    Mutant(
        "isArchived is a boolean",
        "text",
        (put("extension[0]", extension(ARCHIVED, valueString="true")),),
        f"{ARCHIVED}#Extension.value[x]/type",
    ),
    Mutant(
        "isArchived has a value",
        "none",
        (put("extension[0]", {"url": ARCHIVED, "extension": ODD}),),
        f"{ARCHIVED}#Extension.value[x]/min",
        also=frozenset({f"{ARCHIVED}#Extension.extension/max"}),
    ),
]

SIMPLIFIED = [
    forbids("modifierExtension", ODD, SIMPLE, "modifierExtension"),
    lacks("masterIdentifier", SIMPLE, "masterIdentifier"),
    forbids("identifier", [{"value": "1"}], SIMPLE, "identifier"),
    Mutant("status is required", "removed", (drop("status"),), "FHIR R4 DocumentReference.status"),
    Mutant("status is current", "superseded", (put("status", "superseded"),), f"{SIMPLE}#{R}.status/pattern"),
    forbids("docStatus", "final", SIMPLE, "docStatus"),
    outside("type", S, "type", "information", OTHER),
    Mutant("category 0..1", "repeated", (twice("category"),), f"{SIMPLE}#{R}.category/max"),
    outside("category[0]", S, "category", "information", OTHER),
    lacks("subject", SIMPLE, "subject"),
    _reference("subject", S, "subject", "Group/g1"),
    lacks("date", S, "date"),
    Mutant("date in 3.1.1", "removed", (drop("date"),), f"{S}#{R}.date/min", "warning", "released"),
    Mutant(
        "author 1..*", "removed", (drop("author"), drop("authenticator"), drop("contained[1]")), f"{S}#{R}.author/min"
    ),
    Mutant("author targets", "a Group", (put("author[0]", {"reference": "Group/g1"}),), "FHIR R4 author"),
    Mutant(
        "authenticator targets in 3.1.1",
        "a Practitioner",
        (contain(PRACTITIONER, "authenticator"),),
        f"{S}#pdsm-311-authenticator",
        level="released",
    ),
    lacks("custodian", S, "custodian"),
    Mutant("custodian in 3.1.1", "removed", (drop("custodian"),), f"{S}#{R}.custodian/min", "warning", "released"),
    outside("securityLabel[0]", S, "securityLabel", "warning", OTHER),
    Mutant("content 1..1", "repeated", (twice("content"),), f"{SIMPLE}#{R}.content/max"),
    Mutant("contentType is required", "removed", (drop(f"{A}.contentType"),), "att-1"),
    lacks(f"{A}.data", SIMPLE, "content.attachment.data"),
    forbids(f"{A}.url", "Binary/b1", SIMPLE, "content.attachment.url"),
    lacks(f"{A}.title", S, "content.attachment.title"),
    outside("content[0].format", S, "content.format", "information", {"system": "http://example.org", "code": "z"}),
    Mutant("context.event 0..1", "two", (put("context.event", EVENT),), f"{SIMPLE}#{R}.context.event/max"),
    outside("context.facilityType", S, "context.facilityType", "information", OTHER),
    outside("context.practiceSetting", S, "context.practiceSetting", "information", OTHER),
    Mutant(
        "sourcePatientInfo targets",
        "a Group",
        (put("context.sourcePatientInfo", {"reference": "Group/g1"}), drop("contained[0]")),
        "FHIR R4 sourcePatientInfo",
    ),
]


def _lists(least: str, mhd: str) -> list[Mutant]:
    """What submission sets and folders share."""
    return [
        forbids("modifierExtension", ODD, LIST, "modifierExtension", "List"),
        Mutant("designationType is a concept", "text", (put("extension[0]", extension(MHD + "ihe-designationType", valueString="x")),), f"{MHD}ihe-designationType#Extension.value[x]/type"),
        Mutant("status is required", "removed", (drop("status"),), "FHIR R4 List.status"),
        Mutant("mode is required", "removed", (drop("mode"),), "FHIR R4 List.mode"),
        Mutant("mode is working", "snapshot", (put("mode", "snapshot"),), f"{mhd}#List.mode/pattern"),
        Mutant("code is required", "removed", (drop("code"),), f"{LIST}#List.code/min"),
        lacks("subject", least, "subject", "List"),
        forbids("encounter", {"reference": "Encounter/e1"}, mhd, "encounter", "List"),
        forbids("orderedBy", concept("http://terminology.hl7.org/CodeSystem/list-order", "user"), mhd, "orderedBy", "List"),
        lacks("date", mhd, "date", "List"),
        Mutant("note 0..1", "repeated", (twice("note"),), f"{mhd}#List.note/max"),
        Mutant("emptyReason is forbidden", "added", (put("emptyReason", concept("http://terminology.hl7.org/CodeSystem/list-empty-reason", "nilknown")), drop("entry")), f"{mhd}#List.emptyReason/max"),
        forbids("entry[0].flag", OTHER, mhd, "entry.flag", "List"),
        forbids("entry[0].date", "2026-11-20", mhd, "entry.date", "List"),
        Mutant("entry.item is required", "removed", (drop("entry[0].item"), put("entry[0].id", "e")), "FHIR R4 List.entry.item"),
    ]  # fmt: skip


SUBMISSION_SET = [
    *(each for each in _lists(LUN, LMIN)),
    *_identifiers(samples.submission_set, SETID, "List", "identifier[1]"),
    Mutant("uniqueId.system is a URI system", "other", (put("identifier[1].system", "urn:oid:1.2"),), f"{SETID}#Identifier.system/fixed"),
    Mutant("mhd-startswithoid", "a UUID", (put("identifier[1].value", "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a88280"),), f"{SETID}#mhd-startswithoid"),
    Mutant("uniqueId 0..1", "repeated", (add("identifier", {"use": "usual", "system": samples.URI, "value": "urn:oid:1.2"}),), f"{LIST}#List.identifier:uniqueId/max"),
    Mutant("designationType 1..1", "removed", (unextend(MHD + "ihe-designationType"),), f"{LUN}#List.extension:designationType/min"),
    Mutant("designationType 1..1", "repeated", (twice("extension"),), f"{LMIN}#List.extension:designationType/max"),
    Mutant("designationType binding", "other code", (put("extension[0].valueCodeableConcept", OTHER),), f"{L}#List.extension:designationType.value[x]/binding", "information"),
    Mutant("sourceId 1..1", "removed", (unextend(MHD + "ihe-sourceId"),), f"{LMIN}#List.extension:sourceId/min"),
    Mutant("sourceId 1..1", "repeated", (add("extension", extension(MHD + "ihe-sourceId", valueIdentifier={"value": "1"})),), f"{LMIN}#List.extension:sourceId/max"),
    Mutant("sourceId is an identifier", "text", (put("extension[1]", extension(MHD + "ihe-sourceId", valueString="1")),), f"{MHD}ihe-sourceId#Extension.value[x]/type"),
    Mutant("isArchived 0..1", "repeated", (add("extension", extension(ARCHIVED, valueBoolean=True)),), f"{L}#List.extension:isArchived/max"),
    Mutant("intendedRecipient is contained", "elsewhere", (put("extension[3].valueReference", {"reference": "PractitionerRole/r1"}),), f"{L}#List.extension:PDSmintendedRecipient.value[x]/aggregation"),
    Mutant("intendedRecipient targets", "a Patient", (contain(samples.patient("p"), "extension[3].valueReference"),), f"{RECIPIENT}#Extension.value[x]/target"),
    Mutant("IHE intendedRecipient targets", "a role", (add("extension", extension(MHD + "ihe-intendedRecipient", valueReference={"reference": "#source"})),), f"{MHD}ihe-intendedRecipient#Extension.value[x]/target"),
    Mutant("contained 1..*", "removed", (drop("contained"), put("source", {"display": "x"}), unextend(RECIPIENT)), f"{L}#List.contained/min"),
    Mutant("status is current", "retired", (put("status", "retired"),), f"{L}#List.status/pattern"),
    Mutant("code is submissionset", "folder", (put("code", concept(LIST_TYPES, "folder")),), f"{LMIN}#List.code/pattern"),
    Mutant("source is required", "removed", (drop("source"), drop("contained[1]")), f"{L}#List.source/min"),
    Mutant("source targets", "a Practitioner", (contain(PRACTITIONER, "source"), drop("contained[1]")), f"{L}#List.source/target"),
    Mutant("source is contained", "elsewhere", (put("source", {"reference": "Device/d1"}), drop("contained[1]")), f"{L}#List.source/aggregation"),
    Mutant("authorOrg 0..1", "repeated", (twice("source.extension"),), f"{LMIN}#List.source.extension:authorOrg/max"),
    Mutant("authorOrg targets", "a Device", (contain(DEVICE), put("source.extension[0].valueReference", {"reference": "#device"}), drop("contained[1]")), f"{MHD}ihe-authorOrg#Extension.value[x]/target"),
    Mutant("authorOrg is contained", "elsewhere", (put("source.extension[0].valueReference", {"reference": "Organization/o"}), drop("contained[1]")), f"{L}#List.source.extension:authorOrg.value[x]/aggregation"),
    Mutant("authorOrg stands on source", "elsewhere", (add("extension", extension(MHD + "ihe-authorOrg", valueReference={"reference": "#organization"})),), f"{MHD}ihe-authorOrg#Extension/context"),
    _reference("subject", L, "subject", "Group/g1", "List"),
    _reference("entry[0].item", L, "entry.item", "Patient/p1", "List"),
    Mutant("entry.deleted is forbidden", "added", (put("entry[0].deleted", True), put("mode", "changes")), f"{LMIN}#List.entry.deleted/max", also=frozenset({f"{LMIN}#List.mode/pattern"})),
]  # fmt: skip

FOLDER = [
    *(each for each in _lists(FCOMP, FMIN) if not each.constraint.startswith("emptyReason")),
    *_identifiers(samples.folder, UNIQUE, "List", "identifier[1]"),
    Mutant("uniqueId 0..1", "repeated", (add("identifier", {"use": "usual", "system": samples.URI, "value": "urn:oid:1.2"}),), f"{LIST}#List.identifier:uniqueId/max"),
    Mutant("designationType 1..1", "removed", (drop("extension"),), f"{FCOMP}#List.extension:designationType/min"),
    Mutant("designationType 1..1", "repeated", (twice("extension"),), f"{F}#List.extension:designationType/max"),
    lacks("title", FCOMP, "title", "List"),
    Mutant("code is folder", "submissionset", (put("code", concept(LIST_TYPES, "submissionset")),), f"{FMIN}#List.code/pattern"),
    forbids("source", {"display": "x"}, FMIN, "source", "List"),
    lacks("entry", F, "entry", "List"),
    _reference("entry[0].item", F, "entry.item", "List/l1", "List"),
    _reference("subject", F, "subject", "Group/g1", "List"),
]  # fmt: skip

_SET, _DOCUMENT, _PATCH, _BINARY, _FOLDER, _PATIENT = (f"entry[{n}]" for n in range(6))
_PARAMETERS = f"{_PATCH}.resource.parameter[0]"
BUNDLES = [
    Mutant("meta.profile 1..*", "removed", (drop("meta.profile"), put("meta.id", "m")), f"{BUNDLE}#Bundle.meta.profile/min"),
    Mutant("meta.profile 1..*", "no meta", (drop("meta"),), f"{BUNDLE}#Bundle.meta/min"),
    Mutant("type is required", "removed", (drop("type"),), "FHIR R4 Bundle.type"),
    Mutant("type is transaction", "batch", (put("type", "batch"),), f"{BUNDLE}#Bundle.type/pattern"),
    Mutant("FHIR document is POST", "PUT", (add("entry", FHIR_DOCUMENT),), f"{BUNDLE}#Bundle.entry:FhirDocuments.request.method/pattern"),
    Mutant("entries have a request", "none", (drop(f"{_SET}.request"),), "bdl-3"),
    Mutant("entries have a resource", "none", (drop(f"{_DOCUMENT}.resource"),), f"{BUNDLE}#Bundle.entry/slicing"),
    Mutant("one submission set", "none", (drop(_SET),), f"{BUNDLE}#Bundle.entry:SubmissionSet/min"),
    Mutant("one submission set", "two", (add("entry", samples.provide_bundle()["entry"][0] | {"fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828a"}),), f"{BUNDLE}#Bundle.entry:SubmissionSet/max"),
    Mutant("submission set is POST", "PUT", (put(f"{_SET}.request.method", "PUT"),), f"{BUNDLE}#Bundle.entry:SubmissionSet.request.method/pattern"),
    Mutant("document is POST", "PUT", (put(f"{_DOCUMENT}.request.method", "PUT"),), f"{BUNDLE}#Bundle.entry:DocumentRefs.request.method/pattern"),
    Mutant("patch is PATCH", "POST", (put(f"{_PATCH}.request.method", "POST"),), f"{BUNDLE}#Bundle.entry:UpdateDocumentRefs.request.method/pattern"),
    Mutant("document file is POST", "PUT", (put(f"{_BINARY}.request.method", "PUT"),), f"{BUNDLE}#Bundle.entry:Documents.request.method/pattern"),
    Mutant("folder is POST or PUT", "DELETE", (put(f"{_FOLDER}.request.method", "DELETE"),), f"{BUNDLE}#Bundle.entry:Folders.request.method/binding"),
    Mutant("patient is GET, POST or PUT", "DELETE", (put(f"{_PATIENT}.request.method", "DELETE"),), f"{BUNDLE}#Bundle.entry:Patient.request.method/binding"),
    Mutant("one patient at most", "two", (add("entry", samples.provide_bundle()["entry"][5] | {"fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828b"}),), f"{BUNDLE}#Bundle.entry:Patient/max"),
    Mutant("no other entry", "an OperationOutcome", (add("entry", {"fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828c", "resource": {"resourceType": "Device"}, "request": {"method": "POST", "url": "Device"}}),), f"{BUNDLE}#Bundle.entry/slicing"),
    Mutant("documents follow PDSm", "no author", (drop(f"{_DOCUMENT}.resource.author"),), f"{C}#{R}.author/min"),
    Mutant("sets follow PDSm", "retired", (put(f"{_SET}.resource.status", "retired"),), f"{L}#List.status/pattern"),
    Mutant("folders follow PDSm", "empty", (drop(f"{_FOLDER}.resource.entry"),), f"{F}#List.entry/min"),
    Mutant("patch has an operation", "none", (put(f"{_PARAMETERS}.name", "note"),), f"{PATCH}#Parameters.parameter:operation/min"),
    Mutant("patch has one operation", "two", (twice(f"{_PATCH}.resource.parameter"),), f"{PATCH}#Parameters.parameter:operation/max"),
    Mutant("patch replaces", "add", (put(f"{_PARAMETERS}.part[0].valueCode", "add"),), f"{PATCH}#Parameters.parameter:operation.part:type.value[x]/pattern"),
    Mutant("patch is about status", "date", (put(f"{_PARAMETERS}.part[1].valueString", "DocumentReference.date"),), f"{PATCH}#Parameters.parameter:operation.part:path.value[x]/pattern"),
    Mutant("patch says superseded", "current", (put(f"{_PARAMETERS}.part[2].valueCode", "current"),), f"{PATCH}#Parameters.parameter:operation.part:value.value[x]/pattern"),
    *(Mutant(f"patch has {name}", "removed", (drop(f"{_PARAMETERS}.part[{n}]"),), f"{PATCH}#Parameters.parameter:operation.part:{name}/min") for n, name in enumerate(("type", "path", "value"))),
]  # fmt: skip

FOUND_DOCUMENTS = [
    lacks("total", FOUND, "total", "Bundle"),
    Mutant("type is searchset", "collection", (put("type", "collection"), drop("total")), f"{FOUND}#Bundle.type/pattern", also=frozenset({f"{FOUND}#Bundle.total/min"})),
    lacks("entry[0].fullUrl", FOUND, "entry.fullUrl", "Bundle"),
    Mutant("documents follow PDSm", "no author", (drop("entry[0].resource.author"),), f"{C}#{R}.author/min"),
]  # fmt: skip

FOUND_LISTS = [
    lacks("total", LISTS, "total", "Bundle"),
    Mutant("type is searchset", "collection", (put("type", "collection"), drop("total")), f"{LISTS}#Bundle.type/pattern", also=frozenset({f"{LISTS}#Bundle.total/min"})),
    lacks("entry[0].fullUrl", LISTS, "entry:SubmissionSet.fullUrl", "Bundle"),
    lacks("entry[1].fullUrl", LISTS, "entry:Folder.fullUrl", "Bundle"),
    Mutant("nothing else", "a warning", (add("entry", {"fullUrl": "https://dmp.example/Device/d", "resource": {"resourceType": "Device", "id": "d"}}),), f"{LISTS}#Bundle.entry/slicing"),
    Mutant("sets follow PDSm", "retired", (put("entry[0].resource.status", "retired"),), f"{L}#List.status/pattern"),
    Mutant("folders follow PDSm", "no entry", (drop("entry[1].resource.entry"),), f"{F}#List.entry/min"),
]  # fmt: skip

TABLE: dict[str, tuple[Tree, list[Mutant]]] = {
    C: (samples.comprehensive(), COMPREHENSIVE),
    S: (samples.simplified(), SIMPLIFIED),
    L: (samples.submission_set(), SUBMISSION_SET),
    F: (samples.folder(), FOLDER),
    B: (samples.provide_bundle(), BUNDLES),
    FD: (samples.find_documents(), FOUND_DOCUMENTS),
    FL: (samples.find_lists(), FOUND_LISTS),
}
