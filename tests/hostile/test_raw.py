"""What only raw sockets can send, to a real server process: TF-112, TF-113, TF-115, TF-116, TF-117, TF-124.

Each request carries a second one hidden in it, a deletion that its sender has the right to: it must never be executed.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dmp_fhir.store.database import Database
from tests.hostile.payloads import JSON_BODIES, XML_BODIES, body_of
from tests.support import tally
from tests.support.server import LiveServer, world_server

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
SECONDS = 5.0


class Raw:
    """A server process, a document that dr-moreau may delete, and what is in its database."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.address = ("127.0.0.1", int(server.base_url.split(":")[2].split("/")[0]))
        self.headers = server.headers("dr-moreau")
        self.bearer = self.headers["Authorization"].encode()
        self.database = Database.open(server.database_url)
        found = requests.get(
            f"{server.base_url}/DocumentReference?patient.identifier={CLAIRE}&author.family=Moreau&status=current",
            headers=self.headers,
            timeout=10,
        ).json()
        self.document = found["entry"][0]["resource"]["id"]
        self.before = self.state()

    @property
    def hidden(self) -> bytes:
        return self.request(b"DELETE", b"/fhir/DocumentReference/" + self.document.encode())

    def request(
        self, method: bytes, path: bytes, *lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1"
    ) -> bytes:
        head = [b"%s %s %s" % (method, path, version), b"Host: 127.0.0.1", b"Authorization: " + self.bearer, *lines]
        return b"\r\n".join(head) + b"\r\n\r\n" + body

    def state(self) -> tuple[object, ...]:
        with self.database.snapshot() as reader:
            row = reader.row(
                "SELECT (SELECT COUNT(*) FROM resource_version), (SELECT COUNT(*) FROM document),"
                " (SELECT COUNT(*) FROM document WHERE status = 'entered-in-error'), (SELECT SUM(clock) FROM record)"
            )
        return row or ()

    def send(self, data: bytes) -> bytes:
        """Everything the server answers until it closes, or falls silent."""
        with socket.create_connection(self.address, SECONDS) as connection:
            received = b""
            try:
                connection.sendall(data)
                connection.settimeout(0.3)
                while chunk := connection.recv(65_536):
                    received += chunk
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
        return received

    def attack(self, data: bytes) -> list[int]:
        """Send; nothing changed, no 5xx, and the server still answers. The status of each answer."""
        started = time.monotonic()
        answer = self.send(data)
        statuses = [int(each) for each in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]
        stored, fault = self.state() != self.before, any(each >= 500 and each != 501 for each in statuses)
        leaked = self.server.token("dr-moreau").rpartition(".")[2].encode() in answer
        tally.tried("C", stored=stored, leaked=leaked, fault=fault)
        assert not stored
        assert not fault, answer[:500]
        assert time.monotonic() - started < SECONDS
        assert self.server.process.poll() is None
        return statuses


@pytest.fixture(scope="module")
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    with world_server(request, "sqlite", tmp_path_factory.mktemp("raw")) as server:
        found = Raw(server)
        yield found
        found.database.close()


POST = (b"POST", b"/fhir/DocumentReference/_search", b"Content-Type: application/x-www-form-urlencoded")


