"""The contract of encrypted blobs on every shelf: what was written comes back or is refused, in bounded memory."""

import errno
import os
import time
import tracemalloc
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import safefiles
from federation.store.blobs import CHUNK_BYTES, SEALED_CHUNK_BYTES, BlobStore
from federation.store.errors import NotStored, StoredRecordCorrupt, StoreFull, StoreUnavailable
from federation.store.shelves import open_shelf
from tests.contract import s3_server
from tests.contract.store_support import Worker

KEY = bytes(range(32))
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 20 * CHUNK_BYTES]
FUTURE = 4_000_000_000_000


@pytest.fixture(params=["file", "s3"])
def url(request, tmp_path, monkeypatch):
    if request.param == "file":
        return f"file://{tmp_path}/blobs"
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_server.server().new_bucket()


@pytest.fixture
def shelf(url):
    return open_shelf(url)


@pytest.fixture
def store(shelf):
    return BlobStore(shelf)


def write(store, *chunks, key=KEY):
    with store.writer(key) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return writer


def read(store, name, key=KEY):
    return b"".join(store.reader(name, key))


def sealed_bytes(shelf, name):
    with shelf.open(name) as source:
        return source.read(64 * CHUNK_BYTES)


def put(shelf, name, sealed):
    """As one who owns the shelf can."""
    shelf.remove(name)
    sink = shelf.create(name)
    sink.write(sealed)
    sink.publish()


def unfinished(store):
    """How much lies there beside blobs; it is gone then."""
    return store.remove_orphans(set(store.names()).intersection, older_than=FUTURE)


@pytest.mark.parametrize("size", SIZES)
def test_blob_written_comes_back_with_its_size(store, size):
    plaintext = os.urandom(size)
    writer = write(store, plaintext)
    assert read(store, writer.name) == plaintext
    assert writer.size_bytes == size
    assert list(store.names()) == [writer.name]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, CHUNK_BYTES + 9), max_size=4))
def test_blob_is_the_same_however_it_was_cut(store, lengths):
    chunks = [bytes([number]) * length for number, length in enumerate(lengths)]
    name = write(store, *chunks).name
    assert read(store, name) == b"".join(chunks)
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in store.reader(name, KEY))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(min_value=0), bit=st.integers(0, 7), size=st.sampled_from([0, 100, CHUNK_BYTES + 100]))
def test_blob_with_any_bit_flipped_is_refused(store, shelf, place, bit, size):
    name = write(store, bytes(size)).name
    sealed = bytearray(sealed_bytes(shelf, name))
    sealed[place % len(sealed)] ^= 1 << bit
    put(shelf, name, bytes(sealed))
    with pytest.raises(StoredRecordCorrupt):
        read(store, name)


def sealed_chunks(sealed):
    return [sealed[start : start + SEALED_CHUNK_BYTES] for start in range(0, len(sealed), SEALED_CHUNK_BYTES)]


def rebuilt(sealed, *order):
    chunks = sealed_chunks(sealed)
    return b"".join(chunks[number] for number in order)


