"""`dmp-fhir validate`, `dmp-fhir profiles list` and `dmp-fhir profiles load`."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dmp_fhir.canonicals import PROFILE_COMPREHENSIVE
from dmp_fhir.cli import main
from dmp_fhir.wire.xml import dump_xml
from tests.fixtures.world import tour
from tests.profiles import samples
from tests.support.cda import with_value

MINE = "https://example.org/StructureDefinition/mine"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path / "var"))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return call


def written(folder: Path, tree: dict[str, Any], name: str = "resource.json") -> str:
    file = folder / name
    file.write_bytes(dump_xml(tree) if name.endswith("xml") else json.dumps(tree, indent=1).encode())
    return str(file)


def package(folder: Path, *resources: dict[str, Any], **manifest: Any) -> str:
    file = folder / "package.tgz"
    contents = {"package.json": {"name": "example.package", "version": "1.0.0"} | manifest}
    contents |= {f"{n}.json": tree for n, tree in enumerate(resources)}
    with tarfile.open(file, "w:gz") as tar:
        for name, tree in contents.items():
            data = json.dumps(tree).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(file)


def profile(*elements: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": MINE,
        "version": "7",
        "name": "Mine",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, *elements]},
    }


def test_a_valid_file(run: Any, tmp_path: Path) -> None:
    result = run("validate", written(tmp_path, samples.comprehensive()))
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("name", ["resource.json", "resource.xml"])
def test_a_fault_has_its_place_and_rule(run: Any, tmp_path: Path, name: str) -> None:
    tree = samples.comprehensive()
    del tree["context"]["period"]
    file = written(tmp_path, tree, name)
    result = run("validate", file, "--language", "en")
    assert result.exit_code == 1
    first, _, rule, *_ = result.stdout.splitlines()
    place = first.removeprefix(f"{file}:").split(":")
    text = Path(file).read_text("utf-8").splitlines()[int(place[0]) - 1]
    assert "context" in text[: int(place[1]) + 8]
    assert rule.strip() == f"{PROFILE_COMPREHENSIVE}#DocumentReference.context.period/min"


def test_levels(run: Any, tmp_path: Path) -> None:
    tree = samples.comprehensive()
    del tree["custodian"]
    file = written(tmp_path, tree)
    assert run("validate", file).exit_code == 0
    assert run("validate", file, "--level", "main").exit_code == 1


def test_json_report(run: Any, tmp_path: Path) -> None:
    file = written(tmp_path, samples.folder() | {"title": ""})
    result = run("validate", file, "--json")
    (report,) = json.loads(result.stdout)
    assert report["file"] == file
    assert report["issues"][0]["expression"] == "List.title"
    assert report["issues"][0]["line"] > 1


def test_a_file_that_can_not_be_read_is_refused(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"resourceType": "List",}')
    assert run("validate", str(file)).exit_code == 1


def test_an_unknown_profile_is_a_wrong_command(run: Any, tmp_path: Path) -> None:
    file = written(tmp_path, samples.folder())
    assert run("validate", file, "--profile", "https://example.org/none").exit_code == 2


def test_a_package_is_loaded_listed_and_used(run: Any, tmp_path: Path) -> None:
    tgz = package(tmp_path, profile({"id": "Patient.name", "path": "Patient.name", "min": 1}))
    result = run("profiles", "load", tgz)
    assert result.exit_code == 0, result.output
    assert f"{MINE} 7 Patient 1 rules example.package-1.0.0" in run("profiles", "list").stdout
    nameless = written(tmp_path, {"resourceType": "Patient", "meta": {"profile": [MINE]}})
    assert f"{MINE}#Patient.name/min" in run("validate", nameless).stdout


def test_a_package_that_does_not_compile_changes_nothing(run: Any, tmp_path: Path) -> None:
    bad = {"id": "Patient.frobnicate", "path": "Patient.frobnicate", "min": 1}
    result = run("profiles", "load", package(tmp_path, profile(bad)))
    assert result.exit_code == 1
    assert "frobnicate" in result.output
    assert MINE not in run("profiles", "list").stdout


def test_a_missing_value_set_must_be_accepted(run: Any, tmp_path: Path) -> None:
    binding = {"strength": "required", "valueSet": "https://example.org/ValueSet/none"}
    tgz = package(tmp_path, profile({"id": "Patient.language", "path": "Patient.language", "binding": binding}))
    assert run("profiles", "load", tgz).exit_code == 1
    result = run("profiles", "load", tgz, "--open-value-sets")
    assert result.exit_code == 0, result.output
    assert "https://example.org/ValueSet/none" in result.output


@pytest.mark.parametrize("manifest", [{"fhirVersions": ["5.0.0"]}, {"name": "../escape"}, {"version": "a/b"}])
def test_a_package_that_is_not_for_here(run: Any, tmp_path: Path, manifest: dict[str, Any]) -> None:
    assert run("profiles", "load", package(tmp_path, profile(), **manifest)).exit_code == 1


def test_what_is_no_package(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.tgz"
    file.write_bytes(b"not an archive")
    assert run("profiles", "load", str(file)).exit_code == 1


def test_the_cda_of_a_lot_is_compared_with_its_metadata(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    lot = copy.deepcopy(tour()["publish.json"])
    (binary,) = [each["resource"] for each in lot["entry"] if each["resource"]["resourceType"] == "Binary"]
    (tree,) = [each["resource"] for each in lot["entry"] if each["resource"]["resourceType"] == "DocumentReference"]

    def report(data: bytes) -> tuple[int, list[tuple[str, str]]]:
        binary["data"] = base64.b64encode(data).decode()
        digest = hashlib.sha1(data, usedforsecurity=False).digest()
        attachment = tree["content"][0]["attachment"]
        attachment |= {"size": len(data), "hash": base64.b64encode(digest).decode()}
        result = run("validate", written(tmp_path, lot), "--json")
        (file,) = json.loads(result.stdout)
        found = [each for each in file["issues"] if (each["rule"] or "").startswith("CDA")]
        assert all(each["line"] > 1 for each in found)
        return result.exit_code, [(each["severity"], each["rule"]) for each in found]

    good = base64.b64decode(binary["data"])
    assert report(good) == (0, [])
    other_patient = with_value(good, "c:recordTarget/c:patientRole/c:id/@extension", "255069999999934")
    assert report(other_patient) == (1, [("error", "CDA-05")])
    other_title = with_value(good, "c:title", "Autre")
    assert report(other_title) == (0, [("warning", "CDA-08")])
    assert report(b"<!DOCTYPE a>" + good[38:]) == (1, [("error", "CDA-01")])
    monkeypatch.setenv("DMP_FHIR_CDA_CHECK", "strict")
    assert report(other_title) == (1, [("error", "CDA-08")])


@pytest.mark.parametrize(("body", "place"), [('{\n "a": 1 "b"}', ":2:9:"), ("<Patient\n><a></b></Patient>", ":2:")])
def test_what_cannot_be_read_has_its_place(run: Any, tmp_path: Path, body: str, place: str) -> None:
    file = tmp_path / "bad"
    file.write_text(body)
    result = run("validate", str(file))
    assert result.exit_code == 1
    assert f"bad{place}" in result.stdout
