"""The Merkle tree of RFC 9162: hashes, roots, proofs and their verification, without any database.

Section 2.1 of https://www.rfc-editor.org/rfc/rfc9162. A leaf is hashed after a byte 0, a node after a byte 1. The tree
over n leaves is the complete subtree over the largest power of two below n, and the tree over the rest; the frontier
is the list of its complete subtrees, largest first: one per bit of n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()

# A hash beside the way to the root, after the side on which it stands.
Step = tuple[str, bytes]
# The hash of the complete subtree over the leaves [number << level, (number + 1) << level).
Nodes = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows by one leaf at a time and remembers `size.bit_count()` hashes."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count() or any(len(each) != HASH_BYTES for each in hashes):
            raise ValueError("a frontier has one hash per bit of its size")
        self.size = size
        self.hashes = list(hashes)

    @classmethod
    def of_bytes(cls, size: int, joined: bytes) -> Frontier:
        """ValueError when these are not the hashes of a frontier of that size."""
        return cls(size, [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)])

    def __bytes__(self) -> bytes:
        return b"".join(self.hashes)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self.hashes.pop(), node)
            size >>= 1
        self.hashes.append(node)
        self.size += 1

    @property
    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root


def nodes_of(leaves: Sequence[bytes]) -> Nodes:
    """The nodes of a tree that is in memory."""
    return lambda level, number: root_of(leaves[number << level : (number + 1) << level])


# --- proofs (sections 2.1.3.1 and 2.1.4.1) ----------------------------------------------------------


def inclusion_path(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the tree over `size` leaves; IndexError when it is not in
    it."""
    if not 0 <= index < size:
        raise IndexError("no such leaf in this tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _largest_power_below(end - start)
        if index < split:
            path.append(_root_of_range(split, end, nodes))
            end = split
        else:
            path.append(_root_of_range(start, split, nodes))
            start = split
    return path[::-1]


def sides(index: int, size: int, level: int = 0) -> list[str]:
    """On which side each hash of a path stands, from the node over leaf `index` at a level up to the root."""
    last = size - 1
    ways = ((index >> each, last >> each) for each in range(level, last.bit_length()))
    return ["left" if at & 1 else "right" for at, end in ways if at & 1 or at < end]


def consistency_steps(first: int, second: int, path: Sequence[bytes], first_root: bytes) -> tuple[bytes, list[Step]]:
    """The same proof as a way up: the hash of what both trees hold below it, the last complete subtree of the first
    one, and the steps from there. Those on the left lead to the root of the first, all to that of the second."""
    if not path:
        return first_root, []
    start, *hashes = path if first & (first - 1) else (first_root, *path)
    level = (first & -first).bit_length() - 1
    return start, list(zip(sides(first - 1, second, level), hashes, strict=True))


def consistency_path(first: int, second: int, nodes: Nodes) -> list[bytes]:
    """The hashes that show that the tree over `second` leaves begins with the one over `first`; IndexError unless
    0 < first <= second."""
    if not 0 < first <= second:
        raise IndexError("a consistency proof goes from a smaller tree, not empty, to a larger one")
    path: list[bytes] = []
    start, end, whole = 0, second, True
    while first < end:
        split = start + _largest_power_below(end - start)
        if first <= split:
            path.append(_root_of_range(split, end, nodes))
            end = split
        else:
            path.append(_root_of_range(start, split, nodes))
            start, whole = split, False
    if not whole:
        path.append(_root_of_range(start, end, nodes))
    return path[::-1]


def _largest_power_below(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _root_of_range(start: int, end: int, nodes: Nodes) -> bytes:
    """The root over [start, end), which begins at a multiple of a power of two not below its length."""
    peaks: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        peaks.append(nodes(level, start >> level))
        start += 1 << level
    node = peaks.pop()
    while peaks:
        node = node_hash(peaks.pop(), node)
    return node


# --- verification (sections 2.1.3.2 and 2.1.4.2) ----------------------------------------------------


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` is at `index` of the tree of this size and root."""
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for each in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(each, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, each)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def extends(first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether `path` proves that the second tree begins with the first."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    hashes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not hashes:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(each, old), node_hash(each, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, each)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
