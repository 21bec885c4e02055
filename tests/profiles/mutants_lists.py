"""The constraints of the PDSm submission set and folder, broken."""

from __future__ import annotations

from tests.profiles import samples
from tests.profiles.mutants import (
    ARCHIVED,
    DEVICE,
    FCOMP,
    FMIN,
    LIST,
    LMIN,
    LUN,
    ODD,
    OTHER,
    PRACTITIONER,
    RECIPIENT,
    SETID,
    UNIQUE,
    F,
    L,
    Mutant,
    add,
    contain,
    drop,
    forbids,
    identifiers,
    lacks,
    put,
    refers,
    twice,
    unextend,
)
from tests.profiles.samples import LIST_TYPES, MHD, concept, extension


def _lists(least: str, mhd: str) -> list[Mutant]:
    """What submission sets and folders share."""
    return [
        forbids("modifierExtension", ODD, LIST, "modifierExtension", "List"),
        Mutant(
            "designationType is a concept",
            "text",
            (put("extension[0]", extension(MHD + "ihe-designationType", valueString="x")),),
            f"{MHD}ihe-designationType#Extension.value[x]/type",
        ),
        Mutant("status is required", "removed", (drop("status"),), "FHIR R4 List.status"),
        Mutant("mode is required", "removed", (drop("mode"),), "FHIR R4 List.mode"),
        Mutant("mode is working", "snapshot", (put("mode", "snapshot"),), f"{mhd}#List.mode/pattern"),
        Mutant("code is required", "removed", (drop("code"),), f"{LIST}#List.code/min"),
        lacks("subject", least, "subject", "List"),
        forbids("encounter", {"reference": "Encounter/e1"}, mhd, "encounter", "List"),
        forbids(
            "orderedBy", concept("http://terminology.hl7.org/CodeSystem/list-order", "user"), mhd, "orderedBy", "List"
        ),
        lacks("date", mhd, "date", "List"),
        Mutant("note 0..1", "repeated", (twice("note"),), f"{mhd}#List.note/max"),
        Mutant(
            "emptyReason is forbidden",
            "added",
            (
                put("emptyReason", concept("http://terminology.hl7.org/CodeSystem/list-empty-reason", "nilknown")),
                drop("entry"),
            ),
            f"{mhd}#List.emptyReason/max",
        ),
        forbids("entry[0].flag", OTHER, mhd, "entry.flag", "List"),
        forbids("entry[0].date", "2026-11-20", mhd, "entry.date", "List"),
        Mutant(
            "entry.item is required",
            "removed",
            (drop("entry[0].item"), put("entry[0].id", "e")),
            "FHIR R4 List.entry.item",
        ),
    ]


