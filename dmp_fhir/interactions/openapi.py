"""The FHIR endpoint as an OpenAPI 3.1 description, from the same tables as the CapabilityStatement.

https://spec.openapis.org/oas/v3.1.0. For tools that know nothing of FHIR: the schemas say what kind of resource goes in
and out, the CapabilityStatement and the profiles say the rest. `python -m dmp_fhir.interactions.openapi` prints it.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

from dmp_fhir import __version__
from dmp_fhir.interactions import trace_proofs
from dmp_fhir.interactions.messages import Request
from dmp_fhir.interactions.routes import OPERATIONS, PAYLOADS, SEARCHABLE, TYPES, methods_of
from dmp_fhir.registry.search.definitions import MODIFIERS, Parameter
from dmp_fhir.registry.search.parameters import INCLUDES, REVINCLUDES, SORTS, declared

Tree = dict[str, Any]

JSON, XML, FORM = "application/fhir+json", "application/fhir+xml", "application/x-www-form-urlencoded"
PATCHES = ("application/json-patch+json", "application/xml-patch+xml", JSON, XML)
ID = {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"}
# What may be answered to any request with a token (http.html#summary; ../../docs/errors in integrators.md).
REFUSALS = {
    "400": "Not readable: body, parameter or header",
    "401": "No token, or one that is not accepted",
    "403": "This caller may not do this",
    "404": "Not here, or not for this caller: the two look the same",
    "406": "No such format of answer",
    "429": "Too much for now: see Retry-After",
    "503": "For a moment, nothing can be stored or traced: see Retry-After",
}
WRITE_REFUSALS = {
    "405": "Not offered for this element or resource",
    "409": "In conflict with what is here: same uniqueId, other content",
    "412": "The version or condition does not match",
    "413": "Too big",
    "415": "No such format of body",
    "422": "Against a profile or a rule: the OperationOutcome says which",
}
_DONE = {
    "read": ("200", "304"),
    "search": ("200",),
    "create": ("201", "200"),
    "update": ("200", "201"),
    "patch": ("200",),
    "delete": ("204",),
    "operation": ("200",),
}


@cache
def openapi(base_url: str) -> Tree:
    """The description of the endpoint at `base_url`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dmp-fhir",
            "version": __version__,
            "summary": "Registre de documents du DMP en FHIR R4 / DMP document registry in FHIR R4",
            "description": "HL7 FHIR R4 (4.0.1), IHE MHD, PDSm. GET metadata is the CapabilityStatement.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "security": [{"token": []}],
        "paths": {
            "/metadata": {"get": _capabilities()},
            "/": {"post": _bundle()},
            **{path: item for name in sorted(TYPES) for path, item in _paths(name).items()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {name: _schema(name) for name in sorted({*TYPES, *_ANSWERS})},
            "responses": {status: _refusal(text) for status, text in sorted((REFUSALS | WRITE_REFUSALS).items())},
        },
    }


_ANSWERS = ("CapabilityStatement", "OperationOutcome", "Parameters")


def _schema(name: str) -> Tree:
    """Enough for a tool to tell resources apart; what a resource may hold is in its profile."""
    tree: Tree = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"const": name}}}
    if name == "OperationOutcome":
        issue = {
            "type": "object",
            "required": ["severity", "code"],
            "properties": {
                "severity": {"enum": ["fatal", "error", "warning", "information"]},
                "code": {"type": "string"},
                "diagnostics": {"type": "string"},
                "expression": {"type": "array", "items": {"type": "string"}},
            },
        }
        tree["required"].append("issue")
        tree["properties"]["issue"] = {"type": "array", "minItems": 1, "items": issue}
    return tree


def _content(*names: str) -> Tree:
    found = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = found[0] if len(found) == 1 else {"oneOf": found}
    return {JSON: {"schema": schema}, XML: {"schema": {"type": "string"}}}


def _refusal(text: str) -> Tree:
    return {"description": text, "content": _content("OperationOutcome")}


def _responses(act: str, *names: str, also: tuple[str, ...] = ()) -> Tree:
    """The answers of an act: what it gives when done, and the refusals."""
    found: Tree = {}
    for status in _DONE[act]:
        content = _content(*names, *(() if act in ("read", "search") else ("OperationOutcome",)))
        found[status] = {"description": "Done" if status != "304" else "Not changed"}
        if status not in ("204", "304"):
            found[status]["content"] = content
    refusals = REFUSALS if act in ("read", "search") else REFUSALS | WRITE_REFUSALS
    return found | {status: {"$ref": f"#/components/responses/{status}"} for status in (*refusals, *also)}


def _capabilities() -> Tree:
    return {
        "operationId": "capabilities",
        "summary": "What this server does",
        "security": [],
        "responses": {
            "200": {"description": "The CapabilityStatement", "content": _content("CapabilityStatement")},
            "406": {"$ref": "#/components/responses/406"},
        },
    }


def _bundle() -> Tree:
    return {
        "operationId": "bundle",
        "summary": "ITI-65: provide a document bundle (transaction); or a batch of requests",
        "requestBody": {"required": True, "content": _content("Bundle")},
        "responses": _responses("operation", "Bundle"),
    }


