"""TLS that ends here, with real handshakes: old protocols, bad certificates, and what a certificate opens (TF-068,
TF-072, TF-074, TF-075, TF-076)."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from dmp_fhir.cli.tls import tls_context
from dmp_fhir.identity.sandbox import Sandbox, claims_of, personas
from dmp_fhir.instants import system_clock
from dmp_fhir.store.database import Database
from tests.readme.tour import ROOT
from tests.support import tally
from tests.support.pki import SERVER, Authority, Issued
from tests.support.server import free_port, world_server

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
STRUCTURE = "1990000044"
SECONDS = 10


@dataclass
class Fortress:
    """A server process that ends TLS itself, its authorities, and files that tests may change."""

    folder: Path
    port: int
    now: int
    authority: Authority
    server_authority: Authority
    database_url: str = ""
    clients: list[dict[str, Any]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"https://localhost:{self.port}/fhir"

    def write(self, name: str, data: bytes) -> None:
        """Replaced whole, as an operator should."""
        draft = self.folder / f"{name}.draft"
        draft.write_bytes(data)
        draft.rename(self.folder / name)

    def write_clients(self) -> None:
        self.write("clients.json", json.dumps(self.clients).encode())

    def certificate(self, issued: Issued) -> tuple[str, str]:
        certificate, key = issued.write(self.folder, f"client-{issued.thumbprint[:12]}")
        return str(certificate), str(key)

    def ask(
        self, method: str, path: str, issued: Issued | None = None, *, token: str | None = None, **how: Any
    ) -> requests.Response:
        headers = how.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return requests.request(
            method,
            f"{self.base_url}/{path}",
            headers=headers,
            verify=str(self.folder / "server-ca.pem"),
            cert=self.certificate(issued) if issued else None,
            timeout=SECONDS,
            **how,
        )

    def token(self, persona: str = "dr-moreau", **claims: Any) -> str:
        sandbox = Sandbox(self.folder / "keys")
        return sandbox.sign(claims_of(personas()[persona], now_ms=system_clock()) | claims)

    def last_event(self) -> tuple[Any, ...]:
        database = Database.open(self.database_url)
        try:
            with database.snapshot() as reader:
                return reader.row("SELECT outcome, agent_id FROM audit_event ORDER BY id DESC LIMIT 1") or ()
        finally:
            database.close()


@pytest.fixture(scope="module")
def fortress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder, now = tmp_path_factory.mktemp("fortress"), system_clock()
    found = Fortress(folder, free_port(), now, Authority("Clients", now), Authority("Serveurs", now))
    found.write("server-ca.pem", found.server_authority.pem)
    found.write("clients-ca.pem", found.authority.pem)
    found.write("lists.crl", found.authority.revocations())
    certificate, key = found.server_authority.issue("localhost", usage=(SERVER,), server_name="localhost").write(
        folder, "server"
    )
    found.clients = [{"client_id": "dmp-fhir-sandbox", "name": "Bac à sable"}]
    found.write_clients()
    options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    options += ["--client-ca", str(folder / "clients-ca.pem"), "--crl", str(folder / "lists.crl")]
    settings = {
        "DMP_FHIR_BASE_URL": found.base_url,
        "DMP_FHIR_CLIENTS": str(folder / "clients.json"),
        "DMP_FHIR_BOUND_TOKENS": "software",
        "DMP_FHIR_PROXIES": "192.0.2.1",
    }
    authority = str(folder / "server-ca.pem")
    with world_server(request, "sqlite", folder, options=options, authority=authority, **settings) as server:
        found.database_url = server.database_url
        yield found
    assert "Traceback" not in (folder / "server.log").read_text(errors="replace")


# --- TF-074 -------------------------------------------------------------------------------------------


def _hello(version: int, suites: tuple[int, ...], compressions: bytes = b"\0") -> bytes:
    """A ClientHello of any version with any suites, which no library would send any more."""

    def extension(kind: int, data: bytes) -> bytes:
        return struct.pack("!HH", kind, len(data)) + data

    groups = struct.pack("!HHHH", 6, 0x0017, 0x0018, 0x001D)
    signatures = struct.pack("!HHHHHH", 10, 0x0403, 0x0804, 0x0401, 0x0203, 0x0201)
    extensions = extension(10, groups) + extension(11, b"\x01\x00") + extension(13, signatures)
    body = struct.pack("!H", version) + os.urandom(32) + b"\0" + struct.pack("!H", 2 * len(suites))
    body += b"".join(struct.pack("!H", suite) for suite in suites) + bytes([len(compressions)]) + compressions
    body += struct.pack("!H", len(extensions)) + extensions if version > 0x0300 else b""
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + struct.pack("!HH", min(version, 0x0301), len(handshake)) + handshake


def _answers(port: int, hello: bytes) -> bool:
    """Whether the server answers with a ServerHello."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(hello)
        try:
            found = connection.recv(6)
        except ConnectionResetError:
            return False
    return found[:1] == b"\x16" and found[5:6] == b"\x02"


