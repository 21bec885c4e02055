"""French identifiers and their keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import IDNPS, IDNST, INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, RPPS
from dmp_fhir.identity.identifiers import (
    Ins,
    ins_key,
    is_finess,
    is_idnps,
    is_idnst,
    is_matricule,
    is_rpps,
    luhn_digit,
    normalised_professional,
    normalised_structure,
    parse_ins,
    parse_person_id,
    professional_id,
    structure_id,
)
from dmp_fhir.outcome import Refused

CAST = json.loads((Path(__file__).parents[2] / "fixtures" / "cast.json").read_bytes())
GOOD = "274036912390153"


@pytest.mark.parametrize(
    ("body", "key"),
    [("2790351215189", "89"), ("2550814168025", "38"), ("255082A168025", "97"), ("255082B168025", "27")],
)
def test_ins_key(body: str, key: str) -> None:
    assert ins_key(body) == key
    assert is_matricule(body + key)


@given(st.integers(0, 12), st.sampled_from("0123456789"))
def test_one_wrong_digit_breaks_the_key(place: int, digit: str) -> None:
    changed = GOOD[:place] + digit + GOOD[place + 1 :]
    assert is_matricule(changed) == (changed == GOOD)


@pytest.mark.parametrize(
    "value",
    [
        "",
        GOOD[:-1],
        GOOD + "0",
        " " + GOOD,
        GOOD + "\n",
        "".join(chr(0x0660 + int(digit)) for digit in GOOD),
        "".join(chr(0xFF10 + int(digit)) for digit in GOOD),
        "2740369123901-3",
        "974036912390153",
        "274136912390153",
        "255082a16802597",
    ],
)
def test_what_is_not_a_matricule(value: str) -> None:
    assert not is_matricule(value)
    with pytest.raises(Refused) as caught:
        parse_ins(INS_NIR_TEST, value)
    assert caught.value.refusal.status == 422


def test_incomplete_civil_status_is_a_matricule() -> None:
    body = "2603199341912"
    assert is_matricule(body + ins_key(body))


def test_systems_of_an_ins() -> None:
    for system in (INS_NIR, INS_NIA, INS_NIR_TEST, INS_NIR_DEMO):
        assert parse_ins(system, GOOD) == Ins(system, GOOD)
    with pytest.raises(Refused):
        parse_ins("urn:oid:1.2.250.1.213.1.4.2", GOOD)
    with pytest.raises(Refused):
        parse_ins(INS_NIR_TEST, GOOD, systems=frozenset({INS_NIR}))


def test_person_id_of_a_token() -> None:
    ins = Ins(INS_NIR_TEST, GOOD)
    assert parse_person_id(str(ins)) == ins
    assert parse_person_id(f"{GOOD}^^^&1.2.250.1.213.1.4.10&ISO^NH") == ins
    assert parse_person_id(GOOD) is None
    assert parse_person_id(f"{GOOD}^^^&1.2.3&ISO^NH") is None


@given(st.from_regex("[0-9]{10}", fullmatch=True))
def test_luhn_finds_one_wrong_digit(body: str) -> None:
    number = body + luhn_digit(body)
    assert is_rpps(number)
    for place in range(11):
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        assert not is_rpps(wrong)


def test_professionals_are_normalised() -> None:
    assert professional_id(RPPS, "99700000112") == "899700000112"
    assert professional_id(IDNPS, "899700000112") == "899700000112"
    assert professional_id(IDNPS, "899700000113") is None
    assert professional_id("urn:other", "99700000112") is None
    assert normalised_professional("https://rpps.esante.gouv.fr|99700000112") == "899700000112"
    assert normalised_professional("99700000112") == "899700000112"
    assert is_idnps("3750100125/1453")
    assert not is_idnps("8" + "٩" * 11)
    assert not is_idnps("899700000112'--")


def test_structures_are_normalised() -> None:
    assert structure_id("https://finess.esante.gouv.fr", "990000010") == "1990000010"
    assert structure_id(IDNST, "1990000010") == "1990000010"
    assert normalised_structure("1990000011") is None
    assert is_idnst("R81311")
    assert is_finess("2A0000014")
    assert not is_finess("990000011")


def test_the_cast_has_right_keys() -> None:
    assert all(is_matricule(person["ins"]["value"]) for person in CAST["patients"])
    assert all(is_idnps(one["idnps"]) and one["idnps"] == "8" + one["rpps"] for one in CAST["professionals"])
    assert all(is_idnst(one["idnst"]) and one["idnst"] == "1" + one["finess"] for one in CAST["structures"])
