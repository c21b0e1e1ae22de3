"""Properties of a log's tree: every proof holds, and nothing but it; of notes: any flipped bit is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from federation.errors import FederationError, LogProofInvalid
from federation.protocol.log_head import LogHead, Origin, cosign, open_head, require_cosigned, sign_head
from federation.protocol.merkle import (
    EMPTY_ROOT,
    TreeHead,
    consistency_proof,
    inclusion_proof,
    require_consistent,
    require_included,
)
from keystore.signatures import SigningKey
from tests.trees import head_of, reader_of_data
from tests.vectors import logs

LEAVES = [number.to_bytes(2, "big") for number in range(300)]
HASHED = [logs.leaf(it) for it in LEAVES]
READ = reader_of_data(LEAVES)
SIZES = st.integers(1, 300)
ORIGIN = str(Origin.of("medunion.example", "H:alpha"))
ALPHA, BETA = (SigningKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
NOTE = sign_head(LogHead(ORIGIN, 300, head_of(300, READ).root), ALPHA)
LINE = cosign(NOTE, BETA, "H:beta", 1_800_000_000_000)


def flipped(data: bytes, bit: int) -> bytes:
    place = bit % (8 * len(data))
    return (int.from_bytes(data, "big") ^ (1 << place)).to_bytes(len(data), "big")


def any_flipped(data: st.DataObject, hashes: list[bytes]) -> list[bytes]:
    """Give the hashes with one bit of one of them flipped."""
    which = data.draw(st.integers(0, len(hashes) - 1))
    return [flipped(it, data.draw(st.integers(0, 255))) if at == which else it for at, it in enumerate(hashes)]


@settings(deadline=None)
@given(SIZES, st.data())
def test_every_leaf_is_proved_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, READ)
    assert proof == logs.path(index, HASHED[:size])
    tree = head_of(size, READ)
    assert tree.root == logs.mth(HASHED[:size])
    require_included(HASHED[index], index, size, proof, tree.root)
    other = data.draw(st.integers(0, 299).filter(lambda it: it != index))
    with pytest.raises(LogProofInvalid):
        require_included(HASHED[index], other, size, proof, tree.root)
    *bent, leaf, root = any_flipped(data, [*proof, HASHED[index], tree.root])
    with pytest.raises(LogProofInvalid):
        require_included(leaf, index, size, bent, root)


@settings(deadline=None)
@given(SIZES, SIZES, st.data())
@example(256, 300, None)
@example(255, 256, None)
def test_a_tree_is_proved_to_begin_with_an_older_one(one: int, two: int, data: st.DataObject | None) -> None:
    old, new = head_of(min(one, two), READ), head_of(max(one, two), READ)
    proof = consistency_proof(old.size, new.size, READ)
    assert proof == logs.proof(old.size, HASHED[: new.size])
    require_consistent(old, new, proof)
    if data is None:
        return
    *bent, old_root, new_root = any_flipped(data, [*proof, old.root, new.root])
    with pytest.raises(LogProofInvalid):
        require_consistent(TreeHead(old.size, old_root), TreeHead(new.size, new_root), bent)


@settings(deadline=None)
@given(st.lists(SIZES, max_size=4))
def test_a_log_that_grows_grows_from_all_that_it_was(sizes: list[int]) -> None:
    trees = [TreeHead(0, EMPTY_ROOT), *(head_of(size, READ) for size in sorted(sizes))]
    for place, new in enumerate(trees):
        for old in trees[:place]:
            require_consistent(old, new, consistency_proof(old.size, new.size, READ))


@settings(deadline=None)
@given(st.integers(0, 8 * len(NOTE) - 1))
def test_a_head_with_any_bit_flipped_is_refused(bit: int) -> None:
    with pytest.raises(FederationError):
        open_head(flipped(NOTE, bit), ORIGIN, ALPHA.verifying_key)


@settings(deadline=None)
@given(st.integers(0, 8 * len(LINE) - 1))
def test_a_cosignature_with_any_bit_flipped_is_refused(bit: int) -> None:
    with pytest.raises(FederationError):
        require_cosigned(NOTE, [flipped(LINE, bit)], [("H:beta", BETA.verifying_key)], 1)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_bytes_that_are_no_note_are_refused(data: bytes) -> None:
    with pytest.raises(FederationError):
        open_head(data, ORIGIN, ALPHA.verifying_key)
