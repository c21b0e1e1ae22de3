"""Properties of the encodings: transcripts never meet, padding has one form, points are taken as section 1 says."""

import pytest
from google.protobuf.message import Message
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from federation.errors import PaddingInvalid
from federation.protocol.parsing import payload_rule
from federation.protocol.sealing import PADDING_STEP, pad, unpad
from federation.v1.consultation_pb2 import ConsultationOpening
from federation.v1.membership_pb2 import TicketRequest
from federation.v1.registration_pb2 import RegistrationRequest
from keystore.curve import ORDER, private_key, require_point, require_registration_point, x_of
from keystore.errors import InvalidPoint
from keystore.transcript import listing, row, transcript
from tests.vectors import spec

LABELS = st.sampled_from(["P1", "D1", "D2", "D2-proof", "C", "H1", "H2", "row", "key", "grant", "th1"])
FIELD_LISTS = st.lists(st.binary(max_size=12), max_size=6)
PADDED_TYPES: list[type[Message]] = [ConsultationOpening, RegistrationRequest, TicketRequest]
BASE_SCALARS = st.integers(2, spec.ORDER - 2).map(lambda value: value.to_bytes(32, "little"))


@settings(max_examples=300)
@given(LABELS, FIELD_LISTS, LABELS, FIELD_LISTS)
@example("P1", [b"ab", b"c"], "P1", [b"a", b"bc"])
@example("P1", [b""], "P1", [])
@example("D2", [b"-proof"], "D2-proof", [])
def test_transcripts_of_different_labels_or_fields_differ(
    label: str, fields: list[bytes], other_label: str, other_fields: list[bytes]
) -> None:
    same = (label, fields) == (other_label, other_fields)
    assert (transcript(label, *fields) == transcript(other_label, *other_fields)) == same


@given(FIELD_LISTS, FIELD_LISTS)
def test_lists_and_rows_of_different_elements_differ(elements: list[bytes], others: list[bytes]) -> None:
    assert (listing(elements) == listing(others)) == (elements == others)
    assert (row(*elements) == row(*others)) == (elements == others)


@given(LABELS, FIELD_LISTS, st.integers(0, 5))
def test_no_transcript_is_the_beginning_of_another_with_as_many_fields(
    label: str, fields: list[bytes], cut: int
) -> None:
    """The number of fields is fixed per label, so a longer one of the same label has a longer field."""
    whole = transcript(label, *fields)
    shortened = [field[:-1] if index == cut else field for index, field in enumerate(fields)]
    assume(shortened != fields)
    assert not whole.startswith(transcript(label, *shortened))


def test_transcript_is_the_specification_s() -> None:
    @given(LABELS, FIELD_LISTS)
    def holds(label: str, fields: list[bytes]) -> None:
        assert transcript(label, *fields) == spec.transcript(label, *fields)

    holds()


@pytest.mark.parametrize("kind", PADDED_TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
def test_unpad_gives_what_was_padded(kind: type[Message]) -> None:
    @given(st.binary(max_size=4000))
    @example(b"")
    @example(bytes(252))
    @example(bytes(253))
    def holds(content: bytes) -> None:
        padded = pad(kind(), content)
        assert unpad(kind, padded) == content
        fixed = payload_rule(kind.DESCRIPTOR).padded_size
        assert len(padded) == (fixed or -(-(len(content) + 4) // PADDING_STEP) * PADDING_STEP)

    holds()


@pytest.mark.parametrize("kind", PADDED_TYPES, ids=lambda kind: kind.DESCRIPTOR.name)
def test_padding_of_any_other_form_is_refused(kind: type[Message]) -> None:
    def altered(padded: bytes) -> SearchStrategy[bytes]:
        return st.one_of(
            st.integers(0, len(padded) - 1).flatmap(
                lambda at: st.integers(1, 255).map(lambda x: padded[:at] + bytes([padded[at] ^ x]) + padded[at + 1 :])
            ),
            st.integers(0, len(padded)).map(lambda size: padded[:size]),
            st.integers(1, 600).map(lambda more: padded + bytes(more)),
            st.binary(max_size=600),
        )

    @settings(max_examples=150)
    @given(st.binary(max_size=700).flatmap(lambda content: altered(pad(kind(), content))))
    @example(b"")
    @example(bytes(3))
    @example(b"\xff" * 4 + bytes(252))
    def holds(padded: bytes) -> None:
        try:
            content = unpad(kind, padded)
        except PaddingInvalid:
            return
        assert pad(kind(), content) == padded

    holds()


def _candidates() -> SearchStrategy[bytes]:
    good = st.integers(1, ORDER - 1).map(lambda value: x_of(private_key(value.to_bytes(32, "big")).public_key()))
    near_prime = st.integers(-40, 40).map(lambda offset: (spec.PRIME + offset).to_bytes(32, "big"))
    near_order = st.integers(-40, 40).map(lambda offset: (spec.ORDER + offset).to_bytes(32, "big"))
    small = st.integers(0, 40).map(lambda value: value.to_bytes(32, "big"))
    return st.one_of(st.binary(min_size=32, max_size=32), good, near_prime, near_order, small)


@settings(max_examples=250, deadline=None)
@given(_candidates())
@example(bytes(32))
def test_point_is_accepted_if_and_only_if_the_specification_accepts_it(point: bytes) -> None:
    for expected, require in (
        (spec.may_be_received(point), require_point),
        (spec.may_be_registered(point), require_registration_point),
    ):
        if expected:
            assert require(point) == point
        else:
            with pytest.raises(InvalidPoint):
                require(point)
