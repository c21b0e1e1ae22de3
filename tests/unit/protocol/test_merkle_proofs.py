"""What a proof of a log is refused for (docs/protocol.md, section 8, Tree)."""

import pytest

from federation.errors import LogProofInvalid
from federation.protocol.merkle import (
    EMPTY_ROOT,
    LARGEST_SIZE,
    TreeHead,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    require_consistent,
    require_included,
    root,
)
from tests.mallory import refused
from tests.trees import EIGHT, head_of, reader_of_data

READ = reader_of_data(EIGHT)
LEAF = leaf_hash(EIGHT[5])
PROOF = inclusion_proof(5, 8, READ)
ROOT = root(8, READ)
OTHER = reader_of_data(EIGHT[::-1])


def test_a_leaf_beyond_the_tree_is_refused():
    for index, size in ((8, 8), (-1, 8), (0, 0), (5, LARGEST_SIZE + 1)):
        with refused(LogProofInvalid):
            require_included(LEAF, index, size, PROOF, ROOT)


def test_a_leaf_beyond_the_tree_is_refused_where_all_else_fits():
    """A tree of one leaf is proved by nothing: only its number says that there is no other."""
    alone = leaf_hash(b"alone")
    require_included(alone, 0, 1, [], alone)
    for index in (1, 2, 7):
        with refused(LogProofInvalid):
            require_included(alone, index, 1, [], alone)


def test_a_proof_that_goes_on_above_the_root_is_refused_whatever_it_leads_to():
    alone, beside = leaf_hash(b"alone"), leaf_hash(b"beside")
    with refused(LogProofInvalid):
        require_included(alone, 0, 1, [beside], node_hash(beside, alone))
    above = node_hash(beside, ROOT)
    with refused(LogProofInvalid):
        require_included(LEAF, 5, 8, [*PROOF, beside], above)


def test_a_proof_that_ends_below_the_root_is_refused_whatever_it_leads_to():
    below = node_hash(node_hash(PROOF[0], LEAF), PROOF[1])
    with refused(LogProofInvalid):
        require_included(LEAF, 5, 8, PROOF[:2], below)


def test_a_hash_of_another_length_is_refused():
    short = READ(0, 0)[:-1]
    for leaf, proof, tree_root in (
        (short, [], short),
        (LEAF, [*PROOF[:2], PROOF[2] + b"\0"], ROOT),
        (LEAF, PROOF, ROOT[:-1]),
    ):
        with refused(LogProofInvalid):
            require_included(leaf, 0 if not proof else 5, 1 if not proof else 8, proof, tree_root)


def test_a_proof_longer_or_shorter_than_the_way_up_is_refused():
    for proof in ([*PROOF, PROOF[0]], PROOF[:-1], []):
        with refused(LogProofInvalid):
            require_included(LEAF, 5, 8, proof, ROOT)


def test_a_node_passed_off_as_a_leaf_is_refused():
    """The proof's end alone would lead from the node to the root: its length says that it begins too high."""
    inner = node_hash(READ(0, 4), READ(0, 5))
    require_included(inner, 2, 4, PROOF[1:], ROOT)
    with refused(LogProofInvalid):
        require_included(inner, 5, 8, PROOF[1:], ROOT)


def test_a_leaf_of_another_tree_or_place_is_refused():
    for leaf, index, tree_root in ((LEAF, 4, ROOT), (leaf_hash(b"x"), 5, ROOT), (LEAF, 5, root(8, OTHER))):
        with refused(LogProofInvalid):
            require_included(leaf, index, 8, PROOF, tree_root)


def test_a_tree_that_shrinks_is_refused():
    for old, new in ((8, 6), (-1, 8), (8, LARGEST_SIZE + 1)):
        with refused(LogProofInvalid):
            require_consistent(TreeHead(old, ROOT), TreeHead(new, ROOT), consistency_proof(6, 8, READ))


