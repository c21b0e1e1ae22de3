"""Known answers for the transcript encoding, written by hand from docs/protocol.md, section 1."""

import hashlib

import pytest

from keystore.transcript import digest, frame, listing, row, statement_digest, text, transcript, u64


def test_a_transcript_has_its_bytes_written_by_hand():
    expected = (
        b"medunion/v1\x00"
        b"\x00\x00\x00\x02P6"
        b"\x00\x00\x00\x03abc"
        b"\x00\x00\x00\x00"
        b"\x00\x00\x00\x08\x00\x00\x01\xa0\xc4\x50\x6c\x00"
    )
    assert transcript("P6", b"abc", b"", u64(1_790_000_000_000)) == expected


def test_a_transcript_without_fields_is_prefix_and_label():
    assert transcript("hpke").hex() == "6d6564756e696f6e2f7631000000000468706b65"


def test_integers_are_eight_bytes_big_endian():
    assert u64(0).hex() == "0000000000000000"
    assert u64(1_790_000_000_000).hex() == "000001a0c4506c00"
    assert u64(2**64 - 1).hex() == "ffffffffffffffff"


@pytest.mark.parametrize("value", [-1, 2**64])
def test_an_integer_outside_64_bits_is_refused(value):
    with pytest.raises(OverflowError):
        u64(value)


def test_text_that_is_not_ascii_is_refused():
    with pytest.raises(UnicodeEncodeError):
        text("P:wäng")


def test_a_list_is_its_count_and_its_framed_elements():
    assert listing([]).hex() == "00000000"
    assert listing([b"a", b""]).hex() == "00000002" + "0000000161" + "00000000"


def test_an_element_of_several_fields_is_one_field():
    assert row(b"a", b"bc") == b"medunion/v1\x00\x00\x00\x00\x03row\x00\x00\x00\x01a\x00\x00\x00\x02bc"
    assert listing([row(b"a")]) == b"\x00\x00\x00\x01" + frame(row(b"a"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"P1", b"2DE"), (b"P12", b"DE")),
        ((b"", b"ab"), (b"ab", b"")),
        ((b"ab",), (b"ab", b"")),
        ((listing([b"a", b"b"]),), (listing([b"a"]), b"b")),
    ],
)
def test_no_two_lists_of_fields_meet_in_one_string(one, other):
    assert transcript("idx", *one) != transcript("idx", *other)


def test_the_label_separates_what_has_the_same_fields():
    assert transcript("P1", b"x") != transcript("P1x")
    assert statement_digest("grant", b"x") != statement_digest("bg", b"x")


def test_digests_are_sha256():
    assert digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    framed = b"medunion/v1\x00\x00\x00\x00\x05grant\x00\x00\x00\x01g"
    assert statement_digest("grant", b"g") == hashlib.sha256(framed).digest()
