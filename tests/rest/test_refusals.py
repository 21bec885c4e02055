"""What is refused, and that every refusal is an OperationOutcome with a French and an English sentence."""

from __future__ import annotations

from fhir.resources.R4B.operationoutcome import OperationOutcome

from tests.rest.bodies import CLAIRE, HENRI, NADIA, document, lot, simple
from tests.rest.caller import JSON_PATCH, MEDIA_TYPES, Answer, Caller

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"


def refused(answer: Answer, status: int) -> Answer:
    """The status, and an outcome that a reader of either language understands."""
    assert answer.status == status, answer.content
    tree = answer.tree
    OperationOutcome.model_validate(tree)
    severities = {issue["severity"] for issue in tree["issue"]}
    assert "error" in severities
    assert severities <= {"error", "warning", "information"}
    for issue in tree["issue"]:
        (translation,) = issue["details"]["_text"]["extension"]
        assert translation["url"] == TRANSLATION
        english = {each["url"]: each for each in translation["extension"]}
        assert english["lang"]["valueCode"] == "en"
        assert len(issue["details"]["text"]) > 10
        assert len(english["content"]["valueString"]) > 10
        assert issue["details"]["text"] != english["content"]["valueString"]
    return answer


def test_without_a_token_nothing_is_told(registry: Caller) -> None:
    """Not even whether an address or a method exists."""
    for path in ("Patient/x", "DocumentReference", "", "Nothing", "Patient/x/_history", "a/b/c/d/e"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = refused(registry.ask(method, path, by=None), 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), (method, path)
    assert registry.ask("HEAD", "Patient/x", by=None).status == 401


def test_what_is_not_http_of_fhir_is_refused_in_the_format_asked_for(talk: Caller) -> None:
    answer = refused(talk.ask("OPTIONS", "Patient"), 405)
    assert "GET" in answer.headers["Allow"]
    assert answer.headers["Content-Type"].startswith(MEDIA_TYPES[talk.form])


def test_a_bad_token_is_401_with_the_reason(talk: Caller) -> None:
    for value in ("Bearer x.y.z", "Basic dTpw", "Bearer"):
        answer = refused(talk.get("Patient/x", by=None, Authorization=value), 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_unknown_addresses_are_404(talk: Caller) -> None:
    for path in ("Patient/none", "Nothing", "Nothing/1", "Observation/1", "Patient/none/_history", "Patient/a/b"):
        refused(talk.get(path), 404)
    refused(talk.get("DocumentReference/$nothing"), 404)
    refused(talk.ask("DELETE", "DocumentReference/none"), 404)
    refused(talk.patch("DocumentReference/none", {"op": "replace", "path": "/status", "value": "superseded"}), 404)


def test_another_method_is_405_and_names_those_that_are_offered(talk: Caller) -> None:
    cases = {
        ("PUT", "DocumentReference/1"): {"GET", "HEAD", "PATCH", "DELETE"},
        ("PATCH", "Patient/1"): {"GET", "HEAD", "PUT"},
        ("DELETE", "Patient/1"): {"GET", "HEAD", "PUT"},
        ("DELETE", "Consent/1"): {"GET", "HEAD", "PUT"},
        ("POST", "Binary"): set(),
        ("POST", "AuditEvent"): {"GET", "HEAD"},
        ("PUT", "AuditEvent/1"): {"GET", "HEAD"},
        ("DELETE", "AuditEvent/1"): {"GET", "HEAD"},
        ("POST", "Patient/1/_history"): {"GET", "HEAD"},
        ("GET", ""): {"POST"},
        ("DELETE", "metadata"): {"GET", "HEAD"},
    }
    for (method, path), allowed in cases.items():
        body = {"resourceType": path.partition("/")[0], "id": "1"} if method in ("POST", "PUT") else None
        answer = refused(talk.ask(method, path, body), 405)
        assert set(filter(None, answer.headers["Allow"].split(", "))) == allowed, (method, path)


def test_a_format_that_is_not_here_is_406(registry: Caller) -> None:
    for accept in ("text/csv", "application/fhir+turtle", "application/fhir+json; fhirVersion=5.0"):
        refused(registry.get(f"DocumentReference?patient.identifier={CLAIRE}", Accept=accept), 406)
    refused(registry.get("metadata?_format=ttl", by=None), 406)


def test_a_body_that_is_not_fhir_is_415_or_400(registry: Caller) -> None:
    refused(registry.ask("POST", "List", b"a=1", Content_Type="application/x-www-form-urlencoded"), 415)
    refused(registry.ask("POST", "", b"{}", Content_Type="application/fhir+json; charset=latin-1"), 415)
    refused(registry.ask("POST", "", b"x", Content_Type=MEDIA_TYPES["json"], Content_Encoding="gzip"), 415)
    refused(registry.ask("POST", "List/_search", b"{}", Content_Type=MEDIA_TYPES["json"]), 415)
    refused(registry.ask("POST", "List", b"{", Content_Type=MEDIA_TYPES["json"]), 400)
    refused(registry.ask("POST", "List", b"<List", Content_Type=MEDIA_TYPES["xml"]), 400)
    refused(registry.ask("POST", "List", b"", Content_Type=MEDIA_TYPES["json"]), 400)


def test_a_body_of_another_type_than_the_address_is_400(talk: Caller) -> None:
    answer = talk.ask("POST", "List", document("x"))
    refused(answer, 400)
    refused(talk.provide({"resourceType": "Bundle", "type": "collection"}), 400)
    refused(talk.provide(document("x")), 400)


def test_an_unsound_resource_is_422_and_the_element_is_named(talk: Caller) -> None:
    tree = simple("unsound")
    tree["status"] = "nearly"
    answer = refused(talk.create(tree), 422)
    assert answer.tree["issue"][0]["expression"] == ["DocumentReference.status"]
    answer = refused(talk.provide(lot("unsound", title=[])), 422) if talk.form == "json" else answer
    assert talk.search("DocumentReference", patient__identifier=CLAIRE, creation="ge2026-11-20").matches == []


def test_a_record_is_refused_with_the_same_bytes_whether_or_not_it_exists(registry: Caller) -> None:
    """D27: nobody without a right learns from a search that there is a record."""
    absent = refused(registry.search("DocumentReference", patient__identifier=NADIA), 403)
    there = refused(registry.search("DocumentReference", by="dr-roux", patient__identifier=CLAIRE), 403)
    assert absent.content == there.content


def test_a_closed_record_is_refused_to_its_treating_physician(talk: Caller) -> None:
    refused(talk.search("DocumentReference", by="dr-colin", patient__identifier=HENRI), 403)


def test_a_search_without_a_patient_is_refused(talk: Caller) -> None:
    """D12, and D11 for what is unknown."""
    assert "D12" in refused(talk.get("DocumentReference?status=current"), 400).rules
    assert "D11" in refused(talk.search("DocumentReference", patient__identifier=CLAIRE, colour="red"), 400).rules
    lenient = talk.get(f"DocumentReference?patient.identifier={CLAIRE}&colour=red", Prefer="handling=lenient")
    assert lenient.status == 200
    (outcome,) = [each for each in lenient.entries if each["search"]["mode"] == "outcome"]
    assert outcome["resource"]["issue"][0]["severity"] in ("warning", "information")
    assert "colour" not in (lenient.link("self") or "")


def test_a_patch_that_cannot_be_read_is_refused(talk: Caller) -> None:
    (one,) = talk.search("DocumentReference", patient__identifier=CLAIRE, _count="1").matches
    address = f"DocumentReference/{one['id']}"
    refused(talk.ask("PATCH", address, b"[", Content_Type=JSON_PATCH), 400)
    refused(talk.ask("PATCH", address, b"{}", Content_Type=JSON_PATCH), 422)
    refused(talk.ask("PATCH", address, b"[]", Content_Type="text/plain"), 415)
    refused(talk.ask("PATCH", "DocumentReference", b"[]", Content_Type=JSON_PATCH), 422)
