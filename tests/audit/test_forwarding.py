"""Forwarding to an ATNA repository: over TLS, in order, at least once, never blocking."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from dmp_fhir.audit import log
from dmp_fhir.audit.acts import Act
from dmp_fhir.audit.forwarding import BATCH, FILE_NAME, Forwarded, Repository, forward
from dmp_fhir.store.database import Database

NOW = 1_790_000_000_000


class Atna:
    """A repository: takes batches of AuditEvents from a client with a certificate. `most` it takes per batch;
    `lose` answers 503 after having stored."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.most = BATCH
        self.lose = False
        self.tokens: set[str | None] = set()

    def take(self, tree: dict, token: str | None) -> tuple[int, dict]:  # type: ignore[type-arg]
        self.tokens.add(token)
        assert (tree["resourceType"], tree["type"]) == ("Bundle", "batch")
        statuses = []
        for n, entry in enumerate(tree["entry"]):
            assert entry["request"] == {"method": "POST", "url": "AuditEvent"}
            assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"
            if n < self.most:
                self.ids.append(entry["resource"]["id"])
            statuses.append("201 Created" if n < self.most else "422 Unprocessable Entity")
        entries = [{"response": {"status": status}} for status in statuses]
        return (503 if self.lose else 200), {"resourceType": "Bundle", "type": "batch-response", "entry": entries}


@pytest.fixture
def atna() -> Atna:
    return Atna()


@pytest.fixture
def repository(atna: Atna, tmp_path: Path) -> Iterator[Repository]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = atna.take(json.loads(body), self.headers["Authorization"])
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    ca, pair = tmp_path / "ca.pem", tmp_path / "node.pem"
    authority.cert_pem.write_to_path(ca)
    node = authority.issue_cert("registry.example")
    node.private_key_and_cert_chain_pem.write_to_path(pair)
    yield Repository(f"https://127.0.0.1:{server.server_address[1]}/fhir", ca, pair, "repository-token")
    server.shutdown()
    server.server_close()
    thread.join()


def fill(database: Database, number: int) -> list[str]:
    acts = [Act("read", "R", record_id=f"r{n % 3}", entities=(("Patient", f"r{n % 3}", 1),)) for n in range(number)]
    return database.write(lambda tx: log.append_many(tx, acts, None, NOW))


def test_everything_is_forwarded_once_in_order(
    database: Database, repository: Repository, atna: Atna, tmp_path: Path
) -> None:
    made = fill(database, BATCH + 7)
    folder = tmp_path / "data"
    assert forward(database, repository, folder) == Forwarded(BATCH + 7, 0)
    assert atna.ids == made
    assert forward(database, repository, folder) == Forwarded(0, 0)
    made += fill(database, 3)
    assert str(forward(database, repository, folder)) == "forwarded 3, waiting 0"
    assert atna.ids == made
    assert atna.tokens == {"Bearer repository-token"}
    assert (folder / FILE_NAME).stat().st_mode & 0o077 == 0


def test_what_is_refused_or_lost_is_sent_again(
    database: Database, repository: Repository, atna: Atna, tmp_path: Path
) -> None:
    made = fill(database, 10)
    atna.most = 4
    assert forward(database, repository, tmp_path) == Forwarded(4, 6)
    atna.lose, atna.most = True, BATCH
    assert forward(database, repository, tmp_path) == Forwarded(0, 6)
    atna.lose = False
    assert forward(database, repository, tmp_path) == Forwarded(6, 0)
    assert set(atna.ids) == set(made)
    assert atna.ids[:4] + atna.ids[10:] == made  # the six whose answer was lost came twice


def test_a_repository_that_is_away_blocks_nothing(database: Database, tmp_path: Path) -> None:
    made = fill(database, 5)
    away = Repository("https://127.0.0.1:9/fhir")
    assert forward(database, away, tmp_path) == Forwarded(0, 5)
    assert fill(database, 1)[0] not in made


def test_too_many_that_wait_are_an_alert(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dmp_fhir.audit.forwarding.MOST_WAITING", 6)
    away = Repository("https://127.0.0.1:9/fhir")
    fill(database, 6)
    with caplog.at_level(logging.CRITICAL, "dmp_fhir.alert"):
        assert forward(database, away, tmp_path) == Forwarded(0, 6)
        assert caplog.messages == []
        fill(database, 1)
        assert forward(database, away, tmp_path) == Forwarded(0, 7)
    assert caplog.messages == ["7 events wait for the audit repository"]


def test_a_stranger_gets_nothing(database: Database, repository: Repository, atna: Atna, tmp_path: Path) -> None:
    """Neither a repository that no authority vouches for, nor one that we show no certificate to."""
    fill(database, 2)
    untrusted = Repository(repository.address, None, repository.certificate)
    assert forward(database, untrusted, tmp_path) == Forwarded(0, 2)
    unknown = Repository(repository.address, repository.authorities)
    assert forward(database, unknown, tmp_path) == Forwarded(0, 2)
    assert atna.ids == []
