"""Bodies come back byte for byte, or not at all."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dmp_fhir.store.bodies import MAX_BODY, BodyDamaged, pack, unpack


@given(st.binary(max_size=5000))
def test_what_is_packed_is_unpacked(body: bytes) -> None:
    assert unpack(pack(body)) == body


def test_a_resource_takes_less_place() -> None:
    tree = {
        "resourceType": "DocumentReference",
        "content": [{"attachment": {"title": f"Compte rendu {n}"}} for n in range(50)],
    }
    body = json.dumps(tree).encode()
    assert len(pack(body)) < len(body) / 4


def test_one_changed_bit_is_never_served() -> None:
    body = (
        json.dumps({"resourceType": "Patient", "name": [{"family": "PAT-TROIS", "given": ["DOMINIQUE"]}]}).encode() * 3
    )
    frame = pack(body)
    dice = random.Random(207)
    for _ in range(1000):
        damaged = bytearray(frame)
        damaged[dice.randrange(len(frame))] ^= 1 << dice.randrange(8)
        try:
            assert unpack(bytes(damaged)) == body  # a bit that means nothing
        except BodyDamaged:
            continue


@pytest.mark.parametrize("cut", [0, 1, 4, 9, -1])
def test_a_cut_frame_is_refused(cut: int) -> None:
    with pytest.raises(BodyDamaged):
        unpack(pack(b"x" * 1000)[:cut])


def test_a_frame_that_announces_too_much_is_refused_before_it_is_opened() -> None:
    bomb = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(MAX_BODY + 1))
    assert len(bomb) < 100_000
    with pytest.raises(BodyDamaged):
        unpack(bomb)


def test_a_frame_of_another_kind_is_refused() -> None:
    unchecked = zstandard.ZstdCompressor().compress(b"no checksum")
    dictionary = zstandard.train_dictionary(1024, [b"%d sample of a body %d" % (n, n * n) for n in range(2000)])
    foreign = zstandard.ZstdCompressor(dict_data=dictionary, write_checksum=True).compress(b"sample of a body")
    for frame in (unchecked, foreign, b"", b"{}"):
        with pytest.raises(BodyDamaged):
            unpack(frame)


def test_threads_do_not_share_their_tools() -> None:
    bodies = [bytes([n]) * 20_000 for n in range(8)]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(200):
            if unpack(pack(bodies[n])) != bodies[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_bodies_packed_without_a_dictionary_stay_readable() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(b'{"resourceType":"List"}')
    assert unpack(frame) == b'{"resourceType":"List"}'


def test_the_shipped_dictionary_knows_what_document_references_look_like() -> None:
    bundle = json.loads((Path(__file__).parents[2] / "fixtures" / "tour" / "publish.json").read_bytes())
    body = json.dumps(bundle["entry"][1]["resource"], ensure_ascii=False, separators=(",", ":")).encode()
    frame = pack(body)
    assert unpack(frame) == body
    assert len(frame) * 8 < len(body)
