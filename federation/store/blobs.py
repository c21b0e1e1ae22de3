"""Records and attachments of any size, encrypted, in bounded memory, on a shelf (files, or an object store).

A blob is a libsodium secretstream (XChaCha20-Poly1305): its header, then chunks of 1 MiB of plaintext, each 17 bytes longer
as ciphertext, the last one shorter (perhaps empty) and tagged FINAL. The blob's name is associated data of every chunk, so
that one blob of a record doesn't pass for another under the same key.
"""

import hashlib
import secrets
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Self

from nacl import bindings
from nacl.exceptions import CryptoError

from federation.store.errors import NotStored, StoredRecordCorrupt, StoreUnavailable
from federation.store.files import NAME
from federation.store.shelves import Shelf, Sink, Source

CHUNK_BYTES = 1024 * 1024
HEADER_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
SEALED_CHUNK_BYTES: int = CHUNK_BYTES + bindings.crypto_secretstream_xchacha20poly1305_ABYTES

_MESSAGE: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class BlobWriter:
    """One blob while it is written: a context manager. Leaving it well makes the blob visible and durable at once."""

    def __init__(self, shelf: Shelf, key: bytes) -> None:
        self.name = secrets.token_hex(16)
        self.size_bytes = 0
        self._shelf = shelf
        self._plaintext = hashlib.sha256()
        self._waiting = bytearray()
        self._stream = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._stream, key)
        self._sink: Sink

    @property
    def digest(self) -> bytes:
        """Return SHA-256 of the plaintext written so far."""
        return self._plaintext.digest()

    def __enter__(self) -> Self:
        self._sink = self._shelf.create(self.name)
        try:
            self._sink.write(self._header)
        except StoreUnavailable:
            self._sink.abandon()
            raise
        return self

    def write(self, chunk: bytes) -> None:
        """Add plaintext, of any length. Raises StoreUnavailable, of a full disk for one."""
        self._plaintext.update(chunk)
        self.size_bytes += len(chunk)
        rest = memoryview(chunk)
        while rest:
            room = CHUNK_BYTES - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
            if len(self._waiting) == CHUNK_BYTES:
                self._flush(_MESSAGE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush(_FINAL)
                self._sink.publish()
        finally:
            self._sink.abandon()

    def _flush(self, tag: int) -> None:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(
            self._stream, bytes(self._waiting), _associated(self.name), tag
        )
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

    def names(self) -> Iterator[str]:
        """Return the names of the blobs that are complete."""
        return self._shelf.names()

    def remove_orphans(self, known: AbstractSet[str], *, older_than: int) -> int:
        """Remove what is in no record's parts, and what was never finished, last written before `older_than` (ms).

        `older_than` must leave time for the record of a blob just written to be kept. Returns how many were removed.
        """
        return self._shelf.remove_orphans(known, older_than=older_than)


def _opened(source: Source, name: str, key: bytes) -> Iterator[bytes]:
    stream = bindings.crypto_secretstream_xchacha20poly1305_state()
    tag = _MESSAGE
    try:
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(stream, source.read(HEADER_BYTES), key)
        while tag == _MESSAGE:
            sealed = source.read(SEALED_CHUNK_BYTES)
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(stream, sealed, _associated(name))
            if chunk:
                yield chunk
    except CryptoError as error:
        raise StoredRecordCorrupt("a blob is not what was written") from error
    if tag != _FINAL or source.read(1):
        raise StoredRecordCorrupt("a blob does not end where it ended when it was written")


def _associated(name: str) -> bytes:
    return b"medunion/v1 blob " + name.encode()
