"""Which INS a registry opens records for; designating a document by an entryUUID."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.canonicals import INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, URI
from dmp_fhir.identity.sandbox import AUDIENCE, ISSUER, Sandbox
from tests.rest.bodies import CLAIRE
from tests.rest.caller import Caller
from tests.support.server import MakeApp, MakeToken

NEW = "199017500100143"


def person(system: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": NEW}],
        "active": True,
        "name": [{"use": "official", "family": "Essai", "given": ["Ada"]}],
        "gender": "female",
        "birthDate": "1990-01-01",
    }


@pytest.mark.parametrize("system", [INS_NIR, INS_NIA, INS_NIR_TEST, INS_NIR_DEMO])
@pytest.mark.parametrize(
    ("more", "tests_too"),
    [({}, True), ({"profile": "production"}, False), ({"profile": "production", "test_identities": True}, True)],
    ids=("development", "production", "production with tests"),
)
def test_the_ins_of_tests_only_where_configured(
    make_app: MakeApp,
    seeded_url: str,
    token: MakeToken,
    key_folder: Path,
    tmp_path: Path,
    system: str,
    more: dict[str, Any],
    tests_too: bool,
) -> None:
    settings = dict(more)
    if settings:
        issuers = tmp_path / "issuers.json"
        issuers.write_text(json.dumps([{"issuer": ISSUER, "audience": AUDIENCE, "jwks": Sandbox(key_folder).jwks()}]))
        settings |= {"base_url": "https://dmp.example/fhir", "issuers_file": str(issuers)}
    talk = Caller(make_app(seeded_url, **settings).test_client(), token)
    answer = talk.create(person(system), by="exploitant")
    served = tests_too or system in (INS_NIR, INS_NIA)
    assert answer.status == (201 if served else 422), answer.content
    assert talk.get(f"Patient?identifier={system}|{NEW}").tree["total"] == int(served)


def test_a_patch_by_entry_uuid_in_the_record_of_the_token(make_app: MakeApp, seeded_url: str, token: MakeToken) -> None:
    """An entryUUID is looked for in the record that the token is bound to; elsewhere the patient is named."""
    talk = Caller(make_app(seeded_url).test_client(), token)
    document = talk.get(f"DocumentReference?patient.identifier={CLAIRE}&_count=1", by="dr-moreau").matches[0]
    entry_uuid = next(each["value"] for each in document["identifier"] if each.get("use") == "official")
    condition = f"DocumentReference?identifier={URI}|{entry_uuid}"
    same = {"op": "test", "path": "/status", "value": document["status"]}
    assert talk.patch(condition, same, by="patient-claire-martin").status == 200
    assert talk.patch(condition, same, by="patient-julien-martin").status == 404
    assert talk.patch(condition, same, by="dr-moreau").status == 404
    assert talk.patch(f"{condition}&patient.identifier={CLAIRE}", same, by="dr-moreau").status == 200
