"""No audit, no service: a trace that can't be written stops every act with 503, and nothing is done (TF-166)."""

from __future__ import annotations

import pytest

from dmp_fhir.store.database import Database
from tests.audit.logs import disarm
from tests.support.server import MakeApp, MakeToken
from tests.support.tally import count
from tests.writing.lots import CLAIRE_INS, body, lot

CLAIRE = f"urn:oid:1.2.250.1.213.1.4.10|{CLAIRE_INS}"
FAULTS = (
    "DELETE FROM audit_tree",
    "ALTER TABLE audit_event RENAME TO audit_elsewhere",
    "ALTER TABLE audit_event DROP COLUMN marks",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_answered_without_its_trace(
    make_app: MakeApp, seeded_url: str, token: MakeToken, fault: str
) -> None:
    database = Database.open(seeded_url)
    disarm(database)
    with database.transaction() as tx:
        tx.execute(fault)
        before = tx.row("SELECT COUNT(*) FROM resource_version")
    client = make_app(seeded_url).test_client()
    headers = {"Authorization": f"Bearer {token('dr-moreau')}"}
    answers = [
        client.get(f"/fhir/Patient?identifier={CLAIRE}", headers=headers),
        client.get("/fhir/DocumentReference/missing", headers=headers),
        client.get(f"/fhir/List?patient.identifier={CLAIRE}&code=folder&status=current", headers=headers),
        client.post("/fhir", data=body(lot("untraced", b"x")), headers=headers, content_type="application/fhir+json"),
    ]
    assert [each.status_code for each in answers] == [503] * 4
    with database.snapshot() as reader:
        assert reader.row("SELECT COUNT(*) FROM resource_version") == before
    database.close()
    count("G", "acts without a trace tried", len(answers))
    count("G", "acts without a trace done", 0)
