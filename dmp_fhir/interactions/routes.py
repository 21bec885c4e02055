"""Which act a request asks for: the table of interactions by type, and the refusal of everything else."""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

from dmp_fhir.interactions import (
    access_history,
    explain_access,
    iti68_retrieve,
    td33_update,
    trace_proofs,
    update,
    validate,
)
from dmp_fhir.interactions.conformance import require_sound
from dmp_fhir.interactions.create import CREATABLE, create
from dmp_fhir.interactions.gate import Gate, Writing
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.read import history, read, vread
from dmp_fhir.interactions.search import search
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.profiles.walk import Walk

SEARCHABLE = frozenset(
    {
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "RelatedPerson",
        "Device",
        "CareTeam",
        "DocumentReference",
        "List",
        "Consent",
        "AuditEvent",
    }
)
PAYLOADS = frozenset({"Binary", "Bundle"})
TYPES = SEARCHABLE | PAYLOADS
UPDATABLE = update.UPDATABLE
DELETABLE = update.DELETABLE
OPERATIONS = (
    frozenset({access_history.OPERATION, explain_access.OPERATION, validate.OPERATION}) | trace_proofs.OPERATIONS
)

# The name of each act in the trace (http://hl7.org/fhir/restful-interaction) and its AuditEvent.action.
ACTS = {
    "GET": ("read", "R"),
    "POST": ("create", "C"),
    "PUT": ("update", "U"),
    "PATCH": ("patch", "U"),
    "DELETE": ("delete", "D"),
}


def act_of(request: Request) -> tuple[str, str]:
    """(interaction, action) of a request, for the trace of its refusal."""
    if request.operation == "bundle":
        kind = (request.tree or {}).get("type")
        return (kind if kind in ("batch", "transaction") else "transaction", "E")
    if request.operation in OPERATIONS:
        return "operation", "E"
    if request.operation == "_search" or (request.method in ("GET", "HEAD") and request.id is None):
        return "search-type", "E"
    if request.operation == "_history":
        return ("vread" if request.version else "history-instance"), "R"
    return ACTS.get(request.method, ("read", "R"))


def methods_of(request: Request) -> tuple[str, ...]:
    """What may be asked of this address: the `Allow` of a 405."""
    kind = request.resource_type
    if request.operation == "_search":
        return ("POST",) if kind in SEARCHABLE else ()
    if request.operation == validate.OPERATION:
        return ("POST",) if request.id is None else ("GET", "POST")
    if request.operation == access_history.OPERATION:
        return ("GET",) if kind == "Patient" else ()
    if request.operation in trace_proofs.OPERATIONS:
        return ("GET",) if trace_proofs.is_offered(request) else ()
    if request.id is None:
        return () if request.operation else _offered(kind, of_one=False)
    if request.operation == explain_access.OPERATION:
        return ("GET", "POST") if kind in explain_access.TYPES else ()
    if request.operation == "_history":
        return ("GET",) if kind not in PAYLOADS or request.version else ()
    return _offered(kind, of_one=True)


@lru_cache(maxsize=64)
def _offered(kind: str | None, *, of_one: bool) -> tuple[str, ...]:
    """The methods for a type, or for one of its resources."""
    found = [
        ("GET", of_one or kind in SEARCHABLE),
        ("POST", not of_one and kind in CREATABLE),
        ("PUT", of_one and kind in UPDATABLE),
        ("PATCH", kind == "DocumentReference"),
        ("DELETE", of_one and kind in DELETABLE),
    ]
    return tuple(method for method, offered in found if offered)


def check_route(request: Request) -> None:
    """404 for a type that is not here, 405 for an act that is not offered at this address."""
    if request.resource_type not in TYPES:
        not_found()
    if request.operation is None and request.method in _offered(request.resource_type, of_one=request.id is not None):
        return
    if request.operation not in (None, "_search", "_history", *OPERATIONS):
        not_found()
    offered_somewhere = (access_history.OPERATION, explain_access.OPERATION, *trace_proofs.OPERATIONS)
    if request.operation in offered_somewhere and not methods_of(request):
        not_found()
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods_of(request):
        refuse_method(request)


def refuse_method(request: Request) -> NoReturn:
    allowed = [each for method in methods_of(request) for each in ((method, "HEAD") if method == "GET" else (method,))]
    fr, en = _ADVICE.get((request.method, request.resource_type or ""), ("", ""))
    refuse(
        405,
        "not-supported",
        f"{request.method[:20]} n'est pas offert ici{f' : {fr}' if fr else '.'}",
        f"{request.method[:20]} is not offered here{f': {en}' if en else '.'}",
        headers=(("Allow", ", ".join(allowed)),),
        rule="TF-116",
    )


_ADVICE = {
    ("PUT", "DocumentReference"): (
        "une fiche change par PATCH (status, securityLabel, isArchived), un document par une nouvelle version.",
        "a DocumentReference changes by PATCH (status, securityLabel, isArchived), a document by a new version.",
    ),
    ("POST", "Binary"): (
        "un document se dépose avec sa fiche (ITI-65 ou ITI-105).",
        "a document is deposited with its DocumentReference (ITI-65 or ITI-105).",
    ),
    ("POST", "Bundle"): (
        "une transaction se poste à la racine.",
        "a transaction is posted to the base.",
    ),
    ("DELETE", "Consent"): (
        "un consentement prend fin par PUT avec status inactive.",
        "a consent ends by PUT with status inactive.",
    ),
}


def route_read(gate: Gate) -> Response:
    """The reads: search, read, vread, history, retrieve."""
    request = gate.exchange.request
    check_route(request)
    if request.operation == validate.OPERATION:
        return validate.validate(gate)
    if request.operation == access_history.OPERATION:
        return access_history.access_history(gate)
    if request.operation == "_search" or request.id is None:
        return search(gate)
    if request.resource_type in PAYLOADS:
        return iti68_retrieve.retrieve(gate)
    if request.operation == explain_access.OPERATION:
        return explain_access.explain_access(gate)
    if request.operation == "_history":
        return vread(gate) if request.version else history(gate)
    return read(gate)


def route_write(gate: Writing, request: Request) -> Response:
    """The writes: create, update, patch, delete."""
    check_route(request)
    if request.method == "PATCH":
        return td33_update.patch(gate, request)
    if request.method == "DELETE":
        return (
            td33_update.delete(gate, request)
            if request.resource_type == "DocumentReference"
            else update.delete_party(gate, request)
        )
    walk = _sound_body(gate, request)
    return create(gate, request, walk) if request.method == "POST" else update.update(gate, request, walk)


def _sound_body(gate: Writing, request: Request) -> Walk:
    """The body, a sound R4 resource of the type of the address (TF-108)."""
    tree = request.tree
    if tree is None:
        refuse(400, "required", "Le corps de la requête est attendu.", "The body of the request is missing.")
    if tree.get("resourceType") != request.resource_type:
        refuse(
            400,
            "invalid",
            f"L'adresse attend une ressource {request.resource_type}, le corps est {tree.get('resourceType')}.",
            f"The address expects a {request.resource_type} resource, the body is {tree.get('resourceType')}.",
            expression="resourceType",
            rule="TF-108",
        )
    return require_sound(gate.exchange.services, tree)
