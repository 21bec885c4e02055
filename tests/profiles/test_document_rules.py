"""Rules of a DocumentReference that no StructureDefinition carries, each broken alone."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.profiles import active
from dmp_fhir.profiles.checks import check, lot_profiles, profiles_for
from dmp_fhir.profiles.concept_maps import classes_of
from dmp_fhir.profiles.document import document_issues
from tests.profiles import samples

LABELS = [samples.concept(samples.nos("TRE_A08-HL7Confidentiality"), "N")] * 5


def period(start: str, end: str | None) -> dict[str, Any]:
    return samples.comprehensive()["context"] | {"period": {"start": start} | ({"end": end} if end else {})}


REPLACES = {"code": "replaces", "target": {"reference": "DocumentReference/a"}}
CLASS = samples.nos("TRE_A03-ClasseDocument")


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"status": "superseded"}, "TF-042", "error"),
        ({"type": samples.concept("http://loinc.org", "00000-0")}, "D10", "error"),
        ({"masterIdentifier": {"system": samples.URI}}, "DMP-UNIQUEID", "error"),
        ({"securityLabel": LABELS}, "DMP-LABELS", "error"),
        ({"category": [samples.concept(CLASS, "31")]}, "DMP-CLASS", "warning"),
        ({"context": period("2001-01-02", "2001-01-01")}, "per-1", "error"),
        ({"context": period("2999-01-01", None)}, "DMP-DATES", "warning"),
        ({"date": "1999-01-01T00:00:00Z"}, "DMP-DATES", "warning"),
        ({"relatesTo": [REPLACES, REPLACES | {"code": "appends"}]}, "constr-bind-relatesTo", "warning"),
    ],
)
def test_each_rule(changes: dict[str, Any], rule: str, severity: str) -> None:
    issues = document_issues(samples.comprehensive() | changes, "released", "DocumentReference")
    assert [(each.rule, each.severity) for each in issues] == [(rule, severity)]


def test_a_sound_document_breaks_none() -> None:
    assert document_issues(samples.comprehensive(), "released", "DocumentReference") == []


def test_a_class_of_another_list_is_not_judged() -> None:
    tree = samples.comprehensive() | {"category": [samples.concept("http://loinc.org", "11369-6")]}
    assert document_issues(tree, "released", "DocumentReference") == []


def test_classes_come_from_the_table_of_the_dmp_then_from_the_general_one() -> None:
    assert classes_of("http://loinc.org", "34133-9") == {(CLASS, "11")}
    assert classes_of("http://loinc.org", "101881-1") == {(CLASS, "52")}
    assert classes_of("http://loinc.org", "nothing") == frozenset()


def test_the_profile_of_each_transaction() -> None:
    names = {
        name: [url.rsplit("/", 1)[1] for url in profiles_for(tree)]
        for name, tree in {
            "document": samples.comprehensive(),
            "simple": samples.simplified(),
            "set": samples.submission_set(),
            "folder": samples.folder(),
            "lot": samples.provide_bundle(),
            "patient": samples.patient("p"),
        }.items()
    }
    assert names == {
        "document": ["pdsm-comprehensive-document-reference"],
        "simple": ["pdsm-simplified-publish"],
        "set": ["pdsm-submissionset-comprehensive"],
        "folder": ["pdsm-folder-comprehensive"],
        "lot": ["pdsm-comprehensive-provide-document-bundle"],
        "patient": ["dmp-record"],
    }


def test_at_level_mhd_a_lot_follows_the_option_it_declares() -> None:
    minimal = samples.MHD + "IHE.MHD.Minimal.ProvideBundle"
    lot = samples.provide_bundle() | {"meta": {"profile": [minimal]}}
    assert lot_profiles(lot, "mhd") == [minimal]
    assert lot_profiles(lot, "released") == profiles_for(samples.provide_bundle())


def test_one_mistake_is_told_once() -> None:
    tree = samples.simplified() | {"status": "superseded"}
    issues = check(active.validator(), tree, "released", profiles_for(tree))
    assert [each.expression for each in issues] == ["DocumentReference.status"]


def test_dates_as_vague_as_the_year_are_in_order() -> None:
    tree = samples.comprehensive() | {"context": period("2026", "2026"), "date": "2026-11-21T10:00:00Z"}
    tree["content"][0]["attachment"]["creation"] = "2026"
    assert document_issues(tree, "released", "DocumentReference") == []


def test_a_document_that_appends_and_signs_may_say_both() -> None:
    tree = samples.comprehensive() | {"relatesTo": [REPLACES | {"code": code} for code in ("appends", "signs")]}
    assert document_issues(tree, "released", "DocumentReference") == []
