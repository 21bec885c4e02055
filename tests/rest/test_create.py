"""create, conditional create, Prefer. https://hl7.org/fhir/R4/http.html#create, #ccreate, #ops"""

from __future__ import annotations

from typing import Any

import pytest

from dmp_fhir.canonicals import CONSENT_KIND_SYSTEM
from tests.rest.bodies import CLAIRE, INS, JULIEN, PS, STRUCTURE, THOMAS, URI, concept, folder, lot, oid, simple
from tests.rest.caller import MEDIA_TYPES, Caller, Tree
from tests.rest.test_refusals import refused

IDNPS = {"system": PS, "value": "899700009998"}
IDNST = {"system": STRUCTURE, "value": "1990009995"}


def subject(ins: str) -> Tree:
    return {"reference": f"Patient?identifier={ins}"}


def treating_physician(ins: str, physician: str) -> Tree:
    """A decision of the patient: this professional is my treating physician."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0"), concept(CONSENT_KIND_SYSTEM, "MEDECIN_TRAITANT")],
        "patient": subject(ins),
        "dateTime": "2026-11-22T08:00:00Z",
        "performer": [subject(ins)],
        "organization": [{"display": "Registre"}],
        "sourceAttachment": {"contentType": "text/plain", "title": "Choix du patient"},
        "policy": [{"uri": "https://dmp-fhir.example/fhir/policies/medecin-traitant/1"}],
        "provision": {
            "type": "permit",
            "period": {"start": "2026-11-22"},
            "actor": [
                {
                    "role": concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
                    "reference": {"type": "Practitioner", "identifier": {"system": PS, "value": physician}},
                }
            ],
        },
    }


# Type: body, who creates it.
BODIES: dict[str, tuple[Tree, str]] = {
    "Patient": (
        {
            "resourceType": "Patient",
            "active": True,
            "identifier": [{"use": "official", "system": INS, "value": "190017500100196"}],
            "name": [{"use": "official", "family": "Nouveau", "given": ["Jean"]}],
            "gender": "male",
            "birthDate": "1990-01-02",
        },
        "exploitant",
    ),
    "Practitioner": (
        {"resourceType": "Practitioner", "identifier": [IDNPS], "name": [{"family": "Neuf"}]},
        "exploitant",
    ),
    "PractitionerRole": ({"resourceType": "PractitionerRole", "practitioner": {"identifier": IDNPS}}, "exploitant"),
    "Organization": ({"resourceType": "Organization", "identifier": [IDNST], "name": "Neuve"}, "exploitant"),
    "Device": ({"resourceType": "Device", "deviceName": [{"name": "LPS", "type": "other"}]}, "exploitant"),
    "RelatedPerson": (
        {
            "resourceType": "RelatedPerson",
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:8c1c7e36-2f0f-4a43-9a0f-7a3e8c0d5b11"}],
            "patient": subject(CLAIRE),
            "name": [{"family": "Martin"}],
        },
        "exploitant",
    ),
    "CareTeam": (
        {"resourceType": "CareTeam", "subject": subject(CLAIRE), "participant": [{"member": {"identifier": IDNPS}}]},
        "patient-claire-martin",
    ),
    "Consent": (treating_physician(THOMAS, "899700000112"), "patient-thomas-girard"),
    "List": (folder("neuf") | {"entry": []}, "dr-moreau"),
    "DocumentReference": (simple("neuf"), "dr-moreau"),
}


def body_of(caller: Caller, kind: str) -> tuple[Tree, str]:
    tree, by = BODIES[kind]
    if kind == "List":
        address = caller.create(simple("du classeur")).address
        tree = tree | {"entry": [{"item": {"reference": address}}]}
    return tree, by


@pytest.mark.parametrize("kind", BODIES)
def test_each_type_is_created_and_answered_with_its_address(talk: Caller, kind: str) -> None:
    tree, by = body_of(talk, kind)
    answer = talk.create(tree, by=by)
    assert answer.status == 201, answer.content
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in answer.headers
    assert answer.headers["Location"].endswith(f"{answer.address}/_history/1")
    stored = answer.tree
    assert f"{kind}/{stored['id']}" == answer.address
    assert stored["meta"]["versionId"] == "1"
    assert talk.get(answer.address, by=by).tree == stored
    assert talk.get(f"{answer.address}/_history/1", by=by).tree == stored
    kept = {name: stored.get(name) for name in ("name", "identifier", "title", "deviceName", "gender")}
    if kind not in ("DocumentReference",):
        assert kept == {name: tree.get(name) for name in kept}


@pytest.mark.parametrize("kind", ["Practitioner", "Organization", "Patient"])
def test_a_national_identifier_has_one_owner(talk: Caller, kind: str) -> None:
    tree, by = BODIES[kind]
    assert talk.create(tree, by=by).status == 201
    versions = talk.count("resource_version")
    again = refused(talk.create(tree, by=by), 409)
    assert again.tree["issue"][0]["code"] == "duplicate"
    assert talk.count("resource_version") == versions


def test_an_id_and_meta_of_the_client_are_replaced(talk: Caller) -> None:
    tree, by = BODIES["Organization"]
    given = {"id": "mine", "meta": {"versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{"code": "kept"}]}}
    stored = talk.create(tree | given, by=by).tree
    assert stored["id"] != "mine"
    assert stored["meta"]["versionId"] == "1"
    assert stored["meta"]["lastUpdated"] > "2026"
    assert stored["meta"]["tag"] == [{"code": "kept"}]


# --- If-None-Exist --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Practitioner", "Organization", "Patient", "Device", "DocumentReference"])
def test_if_none_exist_creates_once(talk: Caller, kind: str) -> None:
    tree, by = BODIES[kind]
    if kind == "Device":
        tree = tree | {"identifier": [{"system": "urn:example:devices", "value": "7"}]}
    identifier = tree["masterIdentifier"] if kind == "DocumentReference" else tree["identifier"][0]
    condition = f"identifier={identifier['system']}|{identifier['value']}"
    first = talk.create(tree, by=by, If_None_Exist=condition)
    assert first.status == 201, first.content
    versions = talk.count("resource_version")
    for other in (tree, tree | {"language": "fr"}):
        again = talk.create(other, by=by, If_None_Exist=condition)
        assert again.status == 200, again.content
        assert again.headers["Location"] == first.headers["Location"]
        assert again.tree == first.tree
    assert talk.count("resource_version") == versions


@pytest.mark.parametrize("kind", ["Device", "RelatedPerson", "CareTeam", "Organization"])
def test_if_none_exist_finds_what_was_created_without_it(talk: Caller, kind: str) -> None:
    tree, by = BODIES[kind]
    tree = tree | {"identifier": [{"system": "urn:example:local", "value": f"{kind}, une | deux"}]}
    condition = f"identifier=urn:example:local%7C{kind}%5C, une %5C%7C deux"
    first = talk.create(tree, by=by)
    again = talk.create(tree, by=by, If_None_Exist=condition)
    assert again.status == 200, again.content
    assert again.address == first.address
    assert talk.create(tree, by=by).status == 201
    refused(talk.create(tree, by=by, If_None_Exist=condition), 412)


def test_if_none_exist_finds_a_folder_by_its_unique_id(talk: Caller) -> None:
    tree, by = body_of(talk, "List")
    condition = f"identifier={URI}|{oid('neuf folder')}"
    first = talk.create(tree, by=by, If_None_Exist=condition)
    again = talk.create(tree, by=by, If_None_Exist=condition)
    assert (first.status, again.status) == (201, 200)
    assert again.tree == first.tree


@pytest.mark.parametrize("condition", ["name=x", "identifier=a|b&name=x", "identifier=", "identifier=a|b,c|d", "x"])
def test_a_condition_that_no_constraint_can_hold_is_refused(registry: Caller, condition: str) -> None:
    tree, by = BODIES["Organization"]
    answer = refused(registry.create(tree, by=by, If_None_Exist=condition), 400)
    assert "TF-186" in answer.rules


def test_if_none_exist_does_not_tell_of_a_hidden_document(registry: Caller) -> None:
    """TF-044: for somebody without any right the answer is that of a creation that is refused."""
    tree = simple("cachette")
    assert registry.create(tree).status == 201
    condition = f"identifier={URI}|{oid('cachette')}"
    answer = registry.create(tree, by="patient-julien-martin", If_None_Exist=condition)
    assert answer.status == 403
    assert oid("cachette").encode() not in answer.content


# --- Prefer ---------------------------------------------------------------------------------------


def test_prefer_minimal_answers_headers_only(talk: Caller) -> None:
    answer = talk.create(simple("minimal"), Prefer="return=minimal")
    assert (answer.status, answer.content) == (201, b"")
    assert "Content-Type" not in answer.headers
    assert talk.get(answer.address).status == 200


def test_prefer_operation_outcome(talk: Caller) -> None:
    answer = talk.create(simple("outcome"), Prefer="return=OperationOutcome")
    assert answer.status == 201
    assert answer.tree["resourceType"] == "OperationOutcome"
    assert {each["severity"] for each in answer.tree["issue"]} <= {"information", "warning"}
    assert talk.get(answer.address).status == 200


@pytest.mark.parametrize("prefer", ["return=representation", "respond-async", "return=nothing-known", ""])
def test_any_other_preference_gives_the_resource(registry: Caller, prefer: str) -> None:
    answer = registry.create(simple("representation"), Prefer=prefer)
    assert answer.tree == registry.get(answer.address).tree


def test_an_answer_may_be_in_the_other_format(registry: Caller) -> None:
    answer = registry.create(simple("formats"), Accept=MEDIA_TYPES["xml"])
    assert answer.headers["Content-Type"].startswith(MEDIA_TYPES["xml"])
    assert answer.tree == registry.get(answer.address).tree


# --- who may, and what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "by", "changes"),
    [
        ("Practitioner", "dr-moreau", {}),
        ("Patient", "dr-moreau", {}),
        ("Consent", "dr-moreau", {}),
        ("RelatedPerson", "dr-roux", {}),
        ("CareTeam", "dr-petit", {}),
        ("DocumentReference", "patient-julien-martin", {}),
        ("DocumentReference", "exploitant", {}),
        ("List", "exploitant", {"entry": []}),
    ],
)
def test_without_the_right_nothing_is_created(registry: Caller, kind: str, by: str, changes: Tree) -> None:
    tree, _ = body_of(registry, kind)
    versions, acts = registry.count("resource_version"), registry.count("audit_event")
    refused(registry.create(tree | changes, by=by), 422 if changes else 403)
    assert registry.count("resource_version") == versions
    assert registry.count("audit_event") == acts + 1


def test_a_submission_set_is_not_created_alone(talk: Caller) -> None:
    tree = lot("seul")["entry"][0]["resource"]
    answer = refused(talk.create(tree), 422)
    assert answer.tree["issue"][0]["expression"] == ["List.code"]


def test_a_folder_holds_only_documents_of_its_record(talk: Caller) -> None:
    other = talk.create(simple("chez julien", ins=JULIEN))
    assert other.status == 201, other.content
    refused(talk.create(folder("mixte", other.address)), 422)
    refused(talk.create(folder("vide de sens", "DocumentReference/none")), 422)


def test_a_resource_around_a_patient_names_its_record(talk: Caller) -> None:
    tree: dict[str, Any] = {"resourceType": "RelatedPerson", "patient": {"display": "quelqu'un"}}
    refused(talk.create(tree, by="exploitant"), 422)
