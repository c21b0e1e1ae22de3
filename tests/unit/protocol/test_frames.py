"""Frames of a session: order, direction, session, and every clear field under the seal (B12)."""

import pytest

from federation.errors import (
    FieldInvalid,
    Limit,
    MessageTooLarge,
    MissingField,
    OutOfOrder,
    SealInvalid,
    SessionUnknown,
)
from federation.protocol.frames import MOST_SLICE_BYTES, MOST_SLICES, Direction, DirectionKeys, with_slice
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import OpenSessionResponse
from tests.mallory import refused

SESSION = b"s" * 16
FORWARD = Direction(SESSION, DirectionKeys(b"f" * 32, b"i" * 12))
BACKWARD = Direction(SESSION, DirectionKeys(b"b" * 32, b"j" * 12))
NOW = 1_790_000_000_000
AFTER_ONE, FRAME = FORWARD.seal("p2", b"content", last=False, sent_at=NOW)


def frame(**fields) -> SessionFrame:
    copy = SessionFrame()
    copy.CopyFrom(FRAME)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def test_frames_open_in_their_order():
    state, plaintext = FORWARD.open("p2", FRAME)
    assert plaintext == b"content"
    _, second = AFTER_ONE.seal("p2", b"more", last=True, sent_at=NOW)
    assert state.open("p2", second)[1] == b"more"


@pytest.mark.parametrize("size", [1, 90, 111, 112, 127, 128, 16_300, 16_383, 16_384, 2**20])
def test_frame_that_is_serialised_beside_its_ciphertext_is_the_frame(size):
    """Around each length at which protocol buffers says the next by one byte more."""
    sealed = FORWARD.seal_slice("h2", bytes(size), sent_at=NOW)[1]
    response = OpenSessionResponse.FromString(sealed.serialised_in(OpenSessionResponse(), "frame"))
    assert response == OpenSessionResponse(frame=sealed.frame)
    assert FORWARD.open("h2", response.frame)[1] == bytes(size)


def test_no_two_frames_share_a_nonce():
    nonces = {Direction(SESSION, FORWARD.keys, sequence)._nonce() for sequence in (0, 1, 255, 256, 2**32)}
    assert len(nonces) == 5


def test_a_frame_out_of_order_is_refused():
    _, second = AFTER_ONE.seal("p2", b"more", last=True, sent_at=NOW)
    with refused(OutOfOrder):
        FORWARD.open("p2", second)


def test_a_frame_taken_again_is_refused():
    state, _ = FORWARD.open("p2", FRAME)
    with refused(OutOfOrder):
        state.open("p2", FRAME)


def test_a_frame_renumbered_is_refused():
    state, _ = FORWARD.open("p2", FRAME)
    with refused(SealInvalid):
        state.open("p2", frame(sequence=1))


def test_a_reflected_frame_is_refused():
    with refused(SealInvalid):
        BACKWARD.open("p2", FRAME)


def test_a_frame_of_another_session_is_refused():
    with refused(SessionUnknown):
        Direction(b"t" * 16, FORWARD.keys).open("p2", FRAME)
    with refused(SealInvalid):
        Direction(b"t" * 16, FORWARD.keys).open("p2", frame(session_id=b"t" * 16))


def test_a_frame_with_a_wrong_last_flag_is_refused():
    with refused(SealInvalid):
        FORWARD.open("p2", frame(last=True))


def test_a_frame_with_another_time_is_refused():
    with refused(SealInvalid):
        FORWARD.open("p2", frame(sent_at=NOW + 1))


def test_a_frame_of_another_message_is_refused():
    with refused(SealInvalid):
        FORWARD.open("d4", FRAME)


@pytest.mark.parametrize("position", [0, -1])
def test_a_tampered_frame_is_refused(position):
    tampered = bytearray(FRAME.sealed)
    tampered[position] ^= 1
    with refused(SealInvalid):
        FORWARD.open("p2", frame(sealed=bytes(tampered)))


def test_a_frame_shorter_than_its_tag_is_refused():
    for size in (0, 1, 15):
        with refused(SealInvalid):
            FORWARD.open("p2", frame(sealed=FRAME.sealed[:size]))


def test_a_frame_that_is_too_large_is_refused():
    with refused(MessageTooLarge):
        FORWARD.open("p2", frame(sealed=bytes(1_114_113)))


def test_a_frame_without_a_field_is_refused():
    for field in ("session_id", "sequence", "last", "sealed", "sent_at"):
        incomplete = frame()
        incomplete.ClearField(field)
        with refused(MissingField):
            FORWARD.open("p2", incomplete)


def test_a_frame_with_a_session_id_of_another_size_is_refused():
    with refused(FieldInvalid):
        FORWARD.open("p2", frame(session_id=b""))


def test_an_empty_slice_is_refused():
    """Any number of them would hold no bytes, and a receiver's memory and time."""
    _, empty = FORWARD.seal("p2", b"", last=False, sent_at=NOW)
    with refused(FieldInvalid):
        FORWARD.open("p2", empty)


def test_a_slice_of_more_than_1_mib_is_refused_as_too_large():
    _, whole = FORWARD.seal("p2", bytes(MOST_SLICE_BYTES), last=False, sent_at=NOW)
    assert len(FORWARD.open("p2", whole)[1]) == MOST_SLICE_BYTES
    _, larger = FORWARD.seal("p2", bytes(MOST_SLICE_BYTES + 1), last=False, sent_at=NOW)
    with refused(MessageTooLarge):
        FORWARD.open("p2", larger)


def test_a_last_frame_is_padded_and_opens_to_its_message():
    _, last = FORWARD.seal("p2", b"message", last=True, sent_at=NOW)
    assert len(last.sealed) == 2048 + 16
    assert FORWARD.open("p2", last)[1] == b"message"


def test_slices_beyond_the_limit_are_refused_by_number_and_by_size():
    full = (b"x",) * (MOST_SLICES - 1)
    assert len(with_slice(full, b"x", most_bytes=MOST_SLICES)) == MOST_SLICES
    with refused(Limit):
        with_slice((*full, b"x"), b"x", most_bytes=2 * MOST_SLICES)
    with refused(Limit):
        with_slice((b"x" * 8,), b"xxx", most_bytes=10)


def test_keys_are_shown_by_no_repr():
    assert "ffff" not in repr(FORWARD)
    assert "b'f" not in repr(FORWARD)
