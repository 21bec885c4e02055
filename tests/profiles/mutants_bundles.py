"""The constraints of the PDSm bundles, broken; and the table of all the profiles."""

from __future__ import annotations

from tests.profiles import samples
from tests.profiles.mutants import (
    BUNDLE,
    FD,
    FL,
    FOUND,
    LISTS,
    PATCH,
    B,
    C,
    F,
    L,
    Mutant,
    R,
    S,
    add,
    drop,
    lacks,
    put,
    twice,
)
from tests.profiles.mutants_documents import COMPREHENSIVE, SIMPLIFIED
from tests.profiles.mutants_lists import FOLDER, SUBMISSION_SET

FHIR_DOCUMENT = {
    "fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828d",
    "resource": {"resourceType": "Bundle", "type": "collection"},
    "request": {"method": "PUT", "url": "Bundle/b1"},
}

_SET, _DOCUMENT, _PATCH, _BINARY, _FOLDER, _PATIENT = (f"entry[{n}]" for n in range(6))
_PARAMETERS = f"{_PATCH}.resource.parameter[0]"
BUNDLES = [
    Mutant(
        "meta.profile 1..*", "removed", (drop("meta.profile"), put("meta.id", "m")), f"{BUNDLE}#Bundle.meta.profile/min"
    ),
    Mutant("meta.profile 1..*", "no meta", (drop("meta"),), f"{BUNDLE}#Bundle.meta/min"),
    Mutant("type is required", "removed", (drop("type"),), "FHIR R4 Bundle.type"),
    Mutant("type is transaction", "batch", (put("type", "batch"),), f"{BUNDLE}#Bundle.type/pattern"),
    Mutant(
        "FHIR document is POST",
        "PUT",
        (add("entry", FHIR_DOCUMENT),),
        f"{BUNDLE}#Bundle.entry:FhirDocuments.request.method/pattern",
    ),
    Mutant("entries have a request", "none", (drop(f"{_SET}.request"),), "bdl-3"),
    Mutant("entries have a resource", "none", (drop(f"{_DOCUMENT}.resource"),), f"{BUNDLE}#Bundle.entry/slicing"),
    Mutant("one submission set", "none", (drop(_SET),), f"{BUNDLE}#Bundle.entry:SubmissionSet/min"),
    Mutant(
        "one submission set",
        "two",
        (
            add(
                "entry",
                samples.provide_bundle()["entry"][0] | {"fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828a"},
            ),
        ),
        f"{BUNDLE}#Bundle.entry:SubmissionSet/max",
    ),
    Mutant(
        "submission set is POST",
        "PUT",
        (put(f"{_SET}.request.method", "PUT"),),
        f"{BUNDLE}#Bundle.entry:SubmissionSet.request.method/pattern",
    ),
    Mutant(
        "document is POST",
        "PUT",
        (put(f"{_DOCUMENT}.request.method", "PUT"),),
        f"{BUNDLE}#Bundle.entry:DocumentRefs.request.method/pattern",
    ),
    Mutant(
        "patch is PATCH",
        "POST",
        (put(f"{_PATCH}.request.method", "POST"),),
        f"{BUNDLE}#Bundle.entry:UpdateDocumentRefs.request.method/pattern",
    ),
    Mutant(
        "document file is POST",
        "PUT",
        (put(f"{_BINARY}.request.method", "PUT"),),
        f"{BUNDLE}#Bundle.entry:Documents.request.method/pattern",
    ),
    Mutant(
        "folder is POST or PUT",
        "DELETE",
        (put(f"{_FOLDER}.request.method", "DELETE"),),
        f"{BUNDLE}#Bundle.entry:Folders.request.method/binding",
    ),
    Mutant(
        "patient is GET, POST or PUT",
        "DELETE",
        (put(f"{_PATIENT}.request.method", "DELETE"),),
        f"{BUNDLE}#Bundle.entry:Patient.request.method/binding",
    ),
    Mutant(
        "one patient at most",
        "two",
        (
            add(
                "entry",
                samples.provide_bundle()["entry"][5] | {"fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828b"},
            ),
        ),
        f"{BUNDLE}#Bundle.entry:Patient/max",
    ),
    Mutant(
        "no other entry",
        "an OperationOutcome",
        (
            add(
                "entry",
                {
                    "fullUrl": "urn:uuid:5f44b500-ffa8-495b-a662-d539f1a8828c",
                    "resource": {"resourceType": "Device"},
                    "request": {"method": "POST", "url": "Device"},
                },
            ),
        ),
        f"{BUNDLE}#Bundle.entry/slicing",
    ),
    Mutant("documents follow PDSm", "no author", (drop(f"{_DOCUMENT}.resource.author"),), f"{C}#{R}.author/min"),
    Mutant("sets follow PDSm", "retired", (put(f"{_SET}.resource.status", "retired"),), f"{L}#List.status/pattern"),
    Mutant("folders follow PDSm", "empty", (drop(f"{_FOLDER}.resource.entry"),), f"{F}#List.entry/min"),
    Mutant(
        "patch has an operation",
        "none",
        (put(f"{_PARAMETERS}.name", "note"),),
        f"{PATCH}#Parameters.parameter:operation/min",
    ),
    Mutant(
        "patch has one operation",
        "two",
        (twice(f"{_PATCH}.resource.parameter"),),
        f"{PATCH}#Parameters.parameter:operation/max",
    ),
    Mutant(
        "patch replaces",
        "add",
        (put(f"{_PARAMETERS}.part[0].valueCode", "add"),),
        f"{PATCH}#Parameters.parameter:operation.part:type.value[x]/pattern",
    ),
    Mutant(
        "patch is about status",
        "date",
        (put(f"{_PARAMETERS}.part[1].valueString", "DocumentReference.date"),),
        f"{PATCH}#Parameters.parameter:operation.part:path.value[x]/pattern",
    ),
    Mutant(
        "patch says superseded",
        "current",
        (put(f"{_PARAMETERS}.part[2].valueCode", "current"),),
        f"{PATCH}#Parameters.parameter:operation.part:value.value[x]/pattern",
    ),
    *(
        Mutant(
            f"patch has {name}",
            "removed",
            (drop(f"{_PARAMETERS}.part[{n}]"),),
            f"{PATCH}#Parameters.parameter:operation.part:{name}/min",
        )
        for n, name in enumerate(("type", "path", "value"))
    ),
]

