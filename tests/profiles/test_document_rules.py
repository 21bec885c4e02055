"""Rules of a DocumentReference that no StructureDefinition carries, each broken alone."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pytest

from dmp_fhir.profiles import active
from dmp_fhir.profiles.checks import check, lot_profiles, profiles_for
from dmp_fhir.profiles.concept_maps import FORMAT_TO_TYPE, classes_of, concept_map, types_of_format
from dmp_fhir.profiles.document import document_issues
from dmp_fhir.profiles.terminology import type_is_known
from tests.profiles import samples

LABELS = [samples.concept(samples.nos("TRE_A08-HL7Confidentiality"), "N")] * 5


def period(start: str, end: str | None) -> dict[str, Any]:
    return samples.comprehensive()["context"] | {"period": {"start": start} | ({"end": end} if end else {})}


def formatted(code: str) -> list[dict[str, Any]]:
    (content,) = samples.comprehensive()["content"]
    return [content | {"format": {"system": samples.nos("TRE_A06-FormatCodeComplementaire"), "code": code}}]


REPLACES = {"code": "replaces", "target": {"reference": "DocumentReference/a"}}
CLASS = samples.nos("TRE_A03-ClasseDocument")
A11 = "ASS-A11-CorresModeleCDA-XdsFormatCode-CISIS"
SHEET = (samples.nos("TRE_A06-FormatCodeComplementaire"), "urn:ans:ci-sis:feuille-de-style:2023")


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"status": "superseded"}, "TF-042", "error"),
        ({"type": samples.concept("http://loinc.org", "00000-0")}, "D10", "error"),
        ({"masterIdentifier": {"system": samples.URI}}, "DMP-UNIQUEID", "error"),
        ({"securityLabel": LABELS}, "DMP-LABELS", "error"),
        ({"category": [samples.concept(CLASS, "31")]}, "DMP-CLASS", "warning"),
        ({"content": formatted("urn:asip:ci-sis:vac:2019")}, "DMP-FORMAT", "warning"),
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


def test_the_format_of_an_unstructured_document_goes_with_any_type() -> None:
    for code in ("urn:ihe:iti:xds-sd:pdf:2008", "urn:asipSante:modelesHorsProfils:2011", "urn:none"):
        assert types_of_format(code) == frozenset()
        tree = samples.comprehensive() | {"content": formatted(code)}
        assert document_issues(tree, "released", "DocumentReference") == []


def test_formats_and_types_are_those_of_the_nomenclatures() -> None:
    """Each format has a code in JDV_J10 or JDV_J60 or as a model of ASS_A11, each type one in JDV_J07; where both
    nomenclatures give the same name, the table says the same."""
    table = concept_map(FORMAT_TO_TYPE)
    formats = {name: listed(f"ValueSet-JDV-{name}") for name in ("J10-XdsFormatCode-CISIS", "J60-FormatCode-DMP")}
    named = {code: display for each in formats.values() for code, display in each.items()}
    models = {code for codes in concept_map(A11).values() for code in codes}
    assert {code for code in table if code not in named} <= models
    for (_, code), types in table.items():
        assert types, code
        assert all(type_is_known(*each) for each in types), code
    types = {plain(display): code for code, display in listed("ValueSet-JDV-J07-XdsTypeCode-CISIS").items()}
    same = {code: types[plain(display)] for code, display in named.items() if plain(display) in types}
    del same[SHEET]  # no model of a document: a style sheet has no template in ASS_A11
    assert len(same) > 20
    assert {code: kind for code, kind in same.items() if kind not in table.get(code, ())} == {}


def listed(name: str) -> dict[tuple[str, str], str]:
    tree = json.loads((active.SHIPPED / "terminology" / f"{name}.json").read_text("utf-8"))
    return {
        (part["system"], each["code"]): each["display"]
        for part in tree["compose"]["include"]
        for each in part["concept"]
    }


def plain(name: str) -> str:
    short = re.sub(r"compte[ -]rendu", "cr", name.casefold())
    return "".join(each for each in unicodedata.normalize("NFD", short) if each.isalnum())


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


def test_a_class_that_does_not_exist_is_told_once() -> None:
    tree = samples.comprehensive() | {"category": [samples.concept(CLASS, "41")]}
    issues = [each for each in check(active.validator(), tree, "released") if "category" in str(each.expression)]
    assert [(each.severity, each.expression) for each in issues] == [
        ("error", "DocumentReference.category[0].coding[0].code")
    ]
