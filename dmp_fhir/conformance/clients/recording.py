"""Between a client and a server: every request is forwarded as it is, and kept with its answer.

A WSGI application; the server behind must know the recorder's address as its own base, so that its links lead here.
What authenticates is forwarded and never kept.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

import requests
from werkzeug.wrappers import Request, Response

from dmp_fhir.conformance.xml import NotFhir, read_xml

Tree = dict[str, Any]
MOST_KEPT = 5_000
TIMEOUT_S = 60
FORM = "application/x-www-form-urlencoded"
# Of one connection only (RFC 9110, section 7.6.1), or set anew by what forwards.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "host", "content-length", "accept-encoding", "content-encoding"}
)
_SECRET = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization"})


def tree_of(content: bytes, media_type: str) -> Any:
    """A body as a tree; None when it is none in JSON or FHIR XML."""
    try:
        if "json" in media_type:
            return json.loads(content)
        if media_type.endswith(("/xml", "+xml")):
            return read_xml(content)
    except (NotFhir, ValueError, RecursionError):
        pass
    return None


def header_of(headers: Mapping[str, str], name: str) -> str:
    return next((value for each, value in headers.items() if each.lower() == name.lower()), "")


def media_type_of(headers: Mapping[str, str]) -> str:
    return header_of(headers, "Content-Type").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Asked:
    """A request: `path` below the base, `query` the parameters of address and form together, in order. `authorized`
    that it had a bearer token; the token itself is not here."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    authorized: bool

    @property
    def media_type(self) -> str:
        return media_type_of(self.headers)

    @cached_property
    def tree(self) -> Any:
        return tree_of(self.body, self.media_type)

    @property
    def line(self) -> str:
        """Method and address, as a client writes them."""
        form = self.media_type == FORM
        query = f"?{urlencode(self.query, safe=':|,/')}" if self.query and not form else ""
        return f"{self.method} /{self.path}{query}"


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; `status` 502 when the server behind did not answer."""

    number: int
    at: datetime
    asked: Asked
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @cached_property
    def tree(self) -> Any:
        return tree_of(self.content, media_type_of(self.headers))

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300 or self.status == 304


class Recorder:
    """Forwards what is below `prefix` to `server` (address of its endpoint) and keeps the latest 5,000 exchanges; other
    addresses are for `page`."""

    def __init__(self, server: str, prefix: str = "/fhir", page: Callable[[Request], Response] | None = None) -> None:
        self._server = server.rstrip("/")
        self._prefix = prefix
        self._page = page
        self._session = requests.Session()
        self._session.headers.clear()  # the server sees what the client said, nothing more
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._count = 0

    @property
    def exchanges(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        path = request.path
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            return self._forward(request)(environ, start_response)
        answer = self._page(request) if self._page else Response("not found\n", 404)
        return answer(environ, start_response)

    def _forward(self, request: Request) -> Response:
        body = request.get_data()
        raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.full_path.rstrip("?")
        url = self._server + raw[len(self._prefix) :]
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _SECRET}
        try:
            answer = self._session.request(
                request.method,
                url,
                headers=sent,
                data=body or None,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
            status, headers, content = answer.status_code, dict(answer.headers), answer.content
        except requests.RequestException:
            status, headers, content = 502, {"Content-Type": "text/plain"}, b"the server behind does not answer\n"
        self._keep(request, kept, body, status, headers, content)
        passed = [(name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP]
        response = Response(content, status=status)
        response.headers.clear()
        response.headers.extend(passed)
        return response

    def _keep(
        self,
        request: Request,
        headers: Mapping[str, str],
        body: bytes,
        status: int,
        answered: Mapping[str, str],
        content: bytes,
    ) -> None:
        query = parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True)
        if media_type_of(headers) == FORM:
            query += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        asked = Asked(
            method=request.method,
            path=request.path[len(self._prefix) :].strip("/"),
            query=tuple(query),
            headers=dict(headers),
            body=body,
            authorized=request.headers.get("Authorization", "").lower().startswith("bearer "),
        )
        answer = {name: value for name, value in answered.items() if name.lower() not in _SECRET}
        with self._lock:
            self._count += 1
            self._exchanges.append(Exchange(self._count, datetime.now(UTC), asked, status, answer, content))
            del self._exchanges[:-MOST_KEPT]
