"""Registered clients and accounts of structures (TF-068, TF-075, TF-076)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmp_fhir.identity.certificates import ClientCertificate
from dmp_fhir.identity.clients import Clients, read_clients
from dmp_fhir.identity.context import Software
from dmp_fhir.identity.sandbox import Sandbox, claims_of, personas
from dmp_fhir.identity.tokens import TokenVerifier
from dmp_fhir.outcome import Refusal, Refused
from tests.support import tally
from tests.support.pki import Authority, Issued
from tests.support.tokens import segment

NOW = 1_790_000_000_000
STRUCTURE = "1990000010"
AUTHORITY = Authority("Autorité", NOW)
OWN, OTHER = AUTHORITY.issue("lps"), AUTHORITY.issue("other")


def presented(issued: Issued) -> ClientCertificate:
    return ClientCertificate(issued.thumbprint, issued.certificate.subject, NOW + 1000, NOW + 1000)


class Desk:
    """A verifier of sandbox tokens and a clients file to rewrite."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.path = folder / "clients.json"
        self.sandbox = Sandbox(folder)
        self.entries: list[dict[str, Any]] = [
            {"client_id": "dmp-fhir-sandbox", "name": "Bac à sable"},
            {
                "client_id": "chu",
                "name": "CHU de Test",
                "structure": STRUCTURE,
                "certificates": [OWN.fingerprint],
                "categories": ["STRUCTURE"],
                "auth_modes": ["INDIRECTE"],
                "scopes": ["dmp"],
                "software": {"name": "Pousseur", "version": "4.2"},
                "account": True,
            },
        ]
        self.write()
        self.clients = Clients(self.path, lambda: NOW)
        self.verifier = TokenVerifier((self.sandbox.trusted(),), lambda: NOW, clients=self.clients, **how)

    def write(self) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self.entries))
        draft.rename(self.path)

    def token(self, slug: str = "dr-moreau", *, client: str = "dmp-fhir-sandbox", **changes: Any) -> str:
        claims = claims_of(personas()[slug], now_ms=NOW) | {"client_id": client}
        claims["extensions"]["fr_dmp"] |= changes.pop("fr_dmp", {})
        return "Bearer " + self.sandbox.sign(claims | changes)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def refused(desk: Desk, token: str | None, certificate: ClientCertificate | None = None) -> Refusal:
    tally.count("B", "bad tokens tried")
    tally.count("B", "accepted", 0)
    try:
        desk.verifier.verify(token, certificate)
    except Refused as caught:
        found = caught.refusal
        assert found.status in (401, 403)
        assert found.issues[0].code == {401: "login", 403: "forbidden"}[found.status]
        assert all(issue.fr and issue.en for issue in found.issues)
        return found
    tally.count("B", "accepted")
    pytest.fail("accepted")


def test_the_account_of_a_structure(desk: Desk) -> None:
    found = desk.verifier.verify(None, presented(OWN))
    assert (found.actor_category, found.actor_id, found.auth_mode) == ("STRUCTURE", STRUCTURE, "INDIRECTE")
    assert (found.client_id, found.structure, found.purpose) == ("chu", STRUCTURE, "normal")
    assert found.software == Software("Pousseur", "4.2")
    assert (found.certificate, found.session, found.token_id) == (OWN.thumbprint, OWN.thumbprint, None)


def test_a_certificate_of_nobody_registered(desk: Desk) -> None:
    assert refused(desk, None, presented(OTHER)).reason == "CERTIFICAT_NON_ENREGISTRE"


def test_a_certificate_without_clients_file(tmp_path: Path) -> None:
    verifier = TokenVerifier((Sandbox(tmp_path).trusted(),), lambda: NOW)
    with pytest.raises(Refused):
        verifier.verify(None, presented(OWN))


def test_bound_tokens(desk: Desk) -> None:
    """TF-068: only the bound certificate passes, at the first use and when the token is remembered."""
    renewed = Issued(AUTHORITY.issue("lps", key=OWN.key).certificate, OWN.key)
    token = desk.token(cnf={"x5t#S256": OWN.thumbprint})
    for _ in range(2):
        assert refused(desk, token).reason == "CERTIFICAT_DIFFERENT"
        assert refused(desk, token, presented(OTHER)).reason == "CERTIFICAT_DIFFERENT"
        assert refused(desk, token, presented(renewed)).reason == "CERTIFICAT_DIFFERENT"
        assert desk.verifier.verify(token, presented(OWN)).certificate == OWN.thumbprint
    # Removed by somebody without the issuer's key.
    header, _, signature = token.split(".")
    assert (
        refused(desk, f"{header}.{segment(claims_of(personas()['dr-moreau'], now_ms=NOW))}.{signature}").status == 401
    )


@pytest.mark.parametrize(
    "cnf",
    [
        None,
        "",
        [],
        {},
        OWN.thumbprint,
        {"x5t#S256": ""},
        {"x5t#S256": None},
        {"x5t#S256": OWN.thumbprint + "="},
        {"x5t#S256": OWN.fingerprint},
        {"x5t": OWN.thumbprint},
        {"jkt": OWN.thumbprint},
        {"x5t#S256": OWN.thumbprint, "jkt": "x"},
    ],
    ids=map(str, range(12)),
)
def test_bindings_that_can_t_be_checked(desk: Desk, cnf: object) -> None:
    assert refused(desk, desk.token(cnf=cnf), presented(OWN)).status == 401


