"""Area B of the threat catalogue, entry by entry: the tests that prove it, or the door that is not here yet.

An entry of an absent door is proved by the absence: when its words appear in the sources, this table has to name tests.
"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.readme.tour import ROOT
from tests.support import tally

CALLERS, TLS = "tests/hostile/test_callers.py", "tests/hostile/test_tls.py"
SERVICES, TOKENS = "tests/identity/test_issuer_services.py", "tests/identity/test_tokens.py"
CERTIFICATES, CLIENTS = "tests/identity/test_certificates.py", "tests/identity/test_clients.py"
PEERS = "tests/identity/test_peers.py"

PROVED: dict[str, tuple[str, ...]] = {
    "TF-058": (f"{CALLERS}::test_no_token_or_in_the_wrong_place", f"{TOKENS}::test_what_is_not_a_bearer_token"),
    "TF-059": (f"{CALLERS}::test_unsigned", f"{CALLERS}::test_a_signature_of_another_token"),
    "TF-060": (
        f"{CALLERS}::test_the_public_key_as_a_secret",
        f"{CALLERS}::test_another_algorithm_than_that_of_the_key",
    ),
    "TF-061": (f"{CALLERS}::test_a_key_that_the_token_brings",),
    "TF-062": (f"{CALLERS}::test_kids", f"{SERVICES}::test_a_thousand_unknown_kids_ask_once_in_an_interval"),
    "TF-063": (f"{CALLERS}::test_critical_and_other_headers",),
    "TF-064": (
        f"{CALLERS}::test_wrong_claims",
        f"{CALLERS}::test_missing_claims",
        f"{TOKENS}::test_wrong_extensions",
        f"{TOKENS}::test_the_consent_of_a_token_binds_it_to_its_patient",
    ),
    "TF-065": (f"{CALLERS}::test_large_tokens",),
    "TF-066": (f"{CALLERS}::test_doubled_headers", f"{CALLERS}::test_doubled_claims"),
    "TF-067": (f"{CALLERS}::test_encrypted_tokens",),
    "TF-068": (f"{TLS}::test_bound_tokens", f"{CLIENTS}::test_bound_tokens"),
    # The exchange is at the issuer's; what is asked of a token endpoint here is refused and traced.
    "TF-069": (f"{CALLERS}::test_tokens_are_not_exchanged_here",),
    "TF-070": (f"{SERVICES}::test_an_introspection_that_fails_is_never_a_yes",),
    "TF-071": (f"{SERVICES}::test_a_revoked_token_is_refused_at_the_re_check",),
    "TF-072": (
        f"{TLS}::test_certificates_that_end_the_handshake",
        f"{TLS}::test_without_certificate",
        f"{TLS}::test_revoked_then_stale_then_good_again",
        f"{CERTIFICATES}::test_bad_certificates",
        f"{CERTIFICATES}::test_sha_1",
        f"{CERTIFICATES}::test_lists_missing_stale_foreign_or_of_the_future",
        f"{CLIENTS}::test_a_certificate_of_nobody_registered",
        f"{CLIENTS}::test_a_certificate_of_another_client",
    ),
    "TF-073": (
        f"{TLS}::test_headers_of_a_proxy_from_elsewhere",
        f"{PEERS}::test_from_anybody_else",
        f"{PEERS}::test_every_spelling_straight_to_the_port",
        f"{PEERS}::test_a_bound_token_through_the_proxy",
    ),
    "TF-074": (f"{TLS}::test_old_protocols_and_weak_suites",),
    "TF-075": (
        f"{CLIENTS}::test_what_a_client_may_not_assert",
        f"{TLS}::test_the_account_of_a_structure_feeds_and_reads_nothing",
        "tests/audit/test_events.py::test_how_sure_the_authentication_was_is_in_the_trace",
    ),
    "TF-076": (
        f"{CLIENTS}::test_the_version_of_the_software",
        f"{CLIENTS}::test_disabled_is_refused_at_the_next_request",
    ),
    "TF-088": (f"{CALLERS}::test_weaker_authentication_than_required",),
    "TF-092": (f"{CALLERS}::test_one_use_assertions_are_no_access_tokens",),
}

EXCHANGE = "tokens are exchanged at the issuer's authorisation server (RFC 8693), never here: TF-069 has its refusals"
CODES = "the web portal and its one-time codes are not here"
SESSIONS = "the web portal and its sessions are not here: every request brings a token"
LOGIN = "nobody logs in here: tokens come from issuers"
# What would be in the sources if the door were here.
SIGNS = {
    EXCHANGE: r"grant-type:token-exchange|subject_token",
    CODES: r"hotp|totp|one_time_code|send_code",
    SESSIONS: r"set_cookie\(|SECRET_KEY|flask import .*\bsession\b",
    LOGIN: r"redirect_uri|code_verifier|authorization_code",
}
ABSENT: dict[str, str] = {
    **dict.fromkeys(("TF-077", "TF-078", "TF-079", "TF-080", "TF-091"), CODES),
    **dict.fromkeys(("TF-081", "TF-087", "TF-090"), LOGIN),
    **dict.fromkeys(("TF-082", "TF-083", "TF-084", "TF-085", "TF-086", "TF-089"), SESSIONS),
}
ENTRIES = [f"TF-{number:03}" for number in range(58, 93)]


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef))


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_is_proved_or_its_door_is_absent(entry: str) -> None:
    assert (entry in PROVED) != (entry in ABSENT)
    tally.count("B", "entries proved by tests", int(entry in PROVED))
    tally.count("B", "entries without a door here", int(entry in ABSENT))


@pytest.mark.parametrize("test", sorted({test for tests in PROVED.values() for test in tests}))
def test_what_proves_an_entry_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in functions_of(file)


@pytest.mark.parametrize("door", SIGNS)
def test_an_absent_door_is_absent(door: str) -> None:
    sign = re.compile(SIGNS[door], re.IGNORECASE)
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "dmp_fhir").rglob("*.py")
        if sign.search(path.read_text(encoding="utf-8"))
    ]
    assert found == [], f"{door}? Name the tests that prove its entries in this table"
