"""Area B through the endpoint: whoever can't be told gets a 401 and nothing else (TF-058 to TF-067, TF-088, TF-092,
TF-247). Each is checked like any refusal: nothing stored, nothing leaked, one trace (target.py)."""

from __future__ import annotations

import hmac
import json
import socket
import threading
import time
import tracemalloc
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from dmp_fhir.identity.issuers import TrustedIssuer
from dmp_fhir.identity.keys import keys_of
from dmp_fhir.identity.sandbox import AUDIENCE, ISSUER, Sandbox, claims_of, personas
from dmp_fhir.identity.tokens import LONGEST_LEEWAY_S, TokenVerifier
from dmp_fhir.outcome import Refusal, Refused
from tests.hostile.target import Target
from tests.support import tally
from tests.support.server import START
from tests.support.tokens import segment, signed

PATH = "/DocumentReference?patient.identifier=urn:oid:1.2.250.1.213.1.4.10|274036912390153"
FOREIGN = ECKey.generate_key("P-256", private=True)


@pytest.fixture
def door(target: Target) -> Iterator[Target]:
    target.area = "B"
    yield target
    target.area = "C"


def claims(door: Target, **changes: Any) -> dict[str, Any]:
    return claims_of(personas()["dr-moreau"], now_ms=door.clock.now) | changes


def header_of(door: Target, **changes: Any) -> dict[str, Any]:
    return {"alg": "ES256", "kid": door.sandbox.jwks()["keys"][0]["kid"], "typ": "at+jwt"} | changes


def forged(door: Target, header: Any = None, payload: Any = None, key: ECKey | None = None) -> str:
    """Any header and payload under the issuer's own signature, or another key's."""
    return signed(key or door.sandbox._key, header or header_of(door), payload or claims(door))


def shut(door: Target, authorization: str | list[str] | None, path: str = PATH, **how: Any) -> None:
    values = [authorization] if isinstance(authorization, str) else authorization or []
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", 0)
    headers = [("Authorization", value) for value in values] + list(how.pop("headers", {}).items())
    response, problems = door.attempt("GET", path, by=None, headers=headers, **how)
    if response.status_code < 400:
        tally.count("B", "accepted")
    assert response.status_code == 401, response.text
    assert not problems, problems
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="dmp-fhir"')
    assert response.json["issue"][0]["code"] in ("login", "expired")
    assert door.outcomes() == ["4"]


def test_a_good_token_of_the_same_kind(door: Target) -> None:
    door.accepted("GET", PATH, by=None, headers={"Authorization": "Bearer " + forged(door)})


# --- TF-058 -------------------------------------------------------------------------------------------

NO_TOKEN: list[Callable[[str], tuple[Any, str]]] = [
    lambda good: (None, PATH),
    lambda good: ("", PATH),
    lambda good: ("Bearer", PATH),
    lambda good: ("Bearer ", PATH),
    lambda good: (f"Bearer  {good}", PATH),
    lambda good: (f"Bearer {good} x", PATH),
    lambda good: (f"Basic {good}", PATH),
    lambda good: ("Basic ZHI6bW9yZWF1", PATH),
    lambda good: (f"Token {good}", PATH),
    lambda good: (f"DPoP {good}", PATH),
    lambda good: (f"Bearer{good}", PATH),
    lambda good: (good, PATH),
    lambda good: (f"Bearer,{good}", PATH),
    lambda good: (f'Bearer "{good}"', PATH),
    lambda good: ([f"Bearer {good}", f"Bearer {good}"], PATH),
    lambda good: ([f"Bearer {good}", "Basic x"], PATH),
    lambda good: (f"Bearer {good}, Bearer {good}", PATH),
    lambda good: (None, f"{PATH}&access_token={good}"),
    lambda good: (None, f"{PATH}&Authorization=Bearer%20{good}"),
    lambda good: ("Bearer " + "a" * 1_000_000, PATH),
]


@pytest.mark.parametrize("number", range(len(NO_TOKEN)))
def test_no_token_or_in_the_wrong_place(door: Target, number: int) -> None:
    good = forged(door)
    authorization, path = NO_TOKEN[number](good)
    shut(door, authorization, path, leaks=[good.rpartition(".")[2]])


