"""What is under a session key is padded: known answers, and what a receiver requires of it (docs/protocol.md, 1)."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.errors import FieldInvalid, Limit, MalformedMessage, MessageTooLarge, PaddingInvalid, RecordCutShort
from federation.protocol.frames import (
    MOST_SLICES,
    SENT_SLICE_BYTES,
    Direction,
    DirectionKeys,
    IncomingRecord,
    pad_message,
    padded_size,
    pieces,
    unpad_content,
    unpad_message,
)
from federation.v1.envelope_pb2 import SessionFrame
from keystore.transcript import frame
from tests.contents import cut, record_of
from tests.mallory import refused

KNOWN = {0: 2048, 1: 2048, 2048: 2048, 2049: 2176, 4095: 4096, 4096: 4096, 4097: 4352, 65_535: 65_536, 65_536: 65_536}
KNOWN |= {65_537: 67_584, 1_000_000: 1_015_808, 2**24: 2**24, 2**24 + 1: 2**24 + 2**19}


@pytest.mark.parametrize(("size", "padded"), KNOWN.items())
def test_known_sizes(size: int, padded: int) -> None:
    assert padded_size(size) == padded


def test_a_class_is_its_own_and_padding_adds_at_most_12_percent() -> None:
    for size in [*range(2048, 70_000, 7), *(2**power + 1 for power in range(11, 50))]:
        padded = padded_size(size)
        assert padded_size(padded) == padded >= size
        assert padded <= size * 1.12


@pytest.mark.parametrize("message", [b"", b"m", b"m" * 2044, b"m" * 2045, b"m" * 100_000])
def test_a_message_comes_back_from_its_padding(message: bytes) -> None:
    padded = pad_message(message)
    assert len(padded) == padded_size(4 + len(message))
    assert unpad_message(padded) == message


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(2047),
        frame(b"message"),
        frame(b"message").ljust(2176, b"\0"),
        frame(b"message").ljust(4096, b"\0"),
        frame(b"m" * 2045).ljust(4096, b"\0"),
        frame(b"m" * 2000)[:-1].ljust(2047, b"\0"),
        b"\xff" * 4 + bytes(2044),
    ],
    ids=["nothing", "a byte short", "none", "next class", "too much", "another class", "cut", "a length beyond"],
)
def test_padding_of_another_size_is_refused(padded: bytes) -> None:
    with refused(PaddingInvalid):
        unpad_message(padded)


@pytest.mark.parametrize("position", [-1, 4 + 7])
def test_padding_that_says_something_is_refused(position: int) -> None:
    padded = bytearray(pad_message(b"message"))
    padded[position] = 1
    with refused(PaddingInvalid):
        unpad_message(bytes(padded))


def test_a_last_frame_whose_padding_is_invalid_is_refused() -> None:
    """Sealed by who holds the key: the tag holds, the padding does not."""
    direction = Direction(b"s" * 16, DirectionKeys(b"f" * 32, b"i" * 12))
    _, sealed = direction.seal("p6", b"message", last=True, sent_at=1)
    context = direction._context("p6", 1, last=True)
    bent = SessionFrame()
    bent.CopyFrom(sealed)
    bent.sealed = AESGCM(b"f" * 32).encrypt(b"i" * 12, frame(b"message"), context)
    with refused(PaddingInvalid):
        direction.open("p6", bent)


@pytest.mark.parametrize(
    "size", [0, 1, 2048, 2049, SENT_SLICE_BYTES - 1, SENT_SLICE_BYTES, SENT_SLICE_BYTES + 1, 3 * SENT_SLICE_BYTES + 5]
)
def test_content_is_cut_with_its_padding_into_slices_of_one_size(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sent = [piece.padded for piece in pieces([content[: size // 3], b"", content[size // 3 :]])]
    assert {len(piece) for piece in sent[:-1]} <= {SENT_SLICE_BYTES}
    assert 0 < len(sent[-1]) <= SENT_SLICE_BYTES
    assert unpad_content(b"".join(sent), size) == content


def test_content_whose_padding_fills_slices_of_its_own() -> None:
    """At 16 MiB and more, zeros of a class fill a slice."""
    sent = list(pieces([bytes(2**24 + 1)]))
    assert sum(len(piece.padded) for piece in sent) == padded_size(2**24 + 1)
    assert all(piece.padded for piece in sent)


RECORD = record_of(b"part" * 1000)


def taken(*slices: bytes) -> IncomingRecord:
    state = IncomingRecord()
    for piece in slices:
        state, _ = state.take(piece)
    return state


@pytest.mark.parametrize("places", [(), (1,), (3, 4, 5), (10, 200), (len(RECORD) - 1,), tuple(range(1, 150))])
def test_a_record_is_whole_however_it_is_cut(places: tuple[int, ...]) -> None:
    state, came = IncomingRecord(), b""
    for piece in cut(RECORD, *places):
        state, content = state.take(piece.padded)
        came += content
    assert came == RECORD
    assert state.size_bytes == len(RECORD)
    state.whole_digest()


def test_a_record_without_all_its_bytes_is_refused_as_cut_short() -> None:
    for state in (taken(), taken(RECORD[:3]), taken(RECORD[:50]), taken(RECORD[:-1])):
        with refused(RecordCutShort):
            state.whole_digest()


def test_a_record_of_another_size_class_is_refused() -> None:
    zeros = padded_size(len(RECORD)) - len(RECORD)
    for padding in (bytes(0), bytes(zeros - 1), bytes(zeros + 1)):
        with refused(PaddingInvalid):
            taken(RECORD, *([padding] if padding else [])).whole_digest()


def test_a_record_with_something_in_its_padding_is_refused() -> None:
    for slices in ([RECORD + b"\x01"], [RECORD, b"\x00\x01"]):
        with refused(PaddingInvalid):
            taken(*slices)


def test_a_manifest_that_is_too_large_or_none_is_refused_before_it_is_all_here() -> None:
    with refused(MessageTooLarge):
        taken((2**20 + 1).to_bytes(4, "big"))
    with refused(MalformedMessage):
        taken(frame(b"\xff\xff"))


def test_a_manifest_in_more_slices_than_the_limit_is_refused() -> None:
    state = taken(*([b"\x00"] + [b"\x00"] + [b"\x10"] + [b"\x00"] * (MOST_SLICES - 3)))
    with refused(Limit):
        state.take(b"\x00")


def test_an_unknown_class_of_department_in_a_manifest_is_refused_as_a_field() -> None:
    bent = RECORD.replace(b"cardiology", b"Cardiology")
    with refused(FieldInvalid):
        taken(bent)
