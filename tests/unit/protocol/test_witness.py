"""What a witness decides about a log's head: it follows what grows, and cosigns no fork."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import (
    HeadBaseMismatch,
    HeadConflict,
    HeadOlder,
    IdentityMismatch,
    LogProofInvalid,
    NoteMalformed,
    SignatureInvalid,
    WitnessIneligible,
)
from federation.protocol.log_head import LogHead, Origin, sign_head
from federation.protocol.merkle import consistency_proof
from federation.protocol.notes import sign_note
from federation.protocol.witness import ShownHead, next_state
from keystore.signatures import SigningKey
from tests.mallory import refused
from tests.trees import EIGHT, head_of, reader_of_data

READ, FORK = reader_of_data(EIGHT), reader_of_data(EIGHT[::-1])
ORIGIN = str(Origin.of("medunion.example", "H:alpha"))
ALPHA, BETA = (SigningKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))


def note_of(size, *, key=ALPHA, read=READ, origin=ORIGIN):
    tree = head_of(size, read)
    return sign_head(LogHead(origin, tree.size, tree.root), key)


def shown(size, old_size, **bent):
    return ShownHead(note_of(size, **bent), old_size, consistency_proof(old_size, max(size, old_size), READ))


def decided(kept, head, *, witness_id="H:beta", origin=ORIGIN):
    return next_state(kept, head, origin=origin, key=ALPHA.verifying_key, witness_id=witness_id)


@pytest.fixture
def six():
    return decided(None, shown(6, 0))


def test_a_witness_follows_a_log_that_grows(six):
    kept = None
    for old, new in ((0, 0), (0, 1), (1, 6), (6, 6), (6, 8)):
        head = shown(new, old)
        kept = decided(kept, head)
        assert (kept.head.tree, kept.note) == (head_of(new, READ), head.note)
    assert six.head.size == 6


def test_an_author_is_no_witness_of_its_own_log(six):
    with refused(WitnessIneligible):
        decided(six, shown(8, 6), witness_id="H:alpha")
    with refused(WitnessIneligible):
        decided(six, shown(6, 6, read=FORK), witness_id="H:alpha")


def test_a_head_that_is_not_the_log_s_is_refused(six):
    with refused(SignatureInvalid):
        decided(six, shown(8, 6, key=BETA))
    with refused(SignatureInvalid):
        decided(six, shown(8, 6, origin="medunion.example/H:alpha/2"))
    with refused(NoteMalformed):
        decided(six, ShownHead(b"no note\n", 6, []))


def test_a_head_of_an_origin_that_is_none_is_refused():
    with refused(NoteMalformed):
        decided(None, shown(8, 0, origin="somewhere"), origin="somewhere")


def test_a_head_that_names_another_log_under_this_one_s_name_is_refused(six):
    tree = head_of(8, READ)
    text = LogHead("medunion.example/H:alpha/2", tree.size, tree.root).text()
    with refused(IdentityMismatch):
        decided(six, ShownHead(sign_note(text, ORIGIN, ALPHA), 6, consistency_proof(6, 8, READ)))


def test_a_head_that_goes_back_is_refused(six):
    for size, old_size in ((5, 5), (0, 0), (5, 6)):
        with refused(HeadOlder):
            decided(six, shown(size, old_size))


@pytest.mark.parametrize("old_size", [0, 3, 6])
def test_a_fork_is_refused_and_both_notes_are_its_proof(six, old_size):
    """Whatever the log says that it proves from: two heads of one size are a fork."""
    fork = shown(6, old_size, read=FORK)
    with pytest.raises(HeadConflict) as caught:
        decided(six, fork)
    assert (caught.value.kept, caught.value.shown) == (six.note, fork.note)


def test_a_proof_that_begins_elsewhere_is_told_where_to_begin(six):
    for kept, old_size, kept_size in ((six, 0, 6), (six, 7, 6), (None, 6, 0)):
        with pytest.raises(HeadBaseMismatch) as caught:
            decided(kept, shown(8, old_size))
        assert caught.value.kept_size == kept_size


def test_a_longer_log_that_does_not_begin_with_the_kept_one_is_refused(six):
    for proof in (consistency_proof(6, 8, READ), consistency_proof(6, 8, FORK), []):
        with refused(LogProofInvalid):
            decided(six, ShownHead(note_of(8, read=FORK), 6, proof))
    with refused(LogProofInvalid):
        decided(None, ShownHead(note_of(8), 0, consistency_proof(6, 8, READ)))