def test_a_tree_larger_than_any_is_refused_although_it_is_the_same():
    require_consistent(TreeHead(LARGEST_SIZE, ROOT), TreeHead(LARGEST_SIZE, ROOT), [])
    with refused(LogProofInvalid):
        require_consistent(TreeHead(LARGEST_SIZE + 1, ROOT), TreeHead(LARGEST_SIZE + 1, ROOT), [])
    with refused(LogProofInvalid):
        require_consistent(TreeHead(-1, ROOT), TreeHead(-1, ROOT), [])


def test_a_root_of_another_length_is_refused_although_it_is_the_same():
    for tree_root in (b"", ROOT[:-1], ROOT + b"\0"):
        with refused(LogProofInvalid):
            require_consistent(TreeHead(5, tree_root), TreeHead(5, tree_root), [])


def test_a_consistency_proof_that_goes_on_above_both_roots_is_refused_whatever_it_leads_to():
    beside, proof = leaf_hash(b"beside"), consistency_proof(3, 8, READ)
    old, new = root(3, READ), ROOT
    require_consistent(TreeHead(3, old), TreeHead(8, new), proof)
    above = TreeHead(3, node_hash(beside, old)), TreeHead(8, node_hash(beside, new))
    with refused(LogProofInvalid):
        require_consistent(*above, [*proof, beside])


def test_a_consistency_proof_that_ends_below_the_new_root_is_refused_whatever_it_leads_to():
    old, proof = TreeHead(3, root(3, READ)), consistency_proof(3, 8, READ)
    with refused(LogProofInvalid):
        require_consistent(old, TreeHead(8, root(4, READ)), proof[:-1])


def test_a_root_of_nothing_that_is_another_is_refused():
    require_consistent(TreeHead(0, EMPTY_ROOT), head_of(8, READ), [])
    for old, new in (
        (TreeHead(0, ROOT), head_of(8, READ)),
        (TreeHead(0, ROOT), TreeHead(0, ROOT)),
        (TreeHead(0, EMPTY_ROOT), TreeHead(0, ROOT)),
    ):
        with refused(LogProofInvalid):
            require_consistent(old, new, [])


def test_a_proof_where_nothing_is_to_be_proved_is_refused():
    for old in (head_of(0, READ), head_of(8, READ)):
        with refused(LogProofInvalid):
            require_consistent(old, head_of(8, READ), [ROOT])


def test_two_roots_of_one_size_are_refused():
    with refused(LogProofInvalid):
        require_consistent(head_of(8, READ), head_of(8, OTHER), [])


@pytest.mark.parametrize("old", [3, 4, 6])
def test_a_consistency_proof_of_another_length_is_refused(old):
    proof = consistency_proof(old, 8, READ)
    for bent in ([*proof, proof[0]], proof[:-1], []):
        with refused(LogProofInvalid):
            require_consistent(head_of(old, READ), head_of(8, READ), bent)


@pytest.mark.parametrize("old", [3, 4, 6])
def test_a_tree_that_does_not_begin_with_the_old_one_is_refused(old):
    proof = consistency_proof(old, 8, READ)
    for before, after, shown in (
        (head_of(old, OTHER), head_of(8, READ), proof),
        (head_of(old, READ), head_of(8, OTHER), proof),
        (head_of(old, READ), head_of(8, OTHER), consistency_proof(old, 8, OTHER)),
    ):
        with refused(LogProofInvalid):
            require_consistent(before, after, shown)


def test_what_a_log_does_not_have_it_cannot_prove():
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(ValueError, match="does not have"):
            inclusion_proof(index, size, READ)
    for old, new in ((8, 6), (-1, 6)):
        with pytest.raises(ValueError, match="does not shrink"):
            consistency_proof(old, new, READ)


def test_a_proof_reads_few_nodes_of_a_large_tree():
    """A tree of 2^40 + 12345 leaves, each node of which is read as the hash of its own place."""
    size, reads = 2**40 + 12345, list[tuple[int, int]]()

    def read(level: int, index: int) -> bytes:
        reads.append((level, index))
        return leaf_hash(f"{level}/{index}".encode())

    inclusion_proof(2**40 + 12000, size, read)
    consistency_proof(2**39 + 77, size, read)
    assert len(reads) < 3 * 41
    assert all((index + 1) << level <= size for level, index in reads)
