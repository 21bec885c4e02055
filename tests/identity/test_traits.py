"""The strict traits of a person, however a software writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.identity.traits import StrictTraits, normal_name, traits_of

ROOT = Path(__file__).parents[2]
CLAIRE = StrictTraits("VASSEUR", "CLAIRE LOUISE", "1974-03-12", "F", "69123")


def patient() -> dict:
    bundle = json.loads((ROOT / "fixtures" / "world" / "01-record-claire-martin.json").read_bytes())
    return next(each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == "Patient")


def test_traits_of_a_patient() -> None:
    assert traits_of(patient()) == CLAIRE
    assert CLAIRE.missing == ()
    assert traits_of({}).missing == ("birth_name", "first_names", "birth_date", "sex", "birth_place")
    assert traits_of({"gender": "other"}).sex == "I"
    usual = {"name": [{"use": "usual", "family": "Martin"}]}
    assert traits_of(usual).birth_name == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Élodie", "ELODIE"),
        ("Jean-Luc", "JEAN LUC"),
        ("d’Alembert", "D'ALEMBERT"),
        ("Lœtitia", "LOETITIA"),
        ("  Le   Goff", "le goff"),
        ("Nguyễn", "NGUYEN"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert normal_name(one) == normal_name(other)


@given(st.text(max_size=30))
def test_a_normal_name_is_its_own_normal_form(name: str) -> None:
    once = normal_name(name)
    assert normal_name(once) == once == once.strip()


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({}, ()),
        ({"first_names": "CLAIRE"}, ()),
        ({"first_names": "CLAIR"}, ("first_names",)),
        ({"first_names": ""}, ()),
        ({"birth_date": "1974"}, ()),
        ({"birth_date": "1974-03-13"}, ("birth_date",)),
        ({"birth_name": "MARTIN", "sex": "M"}, ("birth_name", "sex")),
        ({"birth_place": "2A004"}, ("birth_place",)),
    ],
)
def test_what_differs(change: dict[str, str], different: tuple[str, ...]) -> None:
    other = replace(CLAIRE, **change)
    assert CLAIRE.differences(other) == other.differences(CLAIRE) == different
