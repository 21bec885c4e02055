"""$explain-access over HTTP: who may ask, what is answered, and that it tells the truth."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.parameters import Parameters
from flask.testing import FlaskClient

from dmp_fhir.identity.sandbox import personas
from tests.support.server import MakeApp, MakeToken

CLAIRE, JULIEN, LEA = "patient-claire-martin", "patient-julien-martin", "patient-lea-martin"
MASKED = "urn:oid:2.16.840.1.113883.19.250.1.1.9"
ANNOUNCED = "urn:oid:2.16.840.1.113883.19.250.1.1.30"
HIDDEN_FROM_PARENTS = "urn:oid:2.16.840.1.113883.19.250.1.3.5"
PROFESSIONALS = ("dr-moreau", "dr-petit", "dr-colin", "dr-roux", "dr-lambert", "infirmiere-robert", "dr-chevalier")


class Client:
    def __init__(self, client: FlaskClient, token: MakeToken) -> None:
        self._client, self._token = client, token

    def get(self, persona: str, path: str, query: dict[str, str] | None = None, **claims: Any):
        headers = {"Authorization": f"Bearer {self._token(persona, **claims)}"}
        return self._client.get(f"/fhir/{path}", query_string=query or {}, headers=headers)

    def post(self, persona: str, path: str, tree: Any = None, **claims: Any):
        headers = {"Authorization": f"Bearer {self._token(persona, **claims)}"}
        if tree is None:
            return self._client.post(f"/fhir/{path}", headers=headers)
        return self._client.post(f"/fhir/{path}", json=tree, headers=headers, content_type="application/fhir+json")

    def patient(self, persona: str) -> str:
        return self.get(persona, "Patient").json["entry"][0]["resource"]["id"]

    def document(self, persona: str, unique_id: str, patient: str | None = None) -> str:
        query = {"identifier": unique_id} | ({"patient": patient} if patient else {})
        return self.get(persona, "DocumentReference", query).json["entry"][0]["resource"]["id"]


@pytest.fixture
def world(client: FlaskClient, token: MakeToken) -> Client:
    return Client(client, token)


def parts(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The parts of each parameter of a name, as name -> value; several values of a name as a list."""
    found = []
    for parameter in tree["parameter"]:
        if parameter["name"] == name:
            line: dict[str, Any] = {"rule": [], "obligation": []}
            for part in parameter["part"]:
                value = next(value for key, value in part.items() if key.startswith("value"))
                if part["name"] in ("rule", "obligation"):
                    line[part["name"]].append(value)
                else:
                    line[part["name"]] = value
            found.append(line)
    return found


def allowed(tree: dict[str, Any], action: str) -> bool:
    (line,) = (each for each in parts(tree, "answer") if each["action"] == action)
    return line["allowed"]


def test_a_patient_learns_about_their_own_record(world: Client) -> None:
    answer = world.get(CLAIRE, f"Patient/{world.patient(CLAIRE)}/$explain-access")
    assert answer.status_code == 200
    Parameters.model_validate(answer.json)
    lines = parts(answer.json, "answer")
    assert {each["category"] for each in lines} == {"PATIENT"}
    assert allowed(answer.json, "auth.block")
    assert not allowed(answer.json, "doc.hide_patient")
    told = {each["coding"]["code"]: each for each in parts(answer.json, "rule")}
    assert {rule for each in lines for rule in each["rule"]} == set(told)
    assert "titulaire" in told["AR-78"]["text"]


def test_what_is_said_of_a_professional_is_what_happens(world: Client) -> None:
    """For documents of every kind, by identifier and structure: explained as allowed exactly when a read is a 200."""
    found = world.get("dr-moreau", "DocumentReference", {"patient.identifier": _ins(CLAIRE), "_count": "100"}).json
    readable = {each["resource"]["id"] for each in world.get(CLAIRE, "DocumentReference").json["entry"]}
    documents = [each["resource"]["id"] for each in found["entry"] if each["resource"]["id"] in readable]
    outcomes = set()
    for slug in PROFESSIONALS:
        persona = personas()[slug]
        query = {"professional": f"https://rpps.esante.gouv.fr|{persona.identifier[1:]}"}
        query |= {"structure": persona.structure} if persona.structure else {}
        for document in documents[::4]:
            said = world.get(CLAIRE, f"DocumentReference/{document}/$explain-access", query)
            assert said.status_code == 200
            happens = world.get(slug, f"DocumentReference/{document}").status_code == 200
            assert allowed(said.json, "doc.read") == happens, (slug, document)
            outcomes.add((slug, happens))
    assert {happens for _, happens in outcomes} == {True, False}
    assert ("dr-roux", True) not in outcomes


def test_who_can_see_a_document(world: Client) -> None:
    document = world.document(CLAIRE, MASKED)
    answer = world.get(CLAIRE, f"DocumentReference/{document}/$explain-access")
    assert answer.status_code == 200
    Parameters.model_validate(answer.json)
    readers = parts(answer.json, "reader")
    assert len({each.get("profession") for each in readers}) > 20
    seeing = {(each["category"], each["situation"]) for each in readers if each["allowed"]}
    assert seeing == {("PATIENT", "as-is"), ("PS", "treating-physician"), ("PS", "author"), ("PS_ROLE", "author")} or (
        seeing == {("PATIENT", "as-is"), ("PS", "treating-physician"), ("PS", "author")}
    )
    assert all(each["rule"] for each in readers)
    assert {each["code"] for each in parts(answer.json, "situation")} == {each["situation"] for each in readers}


