"""The FHIR endpoint: from bytes and headers to an exchange, from an answer to bytes and headers.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import json
import re
import uuid

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request as HttpRequest

from dmp_fhir.http.bodies import read_body
from dmp_fhir.http.observing import ASKED, REQUEST_ID
from dmp_fhir.http.rendering import Rendered, prefers_english, render
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.interactions import access_history
from dmp_fhir.interactions.addresses import Address, address_of
from dmp_fhir.interactions.capabilities import capability_statement
from dmp_fhir.interactions.dispatch import handle, refusal_response
from dmp_fhir.interactions.gate import stranger, trace_fault, trace_refusal
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.routes import PAYLOADS, act_of, check_route
from dmp_fhir.interactions.services import Exchange, Services
from dmp_fhir.outcome import Refused, not_found, refuse
from dmp_fhir.store.database import StoreUnavailable
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.limits import Limits
from dmp_fhir.wire.negotiation import Format, body_format, check_encoding, preferences, response_format
from dmp_fhir.wire.queries import MOST_PAIRS, query_pairs
from dmp_fhir.wire.xml import parse_xml

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_FORM = "application/x-www-form-urlencoded"
# Which of the practice situations that Pro Santé Connect vouches for the professional acts in; it can add none.
SITUATION = "HTTP_SITUATION_EXERCICE"
# The base of the endpoint: a Bundle is posted there.
_ROOT = Address("", operation="bundle")


def answer(request: HttpRequest, services: Services, path: str) -> Rendered:
    """The answer to a request for `path` below the endpoint, in the format asked for."""
    try:
        open_to_all = _OPEN.get(path)
        response = open_to_all(request, services) if open_to_all else _handle(request, services, path)
    except Refused as refused:
        response = refusal_response(refused.refusal)
    languages = request.environ.get("HTTP_ACCEPT_LANGUAGE")
    return render(response, answer_format(request), services.settings, request_id(request), languages)


def _capabilities(request: HttpRequest, services: Services) -> Response:
    """https://hl7.org/fhir/R4/http.html#capabilities"""
    _require_reading(request, "metadata")
    _require_format(request, Request("GET"))
    return Response(200, tree=capability_statement(services.settings))


def _audit_keys(request: HttpRequest, services: Services) -> Response:
    """The public keys of the signed heads of the trace, as a JWK Set (RFC 7517, RFC 8037)."""
    _require_reading(request, "audit-keys")
    sealing = services.database.sealing
    keys = [key.jwk for key in sealing.keys.public().values()] if sealing else []
    return Response(200, content=json.dumps({"keys": keys}).encode(), content_type="application/jwk-set+json")


def _require_reading(request: HttpRequest, name: str) -> None:
    request.environ[ASKED] = Request(_method(request), operation=name)
    if _method(request) not in ("GET", "HEAD"):
        refuse(
            405,
            "not-supported",
            f"{name} se lit seulement (GET).",
            f"{name} is only read (GET).",
            headers=(("Allow", "GET, HEAD"),),
            rule="TF-116",
        )


# What needs no token.
_OPEN = {"metadata": _capabilities, ".well-known/audit-keys": _audit_keys}


def answer_format(request: HttpRequest) -> Format:
    """The format of the answer; JSON when what is asked for can't be had."""
    try:
        return _format(request)
    except Refused:
        return Format.JSON


def _format(request: HttpRequest) -> Format:
    """The format asked for; 406 when the answer can't be given in it."""
    query = request.query_string
    # Reading all parameters for this one is left out where it cannot be among them.
    asked = request.args.get("_format") if b"_format" in query or b"%" in query else None
    return response_format(asked, request.environ.get("HTTP_ACCEPT"))


def _require_format(request: HttpRequest, asked: Request) -> None:
    """406 when the answer can't be given as asked; documents answer in their own type (ITI-68), a history as text."""
    if asked.operation == access_history.OPERATION and access_history.form_of(asked):
        return
    if asked.id is None or asked.resource_type not in PAYLOADS:
        _format(request)


def _method(request: HttpRequest) -> str:
    """The method as sent: `get` is not GET (RFC 9110 section 9.1)."""
    return request.environ["REQUEST_METHOD"]


def request_id(request: HttpRequest) -> str:
    """The client's X-Request-Id when it is harmless, else one of ours; the same during one request."""
    environ = request.environ
    if REQUEST_ID not in environ:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    known: str = environ[REQUEST_ID]
    return known


# --- in -------------------------------------------------------------------------------------------


def _handle(request: HttpRequest, services: Services, path: str) -> Response:
    """Who asks comes first: without a token nothing is said about any address (TF-002). What is refused before the
    dispatcher is traced here."""
    fault = None
    try:
        asked = _address(request, path)
    except Refused as refused:
        asked, fault = Request(_method(request), query=request.query_string), refused
    request.environ[ASKED] = asked
    exchange = Exchange(services, _identify(request, services, asked), asked, request_id(request))
    try:
        services.rates.admit(exchange.context, services.clock)
        if fault:
            raise fault
        if asked.operation != "bundle":
            check_route(asked)
        _require_format(request, asked)
        if (whole := _with_body(request, services, asked)) is not asked:
            request.environ[ASKED] = asked = whole
            exchange = exchange.asking(asked)
        if asked.operation == "_search" and asked.method == "POST":
            # As it was sent it is known to the trace before it is read (TF-163).
            request.environ[ASKED] = asked = asked._replace(parameters=_pairs(asked.query))
            exchange = exchange.asking(asked)
        if further := _further_requests(asked):
            services.rates.admit(exchange.context, services.clock, further)
    except Refused as refused:
        trace_refusal(exchange, *act_of(asked), refused.refusal)
        raise
    try:
        return handle(exchange)
    except (StoreUnavailable, HTTPException):
        raise
    except Exception:
        trace_fault(exchange, *act_of(exchange.request))
        raise


