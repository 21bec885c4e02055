"""The command against a real server, tokens of every kind, and what the package rests on."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import ECKey
from lxml import etree
from werkzeug.wrappers import Request, Response

import dmp_fhir.conformance
from dmp_fhir.cli import main
from dmp_fhir.conformance.config import Persona
from dmp_fhir.conformance.tokens import NoToken, Tokens
from tests.conformance.platform import session_on
from tests.support.server import LiveServer

FOLDER = Path(dmp_fhir.conformance.__file__).parent


def test_it_imports_nothing_of_the_server() -> None:
    allowed = {"requests", "rich", "yaml", "click", "jinja2", "joserfc", "lxml", "werkzeug", "__future__"}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                ours = name.startswith("dmp_fhir.conformance")
                assert ours or name.partition(".")[0] in allowed | set(_standard()), (path.name, name)


def _standard() -> frozenset[str]:
    return sys.stdlib_module_names


def run_by_command(server: LiveServer, *options: str | Path) -> str:
    """What `dmp-fhir conformance run` prints, in a process of its own, tokens by `dmp-fhir token`."""
    command = [sys.executable, "-m", "dmp_fhir", "conformance", "run", "--base-url", server.base_url, "--lang", "en"]
    done = subprocess.run(
        [str(each) for each in [*command, *options]],
        env=os.environ | {"DMP_FHIR_DATA": str(server.data_folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conforms to what is mandatory" in done.stdout
    return done.stdout


def test_a_run_from_the_command_line(live_server: LiveServer, tmp_path: Path) -> None:
    """Tokens by `dmp-fhir token`, a report, the exit code."""
    path = tmp_path / "report.xml"
    run_by_command(live_server, "--only", "CAP-TRANSACTION", "--only", "ITI105-CREATE", "--report", "junit", path)
    assert etree.fromstring(path.read_bytes()).get("tests") == "3"


@pytest.mark.campaign
def test_the_whole_suite_from_the_command_line(live_server: LiveServer) -> None:
    """Twice in a row on the same server; how long it took is printed."""
    for _ in range(2):
        shown = run_by_command(live_server)
        (line,) = [each for each in shown.splitlines() if " checks of which " in each]
        assert "checks of which 0 failed" in line
        print(f"\n{live_server.database_url.partition(':')[0]}: {line}")


def test_mistakes_of_the_command_and_a_server_that_is_not_there(tmp_path: Path) -> None:
    run = ["conformance", "run", "--only"]
    assert CliRunner().invoke(main, [*run, "NOTHING"]).exit_code == 2
    config = tmp_path / "c.yaml"
    config.write_text("colour: blue")
    assert CliRunner().invoke(main, [*run, "CAP-OPEN", "--config", str(config)]).exit_code == 2
    nobody = ["--base-url", "http://127.0.0.1:9/fhir"]
    assert CliRunner().invoke(main, [*run, "CAP-OPEN", *nobody], env={"DMP_FHIR_DATA": str(tmp_path)}).exit_code == 1


def test_the_list_names_every_scenario() -> None:
    shown = CliRunner().invoke(
        main, ["conformance", "list", "--lang", "fr", "--group", "iti-68"], env={"COLUMNS": "200"}
    )
    assert shown.exit_code == 0
    assert "ITI68-NATIVE" in shown.output
    assert "ITI67-PATIENT" not in shown.output


# --- tokens ---------------------------------------------------------------------------------------


def persona(**token: Any) -> Persona:
    return Persona("author", {"login": "someone"}, token)


def test_a_token_from_a_command() -> None:
    tokens = Tokens()
    told = persona(kind="command", command=["python", "-c", "import sys; print(sys.argv[1])", "{login}-{fresh}"])
    first = tokens.token(told)
    assert first.startswith("someone-")
    assert tokens.token(told) == first
    assert tokens.token(told, fresh=True) != first
    assert first in tokens.secrets()
    with pytest.raises(NoToken, match="no token"):
        tokens.token(Persona("b", {}, {"kind": "command", "command": ["python", "-c", "raise SystemExit(1)"]}))


def test_a_token_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_AUTHOR", " t1 ")
    assert Tokens().token(persona(kind="environment", variable="TOKEN_{persona}")) == "t1"
    (tmp_path / "author").write_text("t2\n")
    assert Tokens().token(persona(kind="fixed", file=f"{tmp_path}/{{persona}}")) == "t2"
    with pytest.raises(NoToken):
        Tokens().token(persona(kind="environment", variable="NOTHING"))
    with pytest.raises(NoToken):
        Tokens().token(persona(kind="fixed", file=f"{tmp_path}/nothing"))


def test_a_token_from_client_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6749 section 4.4, with a secret and with a signed assertion (RFC 7523)."""
    key = ECKey.generate_key("P-256", private=True)
    (tmp_path / "key.json").write_text(json.dumps(key.as_dict(private=True)))
    monkeypatch.setenv("SECRET", "s3cret")
    asked: list[dict[str, str]] = []

    def issuer(environ: Any, start: Any) -> Any:
        form = {name: values[0] for name, values in parse_qs(Request(environ).get_data(as_text=True)).items()}
        asked.append(form)
        signed = "client_assertion" in form
        if signed:
            claims = jwt.decode(form["client_assertion"], key, algorithms=["ES256"]).claims
            assert claims["sub"] == claims["iss"] == "someone"
        good = signed or form.get("client_secret") == "s3cret"
        answer = Response(json.dumps({"access_token": f"t{len(asked)}"} if good else {"error": "invalid_client"}))
        return answer(environ, start)

    tokens = Tokens(session_on(issuer))
    way = {"kind": "client_credentials", "token_url": "http://issuer.example/token", "client_id": "{login}"}
    secret = persona(**way, secret_variable="SECRET", scope="dmp", parameters={"who": "{login}"})
    assert tokens.token(secret) == "t1"
    assert (asked[0]["grant_type"], asked[0]["scope"], asked[0]["who"]) == ("client_credentials", "dmp", "someone")
    assert "s3cret" in tokens.secrets()
    assert tokens.token(Persona("b", {"login": "someone"}, way | {"key_file": str(tmp_path / "key.json")})) == "t2"
    with pytest.raises(NoToken, match="no access_token"):
        tokens.token(Persona("c", {"login": "someone"}, way))
