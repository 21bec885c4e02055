"""`dmp-fhir token` and `dmp-fhir personas`: the sandbox issuer on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dmp_fhir.cli import main
from dmp_fhir.identity.sandbox import Sandbox, personas
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.instants import system_clock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    return tmp_path


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_an_emergency_with_its_motive(folder: Path) -> None:
    asked = ("--purpose", "bris_de_glace", "--motive", "inconscient aux urgences", "--structure", "1990000028")
    done = ask("token", "dr-petit", *asked, "--ins-status", "VALIDEE", "--lifetime", "60")
    assert done.exit_code == 0, done.output
    verifier = TokenVerifier([Sandbox(folder / "keys").trusted()], system_clock)
    context = verifier.verify(f"Bearer {done.output.strip()}")
    assert (context.purpose, context.reason) == ("bris_de_glace", "inconscient aux urgences")
    assert (context.structure, context.ins_status) == ("1990000028", "VALIDEE")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("dr-morreau",), "near: dr-moreau"),
        (("dr-moreau", "--purpose", "curiosity"), "bris_de_glace"),
        (("dr-moreau", "--structure", "1990000011"), "1990000010  Centre hospitalier universitaire de Valmont"),
        (("dr-moreau", "--ins-status", "x"), "QUALIFIEE"),
        (("dr-moreau", "--lifetime", "14401"), "14400"),
    ],
)
def test_what_is_unknown_is_told_with_what_is_possible(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = ask("token", *arguments)
    assert done.exit_code != 0
    assert told in done.output


def test_personas_are_listed_with_what_an_integrator_needs(folder: Path) -> None:
    lines = ask("personas").output.splitlines()
    assert [line.split()[0] for line in lines] == list(personas())
    claire = next(line for line in lines if line.startswith("patient-claire-martin"))
    assert "urn:oid:1.2.250.1.213.1.4.10|274036912390153" in claire
    assert "1990000010" in next(line for line in lines if line.startswith("dr-petit"))
