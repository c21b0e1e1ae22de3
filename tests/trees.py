"""Trees in memory, for tests: the eight leaves that Certificate Transparency's implementations share, and any others."""

from collections.abc import Sequence
from functools import cache

from federation.protocol.merkle import NodeReader, TreeHead, leaf_hash, node_hash, root

EIGHT = tuple(
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
)


def reader_of(leaves: Sequence[bytes]) -> NodeReader:
    """Return a reader of the tree over these leaves' hashes."""

    @cache
    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    return read


def reader_of_data(data: Sequence[bytes]) -> NodeReader:
    """Return a reader of the tree over leaves of this data."""
    return reader_of([leaf_hash(it) for it in data])


def head_of(size: int, read: NodeReader) -> TreeHead:
    """Return the tree over the first `size` leaves."""
    return TreeHead(size, root(size, read))
