"""A server under traffic full of markers, normal, refused and faulty, at every level: none of them is in what it
writes beside its database (TF-149, TF-150, TF-152, TF-155, TF-156, TF-158)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
import sqlalchemy as sa

from dmp_fhir.notify.messages import TEXTS
from dmp_fhir.store import schema
from dmp_fhir.telemetry.logs import LEVELS
from tests.rest.bodies import CLAIRE, lot, simple
from tests.support import tally
from tests.support.server import LiveServer, copy_of_world, start_server, stop_server
from tests.telemetry.canaries import INNER, Scanner, forms

JSON = {"Content-Type": "application/fhir+json"}
SECRET = "canary-secret-of-the-metrics"
MATRICULE = CLAIRE.rpartition("|")[2]
WORDS = (
    *("title", "comment", "author", "organisation", "content", "narrative", "search-value", "late-content"),
    *("unknown-parameter", "unknown-value", "path-type", "path-id", "broken-json", "broken-xml", "form", "format"),
    *("patch-path", "patch-value", "reason", "header", "cookie", "agent", "referer", "request-id", "bundle-url"),
    *("contained", "bad-token"),
)
CANARIES: dict[str, str | bytes] = {word: f"Canari-{word}-7f3aé" for word in WORDS}
# Headers and addresses are ASCII.
CANARIES |= {
    word: f"Canary.{word}.7f3a" for word in ("request-id", "agent", "referer", "header", "cookie", "bad-token")
}
CANARIES |= {"matricule": MATRICULE, "name": "Claire Martin", "RPPS": "899700000112", "secret": SECRET}


# How much of a body is sent before the client, or the server, goes away.
SHARES = (0.0, 0.1, 0.5, 0.99)
FOUND = "values of canaries found in logs and errors"


def canary(word: str) -> str:
    return str(CANARIES[word])


@dataclass
class Traffic:
    """What is sent to one server, and what it answered."""

    server: LiveServer
    temporary: Path
    answers: list[requests.Response] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    content: bytes = canary("content").encode() * 40

    def send(self, method: str, path: str, *, by: str | None = "dr-moreau", **how: Any) -> requests.Response:
        headers = how.pop("headers", {})
        if by is not None:
            token = self.server.token(by, **how.pop("claims", {}))
            self.tokens.add(token)
            headers = {"Authorization": f"Bearer {token}"} | headers
        answer = requests.request(method, f"{self.server.base_url}/{path}", headers=headers, timeout=30, **how)
        self.answers.append(answer)
        return answer

    def document(self, name: str) -> dict[str, Any]:
        tree = simple(name, content=self.content, description=canary("comment"))
        tree["content"][0]["attachment"]["title"] = canary("title")
        tree["contained"][2]["name"][0]["family"] = canary("author")
        tree["contained"][3]["name"] = canary("organisation")
        return tree

    def normal(self) -> str:
        created = self.send("POST", "DocumentReference", json=self.document("canaries"), headers=JSON)
        assert created.status_code == 201, created.text
        address = created.headers["Location"].partition("/_history/")[0].removeprefix(f"{self.server.base_url}/")
        assert self.send("GET", address).status_code == 200
        payload = created.json()["content"][0]["attachment"]["url"]
        assert self.send("GET", payload.removeprefix(f"{self.server.base_url}/")).content == self.content
        find = {"patient.identifier": CLAIRE, "identifier": f"urn:ietf:rfc:3986|{canary('search-value')}"}
        assert self.send("GET", "DocumentReference", params=find).status_code == 200
        assert self.send("POST", "DocumentReference/_search", data=find).status_code == 200
        assert self.send("GET", "Patient", params={"identifier": CLAIRE}).status_code == 200
        emergency = {"purpose": "bris_de_glace", "reason": f"{canary('reason')} aux urgences"}
        self.send(
            "GET", "DocumentReference", by="dr-chevalier", params={"patient.identifier": CLAIRE}, claims=emergency
        )
        for name in ("X-Request-Id", "X-Canary", "Cookie", "User-Agent", "Referer", "Prefer", "If-None-Match"):
            word = {"X-Request-Id": "request-id", "Cookie": "cookie", "User-Agent": "agent", "Referer": "referer"}
            self.send("GET", address, headers={name: canary(word.get(name, "header"))})
        self.send("GET", address, headers={"X-Request-Id": MATRICULE})
        return address

    def refused(self, address: str) -> None:
        """Each ends with a refusal; what the marker is in differs."""
        send = self.send
        send("GET", f"{quote(canary('path-type'))}/{quote(canary('path-id'))}")
        send("GET", f"DocumentReference/{quote(canary('path-id'))}")
        send("GET", f"DocumentReference?patient.identifier={quote(CLAIRE)}&{quote(canary('unknown-parameter'))}=x")
        send("GET", "DocumentReference", params={"patient.identifier": CLAIRE, "type": canary("unknown-value")})
        send("GET", "DocumentReference", params={"patient.identifier": CLAIRE, "date": canary("unknown-value")})
        send("GET", f"Patient?identifier={quote(CLAIRE)}", by=None)
        send("GET", f"Patient?identifier={quote(CLAIRE)}", by=None, headers={"Authorization": canary("bad-token")})
        send("GET", address, by=None, headers={"Authorization": f"Bearer {canary('bad-token')}"})
        token = self.server.token("dr-moreau")
        for broken in (token[:-5], token + "x", token.replace(".", "..", 1)):
            self.tokens.add(broken)
            send("GET", address, by=None, headers={"Authorization": f"Bearer {broken}"})
        send("POST", "DocumentReference", data=f'{{"{canary("broken-json")}'.encode(), headers=JSON)
        send(
            "POST",
            "DocumentReference",
            data=f"<{canary('broken-xml')}".encode(),
            headers={"Content-Type": "application/fhir+xml"},
        )
        send("POST", "DocumentReference", json=self.document("x") | {canary("narrative"): 1}, headers=JSON)
        send("POST", "DocumentReference", json=self.document("x") | {"status": canary("unknown-value")}, headers=JSON)
        wrong = self.document("x")
        wrong["content"][0]["attachment"]["hash"] = "Y2FuYXJ5"
        send("POST", "DocumentReference", json=wrong, headers=JSON)
        send(
            "POST",
            "DocumentReference",
            json=self.document("x") | {"subject": {"reference": canary("contained")}},
            headers=JSON,
        )
        bundle = lot("x") | {"type": "transaction"}
        bundle["entry"][0]["request"]["url"] = canary("bundle-url")
        send("POST", "", json=bundle, headers=JSON)
        send("POST", "DocumentReference/_search", data={canary("form"): canary("form")})
        send("POST", "DocumentReference/_search", data=canary("form").encode(), headers=JSON)
        patch = [{"op": "replace", "path": f"/{canary('patch-path')}", "value": canary("patch-value")}]
        send("PATCH", address, json=patch, headers={"Content-Type": "application/json-patch+json"})
        patch = [{"op": "replace", "path": "/status", "value": canary("patch-value")}]
        send("PATCH", address, json=patch, headers={"Content-Type": "application/json-patch+json"})
        send("PATCH", address, data=b"x", headers={"Content-Type": "text/canary-patch-type"})
        send("GET", address, headers={"Accept": "application/canary"}, params={"_format": canary("format")})
        send("PUT", address, json=self.document("x"), headers=JSON | {"If-Match": 'W/"canary"'})
        send("DELETE", "Patient/canary")
        send("CANARY", address)
        send("GET", "DocumentReference", params={"patient.identifier": CLAIRE.replace("274", "174")})
        send("GET", address, by="dr-petit", claims={"purpose": "bris_de_glace", "reason": canary("reason")})
        root = self.server.base_url.removesuffix("/fhir")
        for path in (f"/{quote(canary('path-type'))}", f"/metrics?{MATRICULE}", "/barometer", "/health/canary"):
            self.answers.append(requests.get(root + path, headers={"Authorization": canary("bad-token")}, timeout=30))

    def faulty(self, address: str) -> None:
        """A table that is away, a document whose bytes were altered: our faults, 500."""
        payload = self.send("GET", address).json()["content"][0]["attachment"]["url"]
        stored = max(self.server.data_folder.glob("documents/??/*"), key=lambda path: path.stat().st_mtime_ns)
        content = stored.read_bytes()
        stored.write_bytes(canary("late-content").encode())
        assert self.send("GET", payload.removeprefix(f"{self.server.base_url}/")).status_code == 500
        stored.write_bytes(content)
        self._sql("ALTER TABLE document RENAME TO document_away")
        try:
            for path in (address, f"DocumentReference?patient.identifier={quote(CLAIRE)}"):
                assert self.send("GET", path).status_code == 500
            assert self.send("POST", "DocumentReference", json=self.document("y"), headers=JSON).status_code == 500
        finally:
            self._sql("ALTER TABLE document_away RENAME TO document")
        assert self.send("GET", address).status_code == 200

    def _sql(self, statement: str) -> None:
        engine = schema.migration_engine(self.server.database_url)
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    def aborted(self) -> None:
        """Uploads whose client goes away in the middle."""
        for share in SHARES:
            with self.upload(share):
                time.sleep(0.01)

    def upload(self, share: float) -> socket.socket:
        """A connection on which a part of an upload was sent."""
        place = urlsplit(self.server.base_url)
        body = json.dumps(self.document("aborted")).encode()
        token = self.server.token("dr-moreau")
        self.tokens.add(token)
        head = f"POST /fhir/DocumentReference HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection = socket.create_connection((place.hostname or "", place.port or 0))
        connection.sendall(head.encode() + body[: int(len(body) * share)])
        return connection


@contextmanager
def serving(
    request: pytest.FixtureRequest, dialect: str, folder: Path, keys: Path, **settings: str
) -> Iterator[Traffic]:
    data, temporary = folder / "data", folder / "tmp"
    shutil.copytree(keys, data / "keys")
    temporary.mkdir()
    copy = copy_of_world(request, dialect, data)
    settings |= {"DMP_FHIR_METRICS_SECRET": SECRET, "TMPDIR": str(temporary)}
    server = start_server(data, next(copy), workers=1, **settings)
    try:
        yield Traffic(server, temporary)
    finally:
        stop_server(server)
        next(copy, None)


def scanner_of(traffic: Traffic) -> Scanner:
    tokens = {f"token {n}": token for n, token in enumerate(sorted(traffic.tokens))}
    tokens |= {f"signature {n}": token.rpartition(".")[2] for n, token in enumerate(sorted(traffic.tokens))}
    keys: dict[str, str | bytes] = {
        path.name: path.read_bytes() for path in (traffic.server.data_folder / "keys").glob("*.key")
    }
    jwk = json.loads((traffic.server.data_folder / "keys" / "sandbox-issuer.jwk.json").read_text())
    keys["private key"] = (jwk["keys"][0] if "keys" in jwk else jwk)["d"]
    return Scanner(CANARIES | tokens | keys)


RUNS = [
    *(("sqlite", level, "text" if level == "info" else "json") for level in LEVELS),
    ("postgresql", "debug", "json"),
]


@pytest.mark.parametrize(("dialect", "level", "form"), RUNS)
def test_tf_150_no_canary_in_what_the_server_writes(
    request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path, dialect: str, level: str, form: str
) -> None:
    settings = {"DMP_FHIR_LOG_LEVEL": level, "DMP_FHIR_LOG_FORM": form}
    with serving(request, dialect, tmp_path, key_folder, **settings) as traffic:
        address = traffic.normal()
        traffic.refused(address)
        traffic.faulty(address)
        traffic.aborted()
        root = traffic.server.base_url.removesuffix("/fhir")
        shown = [
            requests.get(f"{root}/metrics", headers={"Authorization": f"Bearer {SECRET}"}, timeout=30).content,
            requests.get(f"{root}/health/live", timeout=30).content,
            requests.get(f"{root}/health/ready", timeout=30).content,
        ]
        scanner = scanner_of(traffic)
        found = [each for content in shown for each in scanner.found_in(content, "metrics or health")]
        found += scanner.found_below(traffic.temporary)
    log = (traffic.server.data_folder / "server.log").read_bytes()
    found += scanner.found_in(log, "the log")
    tally.count("F", "canaries looked for", scanner.looked)
    tally.count("F", FOUND, len(found))
    assert found == []
    assert len(scanner.names) >= 30
    assert b"dmp_fhir_requests_total" in shown[0]
    lines = log.decode().splitlines()[1:]
    if form == "json":
        assert all(isinstance(json.loads(line), dict) for line in lines if line.startswith("{"))
    requests_logged = sum("dmp_fhir.access" in line for line in lines)
    assert (requests_logged > 40) == (level in ("debug", "info"))
    assert sum("fault" in line for line in lines) >= (0 if level == "critical" else 3)
    assert b"Traceback" not in log
    check_answers(traffic)


def check_answers(traffic: Traffic) -> None:
    """TF-152 and TF-155: no inner words in a refusal, no versions in headers."""
    for answer in traffic.answers:
        if answer.status_code >= 400:
            # What the client sent may be quoted, the canaries among it; nothing else.
            assert not INNER.search(answer.text), answer.text
            tally.count("F", "refusals scanned for inner words")
        assert not re.search(r"\d+\.\d+", answer.headers.get("Server", "")), answer.headers
        assert not {"X-Powered-By", "Via"} & set(answer.headers)
    assert {answer.status_code for answer in traffic.answers} >= {200, 201, 400, 401, 404, 405, 500}


UPLOADS = 100


def test_tf_158_nothing_is_left_of_uploads(request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path) -> None:
    """After 100 normal, refused, aborted and killed uploads each: no file but the documents that were stored, sealed,
    for the owner only; and the server leaves no core."""
    rates = {"DMP_FHIR_PERSON_RATE": "1000", "DMP_FHIR_CLIENT_RATE": "1000"}
    with serving(request, "sqlite", tmp_path, key_folder, **rates) as traffic:
        server, documents = traffic.server, traffic.server.data_folder / "documents"
        before = {path for path in documents.rglob("*") if path.is_file()}
        folders = {path for path in documents.rglob("*") if path.is_dir()}
        assert _soft_and_hard_core(server.process.pid) == {("0", "0")}
        with requests.Session() as session:
            session.headers.update(server.headers("dr-moreau") | JSON)
            for n in range(UPLOADS):
                normal = session.post(f"{server.base_url}/DocumentReference", json=traffic.document(f"normal {n}"))
                assert normal.status_code == 201, normal.text
                wrong = traffic.document(f"refused {n}")
                wrong["content"][0]["attachment"]["hash"] = "Y2FuYXJ5"
                assert session.post(f"{server.base_url}/DocumentReference", json=wrong).status_code == 422
        for _ in range(UPLOADS // len(SHARES)):
            traffic.aborted()
        time.sleep(0.2)
        made = [path for path in documents.rglob("*") if path.is_file() and path not in before]
        assert len(made) == UPLOADS
        assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
        assert {
            path.stat().st_mode & 0o777 for path in documents.rglob("*") if path not in folders and path.is_dir()
        } <= {0o700}
        assert list((documents / "tmp").iterdir()) == []
        with ExitStack() as open_ones:
            for n in range(UPLOADS):
                open_ones.enter_context(traffic.upload(SHARES[n % len(SHARES)]))
            time.sleep(0.2)
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(20)
        assert list((documents / "tmp").iterdir()) == []
        scanner = Scanner(CANARIES)
        found = scanner.found_below(traffic.temporary) + scanner.found_below(documents)
        assert found == []
        assert not [path for folder in (Path.cwd(), server.data_folder) for path in folder.glob("core*")]
        tally.count("F", "uploads, of four kinds", 4 * UPLOADS)
        tally.count("F", FOUND, len(found))


def _soft_and_hard_core(process: int) -> set[tuple[str, str]]:
    """The limits of the size of a core file, of a server and its workers."""
    group = [path for path in Path("/proc").glob("[0-9]*/stat") if _group_of(path) == process]
    lines = [(path.parent / "limits").read_text().splitlines() for path in group]
    return {tuple(line.split()[4:6]) for each in lines for line in each if line.startswith("Max core")}  # type: ignore[misc]


def _group_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[2])
    except OSError:
        return 0


def test_tf_157_messages_say_nothing_of_a_person(
    request: pytest.FixtureRequest, tmp_path: Path, key_folder: Path
) -> None:
    with serving(request, "sqlite", tmp_path, key_folder) as traffic:
        traffic.normal()
        server = traffic.server
        environment = os.environ | {"DMP_FHIR_DATA": str(server.data_folder), "DATABASE_URL": server.database_url}
        command = [Path(sys.executable).with_name("dmp-fhir"), "jobs", "run"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        messages = [json.loads(path.read_bytes()) for path in (server.data_folder / "outbox").glob("*.json")]
    assert len(messages) > 10
    scanner = Scanner(CANARIES)
    for message in messages:
        assert (message["fr"], message["en"]) == TEXTS[message["kind"]]
        assert scanner.found_in((message["fr"] + message["en"]).encode(), "a message") == []
    tally.count("F", "messages read", len(messages))


@pytest.mark.parametrize("value", ["Canari-titre-7f3aé", "274036912390153", bytes(range(32))])
def test_the_scanner_finds_every_form(value: str | bytes) -> None:
    scanner = Scanner({"it": value})
    raw = value if isinstance(value, bytes) else value.encode()
    for encoding, each in forms(value).items():
        for form in each:
            assert f"it ({encoding}) in x" in scanner.found_in(b"before " + form + b" after", "x")
    for shift in range(3):
        assert scanner.found_in(b64encode(b"x" * shift + raw + b"tail"), "x")
    assert scanner.found_in(b"something else", "x") == []
