"""What a judge reads of a transcript, which nobody else takes apart."""

import pytest

from federation.errors import FieldInvalid, MalformedMessage, MissingField
from federation.protocol.exhibit import Exhibit
from federation.protocol.judging import Case, fields_of, time_of, words_of
from federation.protocol.parsing import LAST_TIME
from keystore.transcript import transcript
from tests.simulator import Federation

SIGNED = transcript("P6", b"digest", b"time")


def test_transcript_is_taken_apart_into_its_fields() -> None:
    assert fields_of("P6", 2, SIGNED) == (b"digest", b"time")
    assert fields_of("P6", 1, transcript("P6", b"")) == (b"",)


@pytest.mark.parametrize("signed", [b"", b"P6", transcript("D5", b"digest", b"time"), SIGNED[:8], b"x" + SIGNED])
def test_transcript_of_another_kind_is_field_invalid(signed: bytes) -> None:
    with pytest.raises(FieldInvalid):
        fields_of("P6", 2, signed)


@pytest.mark.parametrize(
    "signed",
    [
        SIGNED[:-1],
        SIGNED + b"x",
        SIGNED + b"\0\0\0\1",
        SIGNED + b"\0\0\0",
        transcript("P6", b"digest"),
        SIGNED + b"\0" * 4,
    ],
    ids=["cut", "longer", "a length alone", "half a length", "a field less", "a field more"],
)
def test_transcript_of_other_fields_is_malformed_message(signed: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        fields_of("P6", 2, signed)
    assert type(refused.value) is MalformedMessage


@pytest.mark.parametrize("value", [b"", b"\0" * 7, b"\0" * 9, (LAST_TIME + 1).to_bytes(8, "big")])
def test_field_that_is_no_time_is_field_invalid(value: bytes) -> None:
    assert time_of(LAST_TIME.to_bytes(8, "big")) == LAST_TIME
    with pytest.raises(FieldInvalid):
        time_of(value)


@pytest.mark.parametrize("value", [b"P:\xff", b"P:wang\n", "P:wäng".encode()])
def test_field_that_is_no_text_is_field_invalid(value: bytes) -> None:
    assert words_of(b"P:wang") == "P:wang"
    with pytest.raises(FieldInvalid):
        words_of(value)


def test_signer_that_was_not_established_is_missing_field(federation: Federation) -> None:
    case = Case(Exhibit("C", "C:union", b"", b""), b"", federation.cloud.anchors)
    with pytest.raises(MissingField):
        _ = case.party