def smuggled(raw: Raw) -> dict[str, bytes]:
    """Requests of which two readers could see different ends."""
    hidden = raw.hidden
    ended = b"0\r\n\r\n" + hidden
    chunk = b"5\r\na=b&c\r\n"

    def post(*lines: bytes, body: bytes = ended, version: bytes = b"HTTP/1.1") -> bytes:
        return raw.request(*POST, *lines, body=body, version=version)

    long = b"Content-Length: %d" % len(ended)
    found = {
        "length and chunked": post(long, b"Transfer-Encoding: chunked"),
        "chunked and length": post(b"Transfer-Encoding: chunked", long),
        "short length and chunked": post(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        "zero length and chunked": post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=chunk + ended),
        "two lengths": post(b"Content-Length: 0", long),
        "two lengths reversed": post(long, b"Content-Length: 0"),
        "list of lengths": post(b"Content-Length: 0, %d" % len(ended)),
        "HTTP/1.0 chunked": post(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"),
        "HTTP/1.0 both": post(long, b"Transfer-Encoding: chunked", version=b"HTTP/1.0"),
    }
    found |= {
        f"length {text!r}": post(b"Content-Length: " + text)
        for text in (
            b"+5",
            b"-1",
            b"0x5",
            b"5.0",
            b"5 5",
            b"5a",
            b"1e1",
            b"99999999999999999999",
            b"\xd9\xa1",
            b"0_5",
            b"",
        )
    }
    found |= {
        f"coding {line!r}": post(line, long)
        for line in (
            b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: identity",
            b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding:\x0bchunked",
            b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: \"chunked\"", b"transfer-encoding: CHUNKED",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding:\r\n chunked", b" Transfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: gzip, chunked", b"Transfer_Encoding: chunked",
            b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding: chunk",
        )
    }  # fmt: skip
    chunked = b"Transfer-Encoding: chunked"
    found |= {
        f"chunks {name}": post(chunked, body=body + hidden)
        for name, body in {
            "negative": b"-1\r\n\r\n", "not hexadecimal": b"g\r\n\r\n", "sign": b"+5\r\na=b&c\r\n0\r\n\r\n",
            "prefix": b"0x5\r\na=b&c\r\n0\r\n\r\n", "too large": b"ffffffffffffffffff\r\na\r\n",
            "short": b"2\r\na=b&c\r\n0\r\n\r\n", "long": b"50\r\na=b&c\r\n0\r\n\r\n", "bare LF": b"5\na=b&c\n0\n\n",
            "blank": b" 5\r\na=b&c\r\n", "no end": chunk, "empty size": b"\r\n\r\n",
            "NUL": b"5\x00\r\na=b&c\r\n0\r\n\r\n",
            "extension with LF": b"5;a\nb\r\na=b&c\r\n0\r\n", "missing CRLF": b"5\r\na=b&c0\r\n\r\n",
        }.items()
    }  # fmt: skip
    return found


def test_hidden_request_is_never_executed(raw: Raw) -> None:
    """TF-113."""
    requests_sent = smuggled(raw)
    assert len(requests_sent) >= 40
    for name, data in requests_sent.items():
        statuses = raw.attack(data)
        assert 204 not in statuses, (name, statuses)


def odd(raw: Raw) -> dict[str, tuple[bytes, set[int]]]:
    """Request lines and headers that a test client can't send, with the statuses they may get."""
    document = b"/fhir/DocumentReference/" + raw.document.encode()
    ask, get = raw.request, b"GET"
    big, refused, absent = {400, 431}, {400, 431, 414, 501, 505}, {400, 404}
    return {
        "100 kB header": (ask(get, document, b"X: " + b"a" * 100_000), big),
        "100 kB X-Request-Id": (ask(get, document, b"X-Request-Id: " + b"a" * 100_000), big),
        "5000 headers": (ask(get, document, *(b"X%d: a" % n for n in range(5000))), big),
        "100 kB address": (ask(get, b"/fhir/" + b"a" * 100_000), {400, 414, 431}),
        "100 kB method": (ask(b"G" * 100_000, document), big),
        "1 MB token": (ask(get, document).replace(raw.bearer, b"Bearer " + b"a" * 1_000_000), big),
        "folded header": (ask(get, document, b"X: a", b" Authorization: b"), {400}),
        "blank before colon": (ask(get, document, b"X : a"), {400}),
        "no colon": (ask(get, document, b"X"), {400}),
        "NUL in a header": (ask(get, document, b"X: a\x00b"), {400}),
        "NUL in the address": (ask(get, document + b"\x00"), {400}),
        "blank in the address": (ask(get, document + b" x"), {400}),
        "latin-1 address": (ask(get, b"/fhir/\xe9"), absent),
        "UTF-8 address": (ask(get, b"/fhir/\xc3\xa9"), absent),
        "backslashes": (ask(get, document.replace(b"/", b"\\")), absent),
        "dot segments": (ask(get, b"/fhir/../fhir" + document.removeprefix(b"/fhir")), absent),
        "encoded dot segments": (ask(get, b"/fhir/%2e%2e" + document), absent),
        "other host in the line": (ask(get, b"http://evil.example/fhir/Patient/none"), absent),
        "asterisk": (ask(b"OPTIONS", b"*"), absent | {401, 405}),
        "lower-case method": (ask(b"get", document), {405, 501}),
        "mixed-case method": (ask(b"Delete", document), {405, 501}),
        "TRACE": (ask(b"TRACE", document, b"X-Marker: marker-77aa"), {405, 501}),
        "CONNECT": (ask(b"CONNECT", b"127.0.0.1:80"), absent | {405, 501}),
        "HTTP/0.9": (b"GET " + document + b"\r\n\r\n", refused),
        "HTTP/3.0": (ask(get, document, version=b"HTTP/3.0"), refused),
        "no HTTP": (b"\x00\x01\x02" * 100 + b"\r\n\r\n", refused),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500, refused),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw.hidden, refused),
        "method override": (ask(b"POST", document, b"X-HTTP-Method-Override: DELETE", b"Content-Length: 0"), {405}),
        "line feed in X-Request-Id": (ask(get, b"/fhir/Patient/none", b"X-Request-Id: a\nX-Injected: 1"), absent),
        "body on GET": (ask(get, b"/fhir/Patient/none", b"Content-Length: 5", body=b"a=b&c"), absent),
        "body not sent": (ask(*POST, b"Content-Length: 5000", body=b"a=b&c"), set()),
        "151 MB announced": (ask(b"POST", b"/fhir", b"Content-Length: 151000000"), {413, 415}),
        "2 MB of form": (ask(*POST, b"Content-Length: 2000000", body=b"a" * 2_000_000), {413}),
    }


