"""No audit, no service: a trace that can't be written stops every act with 503, and nothing is done (TF-166)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict

from dmp_fhir.cli import main
from dmp_fhir.store import postgresql, sqlite
from dmp_fhir.store.database import Database
from dmp_fhir.store.sqlite import path_of
from dmp_fhir.store.tables import audit_event
from tests.audit.logs import disarm
from tests.support.server import MakeApp, MakeToken
from tests.support.tally import count
from tests.writing.lots import CLAIRE_INS, archived, body, lot

CLAIRE = f"urn:oid:1.2.250.1.213.1.4.10|{CLAIRE_INS}"
Fault = Callable[[Database, Database], Any]  # of the database of the application, by another connection


def by_statement(statement: str) -> Fault:
    def fault(_own: Database, other: Database) -> None:
        disarm(other)
        with other.transaction() as tx:
            tx.execute(statement)

    return fault


def _by_engine(own: Database, other: Database, pragma: str, state: str) -> None:
    """What the engine itself refuses: on SQLite as told, on PostgreSQL by the code of its error."""
    if own.dialect == "sqlite":
        for holder in own._free:
            holder.connection.execute(f"PRAGMA {pragma}")
        return
    with other.transaction() as tx:
        tx.execute(
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{state}'; END $$"
        )
        tx.execute("CREATE TRIGGER trouble BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION trouble()")


def full(own: Database, other: Database) -> None:
    if own.dialect == "sqlite":
        # Or entries would go on as long as the pages they come to have room.
        with other.transaction() as tx:
            tx.execute("CREATE TABLE filling (bytes)")
            tx.execute(
                "CREATE TRIGGER filling BEFORE INSERT ON audit_event"
                " BEGIN INSERT INTO filling VALUES (zeroblob(10000000)); END"
            )
    _by_engine(own, other, "max_page_count = 1", "53100")


def read_only(own: Database, other: Database) -> None:
    _by_engine(own, other, "query_only = 1", "25006")


@contextmanager
def locked(_own: Database, other: Database) -> Iterator[None]:
    """Somebody else holds the trace, longer than anybody waits."""
    if other.dialect == "sqlite":
        connection = apsw.Connection(path_of(other.url))
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
        return
    with psycopg.connect(other.url) as holding:
        holding.execute("LOCK TABLE audit_event IN SHARE ROW EXCLUSIVE MODE")
        yield
        holding.rollback()


def place_taken(_own: Database, other: Database) -> None:
    """Somebody put an entry where the next one belongs."""
    given = {"position": "(SELECT size FROM audit_tree)", "sequence": "999999", "id": "'inserted'"}
    columns = [column.name for column in audit_event.columns]
    taken = ", ".join(given.get(name, name) for name in columns)
    with other.transaction() as tx:
        tx.execute(f"INSERT INTO audit_event ({', '.join(columns)}) SELECT {taken} FROM audit_event WHERE position = 0")


def gone(own: Database, other: Database) -> None:
    """The database was there when the server started, and is no longer."""
    url = own.url
    other.close()
    if own.dialect == "sqlite":
        own.close()
        own.url = url + ".gone"
        return
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, dbname="postgres", autocommit=True) as administrator:
        administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


FAULTS: dict[str, Fault] = {
    "no tree": by_statement("DELETE FROM audit_tree"),
    "no table": by_statement("ALTER TABLE audit_event RENAME TO audit_elsewhere"),
    "another table": by_statement("ALTER TABLE audit_event DROP COLUMN marks"),
    "full": full,
    "read only": read_only,
    "locked": locked,
    "place taken": place_taken,
    "gone": gone,
}


def acts(client: FlaskClient, token: str, document: str) -> list[Any]:
    headers = {"Authorization": f"Bearer {token}"}
    sent = lot("untraced", b"x")
    return [
        client.get(f"/fhir/Patient?identifier={CLAIRE}", headers=headers),
        client.get(f"/fhir/DocumentReference/{document}", headers=headers),
        client.get("/fhir/DocumentReference/missing", headers=headers),
        client.get(f"/fhir/List?patient.identifier={CLAIRE}&code=folder&status=current", headers=headers),
        client.post("/fhir", data=body(sent), headers=headers, content_type="application/fhir+json"),
        client.patch(
            f"/fhir/DocumentReference/{document}",
            data=body([archived(True)]),
            headers=headers,
            content_type="application/json-patch+json",
        ),
    ]


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_answered_without_its_trace(
    make_app: MakeApp, seeded_url: str, token: MakeToken, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(
        postgresql, "_SESSION", postgresql._SESSION.replace("lock_timeout = '5s'", "lock_timeout = '50ms'")
    )
    app = make_app(seeded_url)
    client, bearer = app.test_client(), token("dr-moreau")
    headers = {"Authorization": f"Bearer {bearer}"}
    found = client.get(f"/fhir/DocumentReference?patient.identifier={CLAIRE}&_count=1", headers=headers).json
    document = found["entry"][0]["resource"]["id"]
    own: Database = app.extensions["dmp_fhir"].database
    other = Database.open(seeded_url)
    with other.snapshot() as reader:
        before = reader.row("SELECT COUNT(*) FROM resource_version")
    fault = FAULTS[name](own, other)
    if fault is None:
        answers = acts(client, bearer, document)
    else:
        with fault:
            answers = acts(client, bearer, document)
    assert [each.status_code for each in answers] == [503] * len(answers)
    assert all(int(each.headers["Retry-After"]) > 0 for each in answers)
    if name != "gone":
        with other.snapshot() as reader:
            assert reader.row("SELECT COUNT(*) FROM resource_version") == before
    other.close()
    count("G", "acts without a trace tried", len(answers))
    count("G", "acts without a trace done", sum(each.status_code != 503 for each in answers))


def test_the_verification_says_what_hinders_its_own_trace(
    make_app: MakeApp, seeded_url: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_app(seeded_url)
    other = Database.open(seeded_url)
    place_taken(other, other)
    other.close()
    monkeypatch.setenv("DATABASE_URL", seeded_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(data_folder))
    told = CliRunner().invoke(main, ["audit", "verify"])
    assert told.exit_code == 1, told.output
    assert "inserted: an entry follows the end of the log" in told.output
    assert "NOT PROVEN" in told.output
    assert "this command could not be traced" in told.output
