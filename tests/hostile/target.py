"""The server under attack: what a refused request must look like from outside and from inside.

`refused` sends one request and checks all that the catalogue says of a refusal (Conventions): the status and its
OperationOutcome in two languages, not a row and not a file more, no canary in the answer or the log, one trace with
outcome 4, less than a second of work.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from lxml import etree
from werkzeug.test import TestResponse

from dmp_fhir.identity.sandbox import Sandbox
from dmp_fhir.store.database import Database
from dmp_fhir.store.tables import metadata
from dmp_fhir.wire.json import parse_json
from dmp_fhir.wire.xml import parse_xml
from tests.support import tally
from tests.support.server import TickingClock
from tests.telemetry.canaries import INNER

Tree = dict[str, Any]

# "What refused means": the codes that go with a status. 422 tells what is wrong with the content, in any word but ours.
CODES = {
    400: {"structure", "invalid", "value", "required", "not-supported"},
    401: {"login", "expired"},
    403: {"forbidden"},
    404: {"not-found"},
    405: {"not-supported"},
    406: {"not-supported"},
    409: {"conflict", "duplicate", "business-rule"},
    410: {"deleted"},
    412: {"conflict", "multiple-matches"},
    413: {"too-long", "too-costly"},
    415: {"not-supported"},
}
OURS = {"exception", "fatal", "transient", "no-store", "lock-error", "timeout", "incomplete"}
MOST_SECONDS = 1.0
_TABLES = sorted(each for each in metadata.tables if not each.startswith("audit_"))
_COUNTS = "SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {name})" for name in _TABLES)
_CLOCKS = "SELECT SUM(clock), SUM(version) FROM record"
_INS = re.compile(r"(?<!\d)[1-478]\d[01]\d(?:\d{2}|2[AB])\d{8,10}(?!\d)")


class _Log(logging.Handler):
    """Everything any part writes to the log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Target:
    """One application on a seeded world. `area` names the line of the tally its requests count for."""

    def __init__(self, app: Flask, sandbox: Sandbox, clock: TickingClock, documents: Path) -> None:
        self.app, self.sandbox, self.clock, self.documents = app, sandbox, clock, documents
        self.client = app.test_client()
        self.area = "C"
        self.stored = False
        self.canaries: set[str] = set()
        self.log = _Log()
        logging.getLogger().addHandler(self.log)
        self._tokens: dict[tuple[str, str], str] = {}
        self._last_event = -1
        self.settle()

    @property
    def database(self) -> Database:
        return self.app.extensions["dmp_fhir"].database

    def close(self) -> None:
        logging.getLogger().removeHandler(self.log)
        self.database.close()

    # --- sending ---------------------------------------------------------------------------------

    def token(self, persona: str, **claims: Any) -> str:
        key = (persona, repr(sorted(claims.items())))
        if key not in self._tokens:
            self._tokens[key] = self.sandbox.issue(persona, now_ms=self.clock.now, lifetime_s=3_600, **claims)
        return self._tokens[key]

    def send(
        self,
        method: str,
        path: str,
        *,
        by: str | None = "dr-moreau",
        body: bytes | None = None,
        kind: str | None = "application/fhir+json",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        **claims: Any,
    ) -> TestResponse:
        """`path` is relative to the endpoint and sent as it is; `by` is a persona, None for nobody."""
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        if by is not None:
            given.append(("Authorization", f"Bearer {self.token(by, **claims)}"))
        if body is not None and kind is not None:
            given.append(("Content-Type", kind))
        return self.client.open(f"/fhir{path}", method=method, data=body, headers=given)

    def refused(self, method: str, path: str, *, statuses: Iterable[int] = range(400, 500), **how: Any) -> TestResponse:
        """Send what must be refused; the answer, once all of "What refused means" has been checked."""
        response, problems = self.attempt(method, path, **how)
        statuses = tuple(statuses)
        if response.status_code not in statuses:
            problems.append(f"status {response.status_code}, not {statuses[:9]}: {response.text[:600]}")
        elif response.status_code < 500:
            problems += outcome_problems(response, method)
        found = self.outcomes()
        if found != ["4"]:
            problems.append(f"traces {found}, not one refusal")
        assert not problems, problems
        return response

    def harmless(self, method: str, path: str, **how: Any) -> TestResponse:
        """Send what may be answered, but must not store, leak, fail or take long."""
        response, problems = self.attempt(method, path, **how)
        if response.status_code >= 400:
            problems += outcome_problems(response, method)
        if not self.outcomes():
            problems.append("no trace")
        assert not problems, problems
        return response

    def accepted(self, method: str, path: str, **how: Any) -> TestResponse:
        """A sound request of the same kind, so that a refusal is known to be for the right reason."""
        response = self.send(method, path, **how)
        assert response.status_code < 300, response.text[:2000]
        self.settle()
        return response

    def attempt(
        self, method: str, path: str, *, leaks: Iterable[str] = (), may_store: bool = False, **how: Any
    ) -> tuple[TestResponse, list[str]]:
        """Send and look: the answer and what is wrong. `leaks` are canaries of this request, besides those of the
        target; `may_store` that a success may have stored something, then told by `stored`."""
        lines = len(self.log.lines)
        started = time.process_time()
        response = self.send(method, path, **how)
        elapsed = time.process_time() - started
        after = self.state()
        changed = [name for name in after if after[name] != self._state[name]]
        if response.status_code < 300:
            # Who is told of an access (AR-30) is a consequence of it, like its trace.
            changed = [name for name in changed if name != "notification"]
        self._state = after
        stored = bool(changed)
        leaked = self._leaks(response, self.log.lines[lines:], leaks)
        if response.status_code >= 400:
            inner = {match[0] for match in INNER.finditer(response.text)}
            leaked += [word for word in inner if word not in f"{method} {path} {how}"]
            tally.count("F", "refusals scanned for inner words")
        fault = response.status_code >= 500
        self.stored = stored
        if may_store and response.status_code < 300:
            stored = False
        tally.tried(self.area, stored=stored, leaked=bool(leaked), fault=fault)
        tally.count("F", "values of canaries found in logs and errors", len(leaked))
        problems = [f"leaked {leaked}"] if leaked else []
        if stored:
            problems.append(f"stored: {changed}")
        if fault:
            problems.append(f"{response.status_code}: {response.text[:300]} {self.log.lines[lines:]}")
        if elapsed > MOST_SECONDS:
            problems.append(f"{elapsed:.2f} s of work")
        return response, problems

    def _leaks(self, response: TestResponse, lines: list[str], more: Iterable[str]) -> list[str]:
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers)
        answer = headers + "\n" + response.get_data().decode("utf-8", "replace")
        log = "\n".join(lines)
        canaries = self.canaries | set(more) | {token.rpartition(".")[2] for token in self._tokens.values()}
        found = [f"answer: {each}" for each in canaries if each in answer]
        found += [f"log: {each}" for each in canaries if each in log]
        return found + (["log: an INS number"] if _INS.search(log) else [])

    # --- what is stored --------------------------------------------------------------------------

    def state(self) -> dict[str, int]:
        """Rows per table but those of the trace, the clocks of the records, and files of documents."""
        with self.database.snapshot() as reader:
            counts = dict(zip(_TABLES, reader.row(_COUNTS) or (), strict=True))
            clock, version = reader.row(_CLOCKS) or (0, 0)
        return counts | {"clocks": int(clock), "versions": int(version), "files": sum(1 for _ in self._files())}

    def _files(self) -> Iterable[Path]:
        return itertools.chain.from_iterable(each.iterdir() for each in self.documents.iterdir() if each.is_dir())

    def settle(self) -> None:
        """What is stored now is what has to stay."""
        self._state = self.state()
        self.outcomes()

    def outcomes(self) -> list[str]:
        """AuditEvent.outcome of the events since the last look."""
        with self.database.snapshot() as reader:
            rows = reader.rows(
                "SELECT position, outcome FROM audit_event WHERE position > :last ORDER BY position",
                {"last": self._last_event},
            )
        self._last_event = max([self._last_event, *(row[0] for row in rows)])
        return [row[1] for row in rows]

    def resource(self, method: str, path: str, **how: Any) -> Tree:
        response = self.send(method, path, **how)
        assert response.status_code < 300, response.text[:1000]
        self.settle()
        return parse_json(response.get_data())

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.snapshot() as reader:
            return reader.rows(sql, values)