def _further_requests(asked: Request) -> int:
    """A batch is as many requests as it has entries (TF-232)."""
    tree = asked.tree or {}
    entries = tree.get("entry") if asked.operation == "bundle" and tree.get("type") == "batch" else None
    return len(entries) - 1 if isinstance(entries, list) else 0


def _identify(request: HttpRequest, services: Services, asked: Request) -> AccessContext:
    """Who asks; whoever can't be told is traced without an actor (TF-162), in number when an address sends many
    (TF-178)."""
    environ, peers = request.environ, services.peers
    origin = peers.origin(environ)
    try:
        certificate = peers.certificate(environ)
        authorization, situation = environ.get("HTTP_AUTHORIZATION"), environ.get(SITUATION)
        context = services.verifier.verify(authorization, certificate, situation, origin)
    except Refused as refused:
        act = stranger(asked, *act_of(asked), refused.refusal, request_id(request))
        now_ms = services.clock()
        if (retry_s := services.failures.keep(act, origin or "", now_ms)) is not None:
            refuse(
                429,
                "throttled",
                "Trop d'authentifications refusées depuis cette adresse : attendez le délai de Retry-After.",
                "Too many refused authentications from this address: wait for the time in Retry-After.",
                rule="TF-178",
                headers=(("Retry-After", str(retry_s)),),
            )
        raise
    if certificate is not None:
        services.seen.note(certificate)
    services.failures.tell_if_due(services.clock)
    return context


def _address(request: HttpRequest, path: str) -> Request:
    """The address, one meaning only (TF-115): Type, Type/id, Type/_search, Type/id/_history,
    Type/id/_history/version."""
    if path:
        address = address_of(path)
        if address is None:
            not_found()
    else:
        _require_post(request)
        address = _ROOT
    environ, query = request.environ, request.query_string
    prefer = environ.get("HTTP_PREFER")
    wanted = preferences(prefer)
    return Request(
        method=_method(request),
        resource_type=address.resource_type or None,
        id=address.id,
        version=address.version,
        operation=address.operation,
        parameters=_pairs(query) if path else (),
        content_type=environ.get("CONTENT_TYPE", ""),
        accept=environ.get("HTTP_ACCEPT", ""),
        if_match=environ.get("HTTP_IF_MATCH"),
        if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
        if_modified_since=environ.get("HTTP_IF_MODIFIED_SINCE"),
        if_unmodified_since=environ.get("HTTP_IF_UNMODIFIED_SINCE"),
        if_none_exist=environ.get("HTTP_IF_NONE_EXIST"),
        prefer_return=wanted.returns,
        lenient=wanted.lenient if prefer and "handling=" in prefer else None,
        query=query,
        english=bool(path and address.operation) and prefers_english(environ.get("HTTP_ACCEPT_LANGUAGE", "")),
    )


def _require_post(request: HttpRequest) -> None:
    if _method(request) != "POST":
        refuse(
            405,
            "not-supported",
            "À la racine on poste un Bundle ; GET metadata décrit ce serveur.",
            "A Bundle is posted to the base; GET metadata describes this server.",
            headers=(("Allow", "POST"),),
            rule="TF-116",
        )


def _pairs(query: bytes) -> tuple[tuple[str, str], ...]:
    pairs = query_pairs(query)
    if pairs is None:
        refuse(
            400,
            "invalid",
            f"Les paramètres ne sont pas lisibles (texte UTF-8 attendu, {MOST_PAIRS} au plus).",
            f"The parameters can't be read (UTF-8 text expected, at most {MOST_PAIRS}).",
            rule="TF-114",
        )
    return pairs


def _with_body(request: HttpRequest, services: Services, asked: Request) -> Request:
    """Read the body, within the limit of the address, and parse it when it is a resource."""
    if asked.method in ("GET", "HEAD", "DELETE"):
        return asked
    check_encoding(request.environ.get("HTTP_CONTENT_ENCODING"))
    settings = services.settings
    large = asked.operation in ("bundle", "$validate") or (
        asked.resource_type == "DocumentReference" and asked.method == "POST"
    )
    limit = settings.max_submission if large and asked.operation != "_search" else settings.max_body
    body = _body(request, services, limit)
    if asked.operation == "_search":
        return _with_form(request, asked, body)
    if asked.method == "PATCH":
        return asked._replace(body=body)
    if not body and asked.id is not None and (asked.operation or "").startswith("$"):
        return asked  # an operation without parameters
    kind = body_format(request.environ.get("CONTENT_TYPE"))
    limits = Limits(body=limit, entries=settings.max_entries)
    tree = parse_json(body, limits) if kind is Format.JSON else parse_xml(body, limits)
    # $validate tells lines and columns.
    return asked._replace(tree=tree, body=body if asked.operation == "$validate" else b"")


def _body(request: HttpRequest, services: Services, limit: int) -> bytes:
    # A client that sends slowly holds up nobody else.
    with services.database.turns.away(), services.underway.awaiting_the_client():
        return read_body(request, limit, services.room)


def _with_form(request: HttpRequest, asked: Request, body: bytes) -> Request:
    """POST [type]/_search: parameters of the address and of the form together."""
    if body and request.mimetype != _FORM:
        refuse(
            415,
            "not-supported",
            f"Une recherche par POST se fait en {_FORM}.",
            f"A search by POST is sent as {_FORM}.",
            rule="TF-111",
        )
    query = b"&".join(part for part in (request.query_string, body) if part)
    return asked._replace(query=query)
