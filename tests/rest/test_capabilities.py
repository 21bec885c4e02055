"""metadata: what is declared works, what works is declared. https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from tests.rest.bodies import CLAIRE
from tests.rest.caller import Caller, Tree

METHODS = {"read": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


def statement(caller: Caller) -> Tree:
    answer = caller.get("metadata", by=None)
    assert answer.status == 200
    return answer.tree


def resources(caller: Caller) -> dict[str, Tree]:
    return {each["type"]: each for each in statement(caller)["rest"][0]["resource"]}


def test_the_statement_is_sound_r4_and_open_to_anybody(talk: Caller) -> None:
    tree = statement(talk)
    CapabilityStatement.model_validate(tree)
    assert tree["fhirVersion"] == "4.0.1"
    assert any("PDSm" in each for each in tree["instantiates"])
    assert any("MHD.DocumentResponder" in each for each in tree["instantiates"])


def test_every_declared_type_is_one_of_the_issue(registry: Caller) -> None:
    expected = {
        "AuditEvent",
        "Binary",
        "Bundle",
        "CareTeam",
        "Consent",
        "Device",
        "DocumentReference",
        "List",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    }
    assert resources(registry).keys() == expected


def test_interactions_of_an_instance_are_offered_exactly_where_declared(registry: Caller) -> None:
    """An address that names nothing answers 404 where the act is offered, 405 where it is not."""
    for kind, resource in resources(registry).items():
        declared = {each["code"] for each in resource["interaction"]}
        for code, method in METHODS.items():
            body = {"resourceType": kind, "id": "none"} if method == "PUT" else None
            headers = {"Content_Type": "application/json-patch+json"} if method == "PATCH" else {}
            status = registry.ask(method, f"{kind}/none", body, **headers).status
            assert (status == 405) == (code not in declared), (kind, code, status)
        status = registry.get(f"{kind}/none/_history").status
        assert (status == 405) == ("history-instance" not in declared), (kind, status)
        assert registry.get(f"{kind}/none/_history/1").status == 404, kind
        assert "vread" in declared


def test_interactions_of_a_type_are_offered_exactly_where_declared(registry: Caller) -> None:
    for kind, resource in resources(registry).items():
        declared = {each["code"] for each in resource["interaction"]}
        search = registry.get(kind)
        assert (search.status == 405) == ("search-type" not in declared), (kind, search.status)
        create = registry.create({"resourceType": kind})
        assert (create.status == 405) == ("create" not in declared), (kind, create.status)
        if create.status == 405:
            assert registry.get(f"{kind}/none").status == 404
            assert create.headers["Allow"] == ("GET, HEAD" if search.status != 405 else "")


def test_every_declared_search_parameter_is_understood(registry: Caller) -> None:
    """None answers 'unknown parameter'; a parameter that is not declared always does (D11)."""
    values = {"token": "x", "reference": "Patient/x", "string": "x", "date": "2025", "uri": "x", "number": "1"}
    for kind, resource in resources(registry).items():
        for parameter in resource.get("searchParam", []):
            answer = registry.get(f"{kind}?{parameter['name']}={values[parameter['type']]}", by="exploitant")
            assert answer.status in (200, 400, 403), (kind, parameter["name"], answer.content)
            if answer.status == 400:
                assert "D11" not in answer.rules, (kind, parameter["name"], answer.content)
        if "searchParam" in resource:
            answer = registry.get(f"{kind}?nothing-of-this-name=1", by="exploitant")
            assert answer.status == 400
            assert "D11" in answer.rules


def test_declared_includes_are_followed(registry: Caller) -> None:
    for kind, resource in resources(registry).items():
        for name in ("searchInclude", "searchRevInclude"):
            for include in resource.get(name, []):
                parameter = "_include" if name == "searchInclude" else "_revinclude"
                answer = registry.search(kind, patient__identifier=CLAIRE, **{parameter: include})
                assert answer.status == 200, (kind, include, answer.content)


def test_declared_patch_formats_are_read(registry: Caller) -> None:
    """A patch that says nothing is malformed, never of an unsupported type; any other type is 415."""
    documents = registry.search("DocumentReference", patient__identifier=CLAIRE, _count="1").matches
    address = f"DocumentReference/{documents[0]['id']}"
    for kind in [*statement(registry)["patchFormat"], "application/fhir+xml"]:
        answer = registry.ask("PATCH", address, b"<x", Content_Type=kind)
        assert answer.status in (400, 422), (kind, answer.status)
    assert registry.ask("PATCH", address, b"[]", Content_Type="application/merge-patch+json").status == 415


@pytest.mark.parametrize("shown", ["json", "xml", "application/fhir+json", "application/fhir+xml"])
def test_declared_formats_are_given(registry: Caller, shown: str) -> None:
    assert shown in statement(registry)["format"]
    answer = registry.get(f"metadata?_format={shown.replace('+', '%2B')}", by=None, Accept="*/*")
    assert answer.headers["Content-Type"].startswith(f"application/fhir+{shown[-4:].lstrip('+')}")