def test_software_must_be_bound_when_the_settings_say_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path, bound=True)
    assert refused(desk, desk.token()).reason == "CERTIFICAT_DIFFERENT"
    assert refused(desk, desk.token(), presented(OWN)).reason == "CERTIFICAT_DIFFERENT"
    desk.verifier.verify(desk.token(cnf={"x5t#S256": OWN.thumbprint}), presented(OWN))
    # A client that only comes with its registered certificate is bound by that, whatever its tokens say.
    desk.verifier.verify(desk.token("chu-feeder", client="chu"), presented(OWN))
    # People at the portal have no certificate.
    desk.verifier.verify(desk.token("patient-claire-martin"))


def test_a_certificate_of_another_client(desk: Desk) -> None:
    token = desk.token("chu-feeder", client="chu")
    desk.verifier.verify(token, presented(OWN))
    assert refused(desk, token, presented(OTHER)).reason == "CERTIFICAT_DIFFERENT"
    assert refused(desk, token).reason == "CERTIFICAT_DIFFERENT"


def test_a_client_known_by_the_name_of_its_certificates(desk: Desk) -> None:
    desk.entries[1] |= {"certificates": [], "subject": OWN.certificate.subject.rfc4514_string()}
    desk.write()
    renewed = AUTHORITY.issue("lps")
    assert desk.verifier.verify(None, presented(renewed)).client_id == "chu"
    assert refused(desk, None, presented(OTHER)).reason == "CERTIFICAT_NON_ENREGISTRE"


def test_what_a_client_may_not_assert(desk: Desk) -> None:
    """TF-075: software of a structure asserts neither another structure nor a person."""
    own = presented(OWN)
    assert refused(desk, desk.token("dr-moreau", client="chu"), own).status == 401
    for slug in personas():
        persona = personas()[slug]
        if persona.category != "STRUCTURE" or persona.structure != STRUCTURE:
            assert refused(desk, desk.token(slug, client="chu"), own).status == 401
    desk.entries[0]["auth_modes"] = ["AIR"]
    desk.write()
    assert refused(desk, desk.token()).status == 401


def test_an_unregistered_client(desk: Desk) -> None:
    found = refused(desk, desk.token(client="inconnu"))
    assert (found.status, found.reason) == (403, "CLIENT_INCONNU")


def test_disabled_is_refused_at_the_next_request(desk: Desk) -> None:
    token, account = desk.token(), presented(OWN)
    desk.verifier.verify(token)
    desk.verifier.verify(None, account)
    for entry in desk.entries:
        entry["disabled"] = True
    desk.write()
    for found in (refused(desk, token), refused(desk, None, account)):
        assert (found.status, found.reason) == (403, "CLIENT_DESACTIVE")
        assert "Martin" not in found.issues[0].fr


@pytest.mark.parametrize(
    ("lps", "accepted"),
    [
        ({"name": "LPS", "version": "2.10"}, True),
        ({"name": "LPS", "version": "2.10.0"}, True),
        ({"name": "LPS", "version": "3"}, True),
        ({"name": "LPS", "version": "2.9.9"}, False),
        ({"name": "LPS", "version": "2"}, False),
        ({"name": "LPS", "version": "dernière"}, False),
        ({"name": "LPS", "version": "2.10 "}, False),
        ({"name": "LPS"}, False),
        ({"version": "2.10"}, False),
        ({"name": "Autre", "version": "9"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_the_version_of_the_software(desk: Desk, lps: dict[str, str], accepted: bool) -> None:
    desk.entries[0] |= {"minimum_version": "2.10", "software": {"name": "LPS"}}
    desk.write()
    token = desk.token(fr_dmp={"lps": lps})
    if accepted:
        assert desk.verifier.verify(token).software == Software(**lps)
    else:
        found = refused(desk, token)
        assert (found.status, found.reason) == (403, "VERSION_RETIREE")


def test_scopes_of_a_client(desk: Desk) -> None:
    desk.entries[0]["scopes"] = ["dmp"]
    desk.write()
    assert desk.verifier.verify(desk.token(scope="dmp admin")).scopes == {"dmp"}
    desk.entries[0]["scopes"] = ["autre"]
    desk.write()
    found = refused(desk, desk.token())
    assert found.status == 403
    assert 'error="insufficient_scope"' in found.headers[0][1]


def test_a_broken_file_leaves_the_clients_as_they_were(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.path.write_text("[{")
    desk.verifier.verify(desk.token())
    assert caplog.records[0].levelname == "CRITICAL"


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": ""},
        {"client_id": 1},
        {"name": None},
        {"structure": "9999999"},
        {"certificates": ["sha1"]},
        {"certificates": 1},
        {"subject": "not a name"},
        {"categories": ["ROOT"]},
        {"categories": []},
        {"auth_modes": "CPS"},
        {"software": {"editor": "x"}},
        {"minimum_version": "deux"},
        {"account": "yes"},
        {"account": True},
        {"account": True, "structure": STRUCTURE},
        {"account": True, "structure": STRUCTURE, "certificates": [OTHER.fingerprint], "categories": ["PS"]},
        {"account": True, "structure": STRUCTURE, "certificates": [OWN.fingerprint]},
        {"client_id": "chu"},
        {"disabled": 1},
        {"unknown": 1},
        {"scopes": "dmp"},
        {"scopes": [1]},
        {"certificates": "5f70"},
        {"software": "LPS"},
        {"software": {"name": 1}},
    ],
    ids=map(str, range(25)),
)
def test_entries_that_stop_the_start(desk: Desk, change: dict[str, Any]) -> None:
    desk.entries[0] |= change
    desk.write()
    with pytest.raises(ValueError) as told:
        read_clients(desk.path)
    assert "object has no attribute" not in str(told.value)


@pytest.mark.parametrize("text", ["{}", "1", "[1]", "[[]]", "nothing"])
def test_files_that_are_no_list_of_clients(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(text)
    with pytest.raises(ValueError):
        read_clients(path)
