"""The profiles in force are those of the package, wherever it is installed."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

import dmp_fhir
from dmp_fhir.profiles import active
from dmp_fhir.profiles.validator import Validator

PACKAGE = Path(dmp_fhir.__file__).parent


def test_the_profiles_travel_with_the_package() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["dmp_fhir"]
    files = sorted(active.SHIPPED.rglob("*.json"))
    assert len(files) > 100
    for file in (*files, *(PACKAGE / "profiles" / "data").iterdir()):
        inside = file.relative_to(PACKAGE).as_posix()
        assert any(fnmatch.fnmatch(inside, each) for each in globs), inside


def test_what_the_operator_loaded_comes_after_what_is_shipped(tmp_path: Path) -> None:
    assert active.validator(tmp_path) is active.validator()
    mine = tmp_path / "profiles" / "mine-1"
    mine.mkdir(parents=True)
    url = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
    shipped = next(file for file in active.SHIPPED.rglob("*birthPlace.json"))
    (mine / "one.json").write_text(shipped.read_text("utf-8").replace("patient-birthPlace", "patient-birthTown"))
    validator = active.validator(tmp_path)
    assert isinstance(validator, Validator)
    assert {url, url.replace("Place", "Town")} <= set(validator.profiles)
    assert validator.sources[url.replace("Place", "Town")] == str(mine / "one.json")
