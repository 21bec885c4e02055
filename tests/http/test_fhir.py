"""Reads by GET go around Flask: what leaves must be the same as through it, byte for byte, header for header."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, run_wsgi_app

from dmp_fhir.store.database import StoreUnavailable
from tests.support.server import MakeToken

MARTIN = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
SEARCH = f"DocumentReference?patient.identifier={MARTIN}&status=current"
# Ids of bundles and of audit events are new each time, page links are sealed, the clock of the tests ticks.
_NEW = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}|_page=[\w-]+|\d{4}-\d\d-\d\dT[\d:.]+Z")

Ask = Callable[..., tuple[int, list[tuple[str, str]], bytes]]


@pytest.fixture
def ways(client: FlaskClient, token: MakeToken) -> tuple[Ask, Ask]:
    """Asking the application as it is served, and as Flask alone would answer."""
    app: Flask = client.application

    def asking(application: Any) -> Ask:
        def ask(path: str, *, by: str | None = "dr-moreau", **headers: str) -> tuple[int, list[tuple[str, str]], bytes]:
            sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Request-Id": "same"}
            if by:
                sent["Authorization"] = f"Bearer {token(by)}"
            address, _, query = path.partition("?")
            environ = EnvironBuilder(
                f"/fhir/{address}", query_string=query, headers=sent, input_stream=BytesIO()
            ).get_environ()
            chunks, status, answered = run_wsgi_app(application, environ)
            return int(status.partition(" ")[0]), sorted(answered), b"".join(chunks)

        return ask

    return asking(app.wsgi_app), asking(lambda environ, start: Flask.wsgi_app(app, environ, start))


def _comparable(answer: tuple[int, list[tuple[str, str]], bytes]) -> tuple[int, list[tuple[str, str]], bytes]:
    status, headers, body = answer
    if ("Content-Length", str(len(body))) in headers:
        headers = [each for each in headers if each[0] != "Content-Length"]
    return status, headers, _NEW.sub(b"~", body)


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        (SEARCH, {}, 200),
        (f"{SEARCH}&_count=2", {}, 200),
        (f"{SEARCH}&_summary=count", {}, 200),
        (SEARCH, {"Accept": "application/fhir+xml"}, 200),
        (f"{SEARCH}&_format=xml", {}, 200),
        (f"Patient?identifier={MARTIN}", {}, 200),
        (SEARCH, {"by": None}, 401),
        (SEARCH, {"by": "dr-roux"}, 403),
        (f"{SEARCH}&unknown=1", {}, 400),
        (f"{SEARCH}&_format=pdf", {}, 406),
        ("DocumentReference/no-such-id", {}, 404),
        ("Nothing/here", {}, 404),
        ("DocumentReference/", {}, 404),
        ("", {}, 405),
        ("metadata", {"by": None}, 200),
        ("metadata/", {"by": None}, 401),
        ("Binary/%C3%A9", {}, 404),
    ],
)
def test_both_ways_give_the_same_answer(ways: tuple[Ask, Ask], path: str, how: dict[str, Any], status: int) -> None:
    served, through_flask = ways
    answer, reference = served(path, **how), through_flask(path, **how)
    assert answer[0] == reference[0] == status
    assert _comparable(answer) == _comparable(reference)


def test_a_document_its_metadata_and_what_has_not_changed(ways: tuple[Ask, Ask]) -> None:
    served, through_flask = ways
    _, _, page = served(f"{SEARCH}&_count=1")
    document = re.search(rb'"fullUrl":"[^"]*/(DocumentReference/[\w-]+)"', page)
    payload = re.search(rb'"url":"[^"]*/((?:Binary|Bundle)/[\w-]+)"', page)
    assert document
    assert payload
    for path in (document[1].decode(), payload[1].decode()):
        answer, reference = served(path, Accept="*/*"), through_flask(path, Accept="*/*")
        assert answer[0] == 200
        assert answer == reference
        etag = dict(answer[1])["ETag"]
        unchanged = served(path, Accept="*/*", If_None_Match=etag)
        assert unchanged[0] == 304
        assert unchanged == through_flask(path, Accept="*/*", If_None_Match=etag)


@pytest.mark.parametrize(("fault", "status"), [(StoreUnavailable("away"), 503), (ZeroDivisionError("7 / 0"), 500)])
def test_faults_are_answered_alike_and_tell_nothing(
    ways: tuple[Ask, Ask],
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    status: int,
) -> None:
    def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr("dmp_fhir.http.endpoint.handle", fail)
    number = re.compile(rb"[0-9a-f]{12}")
    with caplog.at_level(logging.ERROR):
        answers = [(one[0], one[1], number.sub(b"#", one[2])) for one in (way(SEARCH) for way in ways)]
    assert answers[0] == answers[1]
    assert answers[0][0] == status
    assert str(fault).encode() not in answers[0][2]
    assert "274036912390153" not in caplog.text
