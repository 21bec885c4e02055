"""How fast a resource is validated, beside what else Python has; writes validation.md: python -m benchmarks.validation

The same bytes, in turns: reading them (orjson), structure and invariants of R4, everything with profiles, the models of
fhir.resources, and a JSON Schema made from the same tables and run by jsonschema-rs, which knows types, cardinalities
and required codes and nothing of invariants, slices and references. Processor time, median of the rounds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
from fhir.resources.R4B import get_fhir_model_class

from benchmarks.machine import describe
from dmp_fhir.profiles.active import SHIPPED
from dmp_fhir.profiles.checks import profiles_for
from dmp_fhir.profiles.definitions import is_choice_name, type_of
from dmp_fhir.profiles.structure import structural_issues
from dmp_fhir.profiles.validator import Validator

ROOT = Path(__file__).parents[1]
Tree = dict[str, Any]
_JSON_TYPES = {"boolean": "boolean", "decimal": "number", "integer": "integer", "positiveInt": "integer"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    began = time.process_time()
    validator = Validator.load(SHIPPED)
    loading = time.process_time() - began
    lines = [
        "# Validation\n",
        "Made by `python -m benchmarks.validation` (in `make bench`). Processor time of one resource, median of"
        f" {rounds} rounds in turns, and how many times as long as reading the same bytes.\n",
        *(f"- {line}" for line in describe()),
        "",
        f"Loading and compiling {len(validator.profiles)} profiles: {loading * 1000:.0f} ms.\n",
    ]
    bundle = orjson.loads((ROOT / "fixtures/tour/publish.json").read_bytes())
    samples = {"ITI-65 bundle": bundle}
    samples |= {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    lines += ["| | read (orjson) | structure | with profiles | fhir.resources | JSON Schema |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for name, tree in samples.items():
        lines.append("| " + " | ".join([name, *_line(validator, tree, rounds)]) + " |")
    lines += ["", f"Mutants of the DocumentReference refused: {_caught(validator, samples['DocumentReference'])}."]
    print("\n".join(lines))
    (ROOT / "benchmarks" / "validation.md").write_text("\n".join(lines) + "\n", "utf-8")


def _line(validator: Validator, tree: Tree, rounds: int) -> list[str]:
    data, model, schema = orjson.dumps(tree), get_fhir_model_class(tree["resourceType"]), _schema_of(tree)
    ways: list[Callable[[], object]] = [
        lambda: orjson.loads(data),
        lambda: structural_issues(tree),
        lambda: validator.validate(tree, profiles_for(tree)),
        lambda: model.model_validate_json(data),
        lambda: schema.is_valid(tree),
    ]
    spans: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, found in zip(ways, spans, strict=True):
            found.append(_seconds(way))
    medians = [statistics.median(found) for found in spans]
    return [f"{span * 1e6:.0f} µs (x {span / medians[0]:.1f})" for span in medians]


def _seconds(way: Callable[[], object], least: float = 0.02) -> float:
    """Processor seconds of one call."""
    times, began = 0, time.process_time()
    while True:
        way()
        times += 1
        if (span := time.process_time() - began) > least:
            return span / times


# What each refuses ----------------------------------------------------------------------------------------------------


def _caught(validator: Validator, tree: Tree) -> str:
    """One mistake at a time: each property taken away, and each value replaced by one of another kind."""
    model, schema = get_fhir_model_class(tree["resourceType"]), _schema_of(tree)
    mutants = list(_mutants(tree))
    refused = {"dmp-fhir": 0, "fhir.resources": 0, "JSON Schema": 0}
    for mutant in mutants:
        refused["dmp-fhir"] += any(issue.severity == "error" for issue in validator.validate(mutant))
        refused["JSON Schema"] += not schema.is_valid(mutant)
        try:
            model.model_validate_json(orjson.dumps(mutant))
        except Exception:  # some mistakes make it fail in other ways than by its own error
            refused["fhir.resources"] += 1
    counts = ", ".join(f"{name} {count}" for name, count in refused.items())
    return f"{counts} of {len(mutants)} (some are still sound: an optional property taken away)"


def _mutants(tree: Tree, way: tuple[Any, ...] = ()) -> Any:
    node: Any = tree
    for step in way:
        node = node[step]
    for key in list(node) if type(node) is dict else range(len(node)):
        for change in ("remove", "number", "text", "nothing"):
            mutant = copy.deepcopy(tree)
            holder: Any = mutant
            for step in way:
                holder = holder[step]
            if change == "remove":
                del holder[key]
            else:
                holder[key] = {"number": -1, "text": " ", "nothing": None}[change]
            yield mutant
        if type(node[key]) in (dict, list):
            yield from _mutants(tree, (*way, key))


# JSON Schema from the tables ------------------------------------------------------------------------------------------


def _schema_of(tree: Tree) -> Any:
    definitions: Tree = {}
    _define(tree["resourceType"], definitions)
    for name in _resource_types_in(tree):
        _define(name, definitions)
    branches = [
        {
            "if": {"properties": {"resourceType": {"const": name}}, "required": ["resourceType"]},
            "then": {"$ref": f"#/definitions/{name}"},
        }
        for name in _resource_types_in(tree)
    ]
    definitions["AnyResource"] = {"type": "object", "required": ["resourceType"], "allOf": branches}
    return jsonschema_rs.validator_for(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": f"#/definitions/{tree['resourceType']}",
            "definitions": definitions,
        }
    )


def _resource_types_in(node: Any) -> set[str]:
    if type(node) is list:
        return {name for item in node for name in _resource_types_in(item)}
    if type(node) is not dict:
        return set()
    found = {name for item in node.values() for name in _resource_types_in(item)}
    return found | {node["resourceType"]} if "resourceType" in node else found


def _define(name: str, definitions: Tree) -> None:
    if name in definitions:
        return
    kind = type_of(name)
    properties: Tree = {"resourceType": {"const": name}} if kind.kind == "resource" else {}
    definition = {"type": "object", "additionalProperties": False, "minProperties": 1, "properties": properties}
    definitions[name] = definition
    for known in kind.properties.values():
        if known.resource:
            one: Tree = {"$ref": "#/definitions/AnyResource"}
        elif known.primitive:
            one = {"type": _JSON_TYPES.get(known.type, "integer" if known.type == "unsignedInt" else "string")}
            if known.type == "code" and known.element.codes is not None:
                one["enum"] = sorted(set().union(*known.element.codes.values()))
            _define("Element", definitions)
            beside: Tree = {"$ref": "#/definitions/Element"}
            properties["_" + known.name] = {"type": "array", "items": beside} if known.element.many else beside
        else:
            _define(known.type, definitions)
            one = {"$ref": f"#/definitions/{known.type}"}
        properties[known.name] = {"type": "array", "minItems": 1, "items": one} if known.element.many else one
    needed = [each.name for each in kind.elements if each.least and not (each.choice or is_choice_name(each.name))]
    if needed:
        definition["required"] = needed


if __name__ == "__main__":
    main()
