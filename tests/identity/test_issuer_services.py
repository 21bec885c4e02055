"""What is asked of issuers: their keys, whether a token is still good, who its holder is. Real HTTPS servers on this
machine play them, well and badly (TF-061, TF-062, TF-070, TF-071)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from dmp_fhir.identity.issuers import trusted_issuers
from dmp_fhir.identity.sandbox import Sandbox, claims_of, personas
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.outcome import Refusal, Refused
from tests.identity.test_pro_sante_connect import CABINET, HOSPITAL, userinfo
from tests.support import tally
from tests.support.pki import Authority
from tests.support.server import START, MakeApp
from tests.support.services import Asked, Handler, Service, sends, serving
from tests.support.tokens import segment

NOW = 1_790_000_000_000
SECONDS = 20
ISSUER, AUDIENCE = "https://issuer.test.example", "https://registry.test.example/fhir"
KEYS = {kid: ECKey.generate_key("P-256", private=True) for kid in ("k1", "k2")}


def public(of: str, **more: Any) -> dict[str, Any]:
    return {**KEYS[of].as_dict(private=False), "kid": of, "alg": "ES256", "use": "sig"} | more


def claims(**changes: Any) -> dict[str, Any]:
    return claims_of(personas()["dr-moreau"], now_ms=NOW, issuer=ISSUER, audience=AUDIENCE) | changes


def token(kid: str = "k1", *, key: str = "k1", **changes: Any) -> str:
    return jwt.encode({"alg": "ES256", "kid": kid}, claims(**changes), KEYS[key], algorithms=["ES256"])


class World:
    """An issuers' file of one entry, a verifier that reads it, and a clock to turn."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.folder = folder
        self.path = folder / "issuers.json"
        (folder / "secret").write_text("s3cret\n")
        self.waits = 0

    def clock(self) -> int:
        return self.now

    def verifier(self, **entry: Any) -> TokenVerifier:
        self.path.write_text(json.dumps([{"issuer": ISSUER, "audience": AUDIENCE} | entry]))
        return TokenVerifier(trusted_issuers(self.path, self.clock), self.clock)

    def introspecting(self, service: Service, **entry: Any) -> TokenVerifier:
        asked = {
            "url": service.url,
            "authority": service.authority,
            "client_id": "registry",
            "client_secret_file": "secret",
            "timeout_s": 1,
        }
        return self.verifier(introspection=asked | entry.pop("introspection", {}), **entry)

    def remote(self, service: Service, **entry: Any) -> TokenVerifier:
        entry = {"timeout_s": 1} | entry
        return self.verifier(jwks_uri=service.url, authority=service.authority, algorithms=["ES256"], **entry)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


