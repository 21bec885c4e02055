"""What a number may be: each kind is recognised, and a wrong key says which one is expected."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dmp_fhir.cli import main
from dmp_fhir.identity.recognition import readings


@pytest.mark.parametrize(
    ("value", "name", "remark"),
    [
        ("274036912390153", "INS matricule", "NIR"),
        ("255082A16802597", "INS matricule", "NIR, Corse-du-Sud"),
        ("260319934191234", "INS matricule", "NIR, born abroad, incomplete civil status"),
        ("urn:oid:1.2.250.1.213.1.4.8|274036912390153", "INS matricule, INS-NIR", "NIR"),
        ("274036912390153^^^&1.2.250.1.213.1.4.10&ISO^NH", "INS matricule, INS-NIR of tests", "NIR"),
        ("0803027695502382121519", "INS-C", "of before 2021: names no record here"),
        ("99700000112", "RPPS", "PS_IdNat 899700000112"),
        ("899700000112", "PS_IdNat", "RPPS"),
        ("3750100125/1453", "PS_IdNat", "FINESS"),
        ("990000010", "FINESS", "Struct_IdNat 1990000010"),
        ("264403106", "SIREN", "Struct_IdNat 2264403106"),
        ("https://sirene.fr|73282932000074", "SIRET", "Struct_IdNat 373282932000074"),
        ("1990000010", "Struct_IdNat", "FINESS"),
        ("R81311", "Struct_IdNat", "technical id"),
    ],
)
def test_what_it_is(value: str, name: str, remark: str) -> None:
    assert (name, True, remark) in {(each.name, each.right, each.remark) for each in readings(value)}


def test_a_wrong_key_is_told_with_the_right_one() -> None:
    done = CliRunner().invoke(main, ["identifier", "274036912390154"])
    assert (done.exit_code, done.output) == (1, "WRONG  INS matricule: wrong key: 274036912390153 is expected\n")
    assert "99700000112 is expected" in CliRunner().invoke(main, ["identifier", "99700000113"]).output


@pytest.mark.parametrize("value", ["", "abc", "urn:other|274036912390153", "urn:oid:1.2.250.1.213.1.4.1|12"])
def test_what_is_nothing(value: str) -> None:
    done = CliRunner().invoke(main, ["identifier", value])
    assert (done.exit_code, "not a national identifier" in done.output) == (1, True)
