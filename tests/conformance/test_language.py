"""The language of scenarios: what is not understood is said when it is read, never during a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dmp_fhir.conformance.config import BadConfig, read_config, sandbox_file
from dmp_fhir.conformance.paths import BadPath, check, evaluate
from dmp_fhir.conformance.scenarios import BadScenario, read_suite, suite
from dmp_fhir.conformance.templates import BadTemplate, Scope, change
from dmp_fhir.conformance.xml import NotFhir, read_xml, write_xml
from dmp_fhir.identity.sandbox import personas
from dmp_fhir.wire.xml import dump_xml, parse_xml

TEXT = {"fr": "a", "en": "b"}
SCENARIO: dict[str, Any] = {
    "id": "A-1",
    "title": TEXT,
    "actor": "x",
    "obligation": "SHALL",
    "source": ["x", "https://example.org"],
    "steps": [{"GET": "Patient", "expect": [{"status": 200}]}],
    "failure": TEXT,
}


def suite_of(**changes: Any) -> None:
    scenario = {name: value for name, value in (SCENARIO | changes).items() if value is not None}
    read_suite([("g/a.yaml", yaml.safe_dump({"group": "g", "title": TEXT, "scenarios": [scenario]}, sort_keys=False))])


def step(**said: Any) -> dict[str, Any]:
    return {"steps": [{"GET": "x", "expect": [{"status": 200}]} | said]}


def checked(**said: Any) -> dict[str, Any]:
    return step(expect=[said])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "blue"}, "unknown colour"),
        ({"id": "a 1"}, "an id is made of"),
        ({"title": "x"}, "title is a text in fr and en"),
        ({"failure": None}, "failure is a text"),
        ({"obligation": "MUST"}, "obligation is one of"),
        ({"source": ["x", "somewhere"]}, "source is"),
        ({"needs": ["flying"]}, "unknown flying"),
        ({"formats": ["yaml"]}, "formats are among"),
        ({"given": "nothing"}, "no shared setup"),
        ({"for_each": [{"a": 1}]}, "named by `case`"),
        ({"steps": []}, "list of steps"),
        ({"steps": [{"GET": "x"}]}, "nothing is checked"),
        (step(GTE="x"), "unknown GTE"),
        (step(POST="x"), "one of GET"),
        (step(querry={}), "unknown querry"),
        (step(body={}, text="x"), "one body only"),
        (step(body={"$template": "nothing"}), "there is no body"),
        (step(save={"a": "b"}), "save says"),
        (step(headers={"a": __import__("datetime").date(2025, 1, 1)}), "needs quotes"),
        (checked(statut=200), "no check 'statut'"),
        (checked(path="a.b"), "one of any"),
        (checked(path="a.b", **{"is": 1, "count": 1}), "one of any"),
        (checked(path="a.b", iz=1), "unknown iz"),
        (checked(path="a.(", exists=True), "a name is expected"),
        (checked(path="a.sum()", exists=True), "no function sum"),
        (checked(header="a", like="b"), "unknown like"),
        (checked(same_as="a", of="soul"), "of is one of"),
        (checked(issue={"colour": "red"}), "issue: severity"),
    ],
)
def test_what_is_not_understood_is_said_with_its_place(changes: dict[str, Any], said: str) -> None:
    suite_of()
    with pytest.raises(BadScenario, match=r"A-1|a 1|g/a\.yaml") as bad:
        suite_of(**changes)
    assert said in str(bad.value)


def test_the_suite_is_whole() -> None:
    """Size, groups, both languages; every requirement says where it comes from."""
    scenarios = suite().scenarios
    cases = [case for each in scenarios for case in each.cases()]
    assert len(scenarios) >= 120
    assert sum(len(step.expectations) for case in cases for step in case.scenario.steps) >= 300
    assert len({case.id for case in cases}) == len(cases)
    groups = "td02 iti-65 iti-105 iti-66 iti-67 iti-68 flux-03 formats capabilities errors access leaks audit security"
    assert suite().groups.keys() == set(groups.split())
    for each in scenarios:
        assert each.title.fr
        assert each.title.en
        assert each.failure.fr != each.failure.en, each.id


def test_names_that_do_not_exist_are_said() -> None:
    with pytest.raises(BadScenario, match="nothing is called NOTHING"):
        suite().chosen(only=["NOTHING"])


def test_the_sandbox_configuration_says_who_the_personas_are() -> None:
    """It repeats what the sandbox knows, for bodies: it must not drift."""
    for persona in read_config(sandbox_file()).personas.values():
        known = personas()[persona.fields["login"]]
        if "identifier" in persona.fields:
            assert persona.fields["identifier"] == known.identifier
        if "structure" in persona.fields:
            assert persona.fields["structure"] == known.structure
        if "structure_name" in persona.fields:
            assert persona.fields["structure_name"] == known.structure_name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "ftp://x"}, "http"),
        ({"colour": 1}, "unknown colour"),
        ({"skip": ["flying"]}, "flying"),
        ({"tokens": {"kind": "magic"}}, "kind among"),
        ({"tokens": {"kind": "command", "comand": []}}, "unknown comand"),
        ({"personas": {"author": {"logn": "x"}}}, "unknown logn"),
        ({"personas": {}}, "`author`"),
        ({"patients": {"main": {"system": "x"}}}, "system and value"),
    ],
)
def test_a_configuration_that_can_t_be_used(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    tree = {
        "base_url": "http://127.0.0.1/fhir",
        "tokens": {"kind": "environment", "variable": "TOKEN"},
        "personas": {"author": {}},
        "patients": {"main": {"system": "a", "value": "b"}},
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert read_config(path).base_url == "http://127.0.0.1/fhir"
    path.write_text(yaml.safe_dump(tree | changes))
    with pytest.raises(BadConfig) as bad:
        read_config(path)
    assert said in str(bad.value)


TREE = {
    "resourceType": "Bundle",
    "total": 2,
    "entry": [
        {"resource": {"resourceType": "List", "id": "a", "extension": [{"url": "u", "valueBoolean": True}]}},
        {"resource": {"resourceType": "Patient", "id": "b"}, "search": {"mode": "match"}},
    ],
}


@pytest.mark.parametrize("tree", [TREE, read_xml(write_xml(TREE))], ids=["json", "xml"])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("total", ["2"]),
        ("entry.resource.id", ["a", "b"]),
        ("entry[1].resource.id", ["b"]),
        ("entry.resource.ofType(List).id", ["a"]),
        ("entry.where(search.mode = 'match').resource.id", ["b"]),
        ("entry.where(search.mode != 'match').resource.id", ["a"]),
        ("entry.where(search.mode = 'match' and resource.id = b).resource.id", ["b"]),
        ("entry.where(search).resource.id", ["b"]),
        ("entry.resource.extension('u').valueBoolean", ["true"]),
        ("entry.count()", ["2"]),
        ("entry.last().resource.id", ["b"]),
        ("nothing.at.all", []),
        ("nothing.exists()", ["false"]),
    ],
)
def test_a_path_finds_the_same_in_json_and_xml(tree: dict[str, Any], path: str, found: list[str]) -> None:
    assert [str(each).lower() if isinstance(each, bool) else str(each) for each in evaluate(path, tree)] == found


@pytest.mark.parametrize("path", ["", "a..b", "a[x]", "a[1", "a.where(b", "a b", "a.where(b = )", "a§"])
def test_a_path_that_can_t_be_read(path: str) -> None:
    with pytest.raises(BadPath):
        check(path)


@pytest.mark.parametrize("name", ["lot", "patient-lot", "simple", "folder", "consent"])
def test_bodies_are_written_in_the_order_of_r4(name: str) -> None:
    """Our strict writer puts elements in order: what it gives back is what the suite sends."""
    scope = Scope("run", "case").local(
        me={"identifier": "1", "family": "f", "given": "g", "structure": "s", "structure_name": "n"},
        subject={"system": "urn:oid:1.2", "value": "v", "ins": "urn:oid:1.2|v"},
        kind="BLOCAGE",
        decision="deny",
        now="2026-11-22T08:00:00Z",
    )
    tree = scope.fill({"$template": name, "$name": "doc"})
    sent = write_xml(tree)
    assert dump_xml(parse_xml(sent)) == dump_xml(parse_xml(dump_xml(parse_xml(sent))))
    assert [each.tag for each in _elements(sent)] == [each.tag for each in _elements(dump_xml(parse_xml(sent)))]


def _elements(content: bytes) -> list[Any]:
    from lxml import etree

    return list(etree.fromstring(content).iter("*"))


def test_xml_that_is_not_fhir() -> None:
    for content in (b"<", b"<a/>", b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>"):
        with pytest.raises(NotFhir):
            read_xml(content)


def test_identifiers_are_fresh_in_each_run_and_steady_within() -> None:
    one, other = Scope("r1", "case"), Scope("r2", "case")
    assert one.uid("a") == one.uid("a") != one.uid("b")
    assert one.uid("a") != other.uid("a")
    inner = Scope("r1", "inner", one)
    assert inner.uid("a") == one.uid("a"), "made by the shared setup"
    assert inner.uid("c") != Scope("r1", "other", one).uid("c")


def test_changes() -> None:
    tree: dict[str, Any] = {"a": [{"b": 1}]}
    change(tree, "a[0].b", 2)
    change(tree, "a[+]", {"b": 3})
    change(tree, "c.d", 4)
    assert tree == {"a": [{"b": 2}, {"b": 3}], "c": {"d": 4}}
    change(tree, "a[0]", None)
    change(tree, "c.d", None)
    assert tree == {"a": [{"b": 3}], "c": {}}
    for path in ("a[7].b", "a[0].b.c", "a-b"):
        with pytest.raises(BadTemplate):
            change(tree, path, 1)
    with pytest.raises(BadTemplate, match="nothing"):
        Scope("r", "c").fill("${nothing}")
