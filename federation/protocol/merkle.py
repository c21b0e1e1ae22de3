"""The tree of a log: hashes, roots and proofs (RFC 9162, section 2.1), over hashes that somebody else keeps.

A node of the tree is read by its place, (level, index): the root of the complete subtree over the leaves from
index * 2**level up to (index + 1) * 2**level. A root or a proof reads O(log n) of them. docs/protocol.md, section 8.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from federation.errors import LogProofInvalid

NodeReader = Callable[[int, int], bytes]
"""(level, index) -> the hash of a complete subtree of 2**level leaves, 32 bytes."""

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
LARGEST_SIZE = 2**63 - 1
"""Of a tree: the most leaves that a head can name."""


@dataclass(frozen=True)
class TreeHead:
    """A tree as one number and one hash: how many leaves it has, and its root."""

    size: int
    root: bytes


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two children: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(size: int, read: NodeReader) -> bytes:
    """Return the root of the tree over the first `size` leaves (RFC 9162, section 2.1.1)."""
    return _root_of(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Return PATH(index, D[size]), from the leaf upwards (RFC 9162, section 2.1.3.1). Raises ValueError beyond the tree."""
    if not 0 <= index < size:
        raise ValueError("a leaf that the tree does not have")
    start, count, proof = 0, size, list[bytes]()
    while count > 1:
        left = _largest_power_below(count)
        if index - start < left:
            proof.append(_root_of(start + left, count - left, read))
            count = left
        else:
            proof.append(_root_of(start, left, read))
            start, count = start + left, count - left
    return proof[::-1]


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> list[bytes]:
    """Return PROOF(old_size, D[new_size]) (RFC 9162, section 2.1.4.1); empty from nothing. Raises ValueError backwards."""
    if not 0 <= old_size <= new_size:
        raise ValueError("a tree does not shrink")
    if old_size == 0:
        return []
    start, count, proof = 0, new_size, list[bytes]()
    while start + count != old_size:
        left = _largest_power_below(count)
        if old_size - start <= left:
            proof.append(_root_of(start + left, count - left, read))
            count = left
        else:
            proof.append(_root_of(start, left, read))
            start, count = start + left, count - left
    if start:
        proof.append(_root_of(start, count, read))
    return proof[::-1]


def require_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Require that a tree of this size and root has this leaf (its hash) there (RFC 9162, section 2.1.3.2).

    Raises LogProofInvalid.
    """
    if not 0 <= index < size <= LARGEST_SIZE:
        raise LogProofInvalid("the tree has no leaf of that number")  # incl.1
    _require_hashes((leaf, root, *proof))  # incl.2
    place, last, found = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            raise LogProofInvalid("the proof is longer than the way up from the leaf")  # incl.3
        if place & 1 or place == last:
            found = node_hash(beside, found)
            place, last = _past_zeros(place, last)
        else:
            found = node_hash(found, beside)
        place, last = place >> 1, last >> 1
    if last:
        raise LogProofInvalid("the proof is shorter than the way up from the leaf")  # incl.3
    if found != root:
        raise LogProofInvalid("the leaf is not in the tree at that place")  # incl.4


def require_consistent(old: TreeHead, new: TreeHead, proof: Sequence[bytes]) -> None:
    """Require that the new tree begins with all of the old one (RFC 9162, section 2.1.4.2). Raises LogProofInvalid."""
    if not 0 <= old.size <= new.size <= LARGEST_SIZE:
        raise LogProofInvalid("a tree does not shrink")  # cons.1
    _require_hashes((old.root, new.root, *proof))  # cons.2
    for tree in (old, new):
        if tree.size == 0 and tree.root != EMPTY_ROOT:
            raise LogProofInvalid("the root of nothing is another")  # cons.3
    if old.size in (0, new.size):
        if proof or (old.size and old.root != new.root):
            raise LogProofInvalid("nothing is to be proved, and something is shown, or the roots differ")  # cons.4
        return
    if _roots_by(old.size, new.size, _from_old(old, proof)) != (old.root, new.root):
        raise LogProofInvalid("the new tree does not begin with the old one")  # cons.6


def _from_old(old: TreeHead, proof: Sequence[bytes]) -> Sequence[bytes]:
    """Return the proof with the subtree that both trees share first: the old tree itself, where it is complete."""
    return (old.root, *proof) if old.size & (old.size - 1) == 0 else proof


def _roots_by(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return both roots as a proof says them. Raises LogProofInvalid for one of another length."""
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        raise LogProofInvalid("the proof is empty")  # cons.5
    old_root = new_root = path[0]
    for beside in path[1:]:
        if last == 0:
            raise LogProofInvalid("the proof is longer than the way up")  # cons.5
        if place & 1 or place == last:
            old_root, new_root = node_hash(beside, old_root), node_hash(beside, new_root)
            place, last = _past_zeros(place, last)
        else:
            new_root = node_hash(new_root, beside)
        place, last = place >> 1, last >> 1
    if last:
        raise LogProofInvalid("the proof is shorter than the way up")  # cons.5
    return old_root, new_root


def _past_zeros(place: int, last: int) -> tuple[int, int]:
    """Go up to where the place is a right child, or the root: on the way there is nothing beside it."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(it) != HASH_BYTES for it in hashes):
        raise LogProofInvalid("a hash has 32 bytes")


def _largest_power_below(count: int) -> int:
    """Return the largest power of two below a count of at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _root_of(start: int, count: int, read: NodeReader) -> bytes:
    """Return MTH of the `count` leaves from `start`, which is a multiple of the smallest power of two from count up."""
    *lefts, found = (read(level, index) for level, index in _complete(start, count))
    for left in reversed(lefts):
        found = node_hash(left, found)
    return found


def _complete(start: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the complete subtrees that these leaves are, from the left: one for each bit of the count."""
    while count:
        level = count.bit_length() - 1
        yield level, start >> level
        start, count = start + (1 << level), count - (1 << level)
