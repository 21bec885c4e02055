"""$validate: what the registry would say of a resource, without writing it.

https://hl7.org/fhir/R4/resource-operation-validate.html. The answer is 200 with an OperationOutcome whether or not the
resource is valid. Nothing of what is sent is kept; the trace says that a validation was asked for.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dmp_fhir.interactions.gate import Gate, raw_request
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.read import visible
from dmp_fhir.interactions.update import DELETABLE
from dmp_fhir.outcome import Issue, error, information, operation_outcome, refuse
from dmp_fhir.profiles.checks import check, profiles_for
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.positions import locator

Tree = dict[str, Any]

OPERATION = "$validate"
_ISSUE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue"
MODES = ("create", "update", "delete", "profile")


def validate(gate: Gate) -> Response:
    """`POST [type]/$validate`: the resource sent. `[type]/[id]/$validate`: the resource sent as its next version or,
    when none is sent, the one stored, if the caller may read it."""
    request = gate.exchange.request
    tree, mode, profiles = _asked(request)
    if request.id is not None:
        found, record_id, decision = visible(gate)
        gate.did("operation", "E", record_id, found, decision=decision, query=raw_request(request))
        if tree is None:
            tree = parse_json(found.body)
    else:
        gate.did("operation", "E", None, query=raw_request(request))
    if tree is None:
        _refuse("resource", "La ressource à valider est attendue.", "The resource to validate is missing.")
    if mode == "delete":
        return Response(200, tree=operation_outcome(_deletable(request)))
    issues = _address_issues(request, tree, mode)
    wanted = profiles or ([] if mode == "profile" else profiles_for(tree))
    services = gate.exchange.services
    settings = services.settings
    issues += check(services.validator, tree, settings.profile_level, wanted, settings.cda_check)
    return Response(200, tree=_placed(request, operation_outcome(issues or [_VALID])))


_VALID = information("informational", "Rien à signaler : la ressource est valide.", "Nothing to report: it is valid.")


def _asked(request: Request) -> tuple[Tree | None, str, list[str]]:
    """Resource, mode and profiles, from the address and from a Parameters body."""
    tree, modes, profiles = request.tree, [], []
    for name, value in request.parameters:
        if name == "mode":
            modes.append(value)
        elif name == "profile":
            profiles.append(value)
        elif not name.startswith("_"):
            _refuse(name[:60], "Paramètre inconnu de $validate.", "$validate has no such parameter.")
    if tree is not None and tree.get("resourceType") == "Parameters":
        parameters, tree = tree, None
        for each in _objects(parameters.get("parameter")):
            match each.get("name"):
                case "resource":
                    tree = each.get("resource")
                case "mode":
                    modes.append(str(each.get("valueCode", "")))
                case "profile":
                    profiles.append(str(each.get("valueUri") or each.get("valueCanonical") or ""))
                case other:
                    _refuse(str(other)[:60], "Paramètre inconnu de $validate.", "$validate has no such parameter.")
    mode = modes[0] if modes else ("update" if request.id else "create")
    if mode not in MODES:
        _refuse("mode", f"mode est l'un de {', '.join(MODES)}.", f"mode is one of {', '.join(MODES)}.")
    if mode == "profile" and not profiles:
        _refuse("profile", "Avec mode=profile, indiquez profile.", "With mode=profile, give profile.")
    return (tree if isinstance(tree, dict) else None), mode, profiles


def _placed(request: Request, outcome: Tree) -> Tree:
    """The outcome with the line and column of each element in what was sent
    (https://hl7.org/fhir/R4/extension-operationoutcome-issue-line.html)."""
    if not request.body or request.tree is None:
        return outcome
    inside = ""
    if request.tree.get("resourceType") == "Parameters":
        names = [each.get("name") for each in _objects(request.tree.get("parameter"))]
        inside = f"Parameters.parameter[{names.index('resource')}].resource"
    position = locator(request.body)
    for issue in outcome["issue"]:
        expression = issue.get("expression", [None])[0]
        if expression is not None:
            line, column = position(inside + expression[expression.find(".") :] if inside else expression) or (1, 1)
            issue["extension"] = [
                {"url": f"{_ISSUE}-line", "valueInteger": line},
                {"url": f"{_ISSUE}-col", "valueInteger": column},
            ]
    return outcome


def _objects(value: Any) -> list[Tree]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _refuse(name: str, fr: str, en: str) -> NoReturn:
    refuse(400, "invalid", f"{name} : {fr}", f"{name}: {en}", expression=f"$validate.{name}", rule="FHIR R4 $validate")


def _address_issues(request: Request, tree: Tree, mode: str) -> list[Issue]:
    kind = tree.get("resourceType")
    if kind != request.resource_type:
        return [
            error(
                "invalid",
                f"L'adresse attend {request.resource_type}, la ressource est {str(kind)[:64]}.",
                f"The address expects {request.resource_type}, the resource is {str(kind)[:64]}.",
                expression="resourceType",
                rule="TF-108",
            )
        ]
    if mode == "update" and request.id is not None and tree.get("id") != request.id:
        return [
            error(
                "invalid",
                f"La ressource doit porter l'id de l'adresse : {request.id}.",
                f"The resource must carry the id of the address: {request.id}.",
                expression=f"{kind}.id",
                rule="FHIR R4 update",
            )
        ]
    return []


def _deletable(request: Request) -> list[Issue]:
    if request.resource_type in DELETABLE:
        return [_VALID]
    kind = request.resource_type
    fr, en = f"{kind} ne se supprime pas ici.", f"{kind} can't be deleted here."
    return [error("not-supported", fr, en, rule="TF-116")]
