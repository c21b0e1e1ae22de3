"""The set of what no longer holds: shards, proofs, changes."""

from dataclasses import replace

import pytest

from federation.errors import (
    FieldInvalid,
    RevocationDeltaOutOfOrder,
    RevocationRootMismatch,
    RevocationShardInvalid,
    RevocationShardMissing,
)
from federation.protocol.merkle import root
from federation.protocol.revocations import (
    EMPTY,
    SHARDS,
    Change,
    NothingAtHand,
    SomeShards,
    WholeSet,
    follow_delta,
    make_delta,
    prefix_of,
    require_prefixes,
    require_proven,
)
from federation.v1.statement_pb2 import RevocationHead, SignedStatement
from tests.mallory import refused
from tests.vectors.spec import sha256

FIRST, SECOND, SWEPT = (sha256(b"%d" % number) for number in range(3))
HEAD = SignedStatement(statement=b"head")


def listed(*changes: Change) -> WholeSet:
    return WholeSet.from_changes(changes)


def head_of(whole: WholeSet, revision: int = 1) -> RevocationHead:
    return RevocationHead(root=whole.root, entries=whole.entries, revision=revision)


def test_a_set_knows_its_entries_and_the_times_of_its_sweeps():
    whole = listed(Change(FIRST), Change(SWEPT, 7))
    assert (whole.find(FIRST), whole.find(SECOND), whole.find(SWEPT), whole.entries) == (0, None, 7, 2)


def test_the_root_is_that_of_rfc_9162_over_4096_leaves():
    whole = listed(Change(FIRST), Change(SWEPT, 7))
    assert whole.root == root(SHARDS, lambda level, index: whole.levels[level][index])
    assert listed().root == EMPTY.root


def test_changes_one_by_one_lead_where_all_at_once_do():
    several = listed(Change(FIRST), Change(SECOND)).changed(
        [Change(FIRST, is_ended=True), Change(SWEPT, 3), Change(SWEPT, 9), Change(SECOND)]
    )[0]
    assert several.root == listed(Change(SECOND), Change(SWEPT, 9)).root
    assert several.changed([Change(SWEPT, is_ended=True), Change(SECOND, is_ended=True)])[0].root == EMPTY.root


@pytest.mark.parametrize("entry", [FIRST, SECOND, SWEPT, bytes(32), b"\xff" * 32])
def test_a_shard_with_its_path_says_what_is_in_it_and_what_is_not(entry):
    whole = listed(Change(FIRST), Change(SWEPT, 7))
    some = SomeShards.read(whole.excerpt(HEAD, [prefix_of(entry)]), head_of(whole))
    assert some.find(entry) == whole.find(entry)


def test_an_entry_is_looked_up_in_the_shard_of_its_own_bits_and_in_no_other():
    """Mallory proves another shard, of the true head: it says nothing of the entry."""
    whole = listed(Change(FIRST))
    some = SomeShards.read(whole.excerpt(HEAD, [prefix_of(FIRST) ^ 1]), head_of(whole))
    with refused(RevocationShardMissing):
        some.find(FIRST)


def test_a_shard_of_another_place_is_refused_revocation_shard_invalid():
    """The same, and Mallory says that it is the shard asked for."""
    whole = listed(Change(FIRST))
    [shard] = whole.excerpt(HEAD, [prefix_of(FIRST) ^ 1]).shards
    shard.prefix = prefix_of(FIRST)
    with refused(RevocationShardInvalid):
        require_proven(shard, whole.root)


def test_a_shard_of_an_older_head_is_refused_revocation_shard_invalid():
    """Mallory keeps a shard of before the revocation, and shows it under the head of now."""
    before = EMPTY.excerpt(HEAD, [prefix_of(FIRST)])
    assert SomeShards.read(before, head_of(EMPTY)).find(FIRST) is None
    with refused(RevocationShardInvalid):
        SomeShards.read(before, head_of(listed(Change(FIRST))))


@pytest.mark.parametrize("change", [lambda path: path[:-1], lambda path: [*path, bytes(32)], lambda path: []])
def test_a_path_of_another_length_is_refused_revocation_shard_invalid(change):
    whole = listed(Change(FIRST))
    [shard] = whole.excerpt(HEAD, [prefix_of(FIRST)]).shards
    path = change(list(shard.path))
    del shard.path[:]
    shard.path.extend(path)
    with refused(RevocationShardInvalid):
        require_proven(shard, whole.root)


def test_nothing_at_hand_answers_nothing():
    with refused(RevocationShardMissing):
        NothingAtHand().find(FIRST)
    with refused(RevocationShardMissing):
        NothingAtHand().excerpt(HEAD, [0])


def test_changes_lead_from_each_revision_since_to_the_head():
    old, new = listed(Change(FIRST)), listed(Change(SECOND), Change(SWEPT, 7))
    delta = make_delta(4, [Change(FIRST, is_ended=True), Change(SECOND), Change(SWEPT, 7)])
    between = listed(Change(FIRST), Change(SECOND))
    for revision, held in ((4, old), (5, between), (7, new)):
        assert follow_delta(held, revision, delta, head_of(new, 7))[0].root == new.root


@pytest.mark.parametrize("revision", [3, 8])
def test_changes_from_or_to_another_revision_are_refused_revocation_delta_out_of_order(revision):
    new = listed(Change(FIRST))
    with refused(RevocationDeltaOutOfOrder):
        follow_delta(new, revision, make_delta(4, []), head_of(new, 7))


def test_changes_of_which_one_is_left_out_are_refused_revocation_root_mismatch():
    new = listed(Change(FIRST), Change(SECOND))
    with refused(RevocationRootMismatch):
        follow_delta(EMPTY, 1, make_delta(1, [Change(FIRST)]), head_of(new, 2))


def test_a_head_that_counts_another_number_of_entries_is_refused_revocation_root_mismatch():
    whole = listed(Change(FIRST))
    wrong = head_of(whole)
    wrong.entries += 1
    with refused(RevocationRootMismatch):
        whole.require_of(wrong)


@pytest.mark.parametrize("prefixes", [[], [1, 1], [SHARDS]])
def test_prefixes_that_are_none_are_refused_field_invalid(prefixes):
    with refused(FieldInvalid):
        require_prefixes(prefixes)


def test_a_change_makes_twelve_nodes_anew_and_shares_the_others():
    before = listed(Change(FIRST))
    after, touched = before.changed([Change(SECOND)])
    assert set(touched) == {prefix_of(SECOND)}
    others = [
        sum(left is not right for left, right in zip(old, new, strict=True))
        for old, new in zip(before.levels, after.levels, strict=True)
    ]
    assert others == [1] * 13
    assert replace(after) == after