GOOD = (0xC02B, 0xC02C, 0xCCA9)  # ECDHE-ECDSA with AES-GCM or ChaCha20
OLD = {
    "SSL 3.0": (0x0300, (*GOOD, 0xC009, 0x002F, 0x000A)),
    "TLS 1.0": (0x0301, (*GOOD, 0xC009, 0xC00A, 0xC013, 0x002F)),
    "TLS 1.1": (0x0302, (*GOOD, 0xC009, 0xC00A, 0xC013, 0x002F)),
    "static RSA": (0x0303, (0x009C, 0x009D, 0x003C, 0x002F, 0x0035)),
    "static ECDH": (0x0303, (0xC02D, 0xC02E, 0xC004, 0xC005)),
    "CBC with SHA-1": (0x0303, (0xC009, 0xC00A, 0xC013, 0xC014)),
    "CBC with SHA-256": (0x0303, (0xC023, 0xC024, 0xC027, 0xC028)),
    "RC4": (0x0303, (0xC007, 0xC011, 0x0004, 0x0005)),
    "3DES": (0x0303, (0xC008, 0xC012, 0x0016, 0x000A)),
    "no encryption": (0x0303, (0xC006, 0xC010, 0x0001, 0x0002, 0x003B)),
    "anonymous": (0x0303, (0xC018, 0xC019, 0x0034, 0x006C, 0x00A6)),
    "export": (0x0303, (0x0003, 0x0006, 0x0008, 0x0011, 0x0014)),
    "DSS": (0x0303, (0x0032, 0x0038, 0x0040, 0x00A2)),
    "CCM-8": (0x0303, (0xC0AE, 0xC0AF, 0xC0A0, 0xC0A1)),
}


@pytest.mark.parametrize("name", OLD)
def test_old_protocols_and_weak_suites(fortress: Fortress, name: str) -> None:
    accepted = _answers(fortress.port, _hello(*OLD[name]))
    tally.count("B", "weak handshakes tried")
    tally.count("B", "weak handshakes accepted", int(accepted))
    assert not accepted


def test_the_same_hello_with_a_good_suite_is_answered(fortress: Fortress) -> None:
    assert _answers(fortress.port, _hello(0x0303, GOOD))
    assert _answers(fortress.port, _hello(0x0303, GOOD, b"\x01\x00"))  # compression offered, and not taken


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_forward_secrecy(fortress: Fortress, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(fortress.folder / "server-ca.pem"))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", fortress.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0].startswith(("ECDHE-", "TLS_"))
        assert connection.compression() is None
        assert connection.session is None or not connection.session.has_ticket


def test_no_renegotiation_no_tickets(fortress: Fortress) -> None:
    files = [str(fortress.folder / name) for name in ("server.pem", "server.key", "clients-ca.pem")]
    context = tls_context(*files)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0


def test_https_is_for_good(fortress: Fortress) -> None:
    found = fortress.ask("GET", "metadata")
    assert found.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert fortress.ask("GET", "Patient").headers["Strict-Transport-Security"] == "max-age=31536000"


# --- TF-072, TF-073 ------------------------------------------------------------------------------------


def handshake_refused(fortress: Fortress, issued: Issued) -> None:
    tally.count("B", "bad certificates tried")
    tally.count("B", "bad certificates accepted", 0)
    try:
        found = fortress.ask("GET", "metadata", issued)
    except (requests.exceptions.SSLError, requests.ConnectionError):
        return
    tally.count("B", "bad certificates accepted")
    pytest.fail(f"answered {found.status_code}")


@pytest.mark.parametrize(
    "name", ["self-signed", "other authority", "expired", "not yet valid", "server only", "intermediate missing"]
)
def test_certificates_that_end_the_handshake(fortress: Fortress, name: str) -> None:
    own, now = fortress.authority, fortress.now
    bad = {
        "self-signed": lambda: Authority("x", now).issue("x"),
        "other authority": lambda: Authority("Clients", now).issue("x"),
        "expired": lambda: own.issue("x", days=(-9, -1)),
        "not yet valid": lambda: own.issue("x", days=(1, 9)),
        "server only": lambda: own.issue("x", usage=(SERVER,)),
        "intermediate missing": lambda: Authority("Fille", now, own).issue("x"),
    }
    handshake_refused(fortress, bad[name]())


