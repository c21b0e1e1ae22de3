"""The blind index, through a real token (C5)."""

import hmac
from dataclasses import replace

import pytest

from federation.errors import Corrupt
from federation.protocol.index import BlindIndex, Location
from federation.v1.statement_pb2 import SENSITIVITY_SECRET
from keystore.generations import Generations, label_of
from keystore.party import INDEXING, CloudKeys
from keystore.policies import POLICIES
from keystore.transcript import text, transcript
from tests.mallory import refused

PLACE = Location("H:alpha/cardiology.ward-2", b"h" * 16, "D:chen")


@pytest.fixture
def index(make_token):
    keys = CloudKeys.create(make_token("cloud"))
    return BlindIndex(keys.index, keys.sealing)


def test_a_row_is_revealed_as_it_was_blinded(index):
    (name,) = index.names("P:wang", PLACE)
    assert index.reveal(name.row_key, name.row_id, index.seal(name, PLACE)) == PLACE
    secret = replace(PLACE, sensitivity=SENSITIVITY_SECRET)
    assert index.reveal(name.row_key, name.row_id, index.seal(name, secret)) == secret


def test_a_record_published_again_is_the_same_row(index):
    assert index.names("P:wang", PLACE) == index.names("P:wang", replace(PLACE, doctor_id="D:other"))


def test_a_row_is_named_as_the_page_says(index):
    """docs/protocol.md, section 5, one derivation a line."""
    whose = index.index_key.mac(transcript("identity", text("P:wang")))
    value = hmac.digest(whose, transcript("idx"), "sha256")

    def derived(*fields: bytes) -> bytes:
        return hmac.digest(value, transcript(*fields), "sha256")

    (name,) = index.names("P:wang", PLACE)
    assert name.bucket == int.from_bytes(derived("idx-bucket")[:2], "big")
    assert name.row_key == derived("idx-class", text("cardiology"))
    assert name.hospital_key == derived("idx-hospital", text("H:alpha"))
    assert name.row_id == derived("idx-row", name.row_key, text("H:alpha"), PLACE.handle)
    assert name.level == derived("idx-level", text("normal"))[:8]


def test_a_row_keeps_its_name_whatever_is_kept_from_whom_and_has_another_level(index):
    (name,), (secret,) = (index.names("P:wang", it) for it in (PLACE, replace(PLACE, sensitivity=SENSITIVITY_SECRET)))
    assert name != secret == replace(name, level=secret.level)
    assert secret.level != index.names("P:lin", replace(PLACE, sensitivity=SENSITIVITY_SECRET))[0].level


def test_rows_of_one_patient_lie_together_and_only_those_of_one_hospital_have_a_key_in_common(index):
    elsewhere = Location("H:alpha/neurology", b"i" * 16)
    of_another = Location("H:beta/cardiology", b"h" * 16)
    names = [index.names("P:wang", place)[0] for place in (PLACE, elsewhere, of_another)]
    assert len({name.bucket for name in names}) == 1
    assert names[0].hospital_key == names[1].hospital_key != names[2].hospital_key
    assert names[0].row_key == names[2].row_key != names[1].row_key
    other = index.names("P:lin", PLACE)[0]
    assert {other.row_key, other.hospital_key, other.row_id}.isdisjoint(
        {names[0].row_key, names[0].hospital_key, names[0].row_id}
    )


def test_the_buckets_of_many_patients_spread(index):
    buckets = {index.patients(f"P:{number}")[0].bucket for number in range(64)}
    assert len(buckets) > 32
    assert all(0 <= bucket < 2**16 for bucket in buckets)


@pytest.mark.parametrize("change", ["key", "id", "value"])
def test_a_corrupt_row_is_refused(index, change):
    (name,) = index.names("P:wang", PLACE)
    row = {"key": name.row_key, "id": name.row_id, "value": index.seal(name, PLACE)}
    row[change] = row[change][:-1] + bytes([row[change][-1] ^ 1])
    with refused(Corrupt):
        index.reveal(row["key"], row["id"], row["value"])


def test_a_row_moved_to_another_patient_is_refused_as_corrupt(index):
    """Its associated data is the row key: an operator can't hand P's rows to a question about Q."""
    (name,), (other,) = index.names("P:wang", PLACE), index.names("P:lin", PLACE)
    with refused(Corrupt):
        index.reveal(other.row_key, name.row_id, index.seal(name, PLACE))


def test_what_makes_a_patients_rows_is_in_no_repr(index):
    (patient,) = index.patients("P:wang")
    assert "_value" not in repr(patient)


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
    assert {second.row_key, second.row_id, second.hospital_key}.isdisjoint(
        {first.row_key, first.row_id, first.hospital_key}
    )
    assert [it.row_key("cardiology") for it in index.patients("P:wang")] == [second.row_key, first.row_key]
    book.now = book.now.revoke(INDEXING, 1, 3)
    assert index.names("P:wang", PLACE) == [second]
