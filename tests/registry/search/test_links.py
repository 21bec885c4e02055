"""Page links cannot be read, edited, kept or lent."""

from __future__ import annotations

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from dmp_fhir.outcome import Refused
from dmp_fhir.registry.search.links import LIFETIME_MS, PageLinks, self_link
from dmp_fhir.registry.search.parse import parse
from tests.registry.search.support import BASE

KEY = bytes(range(32))
STATE = {"type": "DocumentReference", "used": [["patient.identifier", "urn:oid:1|199999999999999"]], "cursor": [[1], 0]}


def status_of(links: PageLinks, token: str, caller: str = "dr|lps", now_ms: int = 1) -> tuple[int, str]:
    with pytest.raises(Refused) as raised:
        links.open(token, caller=caller, now_ms=now_ms)
    return raised.value.refusal.status, raised.value.refusal.issues[0].code


def test_sealed_state_comes_back() -> None:
    links = PageLinks(KEY)
    token = links.seal(STATE, caller="dr|lps", now_ms=1)
    assert links.open(token, caller="dr|lps", now_ms=LIFETIME_MS) == STATE


def test_two_links_of_one_state_differ() -> None:
    links = PageLinks(KEY)
    assert links.seal(STATE, caller="a", now_ms=1) != links.seal(STATE, caller="a", now_ms=1)


def test_nothing_is_readable() -> None:
    token = PageLinks(KEY).seal(STATE, caller="dr|lps", now_ms=1)
    raw = urlsafe_b64decode(token + "==")
    for secret in (b"1999", b"Document", b"dr|lps", b"urn"):
        assert secret not in raw
        assert secret not in token.encode()
    assert token.replace("-", "").replace("_", "").isalnum()


def test_links_of_a_long_search_stay_short() -> None:
    long = STATE | {"used": [["type", ",".join(f"http://loinc.org|{n}-4" for n in range(100))]]}
    assert len(PageLinks(KEY).seal(long, caller="a", now_ms=1)) < 1_500


def test_another_caller_gets_the_uniform_404() -> None:
    links = PageLinks(KEY)
    token = links.seal(STATE, caller="dr|lps", now_ms=1)
    assert [status_of(links, token, caller) for caller in ("dr|other", "dn|lps", "", "dr|lps ")] == [
        (404, "not-found")
    ] * 4


@pytest.mark.parametrize("late", [1 + LIFETIME_MS, 86_400_000])
def test_a_link_ends_after_an_hour(late: int) -> None:
    links = PageLinks(KEY)
    assert status_of(links, links.seal(STATE, caller="dr|lps", now_ms=1), now_ms=late) == (400, "invalid")


def test_every_edited_link_is_refused() -> None:
    """TF-014: bytes flipped, letters changed (the unused bits of the last one too), cut, extended, spliced."""
    links = PageLinks(KEY)
    token = links.seal(STATE, caller="dr|lps", now_ms=1)
    other = links.seal(STATE | {"type": "List"}, caller="dr|lps", now_ms=1)
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    edited = set()
    for position in range(len(raw)):
        for bit in (0, 3, 7):
            flipped = bytearray(raw)
            flipped[position] ^= 1 << bit
            edited.add(urlsafe_b64encode(flipped).rstrip(b"=").decode())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    edited |= {token[:-1] + letter for letter in alphabet}
    edited |= {token[:end] for end in range(0, len(token), 7)} | {
        token + extra for extra in ("A", "AAAA", "=", " ", "%")
    }
    edited |= {token[:cut] + other[cut:] for cut in range(4, min(len(token), len(other)), 5)}
    edited |= {"é" + token, token.replace("-", "+").replace("_", "/") + "!", "A" * 40_000, "", "AQ"}
    chance = random.Random(14)
    edited |= {"".join(chance.choices(alphabet, k=chance.randrange(1, 300))) for _ in range(200)}
    edited -= {token, other}
    assert len(edited) >= 500
    assert {status_of(links, each) for each in edited} == {(400, "invalid")}


def test_a_link_of_another_key_is_refused() -> None:
    token = PageLinks(bytes(32)).seal(STATE, caller="dr|lps", now_ms=1)
    assert status_of(PageLinks(KEY), token) == (400, "invalid")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_size(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PageLinks(bytes(size))


def test_self_link_shows_what_was_used() -> None:
    pairs = [
        ("patient", "Patient/p1"),
        ("colour", "red"),
        ("type", "a|b,c d&e"),
        ("date", "ge2024-01-01T00:00:00+01:00"),
    ]
    query = parse("DocumentReference", [*pairs, ("_count", "900")], lenient=True, base_url=BASE)
    assert self_link(BASE + "/", query) == (
        f"{BASE}/DocumentReference?patient=Patient/p1&type=a%7Cb,c%20d%26e&date=ge2024-01-01T00:00:00%2B01:00&_count=200"
    )
    assert self_link(BASE, parse("List", [], lenient=False, base_url=BASE)) == f"{BASE}/List"
