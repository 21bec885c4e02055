"""Write docs/exchanges.md and the two collections of requests: every DMP transaction as it really went.

python tools/describe_exchanges.py [--check]

The exchanges run in order, in process, on a fresh demonstration world. What differs from run to run is given
a steady name (ids in their order of appearance), so that the page only changes when the server does.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from flask.testing import FlaskClient

from dmp_fhir.app import build_services, create_app
from dmp_fhir.cli.loading import Loader, world_files
from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "fixtures" / "tour"
PAGE = ROOT / "docs" / "exchanges.md"
HTTP_FILE = ROOT / "docs" / "collection" / "dmp-fhir.http"
POSTMAN = ROOT / "docs" / "collection" / "dmp-fhir.postman_collection.json"
BASE = "http://127.0.0.1:8000/fhir"
NOW = int(datetime.fromisoformat("2026-11-22T08:00:00Z").timestamp() * 1000)
CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
JSON = "application/fhir+json"
JSON_PATCH = "application/json-patch+json"
# Made by the server; those of the fixtures are of version 5.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TOKEN_ID = "a-token-of-the-sandbox"
_SHOWN_HEADERS = ("Content-Type", "ETag", "Last-Modified", "Location", "Allow", "WWW-Authenticate", "Retry-After")
_LONGEST = 100
_WIDTH = 150
_FOLDED = 40
Tree = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """One request. `path` may name what earlier answers gave (`{document}`); `gives` says where this one's answer has
    it: name → path of keys."""

    title: str
    text: str
    method: str
    path: str
    persona: str | None = "dr-moreau"
    parameters: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    gives: dict[str, tuple[str | int, ...]] = field(default_factory=dict)


_RECORD = ("patient.identifier", CLAIRE)
EXCHANGES = (
    Exchange(
        "TD0.2 · the record and my authorisation",
        "Is there a record for this INS, is it open, may I look into it? A record that is not there and one that was"
        " refused look the same.",
        "GET",
        "Patient",
        parameters=(("identifier", CLAIRE),),
    ),
    Exchange(
        "TD2 · ITI-65: publish a lot",
        "A transaction of three entries: submission set (List), metadata (DocumentReference), document (Binary). All of"
        " it is stored, or nothing.",
        "POST",
        "",
        body="publish.json",
        gives={"document": ("entry", 1, "response", "location"), "content": ("entry", 2, "response", "location")},
    ),
    Exchange(
        "TD2 · the same lot again",
        "A lot sent twice is answered as done, with the same locations; retry as often as you like.",
        "POST",
        "",
        body="publish.json",
    ),
    Exchange(
        "TD2 · ITI-105: publish with one resource",
        "One DocumentReference with the document inside; the registry makes the submission set.",
        "POST",
        "DocumentReference",
        body="publish-simple.json",
    ),
    Exchange(
        "TD3.1a · ITI-67: search documents",
        "Always with a patient. Parameters: [search.md](search.md). `POST DocumentReference/_search` keeps INS out"
        " of addresses.",
        "GET",
        "DocumentReference",
        parameters=(_RECORD, ("status", "current"), ("type", "11488-4"), ("_sort", "-date"), ("_count", "1")),
    ),
    Exchange(
        "ITI-66 · search submission sets",
        "",
        "GET",
        "List",
        parameters=(_RECORD, ("code", "submissionset"), ("_sort", "-_lastUpdated"), ("_count", "1")),
    ),
    Exchange("Read the metadata", "", "GET", "{document}"),
    Exchange(
        "TD3.2 · ITI-68: retrieve the document",
        "`content.attachment.url` leads to the bytes, in their own type.",
        "GET",
        "{content}",
        headers=(("Accept", "*/*"),),
    ),
    Exchange(
        "TD2.1 · replace",
        "The new DocumentReference says what it `replaces`; the old one becomes `superseded` in the same transaction.",
        "POST",
        "",
        body="replace.json",
        gives={"corrected": ("entry", 1, "response", "location")},
    ),
    Exchange(
        "TD3.3a · mask, refused",
        "Masking belongs to the patient: a professional's token must attest their request.",
        "PATCH",
        "{corrected}",
        body="mask.json",
        kind=JSON_PATCH,
    ),
    Exchange("TD3.3a · mask", "", "PATCH", "{corrected}", "patient-claire-martin", body="mask.json", kind=JSON_PATCH),
    Exchange(
        "What is hidden is not there",
        "Hidden, foreign, deleted and never existed: the same 404, byte for byte.",
        "GET",
        "{corrected}",
        "dr-petit",
    ),
    Exchange(
        "TD3.3a · unmask", "", "PATCH", "{corrected}", "patient-claire-martin", body="unmask.json", kind=JSON_PATCH
    ),
    Exchange(
        "TD3.3d · archive",
        "An archived document is found only by a search with `isArchived`.",
        "PATCH",
        "{corrected}",
        body="archive.json",
        kind=JSON_PATCH,
        headers=(("Prefer", "return=minimal"),),
    ),
    Exchange(
        "TD3.3c · delete",
        "By the author. Gone for everybody; versions and trace stay.",
        "PATCH",
        "{corrected}",
        body="delete.json",
        kind=JSON_PATCH,
        headers=(("Prefer", "return=minimal"),),
    ),
    Exchange(
        "ITI-81 · who did what",
        "The patient reads every act on the record, refusals included.",
        "GET",
        "AuditEvent",
        "patient-claire-martin",
        parameters=(("outcome", "4"), ("_count", "1")),
    ),
    Exchange("No token", "", "GET", "DocumentReference", None, parameters=(_RECORD,)),
    Exchange("A parameter that does not exist", "", "GET", "DocumentReference", parameters=(_RECORD, ("tipe", "x"))),
)


@dataclass
class Ran:
    exchange: Exchange
    path: str
    body: bytes
    status: str
    headers: list[tuple[str, str]]
    answer: bytes


@contextmanager
def fresh_world() -> Iterator[tuple[FlaskClient, Sandbox]]:
    """A server on the demonstration world, gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir(mode=0o700)
        settings = Settings(data_folder=folder)
        schema.upgrade(settings.database)
        loader = Loader(build_services(settings), None)
        loader.load(world_files())
        ticks = iter(range(NOW, NOW + 10_000_000, 10))
        app = create_app(settings, lambda: next(ticks))
        yield app.test_client(), Sandbox(settings.key_folder)
        app.extensions["dmp_fhir"].database.close()
        loader.services.database.close()


