"""From a request to its answer: reads in a snapshot, writes in a transaction, refusals traced and answered.

The order is that of docs/architecture.md; nothing else reaches the database.
"""

from __future__ import annotations

from dmp_fhir.interactions import trace_proofs
from dmp_fhir.interactions.conformance import require_sound
from dmp_fhir.interactions.gate import reading, trace_refusal, writing
from dmp_fhir.interactions.messages import Response
from dmp_fhir.interactions.routes import OPERATIONS, act_of, check_route, route_read, route_write
from dmp_fhir.interactions.services import Exchange
from dmp_fhir.interactions.transaction import batch, transaction
from dmp_fhir.outcome import Refusal, Refused, refuse
from dmp_fhir.store.database import UniqueViolation


def handle(exchange: Exchange) -> Response:
    """The answer to a request of an authenticated caller; a refusal is traced before it leaves."""
    try:
        return _handle(exchange)
    except Refused as refused:
        interaction, action = act_of(exchange.request)
        trace_refusal(exchange, interaction, action, refused.refusal)
        return refusal_response(refused.refusal)


def _handle(exchange: Exchange) -> Response:
    request = exchange.request
    try:
        if request.operation == "bundle":
            return _handle_bundle(exchange)
        check_route(request)
        if request.operation in trace_proofs.OPERATIONS:
            return trace_proofs.proving(exchange)
        if request.method in ("GET", "HEAD") or request.operation in ("_search", *OPERATIONS):
            return reading(exchange, route_read)
        return writing(exchange, lambda gate: route_write(gate, request))
    except UniqueViolation:
        # Lost twice against another writer: whoever won owns the identifier.
        refuse(
            409,
            "duplicate",
            "Cet identifiant appartient déjà à une autre ressource.",
            "This identifier already belongs to another resource.",
            rule="D17",
            xds="XDSDuplicateUniqueIdInRegistry",
        )


def _handle_bundle(exchange: Exchange) -> Response:
    tree = exchange.request.tree or {}
    if tree.get("resourceType") != "Bundle" or tree.get("type") not in ("batch", "transaction"):
        refuse(
            400,
            "invalid",
            "À la racine on poste un Bundle de type transaction ou batch.",
            "A Bundle of type transaction or batch is posted to the base.",
            expression="Bundle.type",
            rule="TF-108",
        )
    walk = require_sound(exchange.services, tree)
    return transaction(exchange, walk) if tree["type"] == "transaction" else batch(exchange, handle)


def refusal_response(refusal: Refusal) -> Response:
    return Response(refusal.status, tree=refusal.tree, headers=list(refusal.headers))
