"""Requests that come in pieces, too long, or not to their end; answers nobody waits for (TF-197, TF-198)."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from tests.conftest import DIALECTS
from tests.support.server import LiveServer, world_server
from tests.writing.api import JSON, OverHttp, count, stored_counts
from tests.writing.lots import body, lot, oid

LIMIT = 200_000
# A worker waits no longer for a client that sends no more.
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module", params=DIALECTS)
def narrow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with one worker that takes submissions of up to 200,000 bytes."""
    folder = tmp_path_factory.mktemp("narrow")
    with world_server(request, request.param, folder, DMP_FHIR_MAX_SUBMISSION=str(LIMIT)) as server:
        yield server


def padded(name: str, size: int) -> bytes:
    """A lot whose body has exactly `size` bytes: blanks after JSON mean nothing."""
    return body(lot(name)).ljust(size)


def head_of(server: LiveServer, *fields: str) -> bytes:
    authorization = server.headers("dr-moreau")["Authorization"]
    lines = ["POST /fhir HTTP/1.1", f"Host: {address_of(server)[0]}", f"Authorization: {authorization}"]
    return "\r\n".join([*lines, f"Content-Type: {JSON}", *fields, "", ""]).encode()


def address_of(server: LiveServer) -> tuple[str, int]:
    parts = urlsplit(server.base_url)
    return parts.hostname or "", parts.port or 0


def connect(server: LiveServer) -> socket.socket:
    return socket.create_connection(address_of(server), timeout=PATIENCE_SECONDS)


def reset(connection: socket.socket) -> None:
    """Close with RST: a client that crashed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def status_of_answer(server: LiveServer, message: bytes) -> int:
    """The status of the answer to raw bytes, on a connection of its own."""
    with connect(server) as connection:
        connection.sendall(message)
        with HTTPResponse(connection) as response:
            response.begin()
            return response.status


# --- TF-198 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413), (3 * LIMIT, 413)])
def test_bodies_around_the_limit(narrow: LiveServer, size: int, status: int, chunked: bool) -> None:
    name = f"size-{size}-{chunked}"
    content = padded(name, size)
    connection = HTTPConnection(*address_of(narrow), timeout=PATIENCE_SECONDS)
    headers = narrow.headers("dr-moreau") | {"Content-Type": JSON}
    sent = (content[at : at + 10_000] for at in range(0, size, 10_000)) if chunked else content
    with closing(connection):
        try:
            connection.request("POST", "/fhir", sent, headers, encode_chunked=chunked)
            with connection.getresponse() as answer:
                assert answer.status == status, answer.read()
                assert answer.getheader("Content-Type", "").startswith(JSON)
        except (BrokenPipeError, ConnectionResetError):
            # The server answered and closed before it had read all.
            assert status == 413
    assert len(OverHttp(narrow).found(oid(f"{name}/0"))) == (status == 200)


def test_a_too_long_body_is_refused_before_it_is_read(narrow: LiveServer) -> None:
    """Only the head is sent: the announced length decides."""
    assert status_of_answer(narrow, head_of(narrow, "Content-Length: 100000000000")) == 413
    assert OverHttp(narrow).get("/metadata").status == 200


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "0x10", "10, 11", ""])
def test_a_length_that_is_none(narrow: LiveServer, length: str) -> None:
    before = stored_counts(narrow.database_url)
    assert status_of_answer(narrow, head_of(narrow, f"Content-Length: {length}") + body(lot("no length"))) == 400
    assert stored_counts(narrow.database_url) == before


def test_a_length_that_is_too_short(narrow: LiveServer) -> None:
    """The body is cut where its length says; the rest is no second request that is carried out."""
    before = stored_counts(narrow.database_url)
    content = body(lot("short length"))
    assert status_of_answer(narrow, head_of(narrow, f"Content-Length: {len(content) - 50}") + content) == 400
    assert stored_counts(narrow.database_url) == before


def test_a_length_and_chunks_at_once(narrow: LiveServer) -> None:
    """RFC 9112, 6.1: two lengths are a smuggling attempt or chunked decides; nothing is carried out twice."""
    content = body(lot("two lengths"))
    chunks = f"{len(content):x}\r\n".encode() + content + b"\r\n0\r\n\r\n"
    head = head_of(narrow, "Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close")
    assert status_of_answer(narrow, head + chunks) in (200, 400)
    assert len(OverHttp(narrow).found(oid("two lengths/0"))) <= 1


# --- TF-197 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize("ending", ["reset", "half-close", "close"])
def test_an_upload_that_is_cut(narrow: LiveServer, ending: str, chunked: bool) -> None:
    """At 12 places of the request: nothing is stored, the worker is free again, and the whole lot is stored once."""
    drawn = random.Random(197)
    name = f"cut-{ending}-{chunked}"
    content = body(lot(name, drawn.randbytes(60_000)))
    before = stored_counts(narrow.database_url)
    if chunked:
        message = head_of(narrow, "Transfer-Encoding: chunked")
        for at in range(0, len(content), 7_000):
            part = content[at : at + 7_000]
            message += f"{len(part):x}\r\n".encode() + part + b"\r\n"
        message += b"0\r\n\r\n"
        last = len(message) - len(b"\r\n0\r\n\r\n") - 1
    else:
        message = head_of(narrow, f"Content-Length: {len(content)}") + content
        last = len(message) - 1
    places = [1, len(message) - len(content) - 2, last, *(drawn.randrange(2, last) for _ in range(9))]
    for place in places:
        connection = connect(narrow)
        connection.sendall(message[:place])
        if ending == "reset":
            reset(connection)
        elif ending == "close":
            connection.close()
        else:
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
            connection.close()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    began = time.monotonic()
    api = OverHttp(narrow)
    assert api.get("/metadata").status == 200
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert stored_counts(narrow.database_url) == before
    assert api.provide(content).statuses == ["201"] * 3
    assert len(api.found(oid(f"{name}/0"))) == 1


def test_an_answer_nobody_reads(narrow: LiveServer) -> None:
    """The client is gone at some byte of the answer: what it sent is stored once, and said so when it comes again."""
    api = OverHttp(narrow)
    for taken in (0, 1, 20, 200, 900):
        content = body(lot(f"unread-{taken}"))
        connection = connect(narrow)
        connection.sendall(head_of(narrow, f"Content-Length: {len(content)}") + content)
        if taken:
            connection.recv(taken)
        reset(connection)
        again = api.provide(content)
        assert again.status == 200
        assert set(again.statuses) <= ({"201", "200"} if taken == 0 else {"200"})
        assert len(api.found(oid(f"unread-{taken}/0"))) == 1


def test_a_download_that_is_cut(narrow: LiveServer) -> None:
    """The worker is free again, and the trace tells that the document was asked for."""
    api = OverHttp(narrow)
    content = random.Random(1971).randbytes(120_000)
    api.provide(lot("download", content))
    (document,) = api.found(oid("download/0"))
    url = document["content"][0]["attachment"]["url"]
    reads = "SELECT COUNT(*) FROM audit_event WHERE entity_type = 'Binary' AND subtype = 'read'"
    before = count(narrow.database_url, reads)
    authorization = narrow.headers("dr-moreau")["Authorization"]
    path = urlsplit(url).path
    for _ in range(8):
        connection = connect(narrow)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
        connection.sendall(head.encode())
        connection.recv(1000)
        reset(connection)
    assert api.bytes_of(document) == content
    assert count(narrow.database_url, reads) == before + 9