def refused(fortress: Fortress, found: requests.Response, *statuses: int, traced: bool = True) -> dict[str, Any]:
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", int(found.status_code < 400))
    assert found.status_code in statuses, found.text
    tree: dict[str, Any] = found.json()
    assert tree["resourceType"] == "OperationOutcome"
    if found.status_code == 401:
        assert found.headers["WWW-Authenticate"].startswith("Bearer ")
    if traced:
        assert fortress.last_event()[0] == "4"
    return tree


def test_without_certificate(fortress: Fortress) -> None:
    assert fortress.ask("GET", "metadata").status_code == 200
    refused(fortress, fortress.ask("GET", "Patient"), 401)
    refused(fortress, fortress.ask("GET", f"Patient?identifier={CLAIRE}", token=fortress.token()), 401)


def test_revoked_then_stale_then_good_again(fortress: Fortress) -> None:
    """Lists are followed without a restart (within two seconds)."""
    issued = fortress.authority.issue("lps")
    bound = fortress.token(cnf={"x5t#S256": issued.thumbprint})
    path = f"Patient?identifier={CLAIRE}"
    assert fortress.ask("GET", path, issued, token=bound).status_code == 200
    try:
        for pem, told in (
            (fortress.authority.revocations(issued), "revoked"),
            (fortress.authority.revocations(days=(-9, -1)), "stale"),
        ):
            fortress.write("lists.crl", pem)
            time.sleep(2.1)
            assert told in str(refused(fortress, fortress.ask("GET", path, issued, token=bound), 401))
    finally:
        fortress.write("lists.crl", fortress.authority.revocations())
        time.sleep(2.1)
    assert fortress.ask("GET", path, issued, token=bound).status_code == 200


def test_bound_tokens(fortress: Fortress) -> None:
    own, other = fortress.authority.issue("lps"), fortress.authority.issue("other")
    bound, path = fortress.token(cnf={"x5t#S256": own.thumbprint}), f"Patient?identifier={CLAIRE}"
    assert fortress.ask("GET", path, own, token=bound).status_code == 200
    refused(fortress, fortress.ask("GET", path, other, token=bound), 401)
    refused(fortress, fortress.ask("GET", path, token=bound), 401)
    refused(fortress, fortress.ask("GET", path, own, token=fortress.token()), 401)  # not bound


def test_headers_of_a_proxy_from_elsewhere(fortress: Fortress) -> None:
    own = fortress.authority.issue("lps")
    bound = fortress.token(cnf={"x5t#S256": own.thumbprint})
    pem = requests.utils.quote(own.pem.decode())
    for name in ("ClientCert", "clientcert", "Client-Cert", "Client_Cert", "SSL-Client-Cert", "X-SSL-Client-Cert"):
        refused(fortress, fortress.ask("GET", "Patient", token=bound, headers={name: pem}), 401)


def test_certificates_are_renewed_without_a_cut(fortress: Fortress) -> None:
    """TF-249: the server's certificate and a further authority of clients are followed without a restart; a request
    under way and a pair of files that don't go together change nothing."""
    path = f"Patient?identifier={CLAIRE}"
    following = Authority("Clients suivants", fortress.now)
    issued = following.issue("lps")
    bound = fortress.token(cnf={"x5t#S256": issued.thumbprint})
    before = _served_certificate(fortress)
    kept = requests.Session()
    still = {"url": f"{fortress.base_url}/metadata", "verify": str(fortress.folder / "server-ca.pem")}
    assert kept.get(**still, timeout=SECONDS).status_code == 200
    handshake_refused(fortress, issued)
    renewed = fortress.server_authority.issue("localhost", usage=(SERVER,), server_name="localhost")
    draft = fortress.folder / "renewed"
    draft.mkdir()
    certificate, key = renewed.write(draft, "server")
    fortress.write("clients-ca.pem", fortress.authority.pem + following.pem)
    fortress.write("lists.crl", fortress.authority.revocations() + following.revocations())
    fortress.write("server.pem", certificate.read_bytes())
    time.sleep(2.1)
    assert _served_certificate(fortress) == before  # the key is still the old one
    fortress.write("server.key", key.read_bytes())
    time.sleep(2.1)
    assert _served_certificate(fortress) == renewed.der != before
    assert fortress.ask("GET", path, issued, token=bound).status_code == 200
    other = fortress.authority.issue("other")
    token = fortress.token(cnf={"x5t#S256": other.thumbprint})
    assert fortress.ask("GET", path, other, token=token).status_code == 200
    assert kept.get(**still, timeout=SECONDS).status_code == 200
    kept.close()


