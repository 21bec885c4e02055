"""batch and transaction.  https://hl7.org/fhir/R4/http.html#transaction

A transaction that provides documents is ITI-65; any other one is plain FHIR: all its writes in one database
transaction, or none. A batch is a series of requests of the same caller, each decided, answered and traced as if
sent alone (TF-032).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from dmp_fhir.instants import instant_text
from dmp_fhir.interactions.addresses import address_of
from dmp_fhir.interactions.gate import Writing, trace_refusal, writing
from dmp_fhir.interactions.iti65_provide import provide, read_lot
from dmp_fhir.interactions.messages import Request, Response
from dmp_fhir.interactions.references import rewritten
from dmp_fhir.interactions.routes import route_read, route_write
from dmp_fhir.interactions.services import Exchange
from dmp_fhir.outcome import Refused, error, in_english, refuse, refuse_all
from dmp_fhir.profiles.submission import is_submission
from dmp_fhir.profiles.walk import Walk
from dmp_fhir.wire.json import dump_json
from dmp_fhir.wire.queries import query_pairs

Tree = dict[str, Any]
# https://hl7.org/fhir/R4/http.html#trules: the order in which a server processes a transaction.
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3}
_READS = frozenset({"GET", "HEAD"})


def bundle_of(exchange: Exchange) -> Tree:
    tree = exchange.request.tree or {}
    most = exchange.services.settings.max_entries
    if len(tree.get("entry", [])) > most:
        refuse(
            413,
            "too-costly",
            f"Un Bundle contient au plus {most} entrées.",
            f"A Bundle holds at most {most} entries.",
            expression="Bundle.entry",
            rule="TF-199",
        )
    return tree


def transaction(exchange: Exchange, walk: Walk) -> Response:
    """All or nothing; one answer per entry, in the order of the request."""
    bundle = bundle_of(exchange)
    if is_submission(bundle):
        lot = read_lot(walk, exchange.services)
        provided = writing(exchange, lambda gate: provide(gate, lot))
        return _bundle("transaction-response", provided, lambda: [_in_english(each) for each in provided])
    return _answer("transaction-response", writing(exchange, lambda gate: _plain(gate, bundle)))


def _answer(kind: str, answers: list[Response]) -> Response:
    return _bundle(kind, map(_entry, answers), lambda: [_entry(each.in_english()) for each in answers])


def _bundle(kind: str, entries: Iterable[Tree], english: Callable[[], list[Tree]]) -> Response:
    """`english` makes the entries with their outcomes in English."""
    head: Tree = {"resourceType": "Bundle", "type": kind}
    return Response(
        200, json=dump_json(head | {"entry": list(entries)}), english=lambda: dump_json(head | {"entry": english()})
    )


def _in_english(entry: Tree) -> Tree:
    said = entry["response"]
    return entry | {"response": said | {"outcome": in_english(said["outcome"])}} if "outcome" in said else entry


def _plain(gate: Writing, bundle: Tree) -> list[Response]:
    entries = bundle.get("entry", [])
    whole = gate.exchange.request
    requests = [_request(entry, f"Bundle.entry[{n}]", whole) for n, entry in enumerate(entries)]
    _refuse_doubles(entries)
    addresses: dict[str, str] = {}
    answers = [Response(200) for _ in entries]
    pending = sorted(range(len(entries)), key=lambda n: (_ORDER[requests[n].method], n))
    for n in _with_targets_first(pending, entries):
        request = requests[n]
        if request.tree:
            request = _with(request, rewritten(request.tree, addresses))
        response = _in_transaction(gate, request)
        if response.location and entries[n].get("fullUrl"):
            addresses[entries[n]["fullUrl"]] = response.location.partition("/_history/")[0]
        answers[n] = response
    return answers


def _in_transaction(gate: Writing, request: Request) -> Response:
    exchange = gate.exchange
    gate.exchange = exchange.asking(request)
    try:
        return route_read(gate) if request.method in _READS else route_write(gate, request)
    finally:
        gate.exchange = exchange


def _with_targets_first(order: list[int], entries: list[Tree]) -> list[int]:
    """Creations in an order in which what is referred to comes first, whatever the order sent (TF-195)."""
    place = {entry["fullUrl"]: n for n, entry in enumerate(entries) if entry.get("fullUrl")}
    done: list[int] = []
    under_way: set[int] = set()

    def visit(n: int) -> None:
        if n in done or n in under_way:
            return
        under_way.add(n)
        for address in _references(entries[n].get("resource", {})):
            if address in place and entries[place[address]].get("request", {}).get("method") == "POST":
                visit(place[address])
        done.append(n)

    for n in order:
        visit(n)
    return done


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [each for inner in value.values() for each in _references(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _references(inner)]
    return []


def _refuse_doubles(entries: list[Tree]) -> None:
    seen: set[str] = set()
    for n, entry in enumerate(entries):
        url = entry.get("fullUrl")
        if url and url in seen:
            issue = error(
                "duplicate",
                f"L'adresse {url} est donnée à deux entrées.",
                f"The address {url} is given to two entries.",
                expression=f"Bundle.entry[{n}].fullUrl",
                rule="LOT-04",
            )
            refuse_all(422, [issue])
        seen.add(url or "")


def batch(exchange: Exchange, handle: Callable[[Exchange], Response]) -> Response:
    """Each entry on its own; `handle` is the dispatcher."""
    return _answer(
        "batch-response", [_alone(exchange, handle, n, e) for n, e in enumerate(bundle_of(exchange).get("entry", []))]
    )


def _alone(exchange: Exchange, handle: Callable[[Exchange], Response], n: int, entry: Tree) -> Response:
    """The answer to one entry of a batch. One that stands for no request is refused like any other: those before it are
    done already."""
    try:
        request = _request(entry, f"Bundle.entry[{n}]", exchange.request)
    except Refused as refused:
        trace_refusal(exchange, "batch", "E", refused.refusal)
        return Response(refused.refusal.status, tree=refused.refusal.tree)
    return handle(exchange.asking(request))


def _with(request: Request, tree: Tree) -> Request:
    return request._replace(tree=tree)


def _request(entry: Tree, where: str, whole: Request) -> Request:
    """The request that an entry stands for; what `Prefer` asks of the whole is asked of each."""
    asked = entry.get("request")
    if not asked or "url" not in asked or "method" not in asked:
        refuse(
            400,
            "required",
            "Chaque entrée a une request avec method et url.",
            "Each entry has a request with method and url.",
            expression=f"{where}.request",
            rule="bdl-3",
        )
    path, _, query = asked["url"].partition("?")
    address, pairs = address_of(path), query_pairs(query)
    if asked["method"] not in _ORDER or address is None or pairs is None:
        shown = f"{asked['method']} {asked['url'][:200]}"
        refuse(
            400,
            "value",
            f"Adresse ou méthode inconnue : {shown}. Attendu : Type, Type/id ou Type?critères.",
            f"Unknown address or method: {shown}. Expected: Type, Type/id or Type?criteria.",
            expression=f"{where}.request.url",
            rule="TF-115",
        )
    return Request(
        prefer_return=whole.prefer_return,
        lenient=whole.lenient,
        method=asked["method"],
        **address._asdict(),
        parameters=pairs,
        tree=entry.get("resource"),
        if_match=asked.get("ifMatch"),
        if_none_match=asked.get("ifNoneMatch"),
        if_modified_since=asked.get("ifModifiedSince"),
        if_none_exist=asked.get("ifNoneExist"),
        accept="application/fhir+json",
        query=query.encode(),
    )


def _entry(response: Response) -> Tree:
    answer: Tree = {"status": _STATUS.get(response.status, str(response.status))}
    if response.location:
        answer["location"] = response.location
    if response.etag:
        answer["etag"] = response.etag
    if response.last_modified is not None:
        answer["lastModified"] = instant_text(response.last_modified)
    entry: Tree = {"response": answer}
    body = orjson.Fragment(response.json) if response.json else response.tree
    if body is not None:
        if response.tree and response.tree["resourceType"] == "OperationOutcome":
            answer["outcome"] = body
        else:
            entry["resource"] = body
    return entry


_STATUS = {
    200: "200 OK",
    201: "201 Created",
    204: "204 No Content",
    304: "304 Not Modified",
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    409: "409 Conflict",
    410: "410 Gone",
    412: "412 Precondition Failed",
    422: "422 Unprocessable Entity",
}
