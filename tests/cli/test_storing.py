"""dmp-fhir init, on what an older version left in clear."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dmp_fhir.cli import main
from dmp_fhir.store.identifiers import motive_of
from tests.store import rows
from tests.support.keys import reopened

TITLE, MOTIVE = "CANARI-TITRE-6b1e", "CANARI-MOTIF-44d0"


def test_titles_and_motives_leave_the_files(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path / "data"))
    database = reopened(database_url, tmp_path / "data")
    with database.transaction() as tx:
        tx.insert("document", rows.document("r0", "d0", title=TITLE))
        grant = {"record_id": "r0", "person": "1", "structure": "", "session": "s", "id": "g", "purpose": "centre_15"}
        grant |= {"person_name": "Dr", "motive": MOTIVE, "granted": 1, "expires": 2, "review": False}
        tx.insert("emergency_grant", grant)
    database.keys.make("r0", 1)
    database.close()
    assert _in_files(tmp_path, database_url) == [TITLE, MOTIVE]

    done = CliRunner().invoke(main, ["init"])
    assert done.exit_code == 0, done.output
    database = reopened(database_url, tmp_path / "data")
    with database.snapshot() as reader:
        ((motive,),) = reader.rows("SELECT motive FROM emergency_grant")
        assert (MOTIVE in motive, motive_of(database.keys, "r0", "g", motive)) == (False, MOTIVE)
        assert reader.rows("SELECT id, title FROM document") == [("d0", None)]
    database.close()
    assert _in_files(tmp_path, database_url) == ([] if database_url.startswith("sqlite") else [TITLE, MOTIVE])


def _in_files(folder: Path, database_url: str) -> list[str]:
    """What the files of the database hold; those of PostgreSQL are its server's."""
    if not database_url.startswith("sqlite"):
        return [TITLE, MOTIVE]
    path = Path(database_url.removeprefix("sqlite:///"))
    held = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    return [each for each in (TITLE, MOTIVE) if each.encode() in held]
