"""PATCH bodies (JSON Patch, FHIRPath Patch, XML Patch) to changes of the three open elements of a document (D4).

https://hl7.org/fhir/R4/http.html#patch, https://hl7.org/fhir/R4/fhirpatch.html, RFC 6902. There is no patch engine and
no path evaluator here: each notation has a few fixed paths, any other is refused (TF-122).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from dmp_fhir.canonicals import EXT_IS_ARCHIVED
from dmp_fhir.wire.changes import (
    PATCH_LIMITS,
    Change,
    Operation,
    archived_value,
    change,
    malformed,
    not_allowed,
    read_all,
)
from dmp_fhir.wire.json import parse_json, parse_value
from dmp_fhir.wire.negotiation import PatchFormat, patch_format
from dmp_fhir.wire.xml import parse_xml
from dmp_fhir.wire.xml_patches import changes_of_xml_patch

__all__ = ["Change", "changes_of_json_patch", "changes_of_parameters", "parse_patch"]

Tree = dict[str, Any]


def parse_patch(content_type: str, body: bytes) -> list[Change]:
    """Read a PATCH body. Refuses with 415 (media type), 400 or 422 (malformed), 405 (other element), 413 (too many)."""
    kind = patch_format(content_type)
    if kind is PatchFormat.JSON_PATCH:
        return changes_of_json_patch(parse_value(body, PATCH_LIMITS))
    if kind is PatchFormat.XML_PATCH:
        return changes_of_xml_patch(body)
    read = parse_json if kind is PatchFormat.PARAMETERS_JSON else parse_xml
    return changes_of_parameters(read(body, PATCH_LIMITS))


# JSON Patch -----------------------------------------------------------------------------------------------------------

_QUOTES = "'\"‘’“”′"
_LABEL_POINTER = re.compile(r"/securityLabel(?:/(0|[1-9][0-9]{0,3}|-))?")
_EXTENSION_POINTER = re.compile(r"/extension/(0|[1-9][0-9]{0,3}|-)(/valueBoolean)?")
_NAMED_POINTER = re.compile(rf"/extension\[url[:=] ?[{_QUOTES}]([^{_QUOTES}\]]{{1,200}})[{_QUOTES}]\](/valueBoolean)?")


def changes_of_json_patch(operations: Any) -> list[Change]:
    """Operations of a JSON Patch (RFC 6902)."""
    if type(operations) is not list:
        malformed("un JSON Patch est un tableau d'opérations.", "a JSON Patch is an array of operations.", "Patch")
    return read_all(operations, _json_operation)


def _json_operation(operation: Any, where: str) -> Change:
    if type(operation) is not dict or type(operation.get("op")) is not str or type(operation.get("path")) is not str:
        malformed("une opération a « op » et « path ».", "an operation has 'op' and 'path'.", where)
    op, path = operation["op"], operation["path"]
    if op in ("move", "copy"):
        not_allowed(f"{op} {path}", where)
    if op not in ("add", "replace", "remove", "test"):
        malformed("« op » vaut add, replace, remove ou test.", "'op' is add, replace, remove or test.", where)
    if op != "remove" and "value" not in operation:
        malformed("cette opération demande « value ».", "this operation needs 'value'.", where)
    value = None if op == "remove" else operation["value"]
    if path == "/status":
        return change("status", op, None, value, where)
    if label := _LABEL_POINTER.fullmatch(path):
        return change("securityLabel", op, _index(label[1]), value, where)
    if counted := _EXTENSION_POINTER.fullmatch(path):
        index = _index(counted[1])
        if counted[2] is None and op != "remove":
            value = archived_value(value, where)
        if not (index == "-" and counted[2]):
            return change("isArchived", op, index, value, where)
    named = _NAMED_POINTER.fullmatch(path)
    if named and named[1] == EXT_IS_ARCHIVED and (named[2] or op == "remove"):
        return change("isArchived", op, None, value, where)
    not_allowed(path, where)


def _index(text: str | None) -> int | Literal["-"] | None:
    return None if text is None else "-" if text == "-" else int(text)


# FHIRPath Patch -------------------------------------------------------------------------------------------------------

_ROOT = "DocumentReference"
_LABEL_PATH = re.compile(r"DocumentReference\.securityLabel(?:\[([0-9]{1,4})\])?")
_EXTENSION_PATH = re.compile(
    r"DocumentReference\.extension(?:\.where\(url ?= ?'([^']{1,200})'\)|\('([^']{1,200})'\))"
    r"(\.value|\.valueBoolean|\.value\.ofType\(boolean\))?"
)
_PARAMETER_OPS: dict[str, Operation] = {"add": "add", "insert": "add", "delete": "remove", "replace": "replace"}


def changes_of_parameters(tree: Tree) -> list[Change]:
    """Operations of a FHIRPath Patch, as a PATCH body or as the PATCH entry of a transaction."""
    parameters = tree.get("parameter")
    if tree.get("resourceType") != "Parameters" or type(parameters) is not list:
        malformed(
            "un FHIRPath Patch est une ressource Parameters avec des paramètres « operation ».",
            "a FHIRPath Patch is a Parameters resource with 'operation' parameters.",
            "Parameters",
        )
    return read_all(parameters, _parameter_operation)


def _parameter_operation(parameter: Any, where: str) -> Change:
    parts = _parts(parameter, where)
    kind, path = _only_value(parts.get("type")), _only_value(parts.get("path"))
    if parameter.get("name") != "operation" or type(kind) is not str or type(path) is not str:
        fr = "une opération a les parties « type » et « path »."
        malformed(fr, "an operation has the parts 'type' and 'path'.", where)
    path = path.strip()
    if kind == "move":
        not_allowed(f"move {path}", where)
    op = _PARAMETER_OPS.get(kind)
    if op is None:
        fr = "« type » vaut add, insert, delete ou replace."
        malformed(fr, "'type' is add, insert, delete or replace.", where)
    if kind == "add" and path == _ROOT:
        return _added_parameter(parts, where)
    value = None if op == "remove" else _only_value(parts.get("value"))
    if op != "remove" and value is None:
        malformed("cette opération demande « value ».", "this operation needs 'value'.", where)
    if path == "DocumentReference.status" and kind != "insert":
        return change("status", op, None, value, where)
    if label := _LABEL_PATH.fullmatch(path):
        index: int | Literal["-"] | None = int(label[1]) if label[1] else None
        if kind == "insert":
            index = _only_value(parts.get("index"))
            if type(index) is not int or index < 0:
                malformed("« insert » demande « index ».", "'insert' needs 'index'.", where)
        elif index is None and op == "replace":
            value = [value]
        elif index is None and op == "add":
            index = "-"
        return change("securityLabel", op, index, value, where)
    extension = _EXTENSION_PATH.fullmatch(path)
    if extension and EXT_IS_ARCHIVED in (extension[1], extension[2]) and (extension[3] or op == "remove"):
        return change("isArchived", op, None, value, where)
    not_allowed(path, where)


def _added_parameter(parts: dict[str, Tree], where: str) -> Change:
    """`add` names the new child of the resource by a part `name`."""
    name = _only_value(parts.get("name"))
    given = parts.get("value", {})
    if name == "status":
        return change("status", "add", None, _only_value(given), where)
    if name == "securityLabel":
        return change("securityLabel", "add", "-", _only_value(given), where)
    if name == "extension":
        value = _only_value(given)
        if value is None:
            inner = _parts(given, where)
            boolean = inner.get("value", inner.get("valueBoolean", inner.get("value[x]")))
            value = {"url": _only_value(inner.get("url")), "valueBoolean": _only_value(boolean)}
        return change("isArchived", "add", "-", archived_value(value, where), where)
    not_allowed(f"{_ROOT}.{name}", where)


def _parts(parameter: Any, where: str) -> dict[str, Tree]:
    parts = parameter.get("part") if type(parameter) is dict else None
    if type(parts) is not list or not all(type(p) is dict and type(p.get("name")) is str for p in parts):
        fr = "une opération est faite de parties (part) qui ont chacune un nom."
        malformed(fr, "an operation is made of parts, each with a name.", where)
    named = {part["name"]: part for part in parts}
    if len(named) != len(parts):
        malformed("une partie est donnée deux fois.", "a part is given twice.", where)
    return named


def _only_value(part: Tree | None) -> Any:
    values = [value for name, value in (part or {}).items() if name.startswith("value")]
    return values[0] if len(values) == 1 else None
