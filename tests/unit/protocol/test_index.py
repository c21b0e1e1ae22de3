"""The blind index, through a real token (C5)."""

import pytest

from federation.errors import Corrupt
from federation.protocol.index import BlindIndex, Location
from keystore.generations import Generations, label_of
from keystore.party import INDEXING, CloudKeys
from keystore.policies import POLICIES
from tests.mallory import refused

PLACE = Location("H:alpha/cardiology.ward-2", b"h" * 16, "D:chen")


@pytest.fixture
def index(make_token):
    keys = CloudKeys.create(make_token("cloud"))
    return BlindIndex(keys.index, keys.sealing)


def test_a_row_is_revealed_as_it_was_blinded(index):
    key, row_id, sealed = index.blind("P:wang", PLACE)
    assert index.reveal(key, row_id, sealed) == PLACE
    assert key == index.row_key("P:wang", "cardiology")


def test_a_record_published_again_is_the_same_row(index):
    assert index.blind("P:wang", PLACE)[:2] == index.blind("P:wang", PLACE)[:2]


@pytest.mark.parametrize("change", ["key", "id", "value"])
def test_a_corrupt_row_is_refused(index, change):
    row = dict(zip(("key", "id", "value"), index.blind("P:wang", PLACE), strict=True))
    row[change] = row[change][:-1] + bytes([row[change][-1] ^ 1])
    with refused(Corrupt):
        index.reveal(row["key"], row["id"], row["value"])


def test_a_row_moved_to_another_patient_is_refused_as_corrupt(index):
    """Its associated data is the row key: an operator can't hand P's rows to a question about Q."""
    _, row_id, sealed = index.blind("P:wang", PLACE)
    with refused(Corrupt):
        index.reveal(index.row_key("P:lin", "cardiology"), row_id, sealed)


class Book:
    """Generations that a test changes at will."""

    now = Generations()

    def read(self) -> Generations:
        return self.now


def test_a_row_has_a_name_under_every_usable_generation_the_active_one_first(make_token):
    book, token = Book(), make_token("cloud")
    keys = CloudKeys.create(token, book)
    index = BlindIndex(keys.index, keys.sealing)
    (first,) = index.names("P:wang", PLACE)
    token.generate_mac(label_of(INDEXING, 2), POLICIES[INDEXING])
    book.now = book.now.prepare(INDEXING, 1).activate(INDEXING, 2, 2)
    second, older = index.names("P:wang", PLACE)
    assert (second.generation, older) == (2, first)
    assert {second.row_key, second.row_id}.isdisjoint({first.row_key, first.row_id})
    assert [key for _, key in index.row_keys("P:wang", "cardiology")] == [second.row_key, first.row_key]
    assert index.blind("P:wang", PLACE)[:2] == (second.row_key, second.row_id)
    book.now = book.now.revoke(INDEXING, 1, 3)
    assert index.names("P:wang", PLACE) == [second]