# R4 asks for it before the profile does.
UNNAMED = Mutant("entry.fullUrl is required", "removed", (drop("entry[0].fullUrl"),), "FHIR R4 Bundle.entry.fullUrl")

FOUND_DOCUMENTS = [
    lacks("total", FOUND, "total", "Bundle"),
    Mutant(
        "type is searchset",
        "collection",
        (put("type", "collection"), drop("total")),
        f"{FOUND}#Bundle.type/pattern",
        also=frozenset({f"{FOUND}#Bundle.total/min"}),
    ),
    UNNAMED,
    # The slicing is open, and MHD says "should" (ITI-67, 2:3.67.4.2.2.1): told, not refused.
    Mutant("documents follow PDSm", "no author", (drop("entry[0].resource.author"),), f"{C}#{R}.author/min", "warning"),
]

FOUND_LISTS = [
    lacks("total", LISTS, "total", "Bundle"),
    Mutant(
        "type is searchset",
        "collection",
        (put("type", "collection"), drop("total")),
        f"{LISTS}#Bundle.type/pattern",
        also=frozenset({f"{LISTS}#Bundle.total/min"}),
    ),
    UNNAMED,
    Mutant("entry:Folder.fullUrl is required", "removed", (drop("entry[1].fullUrl"),), "FHIR R4 Bundle.entry.fullUrl"),
    Mutant(
        "nothing else",
        "a warning",
        (add("entry", {"fullUrl": "https://dmp.example/Device/d", "resource": {"resourceType": "Device", "id": "d"}}),),
        f"{LISTS}#Bundle.entry/slicing",
    ),
    Mutant("sets follow PDSm", "retired", (put("entry[0].resource.status", "retired"),), f"{L}#List.status/pattern"),
    Mutant("folders follow PDSm", "no entry", (drop("entry[1].resource.entry"),), f"{F}#List.entry/min"),
]

TABLE: dict[str, tuple[samples.Tree, list[Mutant]]] = {
    C: (samples.comprehensive(), COMPREHENSIVE),
    S: (samples.simplified(), SIMPLIFIED),
    L: (samples.submission_set(), SUBMISSION_SET),
    F: (samples.folder(), FOLDER),
    B: (samples.provide_bundle(), BUNDLES),
    FD: (samples.find_documents(), FOUND_DOCUMENTS),
    FL: (samples.find_lists(), FOUND_LISTS),
}
