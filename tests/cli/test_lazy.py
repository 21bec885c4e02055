"""The commands are all there, and calling one does not import the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dmp_fhir.cli import COMMANDS, main
from dmp_fhir.cli.lazy import LazyGroup


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_where_it_is_said_to_be(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_help_lists_every_command_with_what_it_does() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    lines = [line.split() for line in shown.partition("Commands:")[2].splitlines() if line.strip()]
    assert [line[0] for line in lines] == sorted(COMMANDS)
    assert all(len(line) > 1 for line in lines)


def test_an_unknown_command_is_a_mistake() -> None:
    done = CliRunner().invoke(main, ["sevre"])
    assert done.exit_code == 2
    assert "No such command" in done.output


def test_a_place_without_a_command_is_told() -> None:
    wrong = LazyGroup(places={"wrong": "dmp_fhir.cli:COMMANDS"})
    with pytest.raises(TypeError, match="is no command"):
        wrong.get_command(click.Context(wrong), "wrong")


def test_a_command_whose_extra_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacking_something.py").write_text("import something_lacking")
    monkeypatch.syspath_prepend(tmp_path)
    group = LazyGroup(places={"conformance": "lacking_something:conformance"})
    assert "pip install" in CliRunner().invoke(group, ["--help"]).output
    done = CliRunner().invoke(group, ["conformance", "run", "--base-url", "http://127.0.0.1:9/fhir"])
    assert done.exit_code == 1
    assert "Needs something_lacking: pip install 'dmp-fhir[conformance]'" in done.output


@pytest.mark.parametrize(
    ("arguments", "foreign"),
    [
        # A run of the conformance suite starts one for each persona.
        (["token", "dr-moreau"], {"flask", "sqlalchemy", "requests", "lxml", "rich", "dmp_fhir.store.database"}),
        # With the extra alone, no server is at hand.
        (["conformance", "list"], {"flask", "sqlalchemy", "apsw", "psycopg", "granian", "dmp_fhir.app"}),
    ],
)
def test_what_a_command_does_not_need_is_not_imported(arguments: list[str], foreign: set[str], tmp_path: Path) -> None:
    code = """
import json, sys
from dmp_fhir.cli import main
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"DMP_FHIR_DATA": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) & foreign == set()