def run() -> list[Ran]:
    """All exchanges, in order, with steady names."""
    known: dict[str, str] = {}
    ran = []
    with fresh_world() as (client, sandbox):
        for exchange in EXCHANGES:
            headers = dict(exchange.headers)
            if exchange.persona:
                headers["Authorization"] = f"Bearer {sandbox.issue(exchange.persona, now_ms=NOW, token_id=TOKEN_ID)}"
            body = (TOUR / exchange.body).read_bytes() if exchange.body else b""
            if body:
                headers["Content-Type"] = exchange.kind
            path = exchange.path.format(**known)
            query = f"?{urlencode(exchange.parameters, quote_via=quote, safe=',:')}" if exchange.parameters else ""
            answer = client.open(f"/fhir/{path}{query}", method=exchange.method, headers=headers, data=body)
            shown = [(name, answer.headers[name]) for name in _SHOWN_HEADERS if name in answer.headers]
            ran.append(Ran(exchange, f"{path}{query}", body, answer.status, shown, answer.data))
            for name, place in exchange.gives.items():
                found: Any = answer.json
                for step in place:
                    found = found[step]
                known[name] = found.partition("/_history")[0]
    return ran


class Names:
    """Ids in their order of appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def steady(self, text: str) -> str:
        def name(match: re.Match[str]) -> str:
            return self._names.setdefault(match[0], f"00000000-0000-7000-8000-{len(self._names) + 1:012}")

        return _UUID.sub(name, text)


def _short(value: Any) -> Any:
    """Without the middle of long texts, and with the first of several search results only."""
    if isinstance(value, dict):
        shown = {key: _short(each) for key, each in value.items()}
        if value.get("type") == "searchset":
            shown["link"] = [link for link in value["link"] if link["relation"] == "self"] + ["…"][
                : len(value["link"]) - 1
            ]
        return shown
    if isinstance(value, list):
        return [_short(each) for each in value]
    if isinstance(value, str) and len(value) > _LONGEST and " " not in value:
        return f"{value[:40]}…"
    return value


def _body(content: bytes, kind: str) -> str:
    if "json" in kind:
        return "\n".join(_lines(_short(json.loads(content))))
    text = content.decode("utf-8", "replace")
    return text if len(text) < 600 else f"{text[:600]}…"


def _lines(value: Any, indent: int = 0) -> list[str]:
    """JSON with what fits on a line on a line."""
    whole = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(whole) + indent <= _WIDTH:
        return [whole]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    items = (
        [(f"{json.dumps(key, ensure_ascii=False)}: ", each) for key, each in value.items()]
        if isinstance(value, dict)
        else [("", each) for each in value]
    )
    found = [opening]
    for n, (key, each) in enumerate(items):
        lines = _lines(each, indent + 1 + len(key))
        lines[0] = key + lines[0]
        lines[-1] += "," if n + 1 < len(items) else ""
        found += [f" {line}" for line in lines]
    return [*found, closing]


def page(ran: list[Ran]) -> str:
    names, parts = Names(), [HEAD]
    shown: set[str] = set()
    for one in ran:
        exchange = one.exchange
        parts.append(f"\n## {exchange.title}\n")
        if exchange.text:
            parts.append(f"{exchange.text}\n")
        request = [f"{exchange.method} {BASE}/{one.path}".rstrip("/")]
        if exchange.persona:
            request.append(f"Authorization: Bearer … ({exchange.persona})")
        request += [f"{name}: {value}" for name, value in exchange.headers]
        if exchange.body:
            whole = exchange.body not in shown
            shown.add(exchange.body)
            request += [f"Content-Type: {exchange.kind}", ""]
            request.append(_body(one.body, JSON) if whole else f"(fixtures/tour/{exchange.body}, as above)")
        answer = [f"HTTP/1.1 {one.status}", *(f"{name}: {value}" for name, value in one.headers)]
        if one.answer:
            answer += ["", _body(one.answer, dict(one.headers).get("Content-Type", ""))]
        parts += [names.steady(_block("Request", request)), names.steady(_block("Answer", answer))]
    return "\n".join(parts)


def _block(title: str, lines: list[str]) -> str:
    """A fence, behind its first line when it is long."""
    text = "\n".join(["```http", *lines, "```"])
    if text.count("\n") <= _FOLDED:
        return f"{text}\n"
    return f"<details><summary>{title}: <code>{lines[0]}</code></summary>\n\n{text}\n\n</details>\n"


HEAD = """# Every transaction, as it went