def test_odd_requests(raw: Raw) -> None:
    """TF-115, TF-116, TF-117: refused by the server or by the application, and nothing of them is written back."""
    for name, (data, statuses) in odd(raw).items():
        answer = raw.send(data)
        assert b"marker-77aa" not in answer, name
        assert b"x-injected" not in answer.lower(), name
        found = raw.attack(data)
        assert set(found[:1]) <= statuses, (name, found)
        assert not set(found) & {200, 201, 204}, (name, found)


def memory(pid: int) -> int:
    """The most memory that a process and its children ever held, in bytes (Linux)."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if pid in (int(fields["Pid"]), int(fields["PPid"])) and "VmHWM" in fields:
            total += int(fields["VmHWM"].split()[0]) * 1024
    return total


def test_heavy_bodies_take_little_memory(raw: Raw) -> None:
    """At most 100 MB more than before (Conventions, 5), whatever a megabyte claims to be."""
    rows = [row for row in JSON_BODIES + XML_BODIES if not isinstance(row[2], bytes)]
    assert len(rows) > 20
    before = memory(raw.server.process.pid)
    for name, kind, content in rows:
        data = body_of(content)
        lines = (b"Content-Type: " + kind.encode(), b"Content-Length: %d" % len(data))
        for path in (b"/fhir/Patient", b"/fhir"):
            statuses = raw.attack(raw.request(b"POST", path, *lines, body=data))
            assert not statuses or 400 <= statuses[0] < 500, (name, statuses)
    assert memory(raw.server.process.pid) - before < 100_000_000


def test_two_spellings_are_one_address(raw: Raw) -> None:
    """Absolute form and %2F name the same resource, and nothing else: the same decision (TF-115)."""
    name = b"DocumentReference/" + raw.document.encode()
    for line in (b"http://evil.example/fhir/" + name, b"/fhir/" + name.replace(b"/", b"%2F")):
        assert raw.attack(raw.request(b"GET", line)) == [200]
        anonymous = raw.request(b"GET", line).replace(b"Authorization: " + raw.bearer, b"X: y")
        assert raw.attack(anonymous) == [401]


def test_no_byte_of_a_log_is_a_secret(raw: Raw) -> None:
    """TF-152: after all of the above, the server's log holds neither tokens nor INS numbers nor addresses asked for."""
    log = (raw.server.data_folder / "server.log").read_text(errors="replace")
    for secret in (raw.bearer.decode().rpartition(".")[2], "274036912390153", raw.document, "Claire"):
        assert secret not in log


def test_hidden_request_is_a_real_one(raw: Raw) -> None:
    """Last, since it changes the world: sent openly, after a request that ends where it says, it is executed."""
    answer = raw.send(raw.request(*POST, b"Content-Length: 5", body=b"a=b&c") + raw.hidden)
    assert [int(each) for each in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)] == [400, 204]
    assert raw.state() != raw.before
