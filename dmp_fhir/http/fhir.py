"""The FHIR endpoint: from bytes and headers to an exchange, from an answer to bytes and headers.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

from flask import Blueprint, current_app, request
from flask import Response as HttpResponse
from werkzeug.exceptions import RequestEntityTooLarge

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.http.rendering import render
from dmp_fhir.identity.context import AccessContext
from dmp_fhir.interactions.capabilities import capability_statement
from dmp_fhir.interactions.dispatch import handle, refusal_response
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.routes import PAYLOADS, act_of
from dmp_fhir.interactions.services import Exchange, Services
from dmp_fhir.outcome import Refused, not_found, refuse
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.limits import Limits
from dmp_fhir.wire.negotiation import Format, body_format, preferences, response_format
from dmp_fhir.wire.xml import parse_xml

blueprint = Blueprint("fhir", __name__)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TYPE = re.compile(r"[A-Za-z]{1,40}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_FORM = "application/x-www-form-urlencoded"


def services() -> Services:
    return current_app.extensions["dmp_fhir"]


@blueprint.route("/metadata", methods=["GET"])
def metadata() -> HttpResponse:
    """Open to anybody: https://hl7.org/fhir/R4/http.html#capabilities"""
    return _answer(lambda: Response(200, tree=capability_statement(services().settings)))


@blueprint.route("", methods=METHODS, defaults={"path": ""})
@blueprint.route("/", methods=METHODS, defaults={"path": ""})
@blueprint.route("/<path:path>", methods=METHODS)
def fhir(path: str) -> HttpResponse:
    return _answer(lambda: _handle(path))


def _answer(work: Callable[[], Response]) -> HttpResponse:
    """Run, and render in the format asked for; a refusal before the dispatcher is rendered too."""
    form = Format.JSON
    try:
        native = request.path.rstrip("/").rpartition("/")[0].rpartition("/")[2] in PAYLOADS
        if not native:
            form = response_format(request.args.get("_format"), request.headers.get("Accept"))
        response = work()
        if native and response.content is None:
            form = _lenient_format()
    except Refused as refused:
        response = refusal_response(refused.refusal)
    return render(response, form, services().settings, _request_id())


def _lenient_format() -> Format:
    """The format of a FHIR answer where the document's own type may be what is accepted."""
    try:
        return response_format(request.args.get("_format"), request.headers.get("Accept"))
    except Refused:
        return Format.JSON


def _request_id() -> str:
    """The client's X-Request-Id when it is harmless, else one of ours; the same during one request."""
    if "dmp_fhir.request_id" not in request.environ:
        given = request.headers.get("X-Request-Id", "")
        request.environ["dmp_fhir.request_id"] = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    return request.environ["dmp_fhir.request_id"]


# --- in -------------------------------------------------------------------------------------------


def _handle(path: str) -> Response:
    asked = _address(path)
    context = _identify(asked)
    return handle(Exchange(services(), context, _with_body(asked), _request_id()))


def _identify(asked: Request) -> AccessContext:
    """Who asks; a refused token is traced without an actor (TF-162)."""
    authorizations = request.headers.getlist("Authorization")
    try:
        context = services().verifier.verify(", ".join(authorizations) if authorizations else None)
    except Refused as refused:
        interaction, action = act_of(asked)
        act = Act(
            interaction,
            action,
            outcome="4",
            reason=refused.refusal.issues[0].code,
            request_id=_request_id(),
            status=refused.refusal.status,
        )
        part = services()
        part.database.write(lambda tx: log.append(tx, act, None, part.clock()))
        raise
    return replace(context, origin=request.remote_addr)


def _address(path: str) -> Request:
    """The address, one meaning only (TF-115): Type, Type/id, Type/_search, Type/id/_history,
    Type/id/_history/version."""
    headers = request.headers
    prefer = preferences(headers.get("Prefer"))
    handling = "handling=" in (headers.get("Prefer") or "")
    asked = Request(
        method=request.method,
        accept=headers.get("Accept", ""),
        if_match=headers.get("If-Match"),
        if_none_match=headers.get("If-None-Match"),
        if_modified_since=headers.get("If-Modified-Since"),
        if_none_exist=headers.get("If-None-Exist"),
        prefer_return=prefer.returns,
        lenient=prefer.lenient if handling else None,
        content_type=headers.get("Content-Type", ""),
        query=request.query_string,
    )
    steps = path.split("/") if path else []
    if not steps or steps == [""]:
        return _root(asked)
    if (
        len(steps) > 4
        or not _TYPE.fullmatch(steps[0])
        or any(not _ID.fullmatch(step.lstrip("_$")) for step in steps[1:])
    ):
        not_found()
    asked = replace(asked, resource_type=steps[0], parameters=_pairs(request.query_string))
    if len(steps) == 2 and steps[1].startswith(("_", "$")):
        return replace(asked, operation=steps[1])
    if len(steps) > 2 and steps[2] != "_history":
        not_found()
    return replace(
        asked,
        id=steps[1] if len(steps) > 1 else None,
        operation=steps[2] if len(steps) > 2 else None,
        version=steps[3] if len(steps) > 3 else None,
    )


def _root(asked: Request) -> Request:
    if request.method != "POST":
        refuse(
            405,
            "not-supported",
            "À la racine on poste un Bundle ; GET metadata décrit ce serveur.",
            "A Bundle is posted to the base; GET metadata describes this server.",
            headers=(("Allow", "POST"),),
            rule="TF-116",
        )
    return replace(asked, operation="bundle")


def _pairs(query: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200))
    except ValueError:
        refuse(
            400,
            "invalid",
            "Les paramètres ne sont pas lisibles (encodage UTF-8 attendu, 200 au plus).",
            "The parameters can't be read (UTF-8 expected, at most 200).",
            rule="TF-114",
        )


def _with_body(asked: Request) -> Request:
    """Read the body, within the limit of the address, and parse it when it is a resource."""
    if asked.method in ("GET", "HEAD", "DELETE"):
        return asked
    settings = services().settings
    large = asked.operation == "bundle" or (asked.resource_type == "DocumentReference" and asked.method == "POST")
    limit = settings.max_submission if large and asked.operation != "_search" else settings.max_body
    request.max_content_length = limit
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        refuse(
            413,
            "too-long",
            f"Le corps dépasse {limit} octets.",
            f"The body is over {limit} bytes.",
            rule="TF-198",
        )
    if asked.operation == "_search":
        return _with_form(asked, body)
    if asked.method == "PATCH":
        return replace(asked, body=body)
    kind = body_format(request.headers.get("Content-Type"), request.headers.get("Content-Encoding"))
    limits = Limits(body=limit, entries=settings.max_entries)
    return replace(asked, tree=parse_json(body, limits) if kind is Format.JSON else parse_xml(body, limits))


def _with_form(asked: Request, body: bytes) -> Request:
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
    try:
        query.decode("ascii")
    except UnicodeDecodeError:
        query = b"%FF"
    return replace(asked, parameters=_pairs(query), query=query)
