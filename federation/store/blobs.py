"""Records and attachments of any size, encrypted, in bounded memory, on a shelf (files, or an object store).

A blob is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015) over AES-256-GCM, as in age: chunks of 1 MiB of plaintext, each
16 bytes longer as ciphertext, the last one shorter, perhaps empty. The nonce of a chunk is its number, 11 bytes big-endian,
and 1 of the last one, else 0: none can be left out, moved, or taken for the end. The key is HKDF-SHA256 of the record's key,
info "medunion/v1 blob " and the blob's name: so no nonce is used twice, and one blob doesn't pass for another of its record.
"""

import secrets
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from federation.store.errors import NotStored, StoredRecordCorrupt
from federation.store.files import NAME, Known
from federation.store.shelves import Shelf, Sink, Source

CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_COUNTER_BYTES = 11
_KEY_BYTES = 32
_TRIED = bytes(1024)
"""What is written to see whether a shelf keeps anything."""


class BlobWriter:
    """One blob while it is written: a context manager. Leaving it well makes the blob visible and durable at once."""

    def __init__(self, shelf: Shelf, key: bytes) -> None:
        self.name = secrets.token_hex(16)
        self.size_bytes = 0
        self._shelf = shelf
        self._waiting = bytearray()
        self._aead = _aead(key, self.name)
        self._chunks = 0
        self._sink: Sink

    def __enter__(self) -> Self:
        self._sink = self._shelf.create(self.name)
        return self

    def write(self, chunk: bytes) -> None:
        """Add plaintext, of any length. Raises StoreUnavailable, of a full disk for one."""
        self.size_bytes += len(chunk)
        rest = memoryview(chunk)
        while rest:
            room = CHUNK_BYTES - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
            if len(self._waiting) == CHUNK_BYTES:
                self._flush(last=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush(last=True)
                self._sink.publish()
        finally:
            self._sink.abandon()

    def _flush(self, *, last: bool) -> None:
        sealed = bytearray(len(self._waiting) + TAG_BYTES)
        self._aead.encrypt_into(_nonce(self._chunks, last=last), self._waiting, None, sealed)
        self._chunks += 1
        self._waiting.clear()
        self._sink.write(sealed)


class BlobStore:
    """The blobs on a shelf. Keys are the caller's: 32 random bytes a record, wrapped by the token elsewhere."""

    def __init__(self, shelf: Shelf) -> None:
        """Keep blobs there."""
        self._shelf = shelf

    def writer(self, key: bytes) -> BlobWriter:
        """Begin a blob under a new random name."""
        return BlobWriter(self._shelf, key)

    def reader(self, name: str, key: bytes) -> Iterator[bytes]:
        """Yield the plaintext of a blob in chunks of at most 1 MiB.

        Each chunk is authentic and in its place when it comes; only the iterator's end says that it was the last. Raises
        StoredRecordCorrupt for a blob that is altered, cut short, another's or gone, StoreUnavailable if it can't be read.
        """
        if not NAME.fullmatch(name):
            raise StoredRecordCorrupt("this is not a blob's name")
        try:
            with self._shelf.open(name) as source:
                yield from _opened(source, name, key)
        except NotStored as error:
            raise StoredRecordCorrupt("a blob is gone") from error

    def remove(self, name: str) -> None:
        """Remove a blob; none there is no error. Raises StoreUnavailable."""
        self._shelf.remove(name)

    def keeps(self) -> bool:
        """Write a blob and take it away, as a deposit would. Raises StoreUnavailable, StoreFull."""
        with self.writer(secrets.token_bytes(_KEY_BYTES)) as writer:
            writer.write(_TRIED)
        self.remove(writer.name)
        return True

    def names(self) -> Iterator[str]:
        """Return the names of the blobs that are complete."""
        return self._shelf.names()

    def remove_orphans(self, known: Known, *, older_than: int) -> int:
        """Remove what is not known to be in a record's parts, and what was never finished, last written before `older_than` (ms).

        `older_than` must leave time for the record of a blob just written to be kept. Returns how many were removed.
        """
        return self._shelf.remove_orphans(known, older_than=older_than)


def _opened(source: Source, name: str, key: bytes) -> Iterator[bytes]:
    aead, number, last = _aead(key, name), 0, False
    while not last:
        sealed = source.read(SEALED_CHUNK_BYTES)
        last = len(sealed) < SEALED_CHUNK_BYTES
        try:
            chunk = aead.decrypt(_nonce(number, last=last), sealed, None)
        except InvalidTag as error:
            raise StoredRecordCorrupt("a blob is not what was written") from error
        number += 1
        if chunk:
            yield chunk


def _aead(key: bytes, name: str) -> AESGCM:
    info = b"medunion/v1 blob " + name.encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER_BYTES, "big") + bytes([last])
