"""What is on the wire under a session key depends on the size class of what is inside, and on nothing else of it."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from federation.protocol.frames import (
    SENT_SLICE_BYTES,
    Direction,
    DirectionKeys,
    pad_message,
    padded_size,
    pieces,
    unpad_content,
    unpad_message,
)

FORWARD = Direction(b"s" * 16, DirectionKeys(b"f" * 32, b"i" * 12))
contents = st.integers(0, 3_000_000).flatmap(lambda size: st.tuples(st.just(size), st.binary(min_size=1, max_size=64)))


def content_of(made: tuple[int, bytes]) -> bytes:
    size, pattern = made
    return (pattern * (size // len(pattern) + 1))[:size]


def frames_of(content: bytes, message: bytes) -> list[tuple[int, bool, int]]:
    direction, sent = FORWARD, []
    for piece in pieces([content]):
        direction, frame = direction.seal("p2", piece.padded, last=False, sent_at=1)
        sent.append((frame.sequence, frame.last, len(frame.sealed)))
    _, last = direction.seal("p2", message, last=True, sent_at=1)
    return [*sent, (last.sequence, last.last, len(last.sealed))]


@settings(max_examples=60, deadline=None)
@given(contents, st.binary(max_size=5000), st.data())
def test_frames_of_one_size_class_look_alike(made: tuple[int, bytes], message: bytes, data: st.DataObject) -> None:
    content = content_of(made)
    largest, most = padded_size(len(content)), padded_size(4 + len(message)) - 4
    other = bytes(data.draw(st.integers(_smallest_of(largest), largest), label="size of another content"))
    said = bytes(data.draw(st.integers(max(0, _smallest_of(most + 4) - 4), most), label="size of another message"))
    assert frames_of(content, message) == frames_of(other, said)


def _smallest_of(padded: int) -> int:
    """Give the smallest size of a class by searching for it."""
    low, high = 0, padded
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if padded_size(middle) == padded else (middle + 1, high)
    return low


@settings(max_examples=100, deadline=None)
@given(contents)
def test_content_comes_back_from_its_slices(made: tuple[int, bytes]) -> None:
    content = content_of(made)
    assert unpad_content(b"".join(piece.padded for piece in pieces([content])), len(content)) == content


@settings(max_examples=60, deadline=None)
@given(contents, st.lists(st.integers(0, 3_000_000), max_size=8))
def test_content_comes_back_from_its_slices_in_whatever_chunks_it_came(
    made: tuple[int, bytes], places: list[int]
) -> None:
    content = content_of(made)
    chunks = (content[begin:end] for begin, end in pairwise([0, *sorted(places), len(content)]))
    sent = list(pieces(chunks))
    assert unpad_content(b"".join(piece.padded for piece in sent), len(content)) == content
    assert {len(piece.padded) for piece in sent[:-1]} <= {SENT_SLICE_BYTES}


@given(st.binary(max_size=10_000))
def test_a_message_comes_back_from_its_padding(message: bytes) -> None:
    assert unpad_message(pad_message(message)) == message
