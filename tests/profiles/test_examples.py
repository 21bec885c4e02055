"""The examples that the guides publish, against the verdict that their reading gives, at each level (D1).

The files are read where they are (DMP_FHIR_SHARED, or ../shared beside the checkout). Where they are not there, the
same verdicts are proved on resources of the same shape written here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.outcome import Issue
from dmp_fhir.profiles.active import SHIPPED
from dmp_fhir.profiles.validator import Validator
from tests.profiles import samples

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("DMP_FHIR_SHARED", ROOT.parent / "shared")) / "data" / "examples"
COMPREHENSIVE = samples.PDSM + "pdsm-comprehensive-document-reference"
SIMPLIFIED = samples.PDSM + "pdsm-simplified-publish"
SET = samples.PDSM + "pdsm-submissionset-comprehensive"
BUNDLE = samples.PDSM + "pdsm-comprehensive-provide-document-bundle"
UNIQUE = samples.MHD + "IHE.MHD.UniqueIdIdentifier#Identifier.use/min"
_DR = f"{COMPREHENSIVE}#DocumentReference."

# The guides' example of main: three references that should be contained, an orphan with a date of its own.
_EXTERNAL = {f"{_DR}{name}/aggregation" for name in ("author", "authenticator", "context.sourcePatientInfo")}
_GUIDE = _EXTERNAL | {"dom-3", "dom-4"}
# PDSm4DMP was written for PDSm 3.1.0: no custodian, no masterIdentifier.use.
_OLDER = {f"{_DR}custodian/min", UNIQUE}
# Its subject is a conditional reference, which R4 has in no bundle but a transaction (a warning at released).
_SEARCH = {"http://hl7.org/fhir/StructureDefinition/Reference#Reference.reference/search"}
# The person it contains is no as-practitioner: an IdNatPs without type (target of author; a warning at released).
_PERSON = {
    "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-practitioner#Practitioner.identifier:idNatPs.type/min"
}
# Its fullUrl are relative (DocumentReference/…): R4 wants absolute ones.
_RELATIVE = {"FHIR R4 Bundle.entry.fullUrl"}
# MHD's own lot, as PDSm sees it.
_MHD_LOT = {
    f"{_DR}author/min",
    f"{_DR}custodian/min",
    f"{_DR}context.period/min",
    f"{SET}#List.source/min",
    f"{SET}#List.contained/min",
}
_NONE: set[str] = set()

# file, profiles asked for beside those it declares, errors at level released, errors at level main
VERDICTS: list[tuple[str, list[str], set[str], set[str]]] = [
    ("pdsm/DocumentReference-exemple-pdsm-documentreference.json", [], _GUIDE, _GUIDE),
    ("pdsm/List-ExampleFolder.json", [], _NONE, _NONE),
    ("pdsm/Organization-org-example.json", [], _NONE, _NONE),
    ("pdsm/Patient-fr-patient-123.json", [], _NONE, _NONE),
    ("pdsm/Binary-6789.json", [], _NONE, _NONE),
    ("pdsm4dmp/DocumentReference-example-annexe-docref-cda.json", [], _NONE, _OLDER),
    ("pdsm4dmp/DocumentReference-example-annexe-docref-fhir.json", [], _NONE, _OLDER),
    ("pdsm4dmp/Bundle-example-annexe-searchset-documentreferences.json", [], _RELATIVE, _OLDER | _RELATIVE | _SEARCH),
    ("pdsm4dmp/Binary-example-annexe-binary-cda.json", [], _NONE, _NONE),
    ("pdsm4dmp/Bundle-example-annexe-fhir-document.json", [], _NONE, _NONE),
    (
        "pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json",
        [],
        _NONE,
        {f"{SIMPLIFIED}#DocumentReference.custodian/min"} | _PERSON,
    ),
    ("pdsm4dmp/Binary-AuthorDispositif.json", [], _NONE, _NONE),
    ("ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundleSimple.json", [], _NONE, _NONE),
    ("ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundleReplace.json", [], _NONE, _NONE),
    ("ihe-mhd/Bundle-ex-response-comprehensiveProvideDocumentBundleSimple.json", [], _NONE, _NONE),
    (
        "ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundleSimple.json",
        [BUNDLE],
        (_MHD_LOT | {f"{_DR}authenticator/min"}) - {f"{_DR}custodian/min"},
        _MHD_LOT,
    ),
]


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator.load(SHIPPED)


def errors(issues: list[Issue]) -> set[str | None]:
    return {issue.rule for issue in issues if issue.severity == "error"}


def test_published_examples(validator: Validator) -> None:
    for file, profiles, *expected in VERDICTS if SHARED.is_dir() else ():
        tree = json.loads((SHARED / file).read_text("utf-8"))
        for level, refusing in zip(("released", "main"), expected, strict=True):
            assert errors(validator.validate(tree, profiles, level)) == refusing, (file, level)


def test_every_published_example_has_its_verdict() -> None:
    if SHARED.is_dir():
        files = {str(each.relative_to(SHARED)) for each in SHARED.glob("*/*.json") if "JsonPatch" not in each.name}
        assert files == {file for file, *_ in VERDICTS}


def older() -> dict[str, Any]:
    """A record of the generation of 3.1.0, as PDSm4DMP shows them."""
    tree = samples.comprehensive()
    del tree["custodian"], tree["masterIdentifier"]["use"]
    tree["context"]["facilityType"] = samples.concept("http://snomed.info/sct", "35971002")
    return tree


def test_a_record_of_the_older_edition_is_valid_by_default_and_not_for_main(validator: Validator) -> None:
    remarks = validator.validate(older(), [COMPREHENSIVE])
    assert {(each.severity, each.rule) for each in remarks} == {
        ("warning", f"{_DR}custodian/min"),
        ("warning", UNIQUE),
        ("information", f"{_DR}context.facilityType/binding"),
    }
    assert errors(validator.validate(older(), [COMPREHENSIVE], "main")) == _OLDER


def test_a_record_with_its_people_elsewhere_is_refused_at_both_levels(validator: Validator) -> None:
    tree = samples.comprehensive()
    tree["author"] = [{"reference": "PractitionerRole/r1"}]
    tree["authenticator"] = {"reference": "Organization/o1"}
    tree["context"]["sourcePatientInfo"] = {"reference": "Patient/p1"}
    tree["contained"] = [{"resourceType": "Practitioner", "id": "x", "meta": {"lastUpdated": "2025-04-28T19:35:45Z"}}]
    for level in ("released", "main"):
        assert errors(validator.validate(tree, [COMPREHENSIVE], level)) == _GUIDE


def test_level_mhd_asks_only_for_mhd(validator: Validator) -> None:
    tree = samples.comprehensive()
    for name in ("author", "authenticator", "custodian"):
        del tree[name]
    del tree["contained"][1], tree["context"]["period"]
    issues = validator.validate(tree, [COMPREHENSIVE], "mhd")
    assert issues
    assert {issue.severity for issue in issues} == {"information"}
