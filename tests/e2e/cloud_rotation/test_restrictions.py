"""What patients hide under a rotation of the keys that seal and name it: nothing is shown for it, and nothing keeps a key."""

from collections import Counter

import pytest

from federation.cloud import index_rows
from federation.protocol.access import Hidden
from federation.protocol.restriction import peek_restriction
from federation.rotation.cloud import LOG_ENTRIES
from federation.v1.restrictions_pb2 import ShownRestriction
from federation.v1.statement_pb2 import HiddenRecords, Restriction, SignedStatement
from keystore.errors import GenerationNeeded
from keystore.party import INDEXING, SEALING
from tests.e2e.cloud_rotation.stepping import PLACE, walk
from tests.grants import EVERYTHING
from tests.token_calls import MACS, TokenCalls

HIDDEN = (Hidden("H:north"),)


def shown(patient_id: str, number: int) -> ShownRestriction:
    """A restriction as it is kept; that its signature held was looked at before."""
    restriction = Restriction(
        patient_id=patient_id,
        signer_id=patient_id,
        signer_serial=bytes(16),
        number=number,
        hidden=[HiddenRecords(hospital="H:north", department_class="*")],
        emergency_overrides=False,
        stated_at=1,
    )
    signed = SignedStatement(statement=restriction.SerializeToString(), signature=bytes(64))
    return ShownRestriction(restriction=signed, key_statement=SignedStatement(statement=b"ks", signature=bytes(64)))


def keep(cloud, patient_id: str, number: int) -> None:
    union = cloud.node.cloud
    act = union.act("RESTRICTED", patient_id, now=union.clock())
    union.restrictions.keep(patient_id, number, shown(patient_id, number), act=act)


@pytest.fixture
def book(cloud):
    """Return the restrictions of a cloud where two patients hide what one hospital has, which has a row of one."""
    keep(cloud, "P:ann", 5)
    keep(cloud, "P:lin", 6)
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    found = cloud.node.cloud.restrictions
    found.let_have("P:ann", index_rows.hospitals_of(cloud.node.cloud, "P:ann"))
    return found


def test_what_is_hidden_stays_so_under_the_next_sealing_key_and_keeps_the_last_until_it_is_sealed_anew(cloud, book):
    cloud.rotate(SEALING)
    assert book.of("P:ann").hidden == HIDDEN
    assert book.of("P:never").hidden == ()
    with pytest.raises(GenerationNeeded, match="2 restrictions"):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    walk(cloud, SEALING)
    cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    assert (book.of("P:ann").hidden, book.of("P:lin").hidden, book.of("P:never").hidden) == (HIDDEN, HIDDEN, ())


def test_what_is_hidden_is_named_anew_and_stays_due_where_it_was(cloud, book):
    cloud.rotate(INDEXING)
    assert book.of("P:ann").hidden == HIDDEN
    index_rows.look_up(cloud.node.cloud, "P:ann", ["cardiology"], EVERYTHING)
    with pytest.raises(GenerationNeeded, match="2 restrictions by patient"):
        cloud.rotation.revoke(INDEXING, 1)
    walk(cloud, INDEXING)
    cloud.rotation.revoke(INDEXING, 1)
    assert (book.of("P:ann").hidden, book.of("P:lin").hidden) == (HIDDEN, HIDDEN)
    assert book.deliveries("P:ann") == (0, 1)
    (due,) = book.due_at("H:north", now=1, limit=16)
    assert peek_restriction(due.shown).number == 5


def test_restriction_under_an_older_index_key_gives_way_to_a_newer_one(cloud, book):
    cloud.rotate(INDEXING)
    keep(cloud, "P:ann", 7)
    assert book.of("P:ann").number == 7
    assert (book.store.count(1), book.store.count(2)) == (1, 1)
    (due,) = book.due_at("H:north", now=1, limit=16)
    assert peek_restriction(due.shown).number == 7


def test_restriction_that_does_not_open_stays_is_not_handed_out_and_keeps_its_sealing_key(cloud, book):
    row = book.store.of([key for _, key in book._keys("P:ann")])
    assert book.store.reseal(row, row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]))
    assert book.due_at("H:north", now=1, limit=16) == []
    cloud.rotate(SEALING)
    walk(cloud, SEALING)
    with pytest.raises(GenerationNeeded, match="1 restrictions"):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    assert book.of("P:lin").hidden == HIDDEN


@pytest.mark.parametrize("rotated", [None, SEALING, INDEXING])
def test_token_is_asked_the_same_whether_a_patient_hides_anything_or_not(cloud, book, monkeypatch, rotated):
    """The first time that somebody asks, and again; in the middle of a rotation, too."""
    if rotated is not None:
        cloud.rotate(rotated)
    calls, token = TokenCalls(monkeypatch), cloud.node.cloud.keys.token
    numbers = iter(range(100))

    def first(patient_id: str) -> None:
        book.asked_by(f"D:{next(numbers)}").of(patient_id)

    firsts = [calls.of(token, lambda patient_id=it: first(patient_id)) for it in ("P:ann", "P:never")]
    values = 2 if rotated == INDEXING else 1
    assert firsts == [Counter((values + 1) * MACS)] * 2
    asked = book.asked_by("D:again")
    again = [calls.of(token, lambda patient_id=it: asked.of(patient_id)) for it in ("P:ann", "P:never")]
    assert again == [Counter()] * 2