def test_a_category_is_told_in_each_situation(world: Client) -> None:
    tree = world.get(
        CLAIRE,
        f"Patient/{world.patient(CLAIRE)}/$explain-access",
        {"actor-category": "PS", "profession": "60"},
    ).json
    reading = {each["situation"]: each["allowed"] for each in parts(tree, "answer") if each["action"] == "doc.list"}
    assert reading == {"none": False, "authorised": True, "author": True, "blocked": False, "break-glass": True}


def test_parameters_may_be_posted(world: Client) -> None:
    path = f"Patient/{world.patient(CLAIRE)}/$explain-access"
    rpps = {"system": "https://rpps.esante.gouv.fr", "value": "99700000138"}
    tree = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "professional", "valueIdentifier": rpps},
            {"name": "purpose", "valueCode": "bris_de_glace"},
        ],
    }
    answer = world.post(CLAIRE, path, tree)
    assert answer.status_code == 200
    assert {each["category"] for each in parts(answer.json, "answer")} == {"PS"}
    # Dr Roux is blocked, in an emergency too.
    assert not allowed(answer.json, "doc.read")
    assert "AR-41" in {rule for each in parts(answer.json, "answer") for rule in each["rule"]}
    assert world.post(CLAIRE, path).status_code == 200


def test_nobody_else_learns_anything(world: Client) -> None:
    """The same bytes for a record or document that is there and for one that is not."""
    record, document = world.patient(CLAIRE), world.document(CLAIRE, MASKED)
    for persona in (JULIEN, "representative-claire-martin", "dr-moreau", "dr-roux", "chu-feeder"):
        for there, absent in (
            (f"Patient/{record}/$explain-access", "Patient/0196f0aa-0000-7000-8000-000000000000/$explain-access"),
            (
                f"DocumentReference/{document}/$explain-access",
                "DocumentReference/0196f0aa-0000-7000-8000-000000000000/$explain-access",
            ),
        ):
            answers = [world.get(persona, path) for path in (there, absent)]
            assert [each.status_code for each in answers] == [404, 404], persona
            assert answers[0].data == answers[1].data


def test_a_hidden_document_is_not_explained_to_whom_it_is_hidden_from(world: Client) -> None:
    announced = world.document("dr-moreau", ANNOUNCED, world.patient(CLAIRE))
    assert world.get(CLAIRE, f"DocumentReference/{announced}/$explain-access").status_code == 404
    secret = world.document(LEA, HIDDEN_FROM_PARENTS)
    assert world.get(LEA, f"DocumentReference/{secret}/$explain-access").status_code == 200
    assert world.get("representative-claire-martin", f"DocumentReference/{secret}/$explain-access").status_code == 404
    record = world.patient(LEA)
    assert world.get("representative-claire-martin", f"Patient/{record}/$explain-access").status_code == 200


def test_an_integrator_tries_personas_in_the_sandbox(world: Client) -> None:
    document = world.document(CLAIRE, MASKED)
    path = f"DocumentReference/{document}/$explain-access"
    for slug in PROFESSIONALS:
        tree = world.get("exploitant", path, {"persona": slug}).json
        happens = world.get(slug, f"DocumentReference/{document}").status_code == 200
        assert allowed(tree, "doc.read") == happens, slug
    assert world.get(CLAIRE, path, {"persona": "dr-moreau"}).status_code == 400
    assert world.get("exploitant", path, {"persona": "nobody"}).status_code == 400


def test_the_operator_of_production_learns_nothing(
    make_app: MakeApp, seeded_url: str, token: MakeToken, production: tuple[dict[str, Any], MakeToken]
) -> None:
    document = Client(make_app(seeded_url).test_client(), token).document(CLAIRE, MASKED)
    settings, real_token = production
    asked = Client(make_app(seeded_url, **settings).test_client(), real_token)
    assert asked.get("exploitant", f"DocumentReference/{document}/$explain-access").status_code == 404
    assert asked.get(CLAIRE, f"DocumentReference/{document}/$explain-access").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "blue"},
        {"actor-category": "WIZARD"},
        {"actor-category": "PS"},
        {"purpose": "curiosity", "profession": "10"},
        {"professional": "99700000138"},
        {"professional": "https://rpps.esante.gouv.fr|99700000139"},
    ],
)
def test_what_is_asked_wrongly_is_a_400_that_says_what_to_do(world: Client, query: dict[str, str]) -> None:
    answer = world.get(CLAIRE, f"Patient/{world.patient(CLAIRE)}/$explain-access", query)
    assert answer.status_code == 400
    (issue,) = answer.json["issue"]
    assert issue["details"]["text"]
    assert issue["diagnostics"]
    assert issue["expression"]


def test_explanations_are_traced(world: Client) -> None:
    path = f"Patient/{world.patient(CLAIRE)}/$explain-access"
    world.get(CLAIRE, path)
    world.get("dr-roux", path)
    found = world.get(CLAIRE, "AuditEvent", {"subtype": "operation", "_count": "100"}).json["entry"]
    outcomes = sorted(each["resource"]["outcome"] for each in found)
    assert outcomes == ["0", "4"]


def test_it_is_declared(world: Client) -> None:
    tree = world.get(CLAIRE, "metadata").json
    (definition,) = [each for each in tree["contained"] if each["code"] == "explain-access"]
    offered = {
        each["type"]
        for each in tree["rest"][0]["resource"]
        if any(operation["name"] == definition["code"] for operation in each.get("operation", ()))
    }
    assert offered == set(definition["resource"]) == {"Patient", "DocumentReference"}
    assert world.get(CLAIRE, f"List/{world.patient(CLAIRE)}/$explain-access").status_code == 404
    assert world.get(CLAIRE, f"Patient/{world.patient(CLAIRE)}/$everything").status_code == 404


def _ins(persona: str) -> str:
    return personas()[persona].person_id or ""