SUBMISSION_SET = [
    *(each for each in _lists(LUN, LMIN)),
    *identifiers(SETID, "identifier[1]"),
    Mutant(
        "uniqueId.system is a URI system",
        "other",
        (put("identifier[1].system", "urn:oid:1.2"),),
        f"{SETID}#Identifier.system/fixed",
    ),
    Mutant(
        "mhd-startswithoid",
        "a UUID",
        (put("identifier[1].value", "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a88280"),),
        f"{SETID}#mhd-startswithoid",
    ),
    Mutant(
        "uniqueId 0..1",
        "repeated",
        (add("identifier", {"use": "usual", "system": samples.URI, "value": "urn:oid:1.2"}),),
        f"{LIST}#List.identifier:uniqueId/max",
    ),
    Mutant(
        "designationType 1..1",
        "removed",
        (unextend(MHD + "ihe-designationType"),),
        f"{LUN}#List.extension:designationType/min",
    ),
    Mutant("designationType 1..1", "repeated", (twice("extension"),), f"{LMIN}#List.extension:designationType/max"),
    Mutant(
        "designationType binding",
        "other code",
        (put("extension[0].valueCodeableConcept", OTHER),),
        f"{L}#List.extension:designationType.value[x]/binding",
        "information",
    ),
    Mutant("sourceId 1..1", "removed", (unextend(MHD + "ihe-sourceId"),), f"{LMIN}#List.extension:sourceId/min"),
    Mutant(
        "sourceId 1..1",
        "repeated",
        (add("extension", extension(MHD + "ihe-sourceId", valueIdentifier={"value": "1"})),),
        f"{LMIN}#List.extension:sourceId/max",
    ),
    Mutant(
        "sourceId is an identifier",
        "text",
        (put("extension[1]", extension(MHD + "ihe-sourceId", valueString="1")),),
        f"{MHD}ihe-sourceId#Extension.value[x]/type",
    ),
    Mutant(
        "isArchived 0..1",
        "repeated",
        (add("extension", extension(ARCHIVED, valueBoolean=True)),),
        f"{L}#List.extension:isArchived/max",
    ),
    Mutant(
        "intendedRecipient is contained",
        "elsewhere",
        (put("extension[3].valueReference", {"reference": "PractitionerRole/r1"}),),
        f"{L}#List.extension:PDSmintendedRecipient.value[x]/aggregation",
    ),
    Mutant(
        "intendedRecipient targets",
        "a Patient",
        (contain(samples.patient("p"), "extension[3].valueReference"),),
        f"{RECIPIENT}#Extension.value[x]/target",
    ),
    Mutant(
        "IHE intendedRecipient targets",
        "a role",
        (add("extension", extension(MHD + "ihe-intendedRecipient", valueReference={"reference": "#source"})),),
        f"{MHD}ihe-intendedRecipient#Extension.value[x]/target",
    ),
    Mutant(
        "contained 1..*",
        "removed",
        (drop("contained"), put("source", {"display": "x"}), unextend(RECIPIENT)),
        f"{L}#List.contained/min",
    ),
    Mutant("status is current", "retired", (put("status", "retired"),), f"{L}#List.status/pattern"),
    Mutant(
        "code is submissionset", "folder", (put("code", concept(LIST_TYPES, "folder")),), f"{LMIN}#List.code/pattern"
    ),
    Mutant("source is required", "removed", (drop("source"), drop("contained[1]")), f"{L}#List.source/min"),
    Mutant(
        "source targets",
        "a Practitioner",
        (contain(PRACTITIONER, "source"), drop("contained[1]")),
        f"{L}#List.source/target",
    ),
    Mutant(
        "source is contained",
        "elsewhere",
        (put("source", {"reference": "Device/d1"}), drop("contained[1]")),
        f"{L}#List.source/aggregation",
    ),
    Mutant("authorOrg 0..1", "repeated", (twice("source.extension"),), f"{LMIN}#List.source.extension:authorOrg/max"),
    Mutant(
        "authorOrg targets",
        "a Device",
        (contain(DEVICE), put("source.extension[0].valueReference", {"reference": "#device"}), drop("contained[1]")),
        f"{MHD}ihe-authorOrg#Extension.value[x]/target",
    ),
    Mutant(
        "authorOrg is contained",
        "elsewhere",
        (put("source.extension[0].valueReference", {"reference": "Organization/o"}), drop("contained[1]")),
        f"{L}#List.source.extension:authorOrg.value[x]/aggregation",
    ),
    Mutant(
        "authorOrg stands on source",
        "elsewhere",
        (add("extension", extension(MHD + "ihe-authorOrg", valueReference={"reference": "#organization"})),),
        f"{MHD}ihe-authorOrg#Extension/context",
    ),
    refers("subject", L, "subject", "Group/g1", "List"),
    refers("entry[0].item", L, "entry.item", "Patient/p1", "List"),
    Mutant(
        "entry.deleted is forbidden",
        "added",
        (put("entry[0].deleted", True), put("mode", "changes")),
        f"{LMIN}#List.entry.deleted/max",
        also=frozenset({f"{LMIN}#List.mode/pattern"}),
    ),
]

FOLDER = [
    *(each for each in _lists(FCOMP, FMIN) if not each.constraint.startswith("emptyReason")),
    *identifiers(UNIQUE, "identifier[1]"),
    Mutant(
        "uniqueId 0..1",
        "repeated",
        (add("identifier", {"use": "usual", "system": samples.URI, "value": "urn:oid:1.2"}),),
        f"{LIST}#List.identifier:uniqueId/max",
    ),
    Mutant("designationType 1..1", "removed", (drop("extension"),), f"{FCOMP}#List.extension:designationType/min"),
    Mutant("designationType 1..1", "repeated", (twice("extension"),), f"{F}#List.extension:designationType/max"),
    lacks("title", FCOMP, "title", "List"),
    Mutant(
        "code is folder",
        "submissionset",
        (put("code", concept(LIST_TYPES, "submissionset")),),
        f"{FMIN}#List.code/pattern",
    ),
    forbids("source", {"display": "x"}, FMIN, "source", "List"),
    lacks("entry", F, "entry", "List"),
    refers("entry[0].item", F, "entry.item", "List/l1", "List"),
    refers("subject", F, "subject", "Group/g1", "List"),
]
