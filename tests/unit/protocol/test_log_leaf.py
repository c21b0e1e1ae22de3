"""Leaves commit to what is told of an access, and don't tell it."""

from dataclasses import replace

import pytest

from federation.errors import LeafMismatch
from federation.protocol.access import AccessEvent
from federation.protocol.log_leaf import access_leaf, event_leaf, require_leaf
from federation.protocol.merkle import leaf_hash
from tests.mallory import refused

READ = AccessEvent("READ", "D:chen", "P:wang", "cardiology", b"a" * 32, "consent", "BEGUN", "how far", b"g" * 32)
BLIND = bytes(range(32))
LEAF = leaf_hash(access_leaf(READ, "H:alpha", 7, BLIND))


def test_an_entry_is_that_of_its_leaf():
    require_leaf(access_leaf(READ, "H:alpha", 7, BLIND), LEAF)
    # What its patient isn't told is not in it.
    require_leaf(access_leaf(replace(READ, detail="further"), "H:alpha", 7, BLIND), LEAF)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "STORE"},
        {"asker_id": "D:li"},
        {"patient_id": "P:lin"},
        {"scope": "*"},
        {"authorization": b""},
        {"ground": "emergency"},
        {"reason": "OK"},
        {"grant_digest": b""},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_entry_that_says_something_else_than_its_leaf_is_refused(changed):
    with refused(LeafMismatch):
        require_leaf(access_leaf(replace(READ, **changed), "H:alpha", 7, BLIND), LEAF)


def test_an_entry_of_another_place_time_or_blind_is_refused():
    for where, at, blind in (("H:beta", 7, BLIND), ("H:alpha", 8, BLIND), ("H:alpha", 7, bytes(32))):
        with refused(LeafMismatch):
            require_leaf(access_leaf(READ, where, at, blind), LEAF)


def test_an_event_s_leaf_is_no_access_s():
    leaf = leaf_hash(event_leaf(b"{}", "H:alpha", 7, BLIND))
    require_leaf(event_leaf(b"{}", "H:alpha", 7, BLIND), leaf)
    with refused(LeafMismatch):
        require_leaf(event_leaf(b"{ }", "H:alpha", 7, BLIND), leaf)
