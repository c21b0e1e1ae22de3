"""How large the slices of a record are, by how long its reader took for each (docs/adr/0041-transfers.md)."""

from itertools import pairwise

import pytest

from federation.hospital.reader_pace import FIRST_BYTES, SMALLEST_SLICE_BYTES, ReaderPace
from federation.protocol.frames import SLICE_BYTES, padded_size, pieces

KIB = 1024


def sizes(size: int, line: list[float], begun: int = 0) -> list[int]:
    """The slices of a record, in KiB, whose reader takes so many bytes a second at each slice, at last as many as at the last."""
    pace, rates, came = ReaderPace(), iter(line), list[int]()
    rate = 0.0
    for piece in pieces([bytes(size - begun)], begun, pace.next_size):
        rate = next(rates, rate)
        came.append(len(piece.padded) // KIB)
        pace.took(len(piece.padded) / rate)
    return came


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([float("inf")], [64, 64, 128, 256, 512, 512, 512]),
        ([300e3], [64, 64, 128, 256, 512, 512, 512]),
        ([200e3], [64, 64, 128] + [256] * 7),
        ([16e3], [64] + [16] * 124),
        ([20e3], [64] + [32] * 62),
        ([1.0], [64] + [16] * 124),
        ([1e6, 1e6, 1e6, 1e6, 20e3, 1e6], [64, 64, 128, 256, 512, 32, 32, 64, 128, 256, 512]),
    ],
    ids=["at once", "300 kB/s", "200 kB/s", "16 kB/s", "20 kB/s", "a byte a second", "slow for a while"],
)
def test_slices_are_what_the_reader_takes_in_two_seconds(line: list[float], expected: list[int]) -> None:
    assert sizes(2048 * KIB, line) == expected


@pytest.mark.parametrize("begun", [0, SLICE_BYTES, 3 * SLICE_BYTES])
@pytest.mark.parametrize("line", [[1e9], [100e3], [16e3], [1e6, 3e3, 80e3, 1e9, 5e3, 1e9, 40e3] * 9])
def test_every_multiple_of_a_whole_slice_is_the_end_of_one_and_none_is_more_than_twice_the_last(
    begun: int, line: list[float]
) -> None:
    size = 5 * SLICE_BYTES + 12_345
    came = [it * KIB for it in sizes(size, line, begun)]
    assert begun + sum(came) == padded_size(size)
    ends = {begun + sum(came[:count]) for count in range(1, len(came) + 1)}
    assert set(range(begun + SLICE_BYTES, size, SLICE_BYTES)) <= ends
    assert came[0] == FIRST_BYTES
    assert all(later <= 2 * sooner for sooner, later in pairwise(came))
    assert min(came[:-1]) >= SMALLEST_SLICE_BYTES
    assert max(came) <= SLICE_BYTES


def test_contents_of_one_size_class_are_cut_alike() -> None:
    assert sizes(2_000_000, [100e3]) == sizes(padded_size(2_000_000), [100e3])