def tree_of(response: TestResponse) -> Tree:
    parse = parse_xml if response.mimetype == "application/fhir+xml" else parse_json
    return parse(response.get_data())


def outcome_problems(response: TestResponse, method: str) -> list[str]:
    """What is wrong with a refusal as an OperationOutcome; nothing when it is as it must be."""
    if method == "HEAD":
        return ["a body on HEAD"] if response.get_data() else []
    if response.mimetype not in ("application/fhir+json", "application/fhir+xml"):
        return [f"content type {response.content_type}"]
    try:
        tree = tree_of(response)
    except (Exception, etree.Error) as fault:
        return [f"unreadable answer: {fault!r}"]
    problems = []
    if tree.get("resourceType") != "OperationOutcome" or not tree.get("issue"):
        return [f"no OperationOutcome: {response.text[:200]}"]
    codes = {issue.get("code") for issue in tree["issue"] if issue.get("severity") == "error"}
    allowed = CODES.get(response.status_code)
    if not codes or codes & OURS or (allowed is not None and not codes <= allowed):
        problems.append(f"codes {codes} with status {response.status_code}")
    for issue in tree["issue"]:
        details = issue.get("details", {})
        extensions = details.get("_text", {}).get("extension", [{}])[0].get("extension", [])
        english = [each.get("valueString") for each in extensions if each.get("url") == "content"]
        if not (details.get("text") and english and english[0]):
            problems.append("a text is missing in French or English")
    if response.headers.get("Cache-Control") != "no-store":
        problems.append("kept in caches")
    if response.status_code in ONE_SENTENCE:
        problems += _other_sentences(response.status_code, tree)
    return problems


# What tells of rights and names no value of the client: one sentence for each code (TF-152).
ONE_SENTENCE = frozenset({403, 404})
_sentences: dict[tuple[Any, ...], str] = {}


def _other_sentences(status: int, tree: Tree) -> list[str]:
    problems = []
    for issue in tree["issue"]:
        codes = tuple(each.get("code") for each in issue["details"].get("coding", ()))
        text = json.dumps(issue["details"]["text"])
        first = _sentences.setdefault((status, issue["code"], *codes), text)
        if text != first:
            problems.append(f"another sentence for {status} {codes}: {text}, not {first}")
        tally.count("F", "sentences of refusals compared by their code")
    return problems
