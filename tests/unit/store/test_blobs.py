"""Encrypted blobs: what was written comes back or is refused, in bounded memory, and nothing is left of a failure."""

import hashlib
import os
import stat
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.store import files
from federation.store.blobs import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, BlobStore
from federation.store.errors import StoredRecordCorrupt, StoreUnavailable

KEY = bytes(range(32))
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]
FUTURE = 2**62 // 1_000_000


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


def write(store, *chunks, key=KEY):
    with store.writer(key) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer


def read(store, name, key=KEY):
    return b"".join(store.reader(name, key))


def path_of(store, name):
    (path,) = store._directory.rglob(name)
    return path


def everything(store):
    return [path for path in store._directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", SIZES)
def test_blob_written_comes_back_with_its_size_and_digest(store, size):
    plaintext = os.urandom(size)
    writer = write(store, plaintext)
    assert read(store, writer.name) == plaintext
    assert writer.size_bytes == size
    assert writer.digest == hashlib.sha256(plaintext).digest()
    assert list(store.names()) == [writer.name]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, CHUNK_BYTES + 9), max_size=4))
def test_blob_is_the_same_however_it_was_cut(store, lengths):
    chunks = [bytes([number]) * length for number, length in enumerate(lengths)]
    name = write(store, *chunks).name
    assert read(store, name) == b"".join(chunks)
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in store.reader(name, KEY))


def test_blob_on_disk_is_private_and_shows_no_plaintext(store):
    name = write(store, b"a diagnosis" * 100).name
    path = path_of(store, name)
    assert b"a diagnosis" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(min_value=0), bit=st.integers(0, 7), size=st.sampled_from([0, 100, CHUNK_BYTES + 100]))
def test_blob_with_any_bit_flipped_is_refused(store, place, bit, size):
    name = write(store, bytes(size)).name
    path = path_of(store, name)
    sealed = bytearray(path.read_bytes())
    sealed[place % len(sealed)] ^= 1 << bit
    path.write_bytes(sealed)
    with pytest.raises(StoredRecordCorrupt):
        read(store, name)


def sealed_chunks(sealed):
    body = sealed[HEADER_BYTES:]
    return [body[start : start + SEALED_CHUNK_BYTES] for start in range(0, len(body), SEALED_CHUNK_BYTES)]


def rebuilt(sealed, *order):
    chunks = sealed_chunks(sealed)
    return sealed[:HEADER_BYTES] + b"".join(chunks[number] for number in order)


ALTERATIONS = {
    "emptied": lambda sealed: b"",
    "cut_in_the_header": lambda sealed: sealed[: HEADER_BYTES - 1],
    "cut_after_the_header": lambda sealed: sealed[:HEADER_BYTES],
    "cut_between_chunks": lambda sealed: rebuilt(sealed, 0, 1),
    "cut_in_a_chunk": lambda sealed: sealed[: HEADER_BYTES + SEALED_CHUNK_BYTES + 5],
    "cut_by_a_byte": lambda sealed: sealed[:-1],
    "longer_by_a_byte": lambda sealed: sealed + b"\0",
    "longer_by_its_end": lambda sealed: rebuilt(sealed, 0, 1, 2, 2),
    "reordered": lambda sealed: rebuilt(sealed, 1, 0, 2),
    "repeated": lambda sealed: rebuilt(sealed, 0, 0, 1, 2),
    "without_its_first_chunk": lambda sealed: rebuilt(sealed, 1, 2),
    "end_brought_forward": lambda sealed: rebuilt(sealed, 2, 0, 1),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_blob_altered_is_refused(store, alter):
    name = write(store, os.urandom(2 * CHUNK_BYTES + 100)).name
    path = path_of(store, name)
    path.write_bytes(alter(path.read_bytes()))
    with pytest.raises(StoredRecordCorrupt):
        read(store, name)


def test_blob_put_in_the_place_of_another_of_its_record_is_refused(store):
    one, two = write(store, b"one").name, write(store, b"two").name
    path_of(store, one).replace(path_of(store, two))
    with pytest.raises(StoredRecordCorrupt):
        read(store, two)


@pytest.mark.parametrize("key", [bytes(32), b"short"], ids=["another", "short"])
def test_blob_under_a_key_not_its_own_is_refused(store, key):
    name = write(store, b"plaintext").name
    with pytest.raises(StoredRecordCorrupt):
        read(store, name, key)


@pytest.mark.parametrize("name", ["0" * 32, "", "../../etc/passwd", "0" * 31 + "\n", "G" * 32])
def test_blob_that_is_gone_or_misnamed_is_refused(store, name):
    with pytest.raises(StoredRecordCorrupt):
        read(store, name)


def test_blob_whose_writing_fails_leaves_nothing(store):
    with pytest.raises(RuntimeError), store.writer(KEY) as writer:  # noqa: PT012
        writer.write(bytes(3 * CHUNK_BYTES))
        raise RuntimeError
    assert everything(store) == []


def test_blob_for_a_full_disk_is_refused_and_leaves_nothing(store, monkeypatch):
    real = os.fsync

    def full(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        write(store, b"plaintext")
    assert everything(store) == []


def test_blob_is_invisible_until_it_is_complete(store):
    with store.writer(KEY) as writer:
        writer.write(bytes(2 * CHUNK_BYTES))
        assert list(store.names()) == []
    assert list(store.names()) == [writer.name]


def test_blob_of_64_mib_takes_bounded_memory_both_ways(store):
    piece, pieces = os.urandom(256 * 1024), 256
    tracemalloc.start()
    with store.writer(KEY) as writer:
        for _ in range(pieces):
            writer.write(piece)
    size = sum(len(chunk) for chunk in store.reader(writer.name, KEY))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == writer.size_bytes == pieces * len(piece)
    assert peak < 8 * CHUNK_BYTES


def test_blob_removed_is_gone(store):
    name = write(store, b"plaintext").name
    for _ in range(2):
        store.remove(name)
    assert everything(store) == []


def test_orphans_old_enough_are_removed_and_known_blobs_stay(store):
    kept, orphan = write(store, b"kept").name, write(store, b"orphan").name
    assert store.remove_orphans({kept}, older_than=int(time.time() * 1000) - 60_000) == 0
    assert store.remove_orphans({kept}, older_than=FUTURE) == 1
    assert list(store.names()) == [kept]
    assert orphan != kept


def test_orphans_leave_foreign_files_alone(store):
    write(store, b"kept")
    foreign = next(store._directory.iterdir()) / "README"
    foreign.write_text("an operator's")
    store.remove_orphans(set(store.names()), older_than=FUTURE)
    assert foreign.exists()


def test_blob_store_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        BlobStore(tmp_path / "file" / "blobs")
