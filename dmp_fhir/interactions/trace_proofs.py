"""Proofs of the trace, for whoever may read it (docs/audit.md): an entry is in the signed log, the log only grew.

`GET AuditEvent/[id]/$inclusion-proof`, `GET AuditEvent/$consistency-proof?first=…&second=…` and `GET
AuditEvent/$tree-head` answer Parameters (https://hl7.org/fhir/R4/operations.html), traced like every act. Sizes are
those of signed heads, which are no secret.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dmp_fhir.audit import proofs
from dmp_fhir.audit.answers import consistency_answer, head_answer, inclusion_answer
from dmp_fhir.audit.heads import Sealing, head_of_size, latest_head
from dmp_fhir.interactions.gate import Gate, reading
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.read import visible
from dmp_fhir.interactions.services import Exchange
from dmp_fhir.outcome import not_found, refuse
from dmp_fhir.policy.rules.masks import one_month_before

INCLUSION = "$inclusion-proof"
CONSISTENCY = "$consistency-proof"
TREE_HEAD = "$tree-head"
OPERATIONS = frozenset({INCLUSION, CONSISTENCY, TREE_HEAD})


def is_offered(request: Request) -> bool:
    """Whether the address of the request is one of these."""
    return request.resource_type == "AuditEvent" and (request.operation == INCLUSION) == (request.id is not None)


class NotSealedYet(Exception):
    """What is to be proved is under no head yet."""


def proving(exchange: Exchange) -> Response:
    """The proof that is asked for. A head is signed when there is none over it, so that a proof is never a minute away;
    not before the caller was found to see the entry (TF-153)."""
    try:
        return reading(exchange, prove)
    except NotSealedYet:
        sealing: Sealing | None = exchange.services.database.sealing
        if sealing is not None:
            sealing.seal_now()
        return reading(exchange, lambda gate: prove(gate, last_try=True))


def prove(gate: Gate, *, last_try: bool = False) -> Response:
    request = gate.exchange.request
    if request.operation == INCLUSION:
        return _inclusion(gate, last_try)
    if not last_try and latest_head(gate.reader) is None:
        raise NotSealedYet
    answer = _consistency(gate, request) if request.operation == CONSISTENCY else _head(gate, request)
    gate.did("operation", "E", None, query=request.query or None)
    return Response(200, tree=answer)


def _inclusion(gate: Gate, last_try: bool) -> Response:
    _sizes(gate.exchange.request, ())
    found, record_id, decision = visible(gate)
    proof = proofs.inclusion(gate.reader, found.id)
    if proof is None:
        if not last_try:
            raise NotSealedYet
        not_found()
    gate.did("operation", "E", record_id, found, decision=decision)
    return Response(200, tree=inclusion_answer(proof, open_place=_may_count(gate, proof.recorded)))


def _may_count(gate: Gate, recorded_ms: int) -> bool:
    """Whether the number of an entry in its record may be told: to the holder, once nothing of that time can be kept
    from them any more. What waits for its announcement is visible after a month (AR-64); a representative or anybody
    else would learn from a hole that something is kept from them (AR-99)."""
    return gate.context.actor_category == "PATIENT" and recorded_ms < one_month_before(gate.now)


def _consistency(gate: Gate, request: Request) -> dict[str, Any]:
    sizes = _sizes(request, ("first", "second"))
    if "first" not in sizes:
        _refuse("first", "first est attendu : la taille de la tête déjà connue.", "first is missing: the known size.")
    for name, size in sizes.items():
        if head_of_size(gate.reader, size) is None:
            _refuse(name, "Aucune tête signée n'a cette taille.", "There is no signed head of this size.")
    found = proofs.consistency(gate.reader, sizes["first"], sizes.get("second"))
    if found is None:
        _refuse("first", "first ne dépasse pas second.", "first is not over second.")
    return consistency_answer(found)


def _head(gate: Gate, request: Request) -> dict[str, Any]:
    _sizes(request, ())
    head = latest_head(gate.reader)
    if head is None:
        not_found()
    return head_answer(head)


def _sizes(request: Request, known: tuple[str, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, value in request.parameters:
        if name.startswith("_"):
            continue
        if name not in known or name in sizes:
            fr, en = "Paramètre inconnu ou répété.", "This parameter is unknown, or repeated."
            _refuse(name[:60], fr, en)
        if not (value.isascii() and value.isdigit() and 0 < len(value) < 16):
            _refuse(name, "Un nombre entier est attendu.", "A whole number is expected.")
        sizes[name] = int(value)
    return sizes


def _refuse(name: str, fr: str, en: str) -> NoReturn:
    refuse(400, "invalid", fr, en, expression=name, rule="D33")