def _served_certificate(fortress: Fortress) -> bytes | None:
    context = ssl.create_default_context(cafile=str(fortress.folder / "server-ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", fortress.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.getpeercert(binary_form=True)


# --- TF-075, TF-076 ------------------------------------------------------------------------------------


def test_the_account_of_a_structure_feeds_and_reads_nothing(fortress: Fortress) -> None:
    issued = fortress.authority.issue("dmp.msp-tilleuls.example")
    account = {"client_id": "msp", "name": "Maison de santé des Tilleuls", "structure": STRUCTURE, "account": True}
    fortress.clients.append(account | {"certificates": [issued.fingerprint]})
    fortress.write_clients()
    kind = {"Content-Type": "application/fhir+json"}
    body = (ROOT / "fixtures" / "tour" / "publish-simple.json").read_bytes()
    posted = fortress.ask("POST", "DocumentReference", issued, data=body, headers=kind)
    assert posted.status_code == 201, posted.text
    database = Database.open(fortress.database_url)
    with database.snapshot() as reader:
        row = reader.row(
            "SELECT agent_category, agent_id, outcome FROM audit_event WHERE action = 'C' ORDER BY id DESC"
        )
    database.close()
    assert row == ("STRUCTURE", STRUCTURE, "0")
    document = posted.headers["Location"].partition("/_history")[0].rpartition("/fhir/")[2]
    asked = [
        (f"DocumentReference?patient.identifier={CLAIRE}", {}),
        (f"DocumentReference?patient.identifier={CLAIRE}", {"X-User": "899700000112", "From": "899700000112"}),
        (document, {"X-Practitioner": "899700000112", "Situation-Exercice": STRUCTURE}),
        (f"{document}/_history", {}),
    ]
    for path, headers in asked:
        found = fortress.ask("GET", path, issued, headers=headers)
        tally.count("B", "bad tokens tried")
        tally.count("B", "accepted", int(found.status_code == 200 and bool(found.json().get("total"))))
        assert found.status_code in (403, 404) or found.json()["total"] == 0, (path, found.text)
    # A person's token does not make the structure a person.
    refused(fortress, fortress.ask("GET", "Patient", issued, token=fortress.token(client_id="msp")), 401)
    fortress.clients[-1]["disabled"] = True
    fortress.write_clients()
    text = str(refused(fortress, fortress.ask("POST", "DocumentReference", issued, data=body, headers=kind), 403))
    assert "274036912390153" not in text
    assert "Martin" not in text


# --- TF-112, TF-113, TF-117: the other HTTP server, with a second request hidden in the first -------------------

HIDDEN = b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": (
        b"Content-Length: %d\r\nTransfer-Encoding: chunked" % (5 + len(HIDDEN)),
        b"0\r\n\r\n" + HIDDEN,
    ),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: %d" % len(HIDDEN), HIDDEN),
    "a length with a sign": (b"Content-Length: +0", HIDDEN),
    "a length in words": (b"Content-Length: zero", HIDDEN),
    "unknown coding": (b"Transfer-Encoding: xchunked", b"0\r\n\r\n" + HIDDEN),
    "coding with a tab": (b"Transfer-Encoding:\tchunked, identity", b"0\r\n\r\n" + HIDDEN),
    "a blank before the colon": (b"Content-Length : 0", HIDDEN),
    "a folded header": (b"X-A: 1\r\n folded", HIDDEN),
    "a NUL": (b"X-A: a\x00b", HIDDEN),
    "a bare CR": (b"X-A: a\rContent-Length: 0", HIDDEN),
    "too long a header": (b"X-A: " + b"a" * 20_000, b""),
    "too many headers": (b"\r\n".join(b"X-%d: 1" % number for number in range(300)), b""),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_requests_are_refused_once(fortress: Fortress, name: str) -> None:
    lines, body = AMBIGUOUS[name]
    context = ssl.create_default_context(cafile=str(fortress.folder / "server-ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", fortress.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=True) as connection,
    ):
        connection.sendall(b"POST /fhir/Patient/_search HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n\r\n" + body)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except (ConnectionResetError, TimeoutError):
            pass
    tally.tried("B")
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert answer == b"" or answer.split()[1] in (b"400", b"401", b"413", b"431", b"501"), answer
    assert b"CapabilityStatement" not in answer
