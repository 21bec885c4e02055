"""Sealed bodies and documents: they open where they were sealed and nowhere else (TF-243); nothing is sealed twice with
the same key and nonce (TF-244)."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.store import sealing
from dmp_fhir.store.sealing import BODY, CHUNK, DIRECTORY_BODY, DOCUMENT, SALT_SIZE, SealBroken, SealingKey, message_key
from tests.support import tally

KEY, OTHER = SealingKey(bytes(range(32))), SealingKey(bytes(range(1, 33)))
PLACE = "resource_version|r|DocumentReference|d|1"
HEAD, TAG = 1 + SALT_SIZE, 16
SMALL_CHUNK = 64


def refused(act: object) -> None:
    """Count one move or damage; it must not open."""
    served = 0
    try:
        act()  # type: ignore[operator]
        served = 1
    except SealBroken:
        pass
    tally.count("K", "ciphertexts moved or damaged")
    tally.count("K", "served", served)
    assert not served


@given(st.binary(max_size=300), st.sampled_from([BODY, DIRECTORY_BODY]))
def test_a_body_opens_at_its_place(body: bytes, kind: bytes) -> None:
    assert KEY.open(kind, PLACE, KEY.seal(kind, PLACE, body)) == body


def test_a_body_opens_nowhere_else() -> None:
    sealed = KEY.seal(BODY, PLACE, b"{}")
    elsewhere = ("audit_event|r|d", PLACE + "1", PLACE.replace("|r|", "|s|"), PLACE.replace("|d|", "|e|"), "")
    for place in elsewhere:
        refused(lambda place=place: KEY.open(BODY, place, sealed))
    refused(lambda: OTHER.open(BODY, PLACE, sealed))
    refused(lambda: KEY.open(DIRECTORY_BODY, PLACE, sealed))
    refused(lambda: KEY.open_document(PLACE, sealed))
    refused(lambda: KEY.open_document(PLACE, DOCUMENT + sealed[1:]))


def test_every_bit_of_a_body_counts() -> None:
    sealed = KEY.seal(BODY, PLACE, b"compte rendu")
    for n in range(8, len(sealed) * 8):  # the first byte says which key: tried above
        damaged = bytearray(sealed)
        damaged[n // 8] ^= 1 << n % 8
        refused(lambda damaged=bytes(damaged): KEY.open(BODY, PLACE, damaged))
    for cut in range(1, len(sealed)):
        refused(lambda cut=cut: KEY.open(BODY, PLACE, sealed[:cut]))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK", SMALL_CHUNK)


def document(content: bytes, place: str = PLACE, key: SealingKey = KEY) -> bytes:
    return b"".join(key.seal_document(place, content))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [0, 1, SMALL_CHUNK - 1, SMALL_CHUNK, SMALL_CHUNK + 1, 3 * SMALL_CHUNK, 1000])
def test_a_document_of_any_size(size: int) -> None:
    content = os.urandom(size)
    sealed = document(content)
    assert KEY.open_document(PLACE, sealed) == content
    assert len(sealed) == HEAD + size + TAG * max(1, -(-size // SMALL_CHUNK))


def test_a_large_document_in_its_real_chunks() -> None:
    content = os.urandom(1000) * (2 * CHUNK // 1000 + 1)
    pieces = list(KEY.seal_document(PLACE, content))
    assert [len(piece) for piece in pieces[1:3]] == [CHUNK + TAG] * 2
    assert KEY.open_document(PLACE, b"".join(pieces)) == content


@pytest.mark.usefixtures("small_chunks")
def test_chunks_keep_their_order_their_number_and_their_end() -> None:
    sealed = document(bytes(range(200)) * 2)
    step = SMALL_CHUNK + TAG
    head, chunks = sealed[:HEAD], [sealed[HEAD + n : HEAD + n + step] for n in range(0, len(sealed) - HEAD, step)]
    assert len(chunks) == 7
    for order in itertools.permutations(range(7), 7):
        if order != tuple(range(7)) and sum(n != m for n, m in enumerate(order)) <= 3:
            refused(lambda order=order: KEY.open_document(PLACE, head + b"".join(chunks[n] for n in order)))
    for count in range(7):  # cut at the limit of a chunk
        refused(lambda count=count: KEY.open_document(PLACE, head + b"".join(chunks[:count])))
    for n in range(7):
        refused(lambda n=n: KEY.open_document(PLACE, head + b"".join(chunks[:n] + chunks[n + 1 :])))
        refused(lambda n=n: KEY.open_document(PLACE, head + b"".join(chunks[: n + 1] + chunks[n:])))
    other = document(bytes(400))
    for n in range(7):  # a chunk of another document of the same record
        there = other[HEAD + n * step : HEAD + (n + 1) * step]
        refused(
            lambda n=n, there=there: KEY.open_document(PLACE, head + b"".join([*chunks[:n], there, *chunks[n + 1 :]]))
        )
    refused(lambda: KEY.open_document(PLACE, sealed + bytes(TAG)))
    refused(lambda: KEY.open_document("payload|r|Binary|other", sealed))
    refused(lambda: OTHER.open_document(PLACE, sealed))


def test_nothing_shows_a_key() -> None:
    """TF-250: not in a repr, not in the text of an exception."""
    secret = bytes(range(32))
    key = SealingKey(secret)
    sealed = bytearray(key.seal(BODY, PLACE, b"x"))
    sealed[-1] ^= 1
    with pytest.raises(SealBroken) as broken:
        key.open(BODY, PLACE, bytes(sealed))
    shown = f"{key!r} {key} {broken.value!r} {broken.value.__cause__!r}"
    assert not any(form in shown for form in (str(secret), secret.hex(), repr(secret)[2:20]))
    with pytest.raises(ValueError, match="32 bytes"):
        SealingKey(b"short")


# --- TF-244 ---------------------------------------------------------------------------------------


def message_keys(count: int, key: bytes) -> Iterator[bytes]:
    """The key of each of so many messages, from what is sealed; the nonce of a body is always the same."""
    sealer = SealingKey(key)
    for _ in range(count):
        sealed = sealer.seal(BODY, PLACE, b"")
        yield message_key(key, BODY, sealed[1 : 1 + SALT_SIZE])


def _in_a_child(count: int, key: bytes, results: multiprocessing.Queue[list[bytes]]) -> None:
    results.put(list(message_keys(count, key)))


def keys_and_nonces_of(total: int) -> int:
    """How many of `total` messages, sealed in threads, in forked processes and in fresh ones, have a key and nonce of
    another one. All of them are under one record key, as after a restart or in a copy of a whole machine."""
    key, share = bytes(range(32)), total // 8
    with ThreadPoolExecutor(4) as pool:
        seen = [each for part in pool.map(lambda _: list(message_keys(share, key)), range(4)) for each in part]
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        results = context.Queue()
        children = [context.Process(target=_in_a_child, args=(share, key, results)) for _ in range(2)]
        for child in children:
            child.start()
        for _ in children:
            seen += results.get(timeout=300)
        for child in children:
            child.join()
    assert len(seen) == 8 * share
    repeats = len(seen) - len(set(seen))
    tally.count("K", "messages sealed", len(seen))
    tally.count("K", "keys and nonces repeated", repeats)
    return repeats


def test_no_key_and_nonce_twice() -> None:
    assert keys_and_nonces_of(8_000) == 0


@pytest.mark.campaign
def test_no_key_and_nonce_twice_campaign() -> None:
    assert keys_and_nonces_of(1_000_000) == 0


@pytest.mark.usefixtures("small_chunks")
def test_the_chunks_of_a_document_have_nonces_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    nonce = sealing._nonce

    def noting(number: int, last: bool) -> bytes:
        used.append(nonce(number, last))
        return used[-1]

    monkeypatch.setattr(sealing, "_nonce", noting)
    document(bytes(100 * SMALL_CHUNK))
    assert len(set(used)) == len(used) == 100
