"""Wrong servers: ours behind a layer that does one thing wrong, by asking it otherwise or by changing its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode
from wsgiref.types import WSGIApplication

from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request

Tree = dict[str, Any]
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Ask:
    """A request, its path relative to the endpoint."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")

    def with_header(self, name: str, value: str | None) -> Ask:
        others = tuple((each, kept) for each, kept in self.headers if each.lower() != name.lower())
        return replace(self, headers=others if value is None else (*others, (name, value)))

    def with_pairs(self, change: Callable[[Pairs], Pairs]) -> Ask:
        """The same search with other parameters, in the address and in the form."""

        def changed(text: str) -> str:
            return urlencode(change(parse_qsl(text, keep_blank_values=True)))

        asked = replace(self, query=changed(self.query)) if self.query else self
        if self.path.endswith("/_search"):
            asked = replace(asked, body=changed(self.body.decode()).encode())
        return asked

    @property
    def pairs(self) -> Pairs:
        form = self.body.decode() if self.path.endswith("/_search") else ""
        return parse_qsl(self.query, keep_blank_values=True) + parse_qsl(form, keep_blank_values=True)

    @property
    def tree(self) -> Any:
        """The body, when it is JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def with_tree(self, tree: Any) -> Ask:
        return replace(self, body=json.dumps(tree).encode())

    @property
    def kind(self) -> str:
        """The type of resource that is asked for."""
        return self.path.partition("/")[0]


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def tree(self) -> Any:
        kind = next((value for name, value in self.headers if name.lower() == "content-type"), "")
        return json.loads(self.body) if "json" in kind and self.body else None

    def with_tree(self, tree: Any) -> Told:
        return replace(self, body=json.dumps(tree).encode())

    def with_header(self, name: str, value: str | None) -> Told:
        others = tuple((each, kept) for each, kept in self.headers if each.lower() != name.lower())
        return replace(self, headers=others if value is None else (*others, (name, value)))


@dataclass
class Server:
    """The right server, and tokens of anybody."""

    application: WSGIApplication
    token_of: Callable[[str], str]
    memory: dict[str, Any] = field(default_factory=dict)

    def serve(self, ask: Ask) -> Told:
        builder = EnvironBuilder(
            path=f"/fhir/{ask.path}".rstrip("/"),
            query_string=ask.query,
            base_url="http://127.0.0.1:8000",
            method=ask.method,
            headers=[each for each in ask.headers if each[0].lower() != "content-length"],
            data=ask.body,
        )
        body, status, headers = Client(self.application).run_wsgi_app(builder.get_environ(), buffered=True)
        return Told(int(status.split()[0]), tuple(headers), b"".join(body))

    def serve_as(self, ask: Ask, persona: str) -> Told:
        return self.serve(ask.with_header("Authorization", f"Bearer {self.token_of(persona)}"))

    def asks(self, ask: Ask, persona: str) -> bool:
        """Is it this persona who asks?"""
        return ask.header("Authorization") == f"Bearer {self.token_of(persona)}"


Wrong = Callable[[Ask, Server], Told]


def application(server: Server, wrong: Wrong) -> WSGIApplication:
    """The wrong server as a WSGI application."""

    def respond(environ: Any, start: Any) -> Iterable[bytes]:
        request = Request(environ)
        ask = Ask(
            request.method,
            request.path.removeprefix("/fhir").lstrip("/"),
            request.query_string.decode(),
            tuple(request.headers.items()),
            request.get_data(),
        )
        told = wrong(ask, server)
        headers = list(told.headers)
        if ask.method != "HEAD":
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(told.body))))
        start(f"{told.status} X", headers)
        return [told.body]

    return respond


# --- ways to be wrong -----------------------------------------------------------------------------


def ignoring(kind: str, *names: str) -> Wrong:
    """Search parameters that are not applied."""

    def wrong(ask: Ask, server: Server) -> Told:
        if ask.kind == kind and "/" not in ask.path.removesuffix("/_search"):
            ask = ask.with_pairs(lambda pairs: [each for each in pairs if each[0] not in names])
        return server.serve(ask)

    return wrong


def misreading(kind: str, change: Callable[[str, str], tuple[str, str]]) -> Wrong:
    """Search parameters that are read as others."""

    def wrong(ask: Ask, server: Server) -> Told:
        if ask.kind == kind and "/" not in ask.path.removesuffix("/_search"):
            ask = ask.with_pairs(lambda pairs: [change(*each) for each in pairs])
        return server.serve(ask)

    return wrong


def telling(change: Callable[[Ask, Told], Told]) -> Wrong:
    """Answers that are changed on their way."""
    return lambda ask, server: change(ask, server.serve(ask))


def bundles(change: Callable[[Ask, Tree], None], kind: str = "DocumentReference") -> Wrong:
    """Searchsets (in JSON) that are changed on their way."""

    def changed(ask: Ask, told: Told) -> Told:
        tree = told.tree if ask.kind == kind else None
        if not tree or tree.get("type") != "searchset":
            return told
        change(ask, tree)
        return told.with_tree(tree)

    return telling(changed)


def deaf_to(header: str) -> Wrong:
    """A header that is not read."""
    return lambda ask, server: server.serve(ask.with_header(header, None))


def confusing(persona: str, other: str, when: Callable[[Ask], bool] = lambda ask: True) -> Wrong:
    """Somebody who has the rights of another."""

    def wrong(ask: Ask, server: Server) -> Told:
        if server.asks(ask, persona) and when(ask):
            return server.serve_as(ask, other)
        return server.serve(ask)

    return wrong


def lots(change: Callable[[Tree], None]) -> Wrong:
    """Transactions that are changed before they are processed."""

    def wrong(ask: Ask, server: Server) -> Told:
        if ask.method == "POST" and not ask.path and isinstance(ask.tree, dict) and ask.tree.get("entry"):
            tree = ask.tree
            change(tree)
            ask = ask.with_tree(tree)
        return server.serve(ask)

    return wrong
