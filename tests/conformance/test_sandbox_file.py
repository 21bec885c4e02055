"""sandbox.yaml against the command that gives its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dmp_fhir.cli import main
from dmp_fhir.conformance.config import sandbox_file


def test_the_command_gives_a_token_to_every_persona(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of the file are those of `dmp-fhir token`."""
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    said = yaml.safe_load(sandbox_file().read_text("utf-8"))
    for name, persona in said["personas"].items():
        answer = CliRunner().invoke(main, ["token", persona["login"], *persona.get("options", ())])
        assert answer.exit_code == 0, (name, answer.output)
    assert len(said["personas"]) > 20
