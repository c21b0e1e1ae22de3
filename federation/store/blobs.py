"""Records and attachments of any size on disk, encrypted, in bounded memory.

A blob is a libsodium secretstream (XChaCha20-Poly1305): its header, then chunks of 1 MiB of plaintext, each 17 bytes longer
as ciphertext, the last one shorter (perhaps empty) and tagged FINAL. The blob's name is associated data of every chunk, so
that one blob of a record doesn't pass for another under the same key.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from nacl import bindings
from nacl.exceptions import CryptoError

from federation.store.errors import StoredRecordCorrupt
from federation.store.files import create, is_older, make_directory, publish, translated

CHUNK_BYTES = 1024 * 1024
HEADER_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
SEALED_CHUNK_BYTES: int = CHUNK_BYTES + bindings.crypto_secretstream_xchacha20poly1305_ABYTES

_MESSAGE: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_NAME = re.compile(r"[0-9a-f]{32}")
_PARTIAL = ".partial"


class BlobWriter:
    """One blob while it is written: a context manager. Leaving it well makes the blob visible and durable at once."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self.name = secrets.token_hex(16)
        self.size_bytes = 0
        self._path = _path(directory, self.name)
        self._partial = self._path.with_suffix(_PARTIAL)
        self._plaintext = hashlib.sha256()
        self._waiting = bytearray()
        self._stream = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._stream, key)
        self._file: BinaryIO

    @property
    def digest(self) -> bytes:
        """SHA-256 of the plaintext written so far."""
        return self._plaintext.digest()

    def __enter__(self) -> Self:
        with translated():
            make_directory(self._path.parent)
            self._file = create(self._partial)
            self._file.write(self._header)
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
            with translated(), self._file:
                if error is None:
                    self._flush(_FINAL)
                    publish(self._file, self._partial, self._path)
        finally:
            # Gone already if it was renamed.
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)

    def _flush(self, tag: int) -> None:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(
            self._stream, bytes(self._waiting), _associated(self.name), tag
        )
        self._waiting.clear()
        with translated():
            self._file.write(sealed)


class BlobStore:
    """The blobs in a directory. Keys are the caller's: 32 random bytes a record, wrapped by the token elsewhere."""

    def __init__(self, directory: Path) -> None:
        """Make the directory, mode 0700, if it is absent. Raises StoreUnavailable."""
        self._directory = directory
        with translated():
            make_directory(directory)

    def writer(self, key: bytes) -> BlobWriter:
        """Begin a blob under a new random name."""
        return BlobWriter(self._directory, key)

    def reader(self, name: str, key: bytes) -> Iterator[bytes]:
        """The plaintext of a blob in chunks of at most 1 MiB.

        Each chunk is authentic and in its place when it comes; only the iterator's end says that it was the last. Raises
        StoredRecordCorrupt for a blob that is altered, cut short, another's or gone, StoreUnavailable if it can't be read.
        """
        if not _NAME.fullmatch(name):
            raise StoredRecordCorrupt("this is not a blob's name")
        with translated():
            try:
                file = _path(self._directory, name).open("rb")
            except FileNotFoundError as error:
                raise StoredRecordCorrupt("a blob is gone") from error
            with file:
                yield from _opened(file, name, key)

    def remove(self, name: str) -> None:
        """Remove a blob; none there is no error. Raises StoreUnavailable."""
        with translated():
            _path(self._directory, name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """The names of the blobs that are complete."""
        return (path.name for path in self._files() if path.suffix != _PARTIAL)

    def remove_orphans(self, known: AbstractSet[str], *, older_than: int) -> int:
        """Remove what is in no record's parts, and what was never finished, last written before `older_than` (ms).

        `older_than` must leave time for the record of a blob just written to be kept. Returns how many were removed.
        """
        with translated():
            orphans = [path for path in self._files() if path.name not in known and is_older(path, older_than)]
            for path in orphans:
                path.unlink(missing_ok=True)
        return len(orphans)

    def _files(self) -> Iterator[Path]:
        return (path for path in self._directory.glob("??/*") if _NAME.fullmatch(path.stem))


def _opened(file: BinaryIO, name: str, key: bytes) -> Iterator[bytes]:
    stream = bindings.crypto_secretstream_xchacha20poly1305_state()
    tag = _MESSAGE
    try:
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(stream, file.read(HEADER_BYTES), key)
        while tag == _MESSAGE:
            sealed = file.read(SEALED_CHUNK_BYTES)
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(stream, sealed, _associated(name))
            if chunk:
                yield chunk
    except CryptoError as error:
        raise StoredRecordCorrupt("a blob is not what was written") from error
    if tag != _FINAL or file.read(1):
        raise StoredRecordCorrupt("a blob does not end where it ended when it was written")


def _associated(name: str) -> bytes:
    return b"medunion/v1 blob " + name.encode()


def _path(directory: Path, name: str) -> Path:
    # 256 folders: no folder of a large hospital grows beyond what a file system lists well.
    return directory / name[:2] / name
