"""The issuers' file: what it may say, what stops the start, and that it is read again when it changes."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey, RSAKey

from dmp_fhir.cli import main
from dmp_fhir.identity.context import Software
from dmp_fhir.identity.issuers import trusted_issuers
from dmp_fhir.identity.sandbox import AUDIENCE, Sandbox, claims_of, personas
from dmp_fhir.identity.setup import verifier
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.outcome import Refused
from dmp_fhir.settings import Settings

NOW = 1_790_000_000_000
KEY = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "k1", "alg": "ES256"}
RSA = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": "r1"}
ENTRY: dict[str, Any] = {"issuer": "https://issuer.example", "audience": "https://dmp.example", "jwks": {"keys": [KEY]}}
ASK: dict[str, Any] = {"url": "https://issuer.example/ask", "client_id": "us", "client_secret_file": "secret"}
PSC: dict[str, Any] = ENTRY | {
    "kind": "pro_sante_connect",
    "clients": ["lps"],
    "userinfo": {"url": "https://issuer.example/me"},
}


def without(entry: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names} | more


def read(folder: Path, *entries: Any, **how: Any) -> Any:
    (folder / "secret").write_text("s3cret")
    path = folder / "issuers.json"
    path.write_text(json.dumps(list(entries)))
    return trusted_issuers(path, lambda: NOW, **how)


GOOD = [
    ENTRY,
    without(ENTRY, "jwks", jwks_uri="https://issuer.example/keys", algorithms=["ES256", "RS256"]),
    without(ENTRY, "jwks", jwks_uri="http://127.0.0.1:8080/keys", algorithms=["ES256"]),
    without(ENTRY, "jwks", introspection=ASK, opaque=True),
    ENTRY | {"introspection": ASK | {"recheck_s": 1800}},
    ENTRY | {"jwks": {"keys": [RSA]}, "algorithms": ["PS256"]},
    PSC,
]


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_good_entries(tmp_path: Path, number: int) -> None:
    (found,) = read(tmp_path, GOOD[number])
    assert found.issuer == "https://issuer.example"


BAD = {
    "nothing": [],
    "no object": ["x"],
    "no issuer": [without(ENTRY, "issuer")],
    "issuer no text": [ENTRY | {"issuer": 1}],
    "no audience": [without(ENTRY, "audience")],
    "no keys": [without(ENTRY, "jwks")],
    "no key": [ENTRY | {"jwks": {"keys": []}}],
    "a secret key": [ENTRY | {"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "k"}]}}],
    "RSA without algorithm": [ENTRY | {"jwks": {"keys": [RSA]}}],
    "a key of another algorithm": [ENTRY | {"algorithms": ["PS256"]}],
    "none": [ENTRY | {"algorithms": ["none"]}],
    "HS256": [ENTRY | {"algorithms": ["HS256"]}],
    "keys twice": [ENTRY | {"jwks_uri": "https://issuer.example/keys", "algorithms": ["ES256"]}],
    "published keys without algorithms": [without(ENTRY, "jwks", jwks_uri="https://issuer.example/keys")],
    "published keys by http": [without(ENTRY, "jwks", jwks_uri="http://issuer.example/k", algorithms=["ES256"])],
    "published keys in a file": [without(ENTRY, "jwks", jwks_uri="file:///etc/passwd", algorithms=["ES256"])],
    "published keys at no port": [without(ENTRY, "jwks", jwks_uri="https://a.example:99999/k", algorithms=["ES256"])],
    "published keys at a number": [without(ENTRY, "jwks", jwks_uri=5, algorithms=["ES256"])],
    "keys that are no set": [ENTRY | {"jwks": [1]}],
    "keys that are nothing": [ENTRY | {"jwks": None}],
    "introspection at a text": [ENTRY | {"introspection": "https://issuer.example/introspect"}],
    "an address with a user": [without(ENTRY, "jwks", jwks_uri="https://a:b@issuer.example/k", algorithms=["ES256"])],
    "no authority": [ENTRY | {"introspection": ASK | {"authority": "nothing.pem"}}],
    "introspection without secret": [ENTRY | {"introspection": without(ASK, "client_secret_file")}],
    "secret that is not there": [ENTRY | {"introspection": ASK | {"client_secret_file": "nothing"}}],
    "secret in the file": [ENTRY | {"introspection": ASK | {"client_secret": "x"}}],
    "re-check after an hour": [ENTRY | {"introspection": ASK | {"recheck_s": 3600}}],
    "re-check never": [ENTRY | {"introspection": ASK | {"recheck_s": 0}}],
    "a minute's wait": [ENTRY | {"introspection": ASK | {"timeout_s": 60}}],
    "opaque without introspection": [ENTRY | {"opaque": True}],
    "opaque twice": [
        without(ENTRY, "jwks", introspection=ASK, opaque=True),
        without(ENTRY, "jwks", introspection=ASK, opaque=True, issuer="https://other.example"),
    ],
    "the same twice": [ENTRY, ENTRY],
    "unknown category": [ENTRY | {"categories": ["ROOT"]}],
    "unknown mode": [ENTRY | {"auth_modes": ["ROOT"]}],
    "a life of a week": [ENTRY | {"max_lifetime_s": 7 * 86_400}],
    "an empty list": [ENTRY | {"acr_values": []}],
    "a quote": [ENTRY | {"acr_values": ['a"b']}],
    "two scopes": [ENTRY | {"scope": "a b"}],
    "unknown kind": [ENTRY | {"kind": "saml"}],
    "unknown name": [ENTRY | {"audiance": "x"}],
    "Pro Santé Connect without userinfo": [without(PSC, "userinfo")],
    "Pro Santé Connect without clients": [without(PSC, "clients")],
    "userinfo of others": [ENTRY | {"userinfo": {"url": "https://issuer.example/me"}}],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_entries(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError) as told:
        read(tmp_path, *BAD[name])
    assert "object has no attribute" not in str(told.value)


def test_production_asks_by_https_only_and_knows_no_test_identities(tmp_path: Path) -> None:
    local = without(ENTRY, "jwks", jwks_uri="http://127.0.0.1:8080/keys", algorithms=["ES256"])
    with pytest.raises(ValueError, match="https"):
        read(tmp_path, local, production=True)
    assert [each.test_identities for each in read(tmp_path, PSC, production=True)] == [False]
    assert [each.test_identities for each in read(tmp_path, PSC)] == [True]


# --- the file changes ----------------------------------------------------------------------------------


def test_keys_in_the_file_change_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = Sandbox(tmp_path / "one"), Sandbox(tmp_path / "two")
    path, now = tmp_path / "issuers.json", [NOW]

    def write(text: str) -> None:
        draft = tmp_path / "draft"
        draft.write_text(text)
        draft.rename(path)
        now[0] += 2000

    def entries(sandbox: Sandbox) -> str:
        return json.dumps([{"issuer": sandbox.issuer, "audience": AUDIENCE, "jwks": sandbox.jwks()}])

    write(entries(one))
    door = verifier(Settings(data_folder=tmp_path, issuers_file=str(path)), lambda: now[0], nullcontext)
    first, second = (f"Bearer {each.issue('dr-moreau', now_ms=NOW)}" for each in (one, two))
    door.verify(first)
    write(entries(two))
    # Remembered tokens go with the issuers that they were verified by.
    with pytest.raises(Refused):
        door.verify(first)
    door.verify(second)
    write("[{")
    door.verify(second)
    assert caplog.records[-1].levelname == "CRITICAL"


def test_dmp_fhir_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(tmp_path, ENTRY, without(PSC, issuer="https://psc.example"))
    clients = [{"client_id": "lps", "name": "LPS"}, {"client_id": "old", "name": "Ancien", "disabled": True}]
    (tmp_path / "clients.json").write_text(json.dumps(clients))
    monkeypatch.setenv("DMP_FHIR_DATA", str(tmp_path))
    monkeypatch.setenv("DMP_FHIR_ISSUERS", str(tmp_path / "issuers.json"))
    monkeypatch.setenv("DMP_FHIR_CLIENTS", str(tmp_path / "clients.json"))
    found = CliRunner().invoke(main, ["callers"])
    assert found.exit_code == 0
    assert "issuer https://psc.example (pro_sante_connect): keys in the file, userinfo every 300 s" in found.output
    assert "client old (Ancien): disabled" in found.output
    (tmp_path / "clients.json").write_text(json.dumps([{"client_id": "lps"}]))
    broken = CliRunner().invoke(main, ["callers"])
    assert (broken.exit_code, "client 1: 'name' is missing" in broken.output) == (1, True)


# --- what a token says besides -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("sandbox"))


def caller(sandbox: Sandbox, slug: str = "dr-moreau", fr_dmp: Any = None, iua: Any = None, **changes: Any) -> Any:
    tree = claims_of(personas()[slug], now_ms=NOW)
    tree["extensions"]["fr_dmp"] |= fr_dmp or {}
    tree["extensions"]["ihe_iua"] |= iua or {}
    return TokenVerifier([sandbox.trusted()], lambda: NOW).verify("Bearer " + sandbox.sign(tree | changes))


def test_all_that_a_context_carries(sandbox: Sandbox) -> None:
    lps = {"name": "LPS", "version": "4.2", "id": "poste-1", "approval": "H-77"}
    found = caller(
        sandbox, fr_dmp={"lps": lps, "sector": "SA07^1.2.250.1.71.4.2.4", "role": "R1"}, acr="eidas1", sid="s"
    )
    assert found.software == Software("LPS", "4.2", "poste-1", "H-77")
    assert (found.sector, found.role, found.auth_level, found.session) == ("SA07", "R1", "eidas1", "s")
    assert (found.relation, found.certificate) == (None, None)
    plain = caller(sandbox)
    assert (plain.software, plain.session) == (None, plain.token_id)


@pytest.mark.parametrize("slug", ["patient-claire-martin", "representative-claire-martin", "dr-moreau"])
def test_the_relation_is_that_of_the_category(sandbox: Sandbox, slug: str) -> None:
    right = {"patient-claire-martin": "self", "representative-claire-martin": "representative"}.get(slug)
    assert caller(sandbox, slug).relation == right
    for stated in ("self", "representative", "aidant", "proche", "", 1):
        if stated == right:
            assert caller(sandbox, slug, {"relation": stated}).relation == right
        else:
            with pytest.raises(Refused):
                caller(sandbox, slug, {"relation": stated})


@pytest.mark.parametrize(
    "lps", [[], "LPS", {"name": 1}, {"version": ""}, {"name": "a\x00"}, {"id": "x" * 300}], ids=str
)
def test_software_that_can_t_be_read(sandbox: Sandbox, lps: Any) -> None:
    with pytest.raises(Refused) as caught:
        caller(sandbox, fr_dmp={"lps": lps})
    assert "lps" in caught.value.refusal.issues[0].en


def test_the_specialty_may_be_a_role(sandbox: Sandbox) -> None:
    cardiology = {"system": "urn:oid:1.2.250.1.71.4.2.5", "code": "SM04"}
    profession = claims_of(personas()["dr-moreau"], now_ms=NOW)["extensions"]["ihe_iua"]["subject_role"]
    roles = {"subject_role": [*profession, cardiology]}
    found = TokenVerifier([sandbox.trusted()], lambda: NOW)
    tree = claims_of(personas()["dr-moreau"], now_ms=NOW)
    tree["extensions"]["ihe_iua"] |= roles
    tree["extensions"]["fr_dmp"].pop("specialty", None)
    assert found.verify("Bearer " + sandbox.sign(tree)).specialty == "SM04"
    with pytest.raises(Refused):
        caller(sandbox, fr_dmp={"specialty": "SM26"}, iua=roles)
