"""M_EMR is what its manifest says, or nothing is shown."""

from collections.abc import Iterator

import pytest

from federation.errors import MalformedMessage, MessageTooLarge, RecordCutShort, RecordDigestMismatch
from federation.person.records import RecordReader, verify_record
from keystore.transcript import frame
from tests.contents import manifest, record_of

PARTS = [b"first part", b"", b"third part " * 1000]


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
def test_parts_come_back_whatever_the_chunks(size: int) -> None:
    reader = RecordReader(chunked(record_of(*PARTS), size))
    assert [b"".join(content) for _, _, content in reader.parts()] == PARTS


def test_part_not_read_is_checked_all_the_same() -> None:
    assert verify_record(chunked(record_of(*PARTS), 64)) == manifest(PARTS)
    altered = bytearray(record_of(*PARTS))
    altered[-1] ^= 1
    with pytest.raises(RecordDigestMismatch):
        verify_record(chunked(bytes(altered), 64))


@pytest.mark.parametrize("missing", [1, 100, 11_000, len(record_of(*PARTS)) - 2])
def test_record_cut_short_is_refused(missing: int) -> None:
    with pytest.raises(RecordCutShort):
        verify_record(chunked(record_of(*PARTS)[:-missing], 64))


def test_record_digest_mismatch_is_refused_at_each_part() -> None:
    whole = record_of(*PARTS)
    first = whole.index(PARTS[0])
    for place in (first, first + len(PARTS[0]), len(whole) - 1):
        altered = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        with pytest.raises(RecordDigestMismatch):
            verify_record(chunked(altered, 1000))


@pytest.mark.parametrize("extra", [b"x", b"x" * 100])
def test_record_with_more_than_its_manifest_says_is_refused(extra: bytes) -> None:
    with pytest.raises(RecordDigestMismatch):
        verify_record(chunked(record_of(*PARTS) + extra, 64))


def test_manifest_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(MessageTooLarge):
        verify_record(iter([(2**32 - 1).to_bytes(4, "big")]))


def test_manifest_malformed_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        verify_record(iter([frame(b"\xff\xff")]))