*Made by `python tools/describe_exchanges.py`, which runs these requests on the demonstration world; a test compares the
page with what the server answers today.*

Ids are given steady names, long values are cut (`…`). The bodies are in [fixtures/tour](../fixtures/tour). The same
requests for your own tools: [collection/dmp-fhir.http](collection/dmp-fhir.http) (JetBrains, VS Code) and
[collection/dmp-fhir.postman_collection.json](collection/dmp-fhir.postman_collection.json).
"""


def http_file() -> str:
    """The exchanges for an editor's HTTP client: one variable per persona's token."""
    lines = ["# Set the tokens first: dmp-fhir token PERSONA", f"@base = {BASE}"]
    personas = sorted({each.persona for each in EXCHANGES if each.persona})
    lines += [f"@{_variable(persona)} = paste a token here" for persona in personas]
    lines += [f"@{name} = {each.replace('{', '').replace('}', '')}" for name, each in _GIVEN.items()]
    for each in EXCHANGES:
        query = "".join(
            f"\n    {'?' if n == 0 else '&'}{name}={quote(value, safe=',:')}"
            for n, (name, value) in enumerate(each.parameters)
        )
        path = re.sub(r"\{(\w+)\}", r"{{\1}}", each.path)
        lines += ["", f"### {each.title}", f"{each.method} {{{{base}}}}/{path}{query}".rstrip("/")]
        if each.persona:
            lines.append(f"Authorization: Bearer {{{{{_variable(each.persona)}}}}}")
        lines += [f"{name}: {value}" for name, value in each.headers]
        if each.body:
            lines += [f"Content-Type: {each.kind}", "", f"< ../../fixtures/tour/{each.body}"]
    return "\n".join(lines) + "\n"


_GIVEN = {
    "document": "DocumentReference/the id that the first publication gave",
    "content": "Binary/the id that the first publication gave",
    "corrected": "DocumentReference/the id that the replacement gave",
}


def _variable(persona: str) -> str:
    return persona.replace("-", "_")


def postman() -> str:
    """The exchanges as a collection in the format v2.1.0 that Postman and its likes import."""
    items = []
    for each in EXCHANGES:
        path = re.sub(r"\{(\w+)\}", r"{{\1}}", each.path)
        query = urlencode(each.parameters, quote_via=quote, safe=",:")
        request: Tree = {
            "method": each.method,
            "description": each.text,
            "url": f"{{{{base}}}}/{path}".rstrip("/") + (f"?{query}" if query else ""),
            "header": [{"key": name, "value": value} for name, value in each.headers],
        }
        if each.persona:
            bearer = {"key": "token", "value": f"{{{{{_variable(each.persona)}}}}}", "type": "string"}
            request["auth"] = {"type": "bearer", "bearer": [bearer]}
        else:
            request["auth"] = {"type": "noauth"}
        if each.body:
            request["header"].append({"key": "Content-Type", "value": each.kind})
            request["body"] = {"mode": "raw", "raw": (TOUR / each.body).read_text(encoding="utf-8")}
        item: Tree = {"name": each.title, "request": request}
        if each.gives:
            script = ["const answer = pm.response.json();"]
            for name, place in each.gives.items():
                steps = "".join(f"[{json.dumps(step)}]" for step in place)
                script.append(f'pm.collectionVariables.set("{name}", answer{steps}.split("/_history")[0]);')
            item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": script}}]
        items.append(item)
    personas = sorted({each.persona for each in EXCHANGES if each.persona})
    variables = [("base", BASE), *((_variable(persona), "") for persona in personas), *((name, "") for name in _GIVEN)]
    collection = {
        "info": {
            "name": "dmp-fhir",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "variable": [{"key": key, "value": value} for key, value in variables],
        "item": items,
    }
    return json.dumps(collection, indent=1, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    return {PAGE: page(run()), HTTP_FILE: http_file(), POSTMAN: postman()}


def main() -> int:
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the server answers")
        return 1 if stale else 0
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