def _paths(name: str) -> dict[str, Tree]:
    one, every = Request("GET", name, id="x"), Request("GET", name)
    identified = [_path_parameter("id")]
    found = {
        f"/{name}": _item(name, every, "", []),
        f"/{name}/{{id}}": _item(name, one, "/{id}", identified),
    }
    if name in SEARCHABLE:
        found[f"/{name}/_search"] = {"post": _search_by_post(name)}
    version = Request("GET", name, id="x", operation="_history", version="1")
    history = Request("GET", name, id="x", operation="_history")
    if methods_of(history):
        found[f"/{name}/{{id}}/_history"] = {
            "parameters": identified,
            "get": _read(f"history{name}", f"All versions of a {name}", "Bundle"),
        }
    if methods_of(version):
        found[f"/{name}/{{id}}/_history/{{version}}"] = {
            "parameters": [*identified, _path_parameter("version")],
            "get": _read(f"vread{name}", f"A version of a {name}", name),
        }
    for operation in sorted(OPERATIONS):
        for path, request in (
            (f"/{name}/{operation}", Request("POST", name, operation=operation)),
            (f"/{name}/{{id}}/{operation}", Request("POST", name, id="x", operation=operation)),
        ):
            if methods := methods_of(request):
                found[path] = _operation(name, operation, methods, identified if request.id else [])
    return {path: item for path, item in found.items() if item}


def _path_parameter(name: str) -> Tree:
    schema = ID if name == "id" else {"type": "string", "pattern": "^[0-9]{1,9}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _item(name: str, request: Request, path: str, parameters: list[Tree]) -> Tree:
    methods = methods_of(request)
    makers = {
        "GET": lambda: _read(f"read{name}", f"Read a {name}", name) if path else _search(name),
        "POST": lambda: _write("create", name, (JSON, XML)),
        "PUT": lambda: _write("update", name, (JSON, XML)),
        "PATCH": lambda: _patch(name, conditional=not path),
        "DELETE": lambda: {
            "operationId": f"delete{name}",
            "summary": f"Delete a {name} (its versions and its trace stay)",
            "responses": _responses("delete", name),
        },
    }
    found = {method.lower(): makers[method]() for method in methods}
    return ({"parameters": parameters} if parameters else {}) | found if found else {}


def _read(operation_id: str, summary: str, name: str) -> Tree:
    responses = _responses("read", name)
    if name in PAYLOADS:
        # ITI-68: the document in its own type, whatever that is.
        responses["200"]["content"] = {"*/*": {"schema": {}}}
    return {"operationId": operation_id, "summary": summary, "responses": responses}


def _write(act: str, name: str, formats: tuple[str, ...]) -> Tree:
    return {
        "operationId": f"{act}{name}",
        "summary": f"{act.capitalize()} a {name}",
        "requestBody": {
            "required": True,
            "content": {media: _content(name)[media] for media in formats},
        },
        "responses": _responses(act, name),
    }


def _patch(name: str, *, conditional: bool) -> Tree:
    patch: Tree = {
        "operationId": f"{'conditionalPatch' if conditional else 'patch'}{name}",
        "summary": "Change status, securityLabel or isArchived (TD3.3a to d)",
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": {"type": "array" if "json-patch" in media else "string"}} for media in PATCHES
            },
        },
        "responses": _responses("patch", name),
    }
    patch["requestBody"]["content"][JSON] = {"schema": {"$ref": "#/components/schemas/Parameters"}}
    if conditional:
        patch["parameters"] = [_search_parameter(each) for each in declared(name) if each.code == "identifier"]
    return patch


def _operation(name: str, operation: str, methods: tuple[str, ...], parameters: list[Tree]) -> Tree:
    item: Tree = {"parameters": parameters} if parameters else {}
    scope = "One" if parameters else ""
    for method in methods:
        item[method.lower()] = {
            "operationId": f"{operation[1:]}{scope}{name}{'' if method == 'GET' else 'ByPost'}",
            "summary": f"{operation} of a {name}",
            "responses": _responses("operation", "Parameters"),
        }
        if operation == trace_proofs.CONSISTENCY:
            size = {"type": "integer", "minimum": 1}
            wanted = (("first", True), ("second", False))
            item["get"]["parameters"] = [
                {"name": each, "in": "query", "required": required, "schema": size} for each, required in wanted
            ]
        if method == "POST":
            content = _content(*sorted({name, "Parameters"}))
            item["post"]["requestBody"] = {"required": not parameters, "content": content}
    return item


def _search(name: str) -> Tree:
    return {
        "operationId": f"search{name}",
        "summary": f"Search {name}: docs/search.md tells modifiers, prefixes and chains",
        "parameters": _search_parameters(name),
        "responses": _responses("search", "Bundle"),
    }


def _search_by_post(name: str) -> Tree:
    properties = {each["name"]: each["schema"] for each in _search_parameters(name)}
    return {
        "operationId": f"search{name}ByPost",
        "summary": f"Search {name} with nothing in the address",
        "requestBody": {"content": {FORM: {"schema": {"type": "object", "properties": properties}}}},
        "responses": _responses("search", "Bundle")
        | {status: {"$ref": f"#/components/responses/{status}"} for status in ("413", "415")},
    }


def _search_parameters(name: str) -> list[Tree]:
    found = [_search_parameter(each) for each in declared(name)]
    one_of = {"_sort": sorted(SORTS.get(name, ())), "_total": ["accurate", "estimate", "none"], "_summary": ["count"]}
    one_of |= {"_include": list(INCLUDES.get(name, ())), "_revinclude": list(REVINCLUDES.get(name, ()))}
    known = {each["name"] for each in found}
    found.append({"name": "_count", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 200}})
    for code, values in one_of.items():
        if values and code not in known:
            found.append({"name": code, "in": "query", "schema": {"type": "string", "enum": values}})
    return found


def _search_parameter(parameter: Parameter) -> Tree:
    modifiers = ", ".join(f":{each}" for each in MODIFIERS.get(parameter.type, ()))
    text = f"{parameter.fr} — {parameter.en} ({parameter.type}{'; ' + modifiers if modifiers else ''})"
    return {"name": parameter.code, "in": "query", "description": text, "schema": {"type": "string"}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(openapi("http://127.0.0.1:8000/fhir"), indent=1, ensure_ascii=False) + "\n")
