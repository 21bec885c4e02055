"""RFC 9162 section 2.1: published vectors, and proofs true and corrupted over all shapes of trees (TF-171)."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from dmp_fhir.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    extends,
    includes,
    inclusion_path,
    leaf_hash,
    node_hash,
    nodes_of,
    root_of,
)
from tests.support.tally import count

# The eight entries, roots and proofs that Certificate Transparency publishes for its own tests
# (https://github.com/google/certificate-transparency, merkletree/merkle_tree_test.cc).
ENTRIES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# (leaf, size) -> path
PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
EXTENSIONS = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
SHAPES = sorted({size for k in range(11) for size in (2**k - 1, 2**k, 2**k + 1) if size} | {3, 5, 6, 7, 1000})
LEAVES = [leaf_hash(f"entry {n}".encode()) for n in range(max(SHAPES))]
PUBLISHED = [leaf_hash(each) for each in ENTRIES]


def of_hex(hashes: tuple[str, ...]) -> list[bytes]:
    return [bytes.fromhex(each) for each in hashes]


def test_published_roots() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT == root_of([])
    assert [root_of(PUBLISHED[:size]).hex() for size in range(1, 9)] == list(ROOTS)


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_published_inclusion_proofs(index: int, size: int) -> None:
    path = inclusion_path(index, size, nodes_of(PUBLISHED[:size]))
    assert path == of_hex(PATHS[index, size])
    assert includes(PUBLISHED[index], index, size, path, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("first", "second"), EXTENSIONS)
def test_published_consistency_proofs(first: int, second: int) -> None:
    path = consistency_path(first, second, nodes_of(PUBLISHED[:second]))
    assert path == of_hex(EXTENSIONS[first, second])
    assert extends(first, second, path, bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1]))


def test_the_definition_of_the_rfc() -> None:
    """MTH(D[n]) = HASH(0x01 || MTH(D[0:k]) || MTH(D[k:n])), k the largest power of two below n."""

    def defined(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        k = 1 << (len(leaves) - 1).bit_length() - 1
        return node_hash(defined(leaves[:k]), defined(leaves[k:]))

    for size in SHAPES:
        assert root_of(LEAVES[:size]) == defined(LEAVES[:size]), size


def test_a_frontier_goes_on_from_its_bytes() -> None:
    for size in SHAPES:
        frontier = Frontier()
        for leaf in LEAVES[:size]:
            frontier.append(leaf)
        again = Frontier.of_bytes(size, bytes(frontier))
        again.append(LEAVES[0])
        assert again.root == root_of([*LEAVES[:size], LEAVES[0]])
        with pytest.raises(ValueError, match="one hash per bit"):
            Frontier.of_bytes(size, bytes(frontier) + bytes(32))


def corrupted(path: list[bytes], draw: random.Random) -> list[bytes]:
    """The path with a bit turned, an element lost, added, doubled, or two in the other order."""
    kinds = ["more"] + ["bit", "less", "double"] * bool(path) + ["order"] * (len(path) > 1)
    kind, at = draw.choice(kinds), draw.randrange(len(path) or 1)
    if kind == "more":
        return [*path, draw.randbytes(32)]
    if kind == "bit":
        turned = bytearray(path[at])
        turned[draw.randrange(32)] ^= 1 << draw.randrange(8)
        return [*path[:at], bytes(turned), *path[at + 1 :]]
    if kind == "less":
        return path[:at] + path[at + 1 :]
    if kind == "double":
        return [*path[: at + 1], *path[at:]]
    at = draw.randrange(len(path) - 1)
    return [*path[:at], path[at + 1], path[at], *path[at + 2 :]]


def test_true_proofs_hold_and_corrupted_ones_fail() -> None:
    draw = random.Random(20261122)
    tried = refused = 0
    for size in SHAPES:
        leaves = LEAVES[:size]
        root, nodes = root_of(leaves), nodes_of(leaves)
        for index in {0, size - 1, *(draw.randrange(size) for _ in range(25))}:
            path = inclusion_path(index, size, nodes)
            assert includes(leaves[index], index, size, path, root)
            bad = corrupted(path, draw)
            wrong = (
                (leaves[index], index, size, bad, root),
                (LEAVES[(index + 1) % len(LEAVES)], index, size, path, root),
                (leaves[index], index, size, path, draw.randbytes(32)),
                (leaves[index], size, size, path, root),
            )
            assert not any(includes(*each) for each in wrong), (index, size)
            tried, refused = tried + 1, refused + len(wrong)
        for first in {1, size, *(draw.randint(1, size) for _ in range(25))}:
            path, before = consistency_path(first, size, nodes), root_of(leaves[:first])
            assert extends(first, size, path, before, root)
            wrong_roots = ((draw.randbytes(32), root), (before, draw.randbytes(32)))
            assert not extends(first, size, corrupted(path, draw), before, root)
            assert not any(extends(first, size, path, *roots) for roots in wrong_roots), (first, size)
            tried, refused = tried + 1, refused + 3
    assert tried >= 1000
    assert tried + refused >= 2000
    count("G", "proofs true and accepted", tried)
    count("G", "proofs corrupted and refused", refused)
    count("G", "proofs judged wrongly", 0)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        inclusion_path(index, size, nodes_of(LEAVES))
    assert not includes(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 3), (4, 3)])
def test_no_proof_from_nothing_or_backwards(first: int, second: int) -> None:
    with pytest.raises(IndexError):
        consistency_path(first, second, nodes_of(LEAVES))
    assert not extends(first, second, [], EMPTY_ROOT, EMPTY_ROOT)
