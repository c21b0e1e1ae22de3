"""Encrypted blobs as files of a directory: what is particular to it. The contract of all shelves is in tests/contract."""

import os
import stat
import tracemalloc

import pytest

import safefiles
from federation.store.blobs import CHUNK_BYTES, BlobStore
from federation.store.errors import StoreUnavailable
from federation.store.file_shelf import FileShelf

KEY = bytes(range(32))
FUTURE = 2**62 // 1_000_000


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def store(directory):
    return BlobStore(FileShelf(directory))


def write(store, *chunks, key=KEY):
    with store.writer(key) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer


def test_blob_of_64_mib_takes_less_than_8_mib_both_ways(store):
    piece = os.urandom(256 * 1024)
    tracemalloc.start()
    name = write(store, *[piece] * 256).name
    size = sum(len(chunk) for chunk in store.reader(name, KEY))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 256 * len(piece)
    assert peak < 8 * CHUNK_BYTES


def test_blob_on_disk_is_private_and_shows_no_plaintext(store, directory):
    name = write(store, b"a diagnosis" * 100).name
    (path,) = directory.rglob(name)
    assert b"a diagnosis" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_blob_for_a_full_disk_is_refused_and_leaves_nothing(store, directory, monkeypatch):
    real = os.fsync

    def full(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(safefiles.os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        write(store, b"plaintext")
    assert [path for path in directory.rglob("*") if path.is_file()] == []


def test_orphans_leave_foreign_files_alone(store, directory):
    write(store, b"kept")
    foreign = next(directory.iterdir()) / "README"
    foreign.write_text("an operator's")
    store.remove_orphans(set(store.names()).intersection, older_than=FUTURE)
    assert foreign.exists()


def test_blob_store_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        FileShelf(tmp_path / "file" / "blobs")
