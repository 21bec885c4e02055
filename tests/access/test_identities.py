"""Which INS a registry opens records for; designating a document by an entryUUID."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dmp_fhir.canonicals import INS_A, INS_C, INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, URI
from tests.rest.bodies import CLAIRE, lot, simple
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
    ("instance", "systems"),
    [
        ("development", {INS_NIR, INS_NIA, INS_NIR_TEST, INS_NIR_DEMO}),
        ("production", {INS_NIR, INS_NIA}),
        ("test instance", {INS_NIR_TEST, INS_NIR_DEMO}),
    ],
)
def test_real_and_invented_people_are_never_in_one_instance(
    make_app: MakeApp,
    seeded_url: str,
    token: MakeToken,
    production: tuple[dict[str, Any], MakeToken],
    system: str,
    instance: str,
    systems: set[str],
) -> None:
    settings, sign = ({}, token) if instance == "development" else production
    if instance == "test instance":
        settings = settings | {"test_identities": True}
    talk = Caller(make_app(seeded_url, **settings).test_client(), sign)
    answer = talk.create(person(system), by="exploitant")
    served = system in systems
    assert answer.status == (201 if served else 422), answer.content
    assert talk.get(f"Patient?identifier={system}|{NEW}").tree["total"] == int(served)


@pytest.mark.parametrize("system", [INS_C, INS_A, "urn:oid:1.2.250.1.213.1.4.6"])
def test_what_came_before_the_matricule_names_no_record(registry: Caller, system: str) -> None:
    """Neither INS-C nor INS-A is a key: not to open a record, not to find one, not beside a matricule."""
    alone = registry.create(person(system), by="exploitant")
    assert alone.status == 422
    beside = person(INS_NIR_TEST)
    beside["identifier"].append({"system": system, "value": "0803027695502382121519"})
    assert registry.create(beside, by="exploitant").status == 201
    assert registry.get(f"Patient?identifier={INS_NIR_TEST}|{NEW}").tree["total"] == 1
    found = registry.get(f"Patient?identifier={system}|0803027695502382121519")
    assert found.status == 400 or found.tree["total"] == 0
    listed = registry.get(f"DocumentReference?patient.identifier={system}|0803027695502382121519")
    assert listed.status in (400, 403)


TRAITS = (
    *("family=Martin", "given=Claire", "name=mart", "name:contains=art", "birthdate=1974-03-12", "gender=female"),
    *("address-postalcode=69003", "telecom=0600000000", "family:exact=Vasseur", "phonetic=martin"),
)


def test_a_patient_is_never_looked_for_by_traits(registry: Caller) -> None:
    """TD0.2 names the INS and nothing else, whoever asks; with the INS or without, strict or lenient, a trait is
    refused, and the refusal says what to do."""
    people = ("dr-moreau", "chu-feeder", "patient-claire-martin", "exploitant")
    for who, trait, how in itertools.product(people, TRAITS, ("strict", "lenient")):
        for path in (f"Patient?{trait}", f"Patient?identifier={CLAIRE}&{trait}"):
            answer = registry.get(path, by=who, Prefer=f"handling={how}")
            assert (answer.status, answer.rules) == (400, {"TD0.2"}), path
            assert "identifier=" in answer.tree["issue"][0]["details"]["text"]


def test_no_trait_is_declared(registry: Caller) -> None:
    statement = registry.get("metadata").tree
    (patient,) = (each for each in statement["rest"][0]["resource"] if each["type"] == "Patient")
    assert {each["name"] for each in patient["searchParam"]} == {"_id", "_lastUpdated", "identifier", "active"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"name": [{"use": "official", "family": "ESSAI", "given": ["ADA"]}]}, 200),
        ({"birthDate": "1990-01-02"}, 409),
        ({"gender": "male", "name": [{"use": "official", "family": "Autre", "given": ["Ada"]}]}, 409),
    ],
)
def test_another_person_under_the_same_ins(registry: Caller, change: dict[str, Any], status: int) -> None:
    """Created again on condition: the same person is answered, other strict traits are a collision to look into."""
    condition = f"identifier={INS_NIR_TEST}|{NEW}"
    assert registry.create(person(INS_NIR_TEST), by="exploitant", If_None_Exist=condition).status == 201
    again = registry.create(person(INS_NIR_TEST) | change, by="exploitant", If_None_Exist=condition)
    assert again.status == status
    if status == 409:
        assert "birth" in again.tree["issue"][0]["diagnostics"]


@pytest.mark.parametrize("ins_status", ["QUALIFIEE", "VALIDEE", "RECUPEREE", "PROVISOIRE"])
def test_only_a_qualified_ins_is_fed(registry: Caller, ins_status: str) -> None:
    """AR-19: deposit, replacement and deletion; reading asks for nothing."""
    claims = {"ins_status": ins_status}
    qualified = ins_status == "QUALIFIEE"
    own = registry.create(simple("first")).address
    assert registry.create(simple("second"), claims=claims).status == (201 if qualified else 422)
    assert registry.provide(lot("third"), claims=claims).status == (200 if qualified else 422)
    replacing = simple("fourth") | {"relatesTo": [{"code": "replaces", "target": {"reference": own}}]}
    replaced = registry.create(replacing, claims=claims)
    assert replaced.status == (201 if qualified else 422)
    gone = registry.create(simple("fifth")).address
    delete = {"op": "replace", "path": "/status", "value": "entered-in-error"}
    assert registry.patch(gone, delete, claims=claims).status == (200 if qualified else 422)
    assert registry.ask("DELETE", registry.create(simple("sixth")).address, claims=claims).status == (
        204 if qualified else 422
    )
    if not qualified:
        assert replaced.rules == {"AR-19"}
        assert registry.get(own, claims=claims).status == 200


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
