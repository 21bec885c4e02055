"""INS-C: a published vector, and what the computation leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.identity.ins_c import ins_c, is_ins_c

VECTOR = "0803027695502382121519"
NIR = "1680172181372"


@pytest.mark.parametrize("name", ["JEAN", "jean", " Jéan", "J-e a'n", "jean2"])
def test_the_published_vector(name: str) -> None:
    """Case, accents and what is no letter don't count."""
    assert ins_c(name, "550101", NIR) == VECTOR


def test_a_long_name_is_cut() -> None:
    assert ins_c("Maximilienne", "000000", NIR) == ins_c("MAXIMILIEN", "000000", NIR)
    assert ins_c("", "000000", NIR) != VECTOR
    assert ins_c("Œdipe", "000000", NIR) == ins_c("OEDIPE", "000000", NIR)


@pytest.mark.parametrize(
    ("birth", "nir"), [("1955-01-01", NIR), ("٥٥0101", NIR), ("550101", NIR + "43"), ("550101", "")]
)
def test_other_forms_are_refused(birth: str, nir: str) -> None:
    with pytest.raises(ValueError):
        ins_c("JEAN", birth, nir)


@given(st.text(max_size=20), st.dates().map(lambda day: f"{day:%y%m%d}"))
def test_always_22_digits_with_a_right_key(name: str, birth: str) -> None:
    value = ins_c(name, birth, NIR)
    assert is_ins_c(value)
    wrong = [value[:n] + str((int(digit) + 1) % 10) + value[n + 1 :] for n, digit in enumerate(value)]
    assert not any(is_ins_c(each) for each in wrong)
