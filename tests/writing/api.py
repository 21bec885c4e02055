"""Talking to a registry: in process through Flask's test client, or over HTTP; and looking at what it holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
from flask.testing import FlaskClient

from dmp_fhir.store.database import Database
from tests.support.server import LiveServer, MakeToken
from tests.writing.lots import AUTHOR, Tree, body, token_of

JSON = "application/fhir+json"
XML = "application/fhir+xml"
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    headers: Any

    @property
    def tree(self) -> Tree:
        return json.loads(self.content)  # type: ignore[no-any-return]

    @property
    def issue(self) -> Tree:
        return self.tree["issue"][0]  # type: ignore[no-any-return]

    @property
    def xds(self) -> str | None:
        """The IHE error name of the first issue."""
        codes = [each["code"] for each in self.issue["details"].get("coding", []) if each["code"].startswith("XDS")]
        return codes[0] if codes else None

    @property
    def statuses(self) -> list[str]:
        """Bundle.entry.response.status, first three characters."""
        return [each["response"]["status"][:3] for each in self.tree["entry"]]

    @property
    def locations(self) -> list[str]:
        """Bundle.entry.response.location without the version."""
        return [each["response"]["location"].partition("/_history/")[0] for each in self.tree["entry"]]

    @property
    def version(self) -> int:
        return int(self.headers["ETag"].removeprefix('W/"').rstrip('"'))


class Api:
    """Requests of any persona; `send` is given by the two kinds below."""

    def send(
        self, method: str, path: str, content: bytes | None = None, *, persona: str = AUTHOR, **headers: str
    ) -> Answer:
        raise NotImplementedError

    def provide(self, bundle: Tree | bytes, *, persona: str = AUTHOR, content_type: str = JSON) -> Answer:
        """ITI-65."""
        content = bundle if isinstance(bundle, bytes) else body(bundle)
        return self.send("POST", "", content, persona=persona, content_type=content_type)

    def publish(self, tree: Tree, *, persona: str = AUTHOR, **headers: str) -> Answer:
        """ITI-105, or any create."""
        return self.send("POST", f"/{tree['resourceType']}", body(tree), persona=persona, content_type=JSON, **headers)

    def patch(self, document_id: str, *changes: Tree, persona: str = AUTHOR, **headers: str) -> Answer:
        content = json.dumps(changes).encode()
        path = f"/DocumentReference/{document_id}"
        return self.send("PATCH", path, content, persona=persona, content_type="application/json-patch+json", **headers)

    def get(self, path: str, *, persona: str = AUTHOR, **headers: str) -> Answer:
        return self.send("GET", path, persona=persona, **headers)

    def found(self, unique_id: str, *, persona: str = AUTHOR) -> list[Tree]:
        """The documents with this uniqueId that the caller sees, replaced or archived as well."""
        form = f"patient.identifier=274036912390153&identifier={token_of(unique_id)}&isArchived=true,false"
        answer = self.send(
            "POST",
            "/DocumentReference/_search",
            form.replace("|", "%7C").encode(),
            persona=persona,
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.status == 200, answer.content
        return [each["resource"] for each in answer.tree.get("entry", [])]

    def bytes_of(self, document: Tree, *, persona: str = AUTHOR) -> bytes:
        """ITI-68: the document itself."""
        address = document["content"][0]["attachment"]["url"]
        answer = self.get(address[address.index("/fhir/") + 5 :], persona=persona)
        assert answer.status == 200, answer.content
        return answer.content


def _header_names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class InProcess(Api):
    def __init__(self, client: FlaskClient, token: MakeToken) -> None:
        self.client = client
        self.token = token
        self.claims: dict[str, Any] = {}

    def send(
        self, method: str, path: str, content: bytes | None = None, *, persona: str = AUTHOR, **headers: str
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token(persona, **self.claims)}"} | _header_names(headers)
        answer = self.client.open("/fhir" + path, method=method, data=content, headers=sent)
        return Answer(answer.status_code, answer.data, answer.headers)


class OverHttp(Api):
    """One connection per thread; a token per persona."""

    def __init__(self, server: LiveServer, *, timeout: float = 60) -> None:
        self.server = server
        self.timeout = timeout
        self._local = threading.local()
        self._tokens: dict[str, str] = {}

    def send(
        self, method: str, path: str, content: bytes | None = None, *, persona: str = AUTHOR, **headers: str
    ) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        if persona not in self._tokens:
            self._tokens[persona] = self.server.token(persona)
        sent = {"Authorization": f"Bearer {self._tokens[persona]}"} | _header_names(headers)
        answer = self._local.session.request(
            method, self.server.base_url + path, data=content, headers=sent, timeout=self.timeout
        )
        return Answer(answer.status_code, answer.content, answer.headers)


def at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """All acts started at the same moment, each in its thread; their results in order."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


# --- what is stored ---------------------------------------------------------------------------------------------------

STORED = (
    "document",
    "document_author",
    "document_list",
    "list_entry",
    "payload",
    "resource_home",
    "resource_version",
    "search_reference",
    "search_text",
    "search_token",
    "unique_identifier",
)


def stored_counts(database_url: str) -> dict[str, int]:
    """Rows per table that a submission writes to; the trace not included."""
    return {table: count(database_url, f"SELECT COUNT(*) FROM {table}") for table in STORED}


def count(database_url: str, sql: str, **params: Any) -> int:
    database = Database.open(database_url)
    try:
        with database.snapshot() as reader:
            return reader.row(sql, params)[0]  # type: ignore[index,no-any-return]
    finally:
        database.close()


def files_in(folder: Path) -> set[str]:
    """The payload files of a data folder, temporary ones included."""
    return {str(each.relative_to(folder)) for each in (folder / "documents").rglob("*") if each.is_file()}
