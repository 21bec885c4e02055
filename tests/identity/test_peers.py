"""Headers of a proxy count from that proxy only (TF-073)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from flask.testing import FlaskClient

from dmp_fhir.identity import setup
from dmp_fhir.identity.certificates import CertificateChecker
from dmp_fhir.identity.peers import Peers, networks
from dmp_fhir.identity.sandbox import Sandbox, claims_of, personas
from dmp_fhir.instants import system_clock
from dmp_fhir.outcome import Refused
from dmp_fhir.settings import BadSetting, Settings
from dmp_fhir.store.bodies import event_place, open_body
from dmp_fhir.store.database import Database
from dmp_fhir.wire.json import parse_json
from tests.support import tally
from tests.support.pki import Authority, Issued
from tests.support.server import START, LiveServer, MakeApp, world_server

CLAIRE = "urn:oid:1.2.250.1.213.1.4.10|274036912390153"
AUTHORITY = Authority("Clients", START)
OWN, OTHER = AUTHORITY.issue("lps"), AUTHORITY.issue("other")


def pem(issued: Issued) -> str:
    """As nginx writes $ssl_client_escaped_cert."""
    return quote(issued.pem.decode())


def sequence(issued: Issued) -> str:
    """As RFC 9440 writes it."""
    return f":{b64encode(issued.der).decode()}:"


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    checker = CertificateChecker(tmp_path / "ca.pem", None, lambda: START)
    return Peers(checker, networks("192.0.2.1, 198.51.100.0/24,2001:db8::/64"))


@pytest.mark.parametrize("proxy", ["192.0.2.1", "198.51.100.77", "2001:db8::9", "::ffff:192.0.2.1"])
@pytest.mark.parametrize("form", [pem, sequence])
def test_from_the_proxy(peers: Peers, proxy: str, form: Any) -> None:
    environ = {"REMOTE_ADDR": proxy, "HTTP_CLIENTCERT": form(OWN), "HTTP_CLIENTADDRESS": "203.0.113.9"}
    found = peers.certificate(environ)
    assert found is not None
    assert found.thumbprint == OWN.thumbprint
    assert peers.origin(environ) == "203.0.113.9"


@pytest.mark.parametrize("stranger", ["192.0.2.2", "198.51.101.1", "2001:db8:1::9", "", None, "unix:", "localhost"])
def test_from_anybody_else(peers: Peers, stranger: str | None) -> None:
    environ = {"REMOTE_ADDR": stranger, "HTTP_CLIENTCERT": pem(OWN), "HTTP_CLIENTADDRESS": "203.0.113.9"}
    assert peers.certificate(environ) is None
    assert peers.origin(environ) == stranger


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "::",
        ":AAAA:",
        ":!!!!:",
        pem(OWN)[:-40],
        pem(OWN) + "," + pem(OWN),
        sequence(OWN) + "," + sequence(OTHER),
        sequence(OWN)[:-1],
        pem(OWN) + pem(OTHER),
        OWN.pem.decode().replace("CERTIFICATE", "PRIVATE KEY"),
        "a" * 100_000,
        "%00",
    ],
    ids=map(str, range(12)),
)
def test_what_a_proxy_can_t_mean(peers: Peers, text: str) -> None:
    tally.count("B", "bad certificates tried")
    tally.count("B", "bad certificates accepted", 0)
    with pytest.raises(Refused) as caught:
        peers.certificate({"REMOTE_ADDR": "192.0.2.1", "HTTP_CLIENTCERT": text})
    assert caught.value.refusal.status == 401


def test_a_bad_certificate_by_the_proxy(peers: Peers) -> None:
    for issued in (Authority("Autre", START).issue("x"), AUTHORITY.issue("x", days=(-9, -1))):
        with pytest.raises(Refused):
            peers.certificate({"REMOTE_ADDR": "192.0.2.1", "HTTP_CLIENTCERT": pem(issued)})


@pytest.mark.parametrize("text", ["", " ", "-", "unknown", "203.0.113.9, 203.0.113.8", "203.0.113.9:443", "<x>", "٢"])
def test_an_address_that_is_none_is_the_proxy_s(peers: Peers, text: str) -> None:
    assert peers.origin({"REMOTE_ADDR": "192.0.2.1", "HTTP_CLIENTADDRESS": text}) == "192.0.2.1"


def test_no_certificate_is_none(peers: Peers) -> None:
    assert peers.certificate({"REMOTE_ADDR": "192.0.2.1"}) is None
    assert peers.certificate({"REMOTE_ADDR": "192.0.2.1", "HTTP_CLIENTCERT": ""}) is None
    assert Peers().certificate({"REMOTE_ADDR": "192.0.2.1", "HTTP_CLIENTCERT": pem(OWN)}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"certificate_header": "Client-Cert"},
        {"certificate_header": "Client_Cert"},
        {"origin_header": "X-Forwarded-For"},
        {"origin_header": ""},
        {"proxies": "proxy.example"},
        {"proxies": "192.0.2.1/8"},
        {"client_ca": "/nowhere/ca.pem"},
        {"tls_certificate": "/nowhere/server.pem"},
        {"clients_file": "/nowhere/clients.json"},
        {"issuers_file": "/nowhere/issuers.json"},
    ],
    ids=str,
)
def test_settings_that_stop_the_start(tmp_path: Path, change: dict[str, str]) -> None:
    settings = Settings(data_folder=tmp_path, **change)
    with pytest.raises(BadSetting, match="DMP_FHIR_"):
        setup.peers(settings, lambda: START), setup.verifier(settings, lambda: START, nullcontext)


# --- through the endpoint --------------------------------------------------------------------------------


@pytest.fixture
def behind(make_app: MakeApp, seeded_url: str, tmp_path: Path) -> FlaskClient:
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    settings = {"client_ca": str(tmp_path / "ca.pem"), "proxies": "192.0.2.1", "bound_tokens": "software"}
    return make_app(seeded_url, **settings).test_client()


def bound(key_folder: Path, now: int = START) -> dict[str, str]:
    tree = claims_of(personas()["dr-moreau"], now_ms=now) | {"cnf": {"x5t#S256": OWN.thumbprint}}
    return {"Authorization": f"Bearer {Sandbox(key_folder).sign(tree)}"}


def ask(client: FlaskClient, address: str, headers: dict[str, str]) -> Any:
    path = f"/fhir/Patient?identifier={CLAIRE}"
    return client.get(path, headers=headers, environ_base={"REMOTE_ADDR": address})


def test_a_bound_token_through_the_proxy(behind: FlaskClient, key_folder: Path) -> None:
    headers = bound(key_folder) | {"ClientCert": pem(OWN), "ClientAddress": "203.0.113.9"}
    headers |= {"X-Forwarded-For": "198.18.0.1", "Forwarded": "for=198.18.0.2"}
    assert ask(behind, "192.0.2.1", headers).status_code == 200
    services: Any = behind.application.extensions["dmp_fhir"]
    with services.database.snapshot() as reader:
        record_id, name, body = reader.row("SELECT record_id, id, body FROM audit_event ORDER BY id DESC LIMIT 1")
        event = parse_json(open_body(reader.keys, record_id, event_place(record_id, name), body))
    addresses = [agent["network"]["address"] for agent in event["agent"] if "network" in agent]
    assert addresses[0] == "203.0.113.9"
    assert ask(behind, "192.0.2.1", headers | {"ClientCert": pem(OTHER)}).status_code == 401
    assert ask(behind, "192.0.2.1", headers | {"ClientCert": ""}).status_code == 401


SPELLINGS = [
    "ClientCert", "clientcert", "CLIENTCERT", "Client-Cert", "Client_Cert", "client_cert", "X-Client-Cert",
    "X_Client_Cert", "SSL-Client-Cert", "SSL_CLIENT_CERT", "X-SSL-Client-Cert", "X-SSL-CERT", "X-ARR-ClientCert",
    "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "HTTP_CLIENTCERT", "gunicorn.socket",
]  # fmt: skip


@pytest.fixture(scope="module")
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server process whose proxy is elsewhere: whoever reaches its port is a stranger."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "ca.pem").write_bytes(Authority("Clients", system_clock()).pem)
    settings = {
        "DMP_FHIR_CLIENT_CA": str(folder / "ca.pem"),
        "DMP_FHIR_PROXIES": "192.0.2.1",
        "DMP_FHIR_BOUND_TOKENS": "software",
    }
    with world_server(request, "sqlite", folder, **settings) as server:
        yield server


def test_every_spelling_straight_to_the_port(straight: LiveServer, key_folder: Path) -> None:
    token = bound(key_folder, system_clock())
    tally.count("B", "accepted", 0)
    for name in SPELLINGS:
        for value in (pem(OWN), sequence(OWN)):
            more = {name: value, "X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": "192.0.2.1"}
            more |= {"ClientAddress": "203.0.113.9", "X-Real-IP": "192.0.2.1", "Remote-Addr": "192.0.2.1"}
            found = requests.get(f"{straight.base_url}/Patient?identifier={CLAIRE}", headers=token | more, timeout=10)
            tally.count("B", "bad tokens tried")
            tally.count("B", "accepted", int(found.status_code < 400))
            assert found.status_code == 401, name
    database = Database.open(straight.database_url)
    with database.snapshot() as reader:
        (refusals,) = reader.row("SELECT COUNT(*) FROM audit_event WHERE outcome = '4' AND agent_id = ''") or (0,)
    database.close()
    assert refusals >= 2 * len(SPELLINGS)
