"""The blind index, through a real token (C5)."""

import pytest

from federation.errors import Corrupt
from federation.protocol.index import BlindIndex, Location
from keystore.party import CloudKeys
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
