"""French identifiers and their keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.canonicals import IDNPS, IDNST, INS_A, INS_C, INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, RPPS
from dmp_fhir.identity.identifiers import (
    Ins,
    ins_key,
    is_finess,
    is_idnps,
    is_idnst,
    is_matricule,
    is_rpps,
    is_siren,
    is_siret,
    luhn_digit,
    normalised_professional,
    normalised_structure,
    parse_ins,
    parse_person_id,
    professional_id,
    structure_id,
    typed_ins,
)
from dmp_fhir.outcome import Refused

CAST = json.loads((Path(__file__).parents[2] / "fixtures" / "cast.json").read_bytes())
GOOD = "274036912390153"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("1550672000101", "59"),
        ("1680172181372", "43"),
        ("2790351215189", "89"),
        ("2550814168025", "38"),
        ("255082A168025", "97"),
        ("255082B168025", "27"),
    ],
)
def test_ins_key(body: str, key: str) -> None:
    assert ins_key(body) == key
    assert is_matricule(body + key)


def slips(number: str) -> Iterator[str]:
    """Every number that differs by one digit, or by two neighbours that changed places."""
    for place, digit in enumerate(number):
        if digit.isdecimal():
            yield from (number[:place] + other + number[place + 1 :] for other in "0123456789" if other != digit)
    for place, (one, next_one) in enumerate(pairwise(number)):
        if one != next_one:
            yield number[:place] + next_one + one + number[place + 2 :]


SEXES, MONTHS = st.sampled_from("123478"), st.sampled_from([f"{n:02}" for n in (*range(1, 13), *range(20, 100))])
DEPARTMENTS = st.one_of(st.from_regex("[0-9]{2}", fullmatch=True), st.sampled_from(["2A", "2B", "97", "98", "99"]))
BODIES = st.tuples(
    SEXES,
    st.from_regex("[0-9]{2}", fullmatch=True),
    MONTHS,
    DEPARTMENTS,
    st.from_regex("[0-9]{6}", fullmatch=True),
).map("".join)


@given(BODIES)
def test_every_slip_in_a_matricule_is_caught(body: str) -> None:
    """Sexes, incomplete months, Corsica, overseas and abroad: 97 is prime, so the key finds every wrong digit and every
    exchange of neighbours."""
    number = body + ins_key(body)
    assert is_matricule(number)
    assert [each for each in slips(number) if is_matricule(each)] == []
    other = {"2A": "2B", "2B": "2A"}.get(body[5:7])
    assert other is None or not is_matricule(body[:5] + other + number[7:])


@given(st.integers(0, 10**13 - 1))
def test_the_key_is_between_01_and_97(number: int) -> None:
    assert 1 <= int(ins_key(f"{number:013}")) <= 97


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
    for old in (INS_C, INS_A):
        with pytest.raises(Refused) as caught:
            parse_ins(old, GOOD)
        assert "INS-C" in caught.value.refusal.issues[0].en
        assert parse_person_id(f"{old}|{GOOD}") is None
    with pytest.raises(Refused):
        parse_ins(INS_NIR_TEST, GOOD, systems=frozenset({INS_NIR}))


@pytest.mark.parametrize(
    ("text", "system"),
    [
        (GOOD, None),
        (" 2 74 03 69 123 901 53 ", None),
        ("2\u00a074\u202f03 69 123 901 53", None),
        (f"{INS_NIR_TEST}|{GOOD}", INS_NIR_TEST),
        (f"{INS_NIR_TEST} | 2 74 03 69 123 901 53", INS_NIR_TEST),
        (f"1.2.250.1.213.1.4.8|{GOOD}", INS_NIR),
        (f"{GOOD}^^^&1.2.250.1.213.1.4.9&ISO^NH", INS_NIA),
    ],
)
def test_an_ins_as_people_type_it(text: str, system: str | None) -> None:
    assert typed_ins(text) == (system, GOOD)


def test_a_typed_ins_of_corsica() -> None:
    assert typed_ins("2 55 08 2a 168 025 97") == (None, "255082A16802597")
    assert typed_ins("1.2.250.1.213.1.4.8|255082b16802527") == (INS_NIR, "255082B16802527")


@pytest.mark.parametrize(
    "text",
    ["", "|", GOOD[:13], GOOD[:-1] + "4", f"INS|{GOOD}", f"{INS_C}|{GOOD}", f"|{GOOD}", f"1.2.3|{GOOD}", "٢" * 15],
)
def test_what_is_typed_and_no_ins(text: str) -> None:
    assert typed_ins(text) is None


def test_person_id_of_a_token() -> None:
    ins = Ins(INS_NIR_TEST, GOOD)
    assert parse_person_id(str(ins)) == ins
    assert parse_person_id(f"{GOOD}^^^&1.2.250.1.213.1.4.10&ISO^NH") == ins
    assert parse_person_id(GOOD) is None
    assert parse_person_id(f"{GOOD}^^^&1.2.3&ISO^NH") is None


@pytest.mark.parametrize(
    ("length", "is_right"), [(11, is_rpps), (9, is_finess), (9, is_siren)], ids=("RPPS", "FINESS", "SIREN")
)
@given(data=st.data())
def test_every_slip_that_luhn_can_find_is_found(length: int, is_right: Callable[[str], bool], data: Any) -> None:
    """Each wrong digit; each exchange of neighbours but that of 0 and 9, which the formula cannot see."""
    body = data.draw(st.from_regex(f"[0-9]{{{length - 1}}}", fullmatch=True))
    number = body + luhn_digit(body)
    assert is_right(number)
    unseen = {number.replace("09", "90", 1), number.replace("90", "09", 1)}
    unseen |= {
        number[:n] + number[n + 1] + number[n] + number[n + 2 :]
        for n in range(length - 1)
        if {number[n], number[n + 1]} == {"0", "9"}
    }
    assert {each for each in slips(number) if is_right(each)} <= unseen


@given(st.from_regex("[0-9]{8}", fullmatch=True), st.from_regex("[0-9]{4}", fullmatch=True))
def test_a_siret_has_two_keys(head: str, rank: str) -> None:
    siren = head + luhn_digit(head)
    number = siren + rank + luhn_digit(siren + rank)
    assert is_siret(number)
    wrong = (each for each in slips(number) if sum(a != b for a, b in zip(each, number, strict=True)) == 1)
    assert siren == "356000000" or not any(is_siret(each) for each in wrong)


def test_the_branches_of_la_poste_have_a_key_of_their_own() -> None:
    assert is_siret("35600000049837")
    assert not is_siret("35600000049838")
    assert not is_siret("73282932000075")
    assert is_siret("73282932000074")


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


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("899700000112", True),
        ("899700000113", False),
        ("0123456789", True),
        ("1012345678/7", True),
        ("3750100125/1453", True),
        ("3750100126/1453", False),
        ("30B0037750/CPET0001", True),
        ("4264403106/a", True),
        ("4264403107/a", False),
        ("573282932000074/a", True),
        ("573282932000075/a", False),
        ("699700000112/2", True),
        ("3750100125/", False),
        ("3750100125/a/b", False),
        ("3750100125/a^b", False),
        ("3750100125/" + "x" * 31, False),
        ("2264403106/a", False),
        ("7123", False),
    ],
)
def test_prefixes_of_ps_idnat(value: str, right: bool) -> None:
    assert is_idnps(value) == right


@pytest.mark.parametrize(
    ("system", "value", "expected"),
    [
        ("https://finess.esante.gouv.fr", "990000010", "1990000010"),
        ("https://sirene.fr", "264403106", "2264403106"),
        ("https://sirene.fr", "264403107", None),
        ("https://sirene.fr", "73282932000074", "373282932000074"),
        ("https://sirene.fr", "732829320", "2732829320"),
        ("https://sirene.fr", "7328293200007", None),
        ("https://rppsrang.esante.gouv.fr", "9970000011201", "49970000011201"),
        ("https://adelirang.esante.gouv.fr", "01234567801", "001234567801"),
        (IDNST, "1990000010/RI", "1990000010/RI"),
        (IDNST, "2264403107", None),
        (IDNST, "5990000010", None),
        ("urn:other", "990000010", None),
    ],
)
def test_structures_of_the_directory(system: str, value: str, expected: str | None) -> None:
    assert structure_id(system, value) == expected


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