Serve = Callable[..., Service]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(respond)`: a service under way until the test ends."""
    with ExitStack() as stack:

        def start(respond: Handler, **how: Any) -> Service:
            return stack.enter_context(serving(respond, tmp_path, **how))

        yield start


def refused(verifier: TokenVerifier, token: str, status: int = 401, **how: Any) -> Refusal:
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", 0)
    try:
        verifier.verify(f"Bearer {token}", **how)
    except Refused as caught:
        found = caught.refusal
        assert found.status == status, found
        headers = dict(found.headers)
        assert headers.keys() == ({"Retry-After"} if status == 503 else {"WWW-Authenticate"})
        return found
    tally.count("B", "accepted")
    pytest.fail("accepted")


# --- keys that are published -------------------------------------------------------------------------


def test_keys_are_fetched_once(world: World, serve: Serve) -> None:
    service = serve(sends({"keys": [public("k1")]}, kind="application/jwk-set+json"))
    verifier = world.remote(service)
    for _ in range(3):
        assert verifier.verify(f"Bearer {token()}").actor_id == "899700000112"
    assert [(asked.method, asked.path) for asked in service.asked] == [("GET", "/service")]


def test_a_thousand_unknown_kids_ask_once_in_an_interval(world: World, serve: Serve) -> None:
    """TF-062."""
    service = serve(sends({"keys": [public("k1")]}))
    verifier = world.remote(service)
    verifier.verify(f"Bearer {token()}")
    signed = token("unknown")
    _, payload, signature = signed.split(".")
    for number in range(1000):
        kid = segment({"alg": "ES256", "kid": f"kid-{number}"})
        refused(verifier, f"{kid}.{payload}.{signature}")
    assert len(service.asked) == 1  # within a minute of the first
    world.now += 60_000
    for number in range(100):
        kid = segment({"alg": "ES256", "kid": f"other-{number}"})
        refused(verifier, f"{kid}.{payload}.{signature}")
    assert len(service.asked) == 2
    assert verifier.verify(f"Bearer {token()}").issuer == ISSUER


def test_keys_change_without_a_restart(world: World, serve: Serve) -> None:
    service = serve(sends({"keys": [public("k1")]}))
    verifier = world.remote(service)
    verifier.verify(f"Bearer {token()}")
    service.respond = sends({"keys": [public("k2")]})
    new = token("k2", key="k2")
    refused(verifier, new)
    world.now += 60_000
    assert verifier.verify(f"Bearer {new}").issuer == ISSUER
    refused(verifier, token(jti="later"))  # k1 is not published any more


def test_keys_are_fetched_again_when_their_time_is_over(world: World, serve: Serve) -> None:
    service = serve(sends({"keys": [public("k1")]}))
    verifier = world.remote(service, jwks_lifetime_s=600)
    verifier.verify(f"Bearer {token()}")
    world.now += 600_000
    service.respond = sends({"keys": [public("k2")]})
    refused(verifier, token(jti="again"))
    assert len(service.asked) == 2


def test_the_last_good_keys_outlive_the_issuer_for_a_bounded_time(world: World, serve: Serve) -> None:
    service = serve(sends({"keys": [public("k1")]}))
    verifier = world.remote(service, jwks_keep_s=7200)
    verifier.verify(f"Bearer {token()}")
    service.respond = sends(b"", status=500)
    world.now += 7_199_000
    late = {"iat": world.now // 1000, "exp": world.now // 1000 + 60}
    assert verifier.verify(f"Bearer {token(jti='late', **late)}").issuer == ISSUER
    world.now += 1000
    refused(verifier, token(jti="too late", **late), 503)


def _drip(_asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    """One byte every now and then, for longer than anybody waits."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" * 3:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def _stall(_asked: Asked, _handler: BaseHTTPRequestHandler) -> None:
    time.sleep(4)


def _hang_up(_asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def _cut(_asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"active": true'
    )
    handler.close_connection = True


def faults(good: dict[str, Any]) -> dict[str, Handler]:
    """What a service can do wrong while it would have a good answer."""
    text = json.dumps(good).encode()
    return {
        "stall": _stall,
        "one byte at a time": _drip,
        "hang up": _hang_up,
        "cut": _cut,
        "500": sends(good, status=500),
        "503": sends(good, status=503),
        "401": sends(good, status=401),
        "201": sends(good, status=201),
        "204": sends(b"", status=204),
        "redirect": sends(good, status=307, Location="https://127.0.0.1:1/service"),
        "HTML": sends(b"<html>ok</html>", kind="text/html"),
        "JSON as HTML": sends(good, kind="text/html"),
        "truncated JSON": sends(text[:-2]),
        "empty": sends(b""),
        "list": sends([good]),
        "not UTF-8": sends(b"\xff" + text),
        "a name twice": sends(text[:-1] + b', "active": true, "active": true, "keys": [], "keys": []}'),
        "nested": sends(b'{"a":' * 20_000),
        "1 MB": sends({**good, "x": "x" * 1_000_000}),
        "compressed": sends(good, Content_Encoding="gzip"),
    }


NO_KEYS: dict[str, Handler] = {
    "no keys": sends({"keys": []}),
    "keys no list": sends({"keys": {"kid": "k1"}}),
    "secret keys": sends({"keys": [{"kty": "oct", "k": "AAAA", "kid": "k1", "alg": "HS256"}]}),
    "private keys": sends({"keys": [{**KEYS["k1"].as_dict(private=True), "kid": "k1", "alg": "ES256"}]}),
    "for encryption": sends({"keys": [public("k1", use="enc")]}),
    "another algorithm": sends(
        {"keys": [{**RSAKey.generate_key(2048).as_dict(private=False), "kid": "k1", "alg": "RS256"}]}
    ),
    "a kid twice": sends({"keys": [public("k1"), public("k2", kid="k1")]}),
    "too many": sends({"keys": [public("k1", kid=f"k{number}") for number in range(100)]}),
    "not keys": sends({"keys": ["k1", None, {"kty": "EC", "kid": "k1", "crv": "P-256", "x": 1, "y": 2}]}),
}


@pytest.mark.parametrize("name", [*faults({}), *NO_KEYS])
def test_a_first_fetch_of_keys_that_fails(world: World, serve: Serve, name: str) -> None:
    service = serve((faults({"keys": [public("k1")]}) | NO_KEYS)[name])
    verifier = world.remote(service)
    refused(verifier, token(), 503)
    service.respond = sends({"keys": [public("k1")]})
    refused(verifier, token(), 503)  # not asked again within the interval
    assert len(service.asked) == 1
    world.now += 60_000
    assert verifier.verify(f"Bearer {token()}").issuer == ISSUER


def test_a_key_set_of_everything_gives_the_usable_keys(world: World, serve: Serve) -> None:
    mixed = [public("k2", kid="enc", use="enc"), {"kty": "oct", "k": "AAAA", "kid": "s"}, public("k1"), {"kid": "x"}]
    verifier = world.remote(serve(sends({"keys": mixed})))
    assert verifier.verify(f"Bearer {token()}").issuer == ISSUER
    refused(verifier, token("enc", key="k2"))


def test_a_wrong_certificate_or_nobody_there(world: World, serve: Serve) -> None:
    refused(world.remote(serve(sends({"keys": [public("k1")]}), trusted=False)), token(), 503)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        service = Service(f"https://127.0.0.1:{closed.getsockname()[1]}/keys", serve(sends({})).authority, sends({}))
        refused(world.remote(service), token(), 503)


def test_a_service_that_stalls_holds_four_threads_at_most(world: World, serve: Serve) -> None:
    service = serve(_stall)
    verifier = world.introspecting(service, opaque=True, introspection={"timeout_s": 1})
    issuer = verifier._in_force()[0]
    assert issuer.introspection is not None
    outbound = issuer.introspection.service
    taken = [outbound._places.acquire(blocking=False) for _ in range(5)]
    assert taken == [True, True, True, True, False]
    refused(verifier, "opaque", 503)
    assert service.asked == []


# --- introspection -----------------------------------------------------------------------------------


def active(**changes: Any) -> dict[str, Any]:
    return {"active": True, **claims()} | changes


def test_an_opaque_token(world: World, serve: Serve) -> None:
    service = serve(sends(active()))
    verifier = world.introspecting(service, opaque=True)
    for _ in range(3):
        found = verifier.verify("Bearer 2YotnFZFEjr1zCsicMWpAA")
    assert (found.actor_id, found.structure) == ("899700000112", "1990000044")
    assert len(service.asked) == 1
    (asked,) = service.asked
    assert asked.form == {"token": "2YotnFZFEjr1zCsicMWpAA", "token_type_hint": "access_token"}
    assert asked.headers["Authorization"].startswith("Basic ")
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_jwt_is_verified_first_then_asked_about(world: World, serve: Serve) -> None:
    service = serve(sends({"active": True}))
    verifier = world.introspecting(service, jwks={"keys": [public("k1")]})
    refused(verifier, token(key="k2"))
    refused(verifier, token(exp=NOW // 1000 - 10))
    assert service.asked == []
    assert verifier.verify(f"Bearer {token()}").issuer == ISSUER
    service.respond = sends({"active": False})
    assert refused(verifier, token(jti="other")).reason == "JETON_REVOQUE"


@pytest.mark.parametrize(
    "contrary",
    [{"sub": "x"}, {"iss": "x"}, {"client_id": "x"}, {"jti": "x"}, {"exp": NOW // 1000 + 9}, {"iss": None}],
    ids=str,
)
def test_token_and_introspection_must_agree(world: World, serve: Serve, contrary: dict[str, Any]) -> None:
    verifier = world.introspecting(serve(sends({"active": True} | contrary)), jwks={"keys": [public("k1")]})
    refused(verifier, token())


ACTIVE_OR_NOT: dict[str, Handler] = {
    "active as text": sends(active(active="true")),
    "active as number": sends(active(active=1)),
    "active is null": sends(active(active=None)),
    "active is absent": sends(claims()),
}


@pytest.mark.parametrize("name", [*faults({}), *ACTIVE_OR_NOT])
def test_an_introspection_that_fails_is_never_a_yes(world: World, serve: Serve, name: str) -> None:
    """TF-070: 503, for a first use and for the re-check of a token that was good."""
    bad = (faults(active()) | ACTIVE_OR_NOT)[name]
    service = serve(sends(active()))
    verifier = world.introspecting(service, opaque=True, introspection={"recheck_s": 60})
    verifier.verify("Bearer known")
    service.respond = bad
    verifier.verify("Bearer known")  # within the re-check
    refused(verifier, "new", 503)
    world.now += 60_000
    if name not in ("stall", "one byte at a time"):  # a second each
        refused(verifier, "known", 503)
    service.respond = sends(active())
    assert verifier.verify("Bearer known").issuer == ISSUER


def test_introspection_with_a_wrong_certificate_or_nobody_there(world: World, serve: Serve) -> None:
    refused(world.introspecting(serve(sends(active()), trusted=False), opaque=True), "opaque", 503)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = Service(f"https://127.0.0.1:{closed.getsockname()[1]}/", serve(sends({})).authority, sends({}))
        refused(world.introspecting(nobody, opaque=True), "opaque", 503)


def test_a_revoked_token_is_refused_at_the_re_check(world: World, serve: Serve) -> None:
    """TF-071: the longest delay is the configured one, and that is 30 minutes at most."""
    service = serve(sends(active()))
    verifier = world.introspecting(service, opaque=True, introspection={"recheck_s": 120})
    verifier.verify("Bearer known")
    service.respond = sends({"active": False})
    delay = 0
    refusal = None
    while refusal is None:
        world.now += 1000
        delay += 1
        try:
            verifier.verify("Bearer known")
        except Refused as caught:
            refusal = caught.refusal
    assert refusal.reason == "JETON_REVOQUE"
    assert delay == 120
    tally.count("B", "seconds until a revoked token was refused (re-check 120)", delay)
    with pytest.raises(ValueError, match="recheck_s"):
        world.introspecting(service, opaque=True, introspection={"recheck_s": 1801})


def test_a_positive_answer_ends_with_the_token(world: World, serve: Serve) -> None:
    service = serve(sends(active(exp=NOW // 1000 + 30)))
    verifier = world.introspecting(service, opaque=True, introspection={"recheck_s": 300})
    verifier.verify("Bearer known")
    world.now += 30_000
    assert refused(verifier, "known").issues[0].code == "expired"


def test_without_expiry_nothing_is_remembered(world: World, serve: Serve) -> None:
    answer = active()
    del answer["exp"]
    service = serve(sends(answer))
    verifier = world.introspecting(service, opaque=True)
    verifier.verify("Bearer known")
    verifier.verify("Bearer known")
    assert len(service.asked) == 2
    service.respond = sends({"active": False})
    refused(verifier, "known")


@pytest.mark.parametrize("name", ["sub", "aud", "client_id", "scope", "extensions"])
def test_claims_that_introspection_must_give(world: World, serve: Serve, name: str) -> None:
    answer = active()
    del answer[name]
    refused(world.introspecting(serve(sends(answer)), opaque=True), "opaque")


@pytest.mark.parametrize(
    "changes",
    [{"aud": AUDIENCE[:-1]}, {"iss": "https://other.example"}, {"exp": NOW // 1000}, {"exp": "9"}, {"nbf": 10**10}],
    ids=str,
)
def test_claims_of_an_introspection_are_judged_like_any(world: World, serve: Serve, changes: dict[str, Any]) -> None:
    refused(world.introspecting(serve(sends(active(**changes))), opaque=True), "opaque")


def test_a_token_without_name_gets_one(world: World, serve: Serve) -> None:
    answer = active()
    del answer["jti"]
    verifier = world.introspecting(serve(sends(answer)), opaque=True)
    first, second = verifier.verify("Bearer one"), verifier.verify("Bearer two")
    assert first.token_id != second.token_id
    assert str(first.token_id).startswith("sha-256:")


@pytest.mark.parametrize("opaque", ["a.b.c.d.e", "a.b.c", "é", "a b", "a,b", "a=b", "x" * 8193])
def test_what_is_no_opaque_token_is_not_asked_about(world: World, serve: Serve, opaque: str) -> None:
    service = serve(sends(active()))
    refused(world.introspecting(service, opaque=True), opaque)
    assert service.asked == []


def test_a_client_certificate_instead_of_a_secret(world: World, serve: Serve) -> None:
    """The service asks for no certificate here; that ours is read and the form still arrives is what is tried."""
    Authority("Nous", NOW).issue("registry").write(world.folder, "registry")
    service = serve(sends(active()))
    files = {"client_certificate": "registry.pem", "client_key": "registry.key"}
    entry = {"url": service.url, "authority": service.authority, **files}
    world.verifier(introspection=entry, opaque=True).verify("Bearer opaque")
    assert "Authorization" not in service.asked[0].headers


# --- Pro Santé Connect --------------------------------------------------------------------------------


def psc(world: World, service: Service, **entry: Any) -> TokenVerifier:
    asked = {"url": service.url, "authority": service.authority, "recheck_s": 60, "timeout_s": 1}
    default = {"kind": "pro_sante_connect", "jwks": {"keys": [public("k1")]}, "clients": ["lps"], "userinfo": asked}
    return world.verifier(**default | entry)


def psc_token(**changes: Any) -> str:
    now = NOW // 1000
    own = {"iss": ISSUER, "sub": "f:1:ANS", "azp": "lps", "jti": "j1", "iat": now, "exp": now + 120}
    tree = own | {"scope": "openid scope_all", "acr": "eidas1", "aud": "account"} | changes
    return jwt.encode({"alg": "ES256", "kid": "k1", "typ": "JWT"}, tree, KEYS["k1"], algorithms=["ES256"])


def test_a_professional_of_pro_sante_connect(world: World, serve: Serve) -> None:
    service = serve(sends(userinfo(CABINET, HOSPITAL)))
    verifier = psc(world, service)
    held = psc_token()
    refused(verifier, held)
    found = verifier.verify(f"Bearer {held}", situation="1990000010")
    assert (found.actor_id, found.structure, found.client_id) == ("899700000112", "1990000010", "lps")
    assert verifier.verify(f"Bearer {held}", situation="312345678200010").structure == "312345678200010"
    refused(verifier, held, situation="1990000044")
    # One question, however many situations are tried with the token.
    assert [asked.headers["Authorization"] for asked in service.asked] == [f"Bearer {held}"]
    world.now += 60_000
    service.respond = sends(b"", status=401)
    assert refused(verifier, held, situation="1990000010").reason == "JETON_REVOQUE"


@pytest.mark.parametrize(
    "changes", [{"azp": "other"}, {"azp": None}, {"scope": "openid"}, {"exp": NOW // 1000}], ids=str
)
def test_tokens_of_pro_sante_connect_for_others(world: World, serve: Serve, changes: dict[str, Any]) -> None:
    service = serve(sends(userinfo()))
    refused(psc(world, service), psc_token(**changes), 403 if "scope" in changes else 401)


@pytest.mark.parametrize("name", [name for name in faults({}) if name not in ("401", "stall", "one byte at a time")])
def test_a_userinfo_that_fails(world: World, serve: Serve, name: str) -> None:
    refused(psc(world, serve(faults(userinfo())[name])), psc_token(), 503)


def test_an_opaque_token_of_pro_sante_connect(world: World, serve: Serve) -> None:
    def respond(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        known = {"active": True, "sub": "f:1:ANS", "client_id": "lps", "scope": "scope_all", "exp": NOW // 1000 + 60}
        sends(known if asked.method == "POST" else userinfo())(asked, handler)

    service = serve(respond)
    both = {"url": service.url, "authority": service.authority}
    secret = {"client_id": "registry", "client_secret_file": "secret"}
    entry = {"kind": "pro_sante_connect", "opaque": True, "clients": ["lps"], "userinfo": both}
    verifier = world.verifier(introspection=both | secret, **entry)
    assert verifier.verify("Bearer opaque").actor_id == "899700000112"
    assert [asked.method for asked in service.asked] == ["POST", "GET"]


# --- through the endpoint -------------------------------------------------------------------------------


def test_the_client_chooses_a_situation_by_a_header(
    world: World, serve: Serve, make_app: MakeApp, seeded_url: str
) -> None:
    service = serve(sends(userinfo(CABINET, HOSPITAL)))
    world.now = START
    psc(world, service)
    client = make_app(seeded_url, issuers_file=str(world.path)).test_client()
    now = START // 1000
    headers = {"Authorization": f"Bearer {psc_token(iat=now, exp=now + 120)}"}
    path = "/fhir/Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153"
    answers = [client.get(path, headers=headers | more) for more in ({}, {"Situation-Exercice": "1990000044"})]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert "situation_exercice" in answers[0].json["issue"][0]["details"]["text"]
    assert client.get(path, headers=headers | {"Situation-Exercice": "1990000010"}).status_code == 200
    assert len(service.asked) == 1


def test_others_are_answered_while_an_issuer_is_asked(
    world: World, serve: Serve, make_app: MakeApp, seeded_url: str, key_folder: Path
) -> None:
    """The turn is handed on (store/turns.py): one slow issuer does not hold up the callers of another."""
    asked, answered = threading.Event(), threading.Event()

    def respond(request: Asked, handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        answered.wait(SECONDS)
        sends(active(iat=START // 1000, exp=START // 1000 + 60))(request, handler)

    service = serve(respond)
    slow = {"issuer": ISSUER, "audience": AUDIENCE, "opaque": True}
    slow["introspection"] = {  # type: ignore[assignment]
        "url": service.url, "authority": service.authority, "client_id": "us", "client_secret_file": "secret",
        "timeout_s": 10,
    }  # fmt: skip
    sandbox = Sandbox(key_folder)
    quick = {"issuer": sandbox.issuer, "audience": sandbox.audience, "jwks": sandbox.jwks()}
    world.path.write_text(json.dumps([slow, quick]))
    client = make_app(seeded_url, issuers_file=str(world.path)).test_client()
    path = "/fhir/Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153"
    statuses: list[int] = []

    def ask_slowly() -> None:
        statuses.append(client.get(path, headers={"Authorization": "Bearer opaque"}).status_code)

    thread = threading.Thread(target=ask_slowly)
    thread.start()
    assert asked.wait(SECONDS)
    mine = {"Authorization": f"Bearer {sandbox.issue('dr-moreau', now_ms=START)}"}
    assert client.get(path, headers=mine).status_code == 200
    assert statuses == []
    answered.set()
    thread.join()
    assert statuses == [200]


def test_an_issuer_that_is_away_is_a_503_with_its_trace(
    world: World, serve: Serve, make_app: MakeApp, seeded_url: str
) -> None:
    world.introspecting(serve(sends(b"", status=500)), opaque=True)
    app = make_app(seeded_url, issuers_file=str(world.path))
    found = app.test_client().get("/fhir/Patient", headers={"Authorization": "Bearer opaque"})
    assert (found.status_code, found.headers["Retry-After"]) == (503, "5")
    assert found.json["issue"][0]["code"] == "transient"
    with app.extensions["dmp_fhir"].database.snapshot() as reader:
        row = reader.row("SELECT outcome, agent_id FROM audit_event ORDER BY position DESC LIMIT 1")
    assert row is not None
    assert (row[0] in ("4", "8"), row[1]) == (True, "")
