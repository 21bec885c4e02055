"""SearchParameters as data: those of the guides that the registry searches by, and what they find in a resource."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dmp_fhir.profiles import active
from dmp_fhir.profiles.active import SHIPPED
from dmp_fhir.profiles.fhirpath import Environment, compiled
from dmp_fhir.profiles.fhirpath_values import plain
from dmp_fhir.registry.search.parameters import declared, searched_types
from dmp_fhir.wire.json import parse_json
from tests.profiles import samples

Tree = dict[str, Any]
FILES = {
    tree["url"]: tree
    for tree in (json.loads(file.read_text("utf-8")) for file in SHIPPED.rglob("SearchParameter-*.json"))
}


def test_what_is_searched_by_a_guide_has_its_definition_and_no_other_is_there() -> None:
    used: dict[str, list[Any]] = {}
    for kind in searched_types():
        for each in declared(kind):
            if not each.definition.startswith("http://hl7.org/fhir/"):
                used.setdefault(each.definition, []).append((kind, each))
    assert used.keys() == FILES.keys()
    for url, uses in used.items():
        tree = FILES[url]
        assert {kind for kind, _ in uses} == set(tree["base"])
        assert {(each.code, each.type) for _, each in uses} == {(tree["code"], tree["type"])}
        assert {each.chains for _, each in uses} == {tuple(tree.get("chain", ()))}
        assert {each.targets for _, each in uses} == {tuple(tree.get("target", ()))}


@pytest.mark.parametrize("url", sorted(FILES))
def test_each_is_a_sound_resource(url: str) -> None:
    assert active.validator().validate(parse_json(json.dumps(FILES[url]).encode())) == []


def found(name: str, tree: Tree) -> list[Any]:
    (parameter,) = [each for url, each in FILES.items() if url.endswith(f"/{name}")]
    return [plain(each) for each in compiled(parameter["expression"])([tree], Environment(tree, tree, tree, None))]


def test_the_expressions_find_what_they_say() -> None:
    document, lot = samples.comprehensive(), samples.submission_set()
    document["extension"] = [{"url": samples.PDSM + "pdsm-ext-is-archived", "valueBoolean": True}]
    organization = {"reference": "#o"}
    lot["source"] = {"extension": [{"url": samples.MHD + "ihe-authorOrg", "valueReference": organization}]}
    by_url = {each["url"].rsplit("/", 1)[1]: each for each in lot["extension"]}
    assert found("PDSm-isArchived", document) == [True]
    assert found("DocumentReference-Creation", document) == [document["content"][0]["attachment"]["creation"]]
    assert found("PDSm-DocumentReference-period-start", document) == [document["context"]["period"]["start"]]
    document["context"]["period"] = {"start": "2026", "end": "2027"}
    assert found("PDSm-DocumentReference-period-end", document) == ["2027"]
    assert found("PDSm-List-authorOrg", lot) == [organization]
    assert found("List-DesignationType", lot) == [by_url["ihe-designationType"]["valueCodeableConcept"]]
    assert found("List-SourceId", lot) == [by_url["ihe-sourceId"]["valueIdentifier"]]
    event = {"resourceType": "AuditEvent", "purposeOfEvent": [{"text": "urgence"}]}
    assert found("AuditEvent-purpose", event) == event["purposeOfEvent"]
