"""$validate. https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

import base64

import pytest

from dmp_fhir.canonicals import PROFILE_COMPREHENSIVE
from tests.profiles import samples
from tests.rest.bodies import sha1
from tests.rest.caller import Caller, Tree
from tests.support.cda import with_value, world_cda

CUSTODIAN = f"{PROFILE_COMPREHENSIVE}#DocumentReference.custodian/min"


def rules(outcome: Tree, severity: str = "error") -> list[str]:
    return [
        each["details"]["coding"][0]["code"]
        for each in outcome["issue"]
        if each["severity"] == severity and "coding" in each["details"]
    ]


def test_a_valid_resource(talk: Caller) -> None:
    answer = talk.ask("POST", "DocumentReference/$validate", body=samples.comprehensive())
    assert answer.status == 200
    assert [each["severity"] for each in answer.tree["issue"]] == ["information"]


def test_an_invalid_resource_is_answered_200_with_its_faults(talk: Caller) -> None:
    tree = samples.comprehensive()
    del tree["author"], tree["authenticator"], tree["contained"][1], tree["custodian"]
    answer = talk.ask("POST", "DocumentReference/$validate", body=tree)
    assert answer.status == 200
    assert rules(answer.tree) == [
        f"{PROFILE_COMPREHENSIVE}#DocumentReference.author/min",
        f"{PROFILE_COMPREHENSIVE}#DocumentReference.authenticator/min",
    ]
    assert rules(answer.tree, "warning") == [CUSTODIAN]


def test_parameters_carry_resource_mode_and_profile(talk: Caller) -> None:
    parameters = [
        {"name": "mode", "valueCode": "profile"},
        {"name": "profile", "valueUri": samples.PDSM + "pdsm-simplified-publish"},
        {"name": "resource", "resource": samples.comprehensive()},
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    outcome = talk.ask("POST", "DocumentReference/$validate", body=body).tree
    assert f"{samples.MHD}IHE.MHD.SimplifiedPublish.DocumentReference#DocumentReference.identifier/max" in rules(
        outcome
    )


def test_an_unknown_profile_is_an_error(registry: Caller) -> None:
    url = "https://example.org/StructureDefinition/none"
    body = samples.comprehensive()
    outcome = registry.ask("POST", f"DocumentReference/$validate?profile={url}", body=body).tree
    assert rules(outcome) == [url]


def test_line_and_column(registry: Caller) -> None:
    body = samples.comprehensive() | {"status": "unknown"}
    outcome = registry.ask("POST", "DocumentReference/$validate", body=body).tree
    places = {each["url"].rsplit("-", 1)[1]: each["valueInteger"] for each in outcome["issue"][0]["extension"]}
    assert places["line"] == 1
    assert places["col"] > 100


def test_the_stored_resource(registry: Caller) -> None:
    found = registry.ask("GET", "Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153").matches[0]
    answer = registry.ask("GET", f"Patient/{found['id']}/$validate")
    assert (answer.status, rules(answer.tree)) == (200, [])


def test_what_may_not_be_read_may_not_be_validated(registry: Caller) -> None:
    assert registry.ask("POST", "Patient/nobody/$validate", body=None).status == 404


def test_wrong_requests_are_refused(registry: Caller) -> None:
    wrong = [
        ("DocumentReference/$validate?mode=frobnicate", samples.comprehensive()),
        ("DocumentReference/$validate?mode=profile", samples.comprehensive()),
        ("DocumentReference/$validate?level=main", samples.comprehensive()),
        ("DocumentReference/$validate", {"resourceType": "Parameters"}),
    ]
    assert [registry.ask("POST", address, body=body).status for address, body in wrong] == [400] * 4


def test_another_type_than_the_address(registry: Caller) -> None:
    outcome = registry.ask("POST", "List/$validate", body=samples.comprehensive()).tree
    assert "TF-108" in rules(outcome)


def test_malformed_resources_never_break_the_server(registry: Caller) -> None:
    for broken in ({"type": 3}, {"content": [{"attachment": 7}]}, {"content": "x", "context": [1]}, {"meta": []}):
        body = samples.comprehensive() | broken
        assert registry.ask("POST", "DocumentReference/$validate", body=body).status == 200
    for broken in ({"code": 3}, {"code": {"coding": "x"}}, {"code": {"coding": ["x"]}}):
        assert registry.ask("POST", "List/$validate", body=samples.folder() | broken).status == 200


def test_nothing_is_written(registry: Caller) -> None:
    identifier = samples.simplified()["masterIdentifier"]["value"]
    registry.ask("POST", "DocumentReference/$validate", body=samples.simplified())
    found = registry.ask(
        "GET",
        f"DocumentReference?patient.identifier=274036912390153&identifier={identifier}&status=current",
    )
    assert found.matches == []


def test_a_caller_without_a_token_is_refused(registry: Caller) -> None:
    assert registry.ask("POST", "DocumentReference/$validate", body=samples.comprehensive(), by=None).status == 401


def test_the_cda_of_a_document_is_compared_with_its_metadata(registry: Caller) -> None:
    tree, data = world_cda()
    attachment = tree["content"][0]["attachment"]
    changed = with_value(with_value(data, "c:id/@root", "1.2.3"), "c:title", "Autre")
    attachment |= {"data": base64.b64encode(changed).decode(), "size": len(changed), "hash": sha1(changed)}
    del attachment["url"], tree["meta"]
    outcome = registry.ask("POST", "DocumentReference/$validate", body=tree).tree
    assert "CDA-04" in codes(outcome, "error")
    assert "CDA-08" in codes(outcome, "warning")


def codes(outcome: Tree, severity: str) -> list[str]:
    """All the codes of the issues: those of IHE and the rules."""
    issues = [each for each in outcome["issue"] if each["severity"] == severity]
    return [coding["code"] for each in issues for coding in each["details"].get("coding", [])]


@pytest.mark.parametrize(
    ("languages", "english"),
    [
        ("en", True),
        ("en-GB, fr;q=0.5", True),
        ("fr, en;q=0.9", False),
        ("de", False),
        (";;=,\x7f", False),
        ("en;q=0, fr", False),
    ],
)
def test_texts_are_in_the_language_asked_for(talk: Caller, languages: str, english: bool) -> None:
    """French unless English is preferred; the other language is a translation."""
    headers = {"Accept-Language": languages}
    tree = samples.comprehensive() | {"status": "currant"}
    refused = talk.ask("GET", "DocumentReference/none", **headers)
    for answer in (talk.ask("POST", "DocumentReference/$validate", body=tree, **headers), refused):
        (issue,) = answer.tree["issue"]
        (translation,) = issue["details"]["_text"]["extension"]
        said = {each["url"]: each.get("valueCode") or each.get("valueString") for each in translation["extension"]}
        texts = issue["details"]["text"], said["content"]
        assert said["lang"] == ("fr" if english else "en")
        assert issue["diagnostics"] == texts[0 if english else 1]
        assert texts[0] != texts[1]
