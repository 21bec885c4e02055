"""Everything that a token can get wrong is a 401 (catalogue TF-058 to TF-068)."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dmp_fhir.canonicals import TRE_G16
from dmp_fhir.identity.issuers import TrustedIssuer
from dmp_fhir.identity.keys import keys_of
from dmp_fhir.identity.sandbox import AUDIENCE, ISSUER, Sandbox, claims_of, personas
from dmp_fhir.identity.tokens import MAX_TOKEN, TokenVerifier
from dmp_fhir.outcome import Refusal, Refused
from dmp_fhir.policy.matrix import packaged

NOW = 1_790_000_000_000
FOREIGN = ECKey.generate_key("P-256", private=True)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def verifier(sandbox: Sandbox) -> TokenVerifier:
    return TokenVerifier((sandbox.trusted(),), lambda: NOW)


def claims(**changes: Any) -> dict[str, Any]:
    tree = claims_of(personas()["dr-moreau"], now_ms=NOW)
    return {**tree, **changes}


def nested(part: str, **changes: Any) -> dict[str, Any]:
    tree = claims()
    tree["extensions"].setdefault(part, {}).update(changes)
    return tree


def refusal(verifier: TokenVerifier, header: str | None) -> Refusal:
    with pytest.raises(Refused) as caught:
        verifier.verify(header)
    return caught.value.refusal


def assert_401(verifier: TokenVerifier, header: str | None, code: str = "login") -> None:
    found = refusal(verifier, header)
    assert (found.status, found.issues[0].code) == (401, code)
    ((name, challenge),) = found.headers
    assert name == "WWW-Authenticate"
    assert challenge.startswith('Bearer realm="dmp-fhir"')
    assert challenge.isascii()


def segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_bytes(sandbox: Sandbox, header: bytes, payload: bytes) -> str:
    """A good signature over any bytes: what a careless issuer could sign."""
    text = f"{segment(header)}.{segment(payload)}"
    model = sandbox._key.curve_name
    assert model == "P-256"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(text.encode(), sandbox._key)
    return f"{text}.{segment(signature)}"


def test_a_good_token(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    context = verifier.verify("Bearer " + sandbox.issue("dr-moreau", now_ms=NOW, reason="motif d'urgence écrit"))
    assert (context.actor_category, context.actor_id, context.profession) == ("PS", "899700000112", "10")
    assert (context.auth_mode, context.purpose, context.structure) == ("CPS", "normal", "1990000044")
    assert context.reason == "motif d'urgence écrit"
    assert context.issuer == ISSUER
    assert context.scopes == {"dmp"}


@pytest.mark.parametrize("slug", personas())
def test_every_persona_comes_in(sandbox: Sandbox, verifier: TokenVerifier, slug: str) -> None:
    persona = personas()[slug]
    context = verifier.verify("bearer " + sandbox.issue(slug, now_ms=NOW))
    assert (context.actor_category, context.actor_id) == (persona.category, persona.identifier)
    assert context.purpose == persona.purpose


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  x.y.z",
        "Bearer x.y.z ",
        "Basic dXNlcjpwYXNz",
        "Bearerx.y.z",
        "Bearer a.b",
        "Bearer a.b.c.d.e",
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer a.b.é",
        "Bearer " + "." * 2000,
        "Bearer " + "a" * 1_000_000,
        "Bearer " + "a" * MAX_TOKEN + ".b.c",
    ],
)
def test_what_is_not_a_bearer_token(verifier: TokenVerifier, header: str | None) -> None:
    assert_401(verifier, header)


UNSIGNED = [{"alg": alg, "typ": "JWT"} for alg in ("none", "None", "NONE", "nOnE", "", None)] + [{"typ": "JWT"}]


@pytest.mark.parametrize("header", UNSIGNED, ids=str)
@pytest.mark.parametrize("ending", ["", "AA", "own"])
def test_unsigned(sandbox: Sandbox, verifier: TokenVerifier, header: dict[str, Any], ending: str) -> None:
    good = sandbox.issue("dr-moreau", now_ms=NOW)
    kid = {"kid": sandbox.jwks()["keys"][0]["kid"]}
    payload = json.dumps(claims()).encode()
    signature = good.rpartition(".")[2] if ending == "own" else ending
    assert_401(verifier, f"Bearer {segment(json.dumps(header | kid).encode())}.{segment(payload)}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["jwk", "pem", "pem without newline", "der"])
def test_the_public_key_is_not_a_secret(sandbox: Sandbox, verifier: TokenVerifier, algorithm: str, form: str) -> None:
    key = ECKey.import_key(sandbox.jwks()["keys"][0])
    forms: dict[str, Callable[[], bytes]] = {
        "jwk": lambda: json.dumps(key.as_dict()).encode(),
        "pem": lambda: key.as_pem(private=False),
        "pem without newline": lambda: key.as_pem(private=False).strip(),
        "der": lambda: key.as_der(private=False),
    }
    header = {"alg": algorithm, "kid": sandbox.jwks()["keys"][0]["kid"]}
    text = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims()).encode())}"
    signature = hmac.digest(forms[form](), text.encode(), f"sha{algorithm[2:]}")
    assert_401(verifier, f"Bearer {text}.{segment(signature)}")


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": FOREIGN.as_dict(private=False)},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/chain"},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"typ": "logout+jwt"},
        {"typ": 1},
        {"cty": "JWT"},
    ],
    ids=lambda extra: ",".join(extra),
)
def test_a_token_does_not_bring_its_rules(sandbox: Sandbox, verifier: TokenVerifier, extra: dict[str, Any]) -> None:
    header = {"alg": "ES256", "kid": sandbox.jwks()["keys"][0]["kid"], **extra}
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, json.dumps(header).encode(), json.dumps(claims()).encode()))
    attacker = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims()).encode())}"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(attacker.encode(), FOREIGN)
    assert_401(verifier, f"Bearer {attacker}.{segment(signature)}")


@pytest.mark.parametrize(
    "kid", ["", "unknown", "../../etc/passwd", "' OR 1=1 --", "\x00", "a" * 5000, "é", None, 1, ["a"], {"a": 1}, True]
)
def test_key_ids(sandbox: Sandbox, verifier: TokenVerifier, kid: object) -> None:
    header = json.dumps({"alg": "ES256", "kid": kid}).encode()
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, header, json.dumps(claims()).encode()))


def test_a_foreign_key_under_our_kid(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    header = {"alg": "ES256", "kid": sandbox.jwks()["keys"][0]["kid"]}
    assert_401(verifier, "Bearer " + jwt.encode(header, claims(), FOREIGN, algorithms=["ES256"]))


WRONG_CLAIMS = [
    *((name, value) for name in ("sub", "jti", "client_id", "scope") for value in ("", " ", 1, True, None, ["x"], {})),
    *(("iss", value) for value in ("", "https://other.example", ISSUER + "/", 1, [ISSUER], None)),
    *(("aud", value) for value in ("", AUDIENCE[:-1], AUDIENCE + "/", 1, True, None, [], ["x"], [AUDIENCE, 1], {})),
    *(("exp", value) for value in ("9999999999", 1.5, True, None, -1, 0, 10**12, NOW // 1000 + 10**8, [1])),
    *(("iat", value) for value in ("1", 1.5, True, None, -1, 0, NOW // 1000 + 60, NOW // 1000 - 10**6)),
    *(("nbf", value) for value in ("1", 1.5, True, None, -1, NOW // 1000 + 60)),
    *(("extensions", value) for value in (None, [], "x", {}, {"ihe_iua": []}, {"fr_dmp": 1})),
]


@pytest.mark.parametrize(("name", "value"), WRONG_CLAIMS, ids=lambda value: str(value)[:30])
def test_wrong_claims(sandbox: Sandbox, verifier: TokenVerifier, name: str, value: object) -> None:
    found = refusal(verifier, "Bearer " + signed_bytes(sandbox, *_parts(sandbox, claims(**{name: value}))))
    assert found.status == 401
    assert found.issues[0].code in ("login", "expired")


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "extensions"])
def test_missing_claims(sandbox: Sandbox, verifier: TokenVerifier, name: str) -> None:
    tree = claims()
    del tree[name]
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, *_parts(sandbox, tree)))


WRONG_EXTENSIONS = [
    ("fr_dmp", {"category": "ADMIN"}),
    ("fr_dmp", {"category": None}),
    ("fr_dmp", {"auth_mode": "PORTAIL"}),
    ("fr_dmp", {"auth_mode": "ROOT"}),
    ("fr_dmp", {"secret": "true"}),
    ("fr_dmp", {"regulation": 1}),
    ("fr_dmp", {"patient_request": "yes"}),
    ("fr_dmp", {"btg_reason": "x" * 2000}),
    ("fr_dmp", {"btg_reason": "a\x00b"}),
    ("fr_dmp", {"context": "AUTRE"}),
    ("fr_dmp", {"ins_status": "PARFAITE"}),
    ("fr_dmp", {"profession": "60"}),
    ("ihe_iua", {"purpose_of_use": []}),
    ("ihe_iua", {"purpose_of_use": "TREAT"}),
    ("ihe_iua", {"purpose_of_use": [{"code": "TREAT"}]}),
    ("ihe_iua", {"purpose_of_use": [{"system": "urn:x", "code": "TREAT"}]}),
    (
        "ihe_iua",
        {"purpose_of_use": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]},
    ),
    ("ihe_iua", {"national_provider_identifier": "899700000113"}),
    ("ihe_iua", {"national_provider_identifier": "٨٩٩٧٠٠٠٠٠١١٢"}),
    ("ihe_iua", {"subject_organization_id": "1990000011"}),
    ("ihe_iua", {"person_id": "274036912390153"}),
    ("ihe_iua", {"subject_role": [{"system": "a"}]}),
    ("ihe_bppc", {"patient_id": "274036912390153"}),
    ("ihe_pcf", {"patient_id": 1}),
    ("ihe_pcf", {"residual": [{"type": "forbid", "securityLabel": ["R"]}]}),
    ("ihe_pcf", {"residual": {"type": "permit"}}),
    ("ihe_pcf", {"residual": None}),
]


@pytest.mark.parametrize(("part", "changes"), WRONG_EXTENSIONS, ids=lambda value: str(value)[:40])
def test_wrong_extensions(sandbox: Sandbox, verifier: TokenVerifier, part: str, changes: dict[str, Any]) -> None:
    assert_401(verifier, "Bearer " + sandbox.sign(nested(part, **changes)))


CLAIRE, JULIEN = (f"urn:oid:1.2.250.1.213.1.4.10|{number}" for number in ("274036912390153", "172113523890227"))


@pytest.mark.parametrize("part", ["ihe_bppc", "ihe_pcf"])
@pytest.mark.parametrize("form", [CLAIRE, "274036912390153^^^&1.2.250.1.213.1.4.10&ISO^NH"])
def test_the_consent_of_a_token_binds_it_to_its_patient(
    sandbox: Sandbox, verifier: TokenVerifier, part: str, form: str
) -> None:
    """IHE IUA, extensions of BPPC and PCF: a token issued on the consent of one patient serves for no other."""
    consent = {"patient_id": form, "doc_id": "urn:uuid:1", "acp": "urn:oid:1.2.3"}
    assert verifier.verify("Bearer " + sandbox.sign(nested(part, **consent))).person_id == CLAIRE
    both = nested("ihe_iua", person_id=CLAIRE)
    both["extensions"][part] = consent | {"residual": []}
    assert verifier.verify("Bearer " + sandbox.sign(both)).person_id == CLAIRE
    both["extensions"]["ihe_iua"]["person_id"] = JULIEN
    assert_401(verifier, "Bearer " + sandbox.sign(both))


@pytest.mark.parametrize("name", ["alg", "kid"])
def test_duplicate_names_in_the_header(sandbox: Sandbox, verifier: TokenVerifier, name: str) -> None:
    header, payload = _parts(sandbox, claims())
    doubled = header[:-1] + f', "{name}": "none"}}'.encode()
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, doubled, payload))


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "scope", "exp"])
def test_duplicate_names_in_the_claims(sandbox: Sandbox, verifier: TokenVerifier, name: str) -> None:
    header, payload = _parts(sandbox, claims())
    doubled = payload[:-1] + f', "{name}": {json.dumps(claims()[name])}}}'.encode()
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, header, doubled))


@pytest.mark.parametrize(
    "payload", [b"[]", b"1", b"null", b"\xff", b"[" * 5000, b'{"exp": ' + b"9" * 4000 + b"}", b"NaN"]
)
def test_payloads_that_are_not_claims(sandbox: Sandbox, verifier: TokenVerifier, payload: bytes) -> None:
    header, _ = _parts(sandbox, claims())
    assert_401(verifier, "Bearer " + signed_bytes(sandbox, header, payload))


def test_expiry_to_the_second(sandbox: Sandbox) -> None:
    token = "Bearer " + sandbox.issue("dr-moreau", now_ms=NOW, lifetime_s=60)
    clock = [NOW]
    verifier = TokenVerifier((sandbox.trusted(),), lambda: clock[0])
    verifier.verify(token)
    clock[0] = NOW + 59_999
    verifier.verify(token)
    clock[0] = NOW + 60_000
    assert_401(verifier, token, "expired")


def test_a_good_token_for_something_else_is_a_403(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    found = refusal(verifier, "Bearer " + sandbox.issue("dr-moreau", now_ms=NOW, scope="openid other"))
    assert found.status == 403
    assert 'error="insufficient_scope"' in found.headers[0][1]


def test_the_cache_is_bounded(sandbox: Sandbox) -> None:
    verifier = TokenVerifier((sandbox.trusted(),), lambda: NOW, cache_size=3)
    for _ in range(5):
        verifier.verify("Bearer " + sandbox.issue("dr-moreau", now_ms=NOW))
    assert len(verifier._cache) == 3


def test_an_issuer_vouches_only_for_its_categories(sandbox: Sandbox) -> None:
    narrow = TrustedIssuer(ISSUER, AUDIENCE, sandbox.trusted().keys, categories=frozenset({"STRUCTURE"}))
    verifier = TokenVerifier((narrow,), lambda: NOW)
    verifier.verify("Bearer " + sandbox.issue("chu-feeder", now_ms=NOW))
    assert_401(verifier, "Bearer " + sandbox.issue("dr-moreau", now_ms=NOW))


def test_a_student_is_known_by_the_code_of_the_training(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    """TRE_G16, for which the matrix has a row that opens nothing: never the rights of the profession to come."""
    for code in ("G16_10", "G16_60"):
        role = [{"system": TRE_G16, "code": code}]
        context = verifier.verify("Bearer " + sandbox.sign(nested("ihe_iua", subject_role=role)))
        assert (context.actor_category, context.profession) == ("PS_ROLE", code)
        row = packaged().row(context.actor_category, context.profession)
        assert row is not None
        assert (row.code, row.default.read, dict(row.exceptions)) == ("G16", False, {})


def test_a_profession_under_the_oid_of_its_nomenclature(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    roles = [{"system": "urn:oid:1.2.250.1.71.1.2.7", "code": "10"}]
    found = verifier.verify("Bearer " + sandbox.sign(nested("ihe_iua", subject_role=roles)))
    assert (found.actor_category, found.profession) == ("PS", "10")


def test_an_unknown_profession_is_a_role(sandbox: Sandbox, verifier: TokenVerifier) -> None:
    role = [{"system": "urn:x", "code": "41"}]
    context = verifier.verify("Bearer " + sandbox.sign(nested("ihe_iua", subject_role=role)))
    assert (context.actor_category, context.profession) == ("PS_ROLE", None)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "Ed25519", "ES384"])
def test_other_asymmetric_issuers(algorithm: str) -> None:
    if algorithm == "Ed25519":
        key: Any = OKPKey.generate_key("Ed25519", private=True)
    elif algorithm == "ES384":
        key = ECKey.generate_key("P-384", private=True)
    else:
        key = RSAKey.generate_key(2048, private=True)
    public = {**key.as_dict(private=False), "kid": "k1", "alg": algorithm}
    issuer = TrustedIssuer(ISSUER, AUDIENCE, keys_of({"keys": [public]}))
    verifier = TokenVerifier((issuer,), lambda: NOW)
    token = jwt.encode({"alg": algorithm, "kid": "k1"}, claims(), key, algorithms=[algorithm])
    assert verifier.verify(f"Bearer {token}").actor_id == "899700000112"
    if algorithm == "PS256":
        other = jwt.encode({"alg": "RS256", "kid": "k1"}, claims(), key, algorithms=["RS256"])
        assert_401(verifier, f"Bearer {other}")


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "AAAA", "kid": "k"},
        {"kid": "k"},
        {**FOREIGN.as_dict(private=True), "kid": "k"},
        FOREIGN.as_dict(private=False),
        {**FOREIGN.as_dict(private=False), "kid": "k", "alg": "RS256"},
    ],
    ids=["symmetric", "no type", "private", "no kid", "wrong algorithm"],
)
def test_keys_that_are_not_trusted(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        keys_of({"keys": [{name: value for name, value in jwk.items() if name != "kid" or jwk.get("kid") == "k"}]})


@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    verifier = TokenVerifier((), lambda: NOW)
    assert refusal(verifier, text).status == 401
    assert refusal(verifier, f"Bearer {text}").status == 401


def test_the_key_file_is_private_and_shared(tmp_path: Path) -> None:
    first, second = Sandbox(tmp_path), Sandbox(tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.jwks() == second.jwks()
    assert "d" not in first.jwks()["keys"][0]


def test_personas_are_the_cast() -> None:
    cast = json.loads((Path(__file__).parents[2] / "fixtures" / "cast.json").read_bytes())
    expected = {one["key"]: one["idnps"] for one in cast["professionals"]}
    expected |= {"patient-" + one["key"]: one["ins"]["value"] for one in cast["patients"]}
    expected |= {one["feeder"]: one["idnst"] for one in cast["structures"]}
    found = {slug: persona.identifier for slug, persona in personas().items()}
    assert expected.items() <= found.items()


def _parts(sandbox: Sandbox, tree: dict[str, Any]) -> tuple[bytes, bytes]:
    header = {"alg": "ES256", "kid": sandbox.jwks()["keys"][0]["kid"]}
    return json.dumps(header).encode(), json.dumps(tree).encode()
