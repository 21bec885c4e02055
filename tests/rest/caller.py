"""Talking FHIR in tests: one caller, one format, answers read back to trees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from dmp_fhir.store.database import Database
from dmp_fhir.wire.json import dump_json, parse_json
from dmp_fhir.wire.xml import dump_xml, parse_xml
from tests.support.server import BASE_URL, MakeToken

Tree = dict[str, Any]
MEDIA_TYPES = {"json": "application/fhir+json", "xml": "application/fhir+xml"}
JSON_PATCH = "application/json-patch+json"
AUTHOR = "dr-moreau"


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    headers: Headers

    @property
    def tree(self) -> Tree:
        """The resource of the body, whatever its format."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        assert kind in MEDIA_TYPES.values(), (self.status, self.headers, self.content[:200])
        return parse_json(self.content) if kind == MEDIA_TYPES["json"] else parse_xml(self.content)

    @property
    def entries(self) -> list[Tree]:
        return self.tree.get("entry", [])

    @property
    def matches(self) -> list[Tree]:
        """Resources of a searchset that match, without what is included and without the outcome."""
        return [each["resource"] for each in self.entries if each["search"]["mode"] == "match"]

    @property
    def statuses(self) -> list[str]:
        return [each["response"]["status"][:3] for each in self.entries]

    @property
    def addresses(self) -> list[str]:
        """Type/id of Bundle.entry.response.location."""
        return [each["response"]["location"].partition("/_history/")[0] for each in self.entries]

    @property
    def address(self) -> str:
        """Type/id of Location."""
        return self.headers["Location"].removeprefix(f"{BASE_URL}/").partition("/_history/")[0]

    @property
    def rules(self) -> set[str]:
        return {coding["code"] for issue in self.tree["issue"] for coding in issue["details"].get("coding", [])}

    def link(self, relation: str) -> str | None:
        """Path and query of a link of a bundle, from the endpoint on."""
        links = [each["url"] for each in self.tree.get("link", []) if each["relation"] == relation]
        return links[0].removeprefix(BASE_URL + "/") if links else None


@dataclass(frozen=True)
class Caller:
    """Asks in one format; `persona` and the claims of its token can be said for each request."""

    client: FlaskClient
    token: MakeToken
    form: str = "json"

    @property
    def database(self) -> Database:
        return self.client.application.extensions["dmp_fhir"].database

    def ask(
        self,
        method: str,
        path: str,
        body: Tree | bytes | None = None,
        *,
        by: str | None = AUTHOR,
        claims: Mapping[str, Any] = {},
        **headers: str,
    ) -> Answer:
        """`path` is relative to the endpoint; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("Accept", MEDIA_TYPES[self.form])
        if by:
            sent["Authorization"] = f"Bearer {self.token(by, **claims)}"
        if isinstance(body, dict):
            sent.setdefault("Content-Type", MEDIA_TYPES[self.form])
            body = dump_json(body) if self.form == "json" else dump_xml(body)
        answer = self.client.open(f"/fhir/{path}" if path else "/fhir", method=method, data=body, headers=sent)
        return Answer(answer.status_code, answer.data, answer.headers)

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def create(self, tree: Tree, **options: Any) -> Answer:
        return self.ask("POST", tree["resourceType"], tree, **options)

    def provide(self, bundle: Tree, **options: Any) -> Answer:
        """ITI-65, or any transaction or batch."""
        return self.ask("POST", "", bundle, **options)

    def patch(self, path: str, *operations: Tree, **options: Any) -> Answer:
        """JSON Patch."""
        return self.ask("PATCH", path, json.dumps(operations).encode(), Content_Type=JSON_PATCH, **options)

    def search(self, resource_type: str, /, by: str = AUTHOR, **parameters: str) -> Answer:
        """GET; the first underscore pair of a name stands for a dot (`patient__identifier`)."""
        return self.get(f"{resource_type}?{query(**parameters)}", by=by)

    def count(self, table: str) -> int:
        """Rows of a table: to see that nothing was stored."""
        with self.database.snapshot() as reader:
            row = reader.row(f"SELECT COUNT(*) FROM {table}")
        assert row
        return int(row[0])


def query(**parameters: str) -> str:
    return "&".join(f"{name.replace('__', '.')}={quote(value, safe='')}" for name, value in parameters.items())


def path_of(url: str) -> str:
    """The path of an absolute address of this server, from the endpoint on."""
    assert url.startswith(BASE_URL + "/"), url
    return urlsplit(url).path.removeprefix("/fhir/")