def test_a_token_in_a_cookie_a_form_or_another_header(door: Target) -> None:
    good = forged(door)
    for name in ("Cookie", "X-Authorization", "X-Access-Token", "Proxy-Authorization", "X-Forwarded-Access-Token"):
        value = f"access_token={good}" if name == "Cookie" else f"Bearer {good}"
        shut(door, None, headers={name: value})
    tally.count("B", "bad tokens tried")
    response, problems = door.attempt(
        "POST",
        "/DocumentReference/_search",
        by=None,
        body=f"access_token={good}".encode(),
        kind="application/x-www-form-urlencoded",
    )
    assert (response.status_code, problems) == (401, [])
    assert door.outcomes() == ["4"]


# --- TF-059, TF-060 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, "absent"])
@pytest.mark.parametrize("signature", ["", "AA", "its own"])
def test_unsigned(door: Target, algorithm: Any, signature: str) -> None:
    header = header_of(door, alg=algorithm)
    if algorithm == "absent":
        del header["alg"]
    own = forged(door).rpartition(".")[2] if signature == "its own" else signature
    shut(door, f"Bearer {segment(header)}.{segment(claims(door))}.{own}")


def test_a_signature_of_another_token(door: Target) -> None:
    one, other = forged(door).split("."), forged(door, payload=claims(door, sub="x")).split(".")
    shut(door, f"Bearer {one[0]}.{one[1]}.{other[2]}")
    shut(door, f"Bearer {other[0]}.{one[1]}.{other[2]}")
    shut(door, f"Bearer {one[0]}.{one[1]}.{one[2][:-2]}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["JWK", "PEM", "PEM without newline", "DER", "x"])
def test_the_public_key_as_a_secret(door: Target, algorithm: str, form: str) -> None:
    jwk = door.sandbox.jwks()["keys"][0]
    key = ECKey.import_key(jwk)
    pem = key.as_pem(private=False)
    secret = {
        "JWK": json.dumps(jwk).encode(),
        "PEM": pem,
        "PEM without newline": pem.strip(),
        "DER": key.as_der(private=False),
        "x": jwk["x"].encode(),
    }[form]
    text = f"{segment(header_of(door, alg=algorithm))}.{segment(claims(door))}"
    mac = hmac.digest(secret, text.encode(), f"sha{algorithm[2:]}")
    shut(door, f"Bearer {text}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}")


@pytest.mark.parametrize(
    "algorithm", ["RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "es256", "ES256 ", "A128KW", "dir"]
)
def test_another_algorithm_than_that_of_the_key(door: Target, algorithm: str) -> None:
    shut(door, "Bearer " + forged(door, header_of(door, alg=algorithm)))


def test_rs256_where_ps256_is_configured() -> None:
    key = RSAKey.generate_key(2048, private=True)
    public = {**key.as_dict(private=False), "kid": "k", "alg": "PS256"}
    verifier = TokenVerifier([TrustedIssuer(ISSUER, AUDIENCE, keys_of({"keys": [public]}))], lambda: START)
    tree = claims_of(personas()["dr-moreau"], now_ms=START)
    verifier.verify("Bearer " + jwt.encode({"alg": "PS256", "kid": "k"}, tree, key, algorithms=["PS256"]))
    for algorithm in ("RS256", "RS384", "RS512", "PS384", "PS512"):
        token = jwt.encode({"alg": algorithm, "kid": "k"}, tree, key, algorithms=[algorithm])
        assert refusal(verifier, token).status == 401
    assert refusal(verifier, signed(FOREIGN, {"alg": "ES256", "kid": "k"}, tree)).status == 401


# --- TF-061 to TF-063 ----------------------------------------------------------------------------------


def test_a_key_that_the_token_brings(door: Target) -> None:
    """jwk, jku, x5u, x5c: refused, and nobody is called."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/keys"
        public = {**FOREIGN.as_dict(private=False), "kid": "mine", "alg": "ES256"}
        for extra in (
            {"jwk": public},
            {"jku": address},
            {"x5u": address},
            {"x5c": ["MIIB"]},
            {"jwk": public, "kid": "mine"},
            {"jku": address, "kid": "mine"},
            {"x5t": "AA", "x5u": address},
            {"kid": address},
        ):
            for key in (FOREIGN, None):
                shut(door, "Bearer " + forged(door, header_of(door, **extra), key=key))
        with pytest.raises(TimeoutError):
            listener.accept()
    tally.count("B", "calls to addresses of a token", 0)


KIDS = [
    "", "unknown", "../../etc/passwd", "/etc/passwd", "..\\..\\key", "file:///etc/passwd", "k'; DROP TABLE record; --",
    "' OR '1'='1", '" OR ""="', "%00", "\x00", "\n", "a" * 10_000, "clé", "\u202e", "𝔨", "$(id)", "{{7*7}}", "null",
    None, 1, True, ["k"], {"k": 1},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(KIDS)))
def test_kids(door: Target, number: int) -> None:
    shut(door, "Bearer " + forged(door, header_of(door, kid=KIDS[number])))


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["dmp"], "dmp": 1},
        {"crit": []},
        {"crit": ["dmp", "dmp"], "dmp": 1},
        {"crit": ["alg"]},
        {"crit": ["b64"], "b64": False},
        {"crit": "exp"},
        {"crit": None},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "JOSE"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_critical_and_other_headers(door: Target, extra: dict[str, Any]) -> None:
    shut(door, "Bearer " + forged(door, header_of(door, **extra)))


# --- TF-064 -------------------------------------------------------------------------------------------

_LATER = START // 1000 + 10 * 365 * 86_400
WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in ("sub", "jti", "client_id", "scope")
      for value in ("", " ", 1, 0, True, False, None, [], ["x"], {}, "x" * 300, "a\x00b")),
    *(("iss", value) for value in ("", " ", 1, True, None, [ISSUER], {}, ISSUER + "/", ISSUER[:-1], ISSUER.upper())),
    *(("aud", value) for value in
      ("", " ", 1, True, None, [], {}, [AUDIENCE, 1], AUDIENCE[:-1], AUDIENCE + "/", AUDIENCE + "/x", AUDIENCE[:20],
       AUDIENCE.upper(), "https://other.example", [AUDIENCE[:-1]])),
    *(("exp", value) for value in
      ("", str(START // 1000 + 60), True, None, [], {}, 0, -1, 1, START // 1000 - 1, START // 1000, _LATER, 10**14)),
    *(("iat", value) for value in
      ("", str(START // 1000), True, None, [], {}, 0, -1, 1, _LATER, START // 1000 + 3600, START // 1000 - 86_400)),
    *(("nbf", value) for value in ("", "1", True, None, [], {}, 0, -1, _LATER, START // 1000 + 3600)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_claims(door: Target, number: int) -> None:
    name, value = WRONG[number]
    shut(door, "Bearer " + forged(door, payload=claims(door, **{name: value})))


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "extensions"])
def test_missing_claims(door: Target, name: str) -> None:
    tree = claims(door)
    del tree[name]
    shut(door, "Bearer " + forged(door, payload=tree))


@pytest.mark.parametrize("number", ["1.5", "1e3", "NaN", "Infinity", "-0", "9" * 4000])
def test_numbers_that_are_no_seconds(door: Target, number: str) -> None:
    text = json.dumps(claims(door, exp=0)).replace('"exp": 0', f'"exp": {number}')
    shut(door, "Bearer " + forged(door, payload=text.encode()))


# --- TF-065 to TF-067 ----------------------------------------------------------------------------------


def _in_bounds(work: Callable[[], None]) -> None:
    """TF-065: little memory more; the time is that of the processor, since others work too."""
    tracemalloc.start()
    started = time.process_time()
    work()
    elapsed, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tally.count("B", "oversized tokens tried")
    assert peak < 5_000_000
    assert elapsed < 1


LARGE = {
    "5 MB header": lambda: "A" * 5_000_000 + ".e30.AA",
    "100 MB payload": lambda: "e30." + "A" * 100_000_000 + ".AA",
    "2 million dots": lambda: "." * 2_000_000,
    "a long signature": lambda: "e30.e30." + "A" * 9_000,
    "nested claims": lambda: f"{segment(b'{}')}.{segment(b'[' * 5_000)}.AA",
    "a long number": lambda: f"e30.{segment(b'9' * 4000)}.AA",
}


@pytest.mark.parametrize("name", LARGE)
def test_large_tokens(name: str) -> None:
    """Measured at the verifier; an HTTP server ends long headers before it with a 431 (test_raw.py)."""
    key = {**FOREIGN.as_dict(private=False), "kid": "k", "alg": "ES256"}
    verifier = TokenVerifier([TrustedIssuer(ISSUER, AUDIENCE, keys_of({"keys": [key]}))], lambda: START)
    header = "Bearer " + LARGE[name]()

    def work() -> None:
        tally.count("B", "bad tokens tried")
        with pytest.raises(Refused) as caught:
            verifier.verify(header)
        assert caught.value.refusal.status == 401

    _in_bounds(work)


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_doubled_headers(door: Target, name: str) -> None:
    text = json.dumps(header_of(door))
    shut(door, "Bearer " + forged(door, f'{text[:-1]}, "{name}": "none"}}'.encode()))


@pytest.mark.parametrize("name", ["iss", "sub", "scope", "aud", "exp", "jti", "client_id"])
def test_doubled_claims(door: Target, name: str) -> None:
    tree = claims(door)
    text = json.dumps(tree)
    shut(door, "Bearer " + forged(door, payload=f'{text[:-1]}, "{name}": {json.dumps(tree[name])}}}'.encode()))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31, "p2s": "AAAA"},
        {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2**31, "p2s": "AAAA", "zip": "DEF"},
        {"alg": "RSA1_5", "enc": "A128CBC-HS256"},
        {"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "dir", "enc": "A256GCM"},
        {"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC"}},
    ],
    ids=lambda header: str(header["alg"]),
)
def test_encrypted_tokens(door: Target, header: dict[str, Any]) -> None:
    shut(door, f"Bearer {segment(header)}.AAAA.AAAA.{segment(b'x' * 4000)}.AAAA")
    shut(door, "Bearer " + forged(door, header_of(door, **header)))


# --- TF-069 -------------------------------------------------------------------------------------------

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def exchanges(door: Target) -> dict[str, dict[str, str]]:
    """Forms of RFC 8693 that an exchange would have to refuse, and one that it would answer."""
    now = START // 1000
    good, kind = forged(door), "urn:ietf:params:oauth:token-type:access_token"
    form = {"grant_type": EXCHANGE, "subject_token": good, "subject_token_type": kind, "scope": "dmp"}
    other_structure = claims(door, extensions={"ihe_iua": {"subject_organization_id": "1990000051"}})
    return {
        "sound": form,
        "expired": form | {"subject_token": forged(door, payload=claims(door, iat=now - 300, exp=now - 121))},
        "inactive": form | {"subject_token": "2YotnFZFEjr1zCsicMWpAA"},
        "of another service": form | {"subject_token": forged(door, payload=claims(door, azp="other", aud="other"))},
        "refresh token": form | {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        "ID token": form | {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        "actor of another structure": form | {"actor_token": forged(door, payload=other_structure)},
        "a wider scope": form | {"scope": "dmp openid admin"},
        "another audience": form | {"audience": "https://other.example"},
        "no subject": {"grant_type": EXCHANGE},
        "a refresh": {"grant_type": "refresh_token", "refresh_token": good},
        "a client alone": {"grant_type": "client_credentials", "client_id": "lps", "client_secret": "lps"},
        "a code": {"grant_type": "authorization_code", "code": "SplxlOBeZQQYbYS6WxSbIA"},
    }


@pytest.mark.parametrize("by", [None, "dr-moreau"])
def test_tokens_are_not_exchanged_here(door: Target, by: str | None) -> None:
    """Whatever is asked of a token endpoint, with or without a good token, gets a refusal that is traced, and no
    token."""
    for address in ("/token", "/oauth2/token", "/$token"):
        for name, form in exchanges(door).items():
            body = urlencode(form).encode()
            tally.count("B", "token exchanges tried")
            response, problems = door.attempt(
                "POST", address, by=by, body=body, kind="application/x-www-form-urlencoded"
            )
            assert response.status_code in (401, 404, 405), (address, name)
            assert not problems, (address, name, problems)
            assert response.json["resourceType"] == "OperationOutcome"
            assert "access_token" not in response.text
            assert door.outcomes() == ["4"], (address, name)
    tally.count("B", "token exchanges answered with a token", 0)


# --- TF-092 -------------------------------------------------------------------------------------------


def test_one_use_assertions_are_no_access_tokens(door: Target) -> None:
    """Client assertions, actor tokens and logout tokens have no door here: not even their first use is accepted."""
    now = START // 1000
    client = {
        "iss": "lps",
        "sub": "lps",
        "aud": "https://issuer.example/token",
        "jti": "a",
        "iat": now,
        "exp": now + 60,
    }
    actor = {
        "iss": ISSUER,
        "sub": "lps",
        "aud": "https://issuer.example/token",
        "jti": "b",
        "iat": now,
        "exp": now + 60,
    }
    logout = {"iss": ISSUER, "sub": "x", "aud": AUDIENCE, "jti": "c", "iat": now, "exp": now + 60,
              "events": {"http://schemas.openid.net/event/backchannel-logout": {}}}  # fmt: skip
    for payload, kind in ((client, "JWT"), (actor, "JWT"), (logout, "logout+jwt")):
        token = forged(door, header_of(door, typ=kind), payload)
        for _ in range(2):
            shut(door, f"Bearer {token}")


# --- TF-088, TF-247: the verifier, with its clock and its issuer's demands ------------------------------


def refusal(verifier: TokenVerifier, token: str) -> Refusal:
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", 0)
    try:
        verifier.verify(f"Bearer {token}")
    except Refused as caught:
        return caught.refusal
    tally.count("B", "accepted")
    pytest.fail("accepted")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("issuer"))


STRONG = {"acr": "eidas2", "amr": ["pin", "hwk"], "auth_time": START // 1000 - 60}


@pytest.mark.parametrize(
    "weaker",
    [
        {"acr": None},
        {"acr": "eidas1"},
        {"acr": "eidas9"},
        {"acr": ["eidas2"]},
        {"amr": ["pwd"]},
        {"amr": []},
        {"auth_time": None},
        {"auth_time": START // 1000 - 3 * 3600},
    ],
    ids=str,
)
def test_weaker_authentication_than_required(sandbox: Sandbox, weaker: dict[str, Any]) -> None:
    """TF-088: 403, with what to ask the issuer for."""
    asked = {"acr_values": frozenset({"eidas2", "eidas3"}), "amr_values": frozenset({"hwk"}), "max_auth_age_s": 3600}
    verifier = TokenVerifier([replace(sandbox.trusted(), **asked)], lambda: START)
    tree = claims_of(personas()["dr-moreau"], now_ms=START) | STRONG
    assert verifier.verify("Bearer " + sandbox.sign(tree)).auth_level == "eidas2"
    given = {name: value for name, value in (tree | weaker).items() if value is not None}
    if isinstance(weaker.get("acr"), list):
        assert refusal(verifier, sandbox.sign(given)).status == 401
        return
    found = refusal(verifier, sandbox.sign(given))
    assert (found.status, found.issues[0].code) == (403, "forbidden")
    challenge = dict(found.headers)["WWW-Authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="eidas2 eidas3", max_age="3600"' in challenge


def test_a_remembered_token_gets_too_old_an_authentication(sandbox: Sandbox) -> None:
    now = [START]
    verifier = TokenVerifier([replace(sandbox.trusted(), max_auth_age_s=300)], lambda: now[0])
    token = sandbox.sign(claims_of(personas()["dr-moreau"], now_ms=START) | STRONG)
    verifier.verify(f"Bearer {token}")
    now[0] += 241_000
    assert refusal(verifier, token).status == 403


@pytest.mark.parametrize("minutes", [-5, -1, -0.5, 0, 0.5, 1, 5])
@pytest.mark.parametrize("leeway", [1, 30, 60, 3600])
def test_clocks_that_differ(sandbox: Sandbox, caplog: pytest.LogCaptureFixture, minutes: float, leeway: int) -> None:
    """TF-247: this server's clock is `minutes` ahead of its issuer's. Behind by more than the leeway: 401 and a line
    for operators; ahead: the token ends early. It never lasts longer than it says."""
    issued_ms, here = START, START + int(minutes * 60_000)
    verifier = TokenVerifier([sandbox.trusted()], lambda: here, leeway_s=leeway)
    token = sandbox.issue("dr-moreau", now_ms=issued_ms, lifetime_s=120)
    behind_s = (issued_ms - here) // 1000
    if behind_s > min(leeway, LONGEST_LEEWAY_S):
        assert refusal(verifier, token).status == 401
        assert f"begins in {behind_s} s" in caplog.text
    elif here >= issued_ms + 120_000:
        assert refusal(verifier, token).issues[0].code == "expired"
    else:
        verifier.verify(f"Bearer {token}")
    tally.count("B", "clock differences tried")


def test_two_servers_thirty_seconds_apart(sandbox: Sandbox) -> None:
    token = sandbox.issue("dr-moreau", now_ms=START, lifetime_s=60)
    for offset in (0, -30_000):
        TokenVerifier([sandbox.trusted()], lambda offset=offset: START + offset).verify(f"Bearer {token}")  # type: ignore[misc]


def test_verifying_from_many_threads(sandbox: Sandbox) -> None:
    """One verifier, many threads, a small memory: each token gives its own caller."""
    verifier = TokenVerifier([sandbox.trusted()], lambda: START, cache_size=3)
    slugs = list(personas())
    tokens = {slug: sandbox.issue(slug, now_ms=START) for slug in slugs}
    wrong: list[str] = []

    def ask() -> None:
        for slug in slugs * 3:
            if verifier.verify(f"Bearer {tokens[slug]}").actor_id != personas()[slug].identifier:
                wrong.append(slug)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
