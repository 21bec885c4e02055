"""Commands of the operator and of the privacy officer, on a small registry of their own."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dmp_fhir.cli import main
from dmp_fhir.files import alone
from dmp_fhir.policy.matrix import packaged
from dmp_fhir.store.database import Database
from dmp_fhir.store.identifiers import ins_row
from tests.policy.test_matrix import SMALL
from tests.support.keys import reopened

INS = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
DAY = 86_400_000


@pytest.fixture
def command(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path / "data"))
    database = reopened(database_url, tmp_path / "data")
    assert database.keys is not None
    database.keys.make("r", 1)
    with database.transaction() as tx:
        row = {"id": "r", "status": "open", "version": 0, "created": 1, "last_updated": 1, "clock": 1}
        tx.insert("record", row | {"birth_date": "1974-03-12"})
        system, _, value = INS.partition("|")
        tx.insert("ins", ins_row(database.keys, "r", system, value))
        token = {"record_id": "r", "resource_type": "Patient", "resource_id": "r", "parameter": "identifier"}
        tx.insert("search_token", token | {"system": system, "code": database.keys.hidden(value)})
        grant = {"record_id": "r", "person": "899700000229", "structure": "1990000010", "session": "s", "id": "g1"}
        grant |= {"purpose": "bris_de_glace", "person_name": "Dr Chevalier", "motive": "inconscient", "granted": 1}
        tx.insert("emergency_grant", grant | {"expires": DAY, "review": True})
    database.close()

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        for opened in list(_databases()):
            opened.close()
        return result

    return run


def _databases() -> list[Database]:
    from dmp_fhir.store import database

    return list(database._open)


def rows(database_url: str, sql: str) -> list[tuple]:
    database = Database.open(database_url)
    with database.snapshot() as reader:
        found = reader.rows(sql)
    database.close()
    return found


def test_review(command: Any, database_url: str) -> None:
    listed = command("review")
    assert listed.exit_code == 0
    assert "g1" in listed.output
    assert "899700000229 Dr Chevalier" in listed.output
    assert INS.rpartition("|")[2] not in listed.output
    assert command("review", "g1").exit_code == 2
    assert command("review", "unknown", "--finding", "x").exit_code == 1
    assert command("review", "g1", "--finding", "Justifié.").exit_code == 0
    assert command("review", "g1", "--finding", "Encore.").exit_code == 1
    assert "0 to review" in command("review").output
    assert rows(database_url, "SELECT finding FROM emergency_grant") == [("Justifié.",)]
    traced = rows(database_url, "SELECT record_id, subtype, agent_category FROM audit_event ORDER BY recorded, id")
    # What was listed is in the trace of the record listed; an empty list in the trace of no record.
    listing = "review-list"
    assert traced == [("r", listing, "SUPPORT"), ("r", "update", "SUPPORT"), ("", listing, "SUPPORT")]


def test_which_records_an_account_touched(command: Any) -> None:
    assert "0 records" in command("review", "--account", getpass.getuser()).output
    assert command("record", "suspend", INS).exit_code == 0
    listed = command("review", "--account", getpass.getuser(), "--hours", "1")
    assert listed.exit_code == 0
    assert listed.output.splitlines()[-1] == "1 records"
    assert listed.output.startswith("r  1 acts  20")
    assert INS.rpartition("|")[2] not in listed.output
    assert "0 records" in command("review", "--account", "899700000146").output


def test_suspend_resume_erase(command: Any, database_url: str) -> None:
    status = "SELECT status FROM record WHERE id = 'r'"
    assert command("record", "suspend", "nobody").exit_code == 2
    assert command("record", "resume", INS).exit_code == 1
    assert command("record", "suspend", INS).exit_code == 0
    assert rows(database_url, status) == [("suspended",)]
    assert rows(database_url, "SELECT kind, recipient_kind FROM notification") == [("record-suspended", "patient")]
    assert command("record", "suspend", INS).exit_code == 1
    assert command("record", "erase", INS).exit_code == 1
    assert command("record", "resume", INS).exit_code == 0
    assert rows(database_url, status) == [("open",)]
    other = INS[:-1] + "0"
    assert command("record", "suspend", other).exit_code != 0
    assert len(rows(database_url, "SELECT 1 FROM audit_event")) == 2


@pytest.mark.parametrize(
    "typed", ["274036912390153", "2 74 03 69 123 901 53", "1.2.250.1.213.1.4.10|274036912390153", INS]
)
def test_a_record_is_named_as_people_type_an_ins(command: Any, database_url: str, typed: str) -> None:
    assert command("record", "hold", typed).exit_code == 0
    assert rows(database_url, "SELECT record_id FROM audit_event") == [("r",)]


def test_an_ins_under_two_systems_is_named_with_its_own(command: Any, database_url: str, tmp_path: Path) -> None:
    database = reopened(database_url, tmp_path / "data")
    assert database.keys is not None
    database.keys.make("q", 1)
    with database.transaction() as tx:
        row = {"id": "q", "status": "open", "version": 0, "created": 1, "last_updated": 1, "clock": 1}
        tx.insert("record", row | {"birth_date": "1974-03-12"})
        tx.insert("ins", ins_row(database.keys, "q", "urn:oid:1.2.250.1.213.1.4.11", "274036912390153"))
    database.close()
    refused = command("record", "hold", "274036912390153")
    assert (refused.exit_code, "system|number" in refused.output) == (1, True)
    assert command("record", "hold", "1.2.250.1.213.1.4.11|274036912390153").exit_code == 0
    assert rows(database_url, "SELECT record_id FROM audit_event") == [("q",)]


def test_hold_and_release(command: Any, database_url: str) -> None:
    held = "SELECT held IS NOT NULL FROM record_state"
    assert command("record", "release", INS).exit_code == 1
    assert command("record", "hold", INS).exit_code == 0
    assert command("record", "hold", INS).exit_code == 1
    assert [bool(row[0]) for row in rows(database_url, held)] == [True]
    assert command("record", "release", INS).exit_code == 0
    assert [bool(row[0]) for row in rows(database_url, held)] == [False]
    assert len(rows(database_url, "SELECT 1 FROM audit_event")) == 2


def test_jobs_run_and_run_again(command: Any, tmp_path: Path) -> None:
    assert command("record", "suspend", INS).exit_code == 0
    done = command("jobs", "run")
    assert (done.exit_code, "sent 1" in done.output) == (0, True)
    assert "sent 0" in command("jobs", "run").output
    with alone(tmp_path / "data" / ".jobs.lock"):
        assert command("jobs", "run").output == "another run is under way\n"
    (message,) = (tmp_path / "data" / "outbox").iterdir()
    assert json.loads(message.read_bytes())["kind"] == "record-suspended"


def test_the_matrix_is_loaded_shown_and_put_back(command: Any, tmp_path: Path) -> None:
    assert packaged().version in command("policy", "matrix", "show").output
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(SMALL | {"version": ""}))
    refused = command("policy", "matrix", "load", str(file))
    assert (refused.exit_code, "version" in refused.output) == (1, True)
    file.write_text(json.dumps(SMALL))
    assert command("policy", "matrix", "load", str(file)).exit_code == 0
    assert "test-1" in command("policy", "matrix", "show").output
    # The trace names matrices by their version: one version, one content.
    file.write_text(json.dumps(SMALL | {"sources": {"D": "somebody"}}))
    assert command("policy", "matrix", "load", str(file)).exit_code == 1
    file.write_text(json.dumps(SMALL | {"version": packaged().version}))
    assert command("policy", "matrix", "load", str(file)).exit_code == 1
    assert command("policy", "matrix", "reset").exit_code == 0
    assert packaged().version in command("policy", "matrix", "show").output


def test_a_registry_of_another_version_is_left_alone(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")
    assert command("jobs", "run").exit_code == 1
    assert command("review").exit_code == 1