ALTERATIONS = {
    "emptied": lambda sealed: b"",
    "cut_between_chunks": lambda sealed: rebuilt(sealed, 0, 1),
    "cut_in_a_chunk": lambda sealed: sealed[: SEALED_CHUNK_BYTES + 5],
    "cut_by_a_byte": lambda sealed: sealed[:-1],
    "longer_by_a_byte": lambda sealed: sealed + b"\0",
    "longer_by_its_end": lambda sealed: rebuilt(sealed, 0, 1, 2, 2),
    "reordered": lambda sealed: rebuilt(sealed, 1, 0, 2),
    "repeated": lambda sealed: rebuilt(sealed, 0, 0, 1, 2),
    "without_its_first_chunk": lambda sealed: rebuilt(sealed, 1, 2),
    "end_brought_forward": lambda sealed: rebuilt(sealed, 2, 0, 1),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_blob_altered_is_refused(store, shelf, alter):
    name = write(store, os.urandom(2 * CHUNK_BYTES + 100)).name
    put(shelf, name, alter(sealed_bytes(shelf, name)))
    with pytest.raises(StoredRecordCorrupt):
        read(store, name)


def test_blob_put_in_the_place_of_another_of_its_record_is_refused(store, shelf):
    one, two = write(store, b"one").name, write(store, b"two").name
    put(shelf, two, sealed_bytes(shelf, one))
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
        writer.write(bytes(20 * CHUNK_BYTES))
        raise RuntimeError
    assert list(store.names()) == []
    assert unfinished(store) == 0


def test_blob_is_invisible_until_it_is_complete(store):
    with store.writer(KEY) as writer:
        writer.write(bytes(20 * CHUNK_BYTES))
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
    assert peak < 32 * CHUNK_BYTES


def test_blob_removed_is_gone(store):
    name = write(store, b"plaintext").name
    for _ in range(2):
        store.remove(name)
    assert list(store.names()) == []


def test_orphans_old_enough_are_removed_and_known_blobs_stay(store):
    kept, orphan = write(store, b"kept").name, write(store, b"orphan").name
    assert store.remove_orphans({kept}.intersection, older_than=int(time.time() * 1000) - 60_000) == 0
    assert store.remove_orphans({kept}.intersection, older_than=FUTURE) == 1
    assert list(store.names()) == [kept]
    assert orphan != kept


def test_shelf_gives_no_blob_that_is_not_there(shelf):
    with pytest.raises(NotStored), shelf.open("0" * 32):
        pass


def test_blob_published_stays_when_its_sink_is_abandoned_afterwards(shelf):
    sink = shelf.create("0" * 32)
    sink.write(b"sealed")
    sink.publish()
    sink.abandon()
    assert sealed_bytes(shelf, "0" * 32) == b"sealed"


@pytest.mark.parametrize("mebibytes", [5, 20])
def test_blob_whose_writer_is_killed_is_never_visible_and_goes_with_the_orphans(url, mebibytes):
    open_shelf(url)
    with ExitStack() as stack:
        worker = Worker(stack, "write_blob", url, str(mebibytes))
        assert worker.says.readline() == "written\n"
        worker.kill()
    store, now = BlobStore(open_shelf(url)), int(time.time() * 1000)
    assert list(store.names()) == []
    left = mebibytes > 8 or url.startswith("file")
    if url.startswith("file"):  # moto says of every upload that it began in 2010
        assert store.remove_orphans(set().intersection, older_than=now - 60_000) == 0
    assert store.remove_orphans(set().intersection, older_than=now + 60_000) == left
    assert unfinished(store) == 0


def test_blob_whose_record_was_never_kept_goes_with_the_orphans(store):
    """The crash between blob and row: the next sweep that leaves time enough for a row takes the blob."""
    orphan, now = write(store, b"plaintext").name, int(time.time() * 1000)
    assert store.remove_orphans(set().intersection, older_than=now - 60_000) == 0
    assert read(store, orphan) == b"plaintext"
    assert store.remove_orphans(set().intersection, older_than=now + 60_000) == 1
    assert list(store.names()) == []


UNUSABLE = {
    "relative": "file:blobs",
    "machine": "file://host/blobs",
    "other": "gs://bucket/prefix",
    "path": "/var/lib/blobs",
    "no_bucket": "s3:///prefix",
    "secret": "s3://key:hunter2@bucket/prefix",
    "option": "s3://bucket/prefix?aws_secret_access_key=hunter2",
    "clear_text": "s3://bucket/prefix?endpoint=http://s3.example",
    "nobody_there": "s3://bucket/prefix?endpoint=http://127.0.0.1:1",
}


@pytest.mark.parametrize("url", UNUSABLE.values(), ids=UNUSABLE)
def test_blob_url_that_cannot_be_used_is_refused_without_its_secrets(url, monkeypatch):
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable) as caught:
        open_shelf(url)
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def bucket(monkeypatch):
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = s3_server.server()
    return server, server.new_bucket()


def test_shelf_that_is_tried_keeps_something_and_nothing_stays(store):
    kept = write(store, b"plaintext").name
    assert store.keeps()
    assert list(store.names()) == [kept]


def test_shelf_that_cannot_keep_is_told_when_it_is_tried(tmp_path, monkeypatch):
    store = BlobStore(open_shelf(f"file://{tmp_path}/blobs"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safefiles, "publish", full)
    with pytest.raises(StoreFull):
        store.keeps()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_bucket_that_is_not_there_is_unavailable(bucket):
    with pytest.raises(StoreUnavailable, match="404"):
        open_shelf(bucket[1].replace("s3://", "s3://another-"))


def test_orphans_leave_foreign_objects_alone(bucket):
    server, url = bucket
    name = url.split("/")[2]
    foreign = ["README", "blobs/north/README", "blobs/north/ff/" + "0" * 32, "blobs/south/00/" + "0" * 32]
    for key in foreign:
        server.put(name, key, b"an operator's")
    store = BlobStore(open_shelf(url))
    orphan = write(store, b"plaintext").name
    assert list(store.names()) == [orphan]
    assert store.remove_orphans(set().intersection, older_than=FUTURE) == 1
    assert sorted(server.keys(name)) == sorted(foreign)


def test_blob_of_more_than_a_part_whose_writing_fails_leaves_no_upload_to_pay_for(bucket):
    server, url = bucket
    with pytest.raises(RuntimeError), BlobStore(open_shelf(url)).writer(KEY) as writer:  # noqa: PT012
        writer.write(bytes(20 * CHUNK_BYTES))
        assert server.uploads(url.split("/")[2]) == 1
        raise RuntimeError
    assert server.uploads(url.split("/")[2]) == 0
