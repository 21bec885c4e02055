"""`dmp-fhir policy check` and `dmp-fhir policy explain`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import dmp_fhir.policy
from dmp_fhir.cli import main

SCENARIOS = Path(__file__).parents[2] / "fixtures" / "policy-scenarios.json"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["policy", *arguments])


def explained(*arguments: str) -> dict:
    result = run("explain", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_all_agree() -> None:
    result = run("check", str(SCENARIOS))
    assert result.exit_code == 0, result.output
    assert "47 scenarios: 47 agree, 0 differ" in result.output
    assert "ok   D008   deny   DOCUMENT_MASQUE [AR-60]" in result.output


def test_one_differs(tmp_path: Path) -> None:
    tree = json.loads(SCENARIOS.read_text("utf-8"))
    tree["scenarios"][0]["expected"]["decision"] = "deny"
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(tree), "utf-8")
    result = run("check", str(path))
    assert result.exit_code == 1
    assert "DIFF D001" in result.output
    assert "decision: expected deny, decided permit" in result.output
    report = json.loads(run("check", "--json", str(path)).output)
    assert (report["scenarios"], report["agreeing"]) == (47, 46)
    assert [each["id"] for each in report["verdicts"] if not each["agrees"]] == ["D001"]


def test_a_bad_file_is_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"scenarios": [{"id": "x", "colour": "blue"}]}', "utf-8")
    result = run("check", str(path))
    assert result.exit_code == 2
    assert "scenarios[0]: unknown colour" in result.output


def test_one_case_is_explained_in_both_languages() -> None:
    result = run("explain", "--action", "doc.read", "--type", "11488-4", "--label", "MASQUE_PS", "--authorised", "PS")
    assert result.exit_code == 0
    assert result.output.startswith("deny DOCUMENT_MASQUE\n")
    assert "Le patient a masqué ce document" in result.output
    assert "The patient has masked this document" in result.output


@pytest.mark.parametrize(
    ("arguments", "decision", "rule"),
    [
        (("--action", "doc.read", "--type", "11488-4", "--treating", "--label", "MASQUE_PS"), "permit", "AR-35"),
        (("--action", "doc.read", "--type", "11488-4", "--authorised", "STRUCTURE"), "permit", "AR-24"),
        (("--action", "doc.read", "--type", "11488-4", "--authorised", "EQUIPE"), "permit", "AR-25"),
        (("--action", "doc.read", "--type", "11488-4", "--authorised", "EXPIRED"), "deny", "AR-23"),
        (("--action", "doc.read", "--type", "11488-4", "--treating", "--blocked", "PS"), "deny", "AR-40"),
        (("--action", "doc.read", "--type", "11488-4", "--treating", "--blocked", "STRUCTURE"), "deny", "AR-44"),
        (("--action", "doc.create", "--type", "11488-4", "--feeding-opposed"), "deny", "AR-94"),
        (("--action", "doc.list", "--purpose", "bris_de_glace", "--reason", "inconscient, choc"), "permit", "AR-46"),
        (
            ("--action", "doc.list", "--purpose", "bris_de_glace", "--reason", "inconscient, choc", "--no-break-glass"),
            "deny",
            "AR-48",
        ),
        (("--action", "doc.list", "--purpose", "centre_15", "--regulation"), "permit", "AR-53"),
        (("--action", "doc.list", "--purpose", "centre_15", "--regulation", "--no-centre-15"), "deny", "AR-54"),
        (
            ("--action", "doc.delete", "--category", "STRUCTURE", "--type", "11488-4", "--author", "me"),
            "permit",
            "AR-70",
        ),
        (
            ("--action", "doc.delete", "--category", "PATIENT", "--type", "DOCPAT01", "--author", "patient"),
            "permit",
            "AR-78",
        ),
        (("--action", "doc.read", "--category", "REPRESENTANT", "--type", "11488-4", "--age", "15"), "permit", "AR-79"),
        (("--action", "dmp.exists", "--record", "ABSENT"), "permit", "AR-14"),
    ],
)
def test_the_options_make_the_case(arguments: tuple[str, ...], decision: str, rule: str) -> None:
    answer = explained(*arguments)
    assert answer["decision"] == decision
    told = {each["id"]: each for each in answer["rules"]}
    assert told[rule]["fr"] != told[rule]["en"]


def test_a_wrong_option_is_told() -> None:
    result = run("explain", "--action", "doc.read", "--type", "11488-4", "--label", "SECRET")
    assert result.exit_code == 2
    assert "MASQUE_PS" in result.output


def test_the_settings_in_force_decide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The matrix that the operator loaded is the one that is explained."""
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    case = ("--action", "doc.read", "--type", "11488-4", "--authorised", "PS")
    assert explained(*case)["decision"] == "permit"
    tree = json.loads((Path(dmp_fhir.policy.__file__).parent / "data" / "matrix.json").read_text("utf-8"))
    for row in tree["professions"]:
        if row["code"] == "10":
            row["read"] = False
            row.pop("except", None)
    (tmp_path / "matrix.json").write_text(json.dumps(tree | {"version": "none-for-physicians"}), "utf-8")
    answer = explained(*case)
    assert (answer["decision"], answer["reason"]) == ("deny", "MATRICE")
