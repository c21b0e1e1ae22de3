"""Private files: made, replaced, appended to, read and locked in the one place that calls `os.open`.

What is written here has mode 0600, follows no link that stands at its name, and is on the disk with its name when a call
returns. A crash leaves the old content or the new, never half of one in the other's place. Errors are OSError, as the
system gives them: each package above translates them into its own family.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, Final, Self

_PRIVATE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_ALWAYS: Final = os.O_CLOEXEC
_ONLY_ITSELF: Final = _ALWAYS | os.O_NOFOLLOW


class NotPrivate(PermissionError):
    """A file that is to be read is not a plain one, is another user's, or is open to more people than it may be."""


def open_new(path: Path, mode: int = _PRIVATE) -> BinaryIO:
    """Open a file that is not there yet, for writing. Raises FileExistsError, for a link too.

    Who writes it calls `sync` or `publish` when it is whole.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ONLY_ITSELF, mode), "wb")


@contextmanager
def creating(path: Path, mode: int = _PRIVATE) -> Iterator[BinaryIO]:
    """Yield a new file to write to; after the block it is whole and on the disk, or gone if the block raised.

    Raises FileExistsError, for a link too.
    """
    file = open_new(path, mode)
    try:
        with file:
            yield file
            sync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create(path: Path, content: bytes, mode: int = _PRIVATE) -> None:
    """Write a new file, whole or not at all. Raises FileExistsError, for a link too."""
    with creating(path, mode) as file:
        file.write(content)


def replace(path: Path, content: bytes, mode: int = _PRIVATE) -> None:
    """Put a file in place; what was there, a link too, gives way in one step. Whatever the umask, it has this mode."""
    # Of its own for each writer: several threads and processes may write the same file at once.
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.unlink(missing_ok=True)  # of a writer of the same numbers, which died
    file = open_new(partial)
    try:
        with file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            publish(file, partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def publish(file: BinaryIO, partial: Path, final: Path) -> None:
    """Put to the disk what was written under a temporary name, then give it its own, then put that to the disk."""
    sync(file)
    partial.rename(final)
    sync_directory(final.parent)


def append(path: Path, content: bytes) -> None:
    """Add to a file that is there; the addition is on the disk when this returns. Raises FileNotFoundError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | _ONLY_ITSELF), "ab") as file:
        file.write(content)
        sync(file)


def cut(path: Path, size_bytes: int) -> None:
    """Cut a file off after so many bytes. Raises FileNotFoundError."""
    with os.fdopen(os.open(path, os.O_WRONLY | _ONLY_ITSELF), "wb") as file:
        file.truncate(size_bytes)
        sync(file)


def open_private(path: Path, *, others: int = 0, follow: bool = False, of_root: bool = False) -> BinaryIO:
    """Open a plain file of this user's for reading, closed to everybody else.

    `others` are permission bits that the group and others may have all the same; `follow` takes a link, and `of_root` a
    file of root's. The opened file is judged, not the name, which could be exchanged in between. Raises NotPrivate.
    """
    # A pipe would keep an opening waiting that does not say O_NONBLOCK.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (_ALWAYS if follow else _ONLY_ITSELF))
    status = os.fstat(descriptor)
    owners = {os.geteuid(), 0} if of_root else {os.geteuid()}
    forbidden = (stat.S_IRWXG | stat.S_IRWXO) & ~others
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in owners or status.st_mode & forbidden:
        os.close(descriptor)
        raise NotPrivate(f"{path} is not private")
    return os.fdopen(descriptor, "rb")


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700, and those above it that are missing, unless it is there."""
    missing = list(takewhile(lambda it: not it.is_dir(), (path, *path.parents)))
    if missing:
        path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_directory(made.parent)


def sync(file: BinaryIO) -> None:
    """Put to the disk what was written to an open file."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Put a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _ALWAYS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LockFile:
    """A file whose lock (flock(2)) one holder has at a time, between threads as between processes; it ends with `close`.

    What stands in the file may say who holds it.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        """Open the file, made with mode 0600 if it is absent; without `make`, whatever is there is only read."""
        flags = os.O_RDWR | os.O_CREAT | _ONLY_ITSELF if make else os.O_RDONLY | _ALWAYS
        self._descriptor = os.open(path, flags, _PRIVATE)

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_args: object) -> None:
        """Close."""
        self.close()

    def acquire(self) -> None:
        """Wait for the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock unless somebody has it; return whether it was taken. Raises OSError where there are no locks."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next one have the lock, with the file still open."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def read(self, most_bytes: int = 4096) -> bytes:
        """Return what stands in the file."""
        return os.pread(self._descriptor, most_bytes, 0)

    def write(self, content: bytes) -> None:
        """Write a note for those who wait, in place of the one before; it need not outlive the machine."""
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def fileno(self) -> int:
        """Return the descriptor, for a child that is to keep the lock."""
        return self._descriptor

    def close(self) -> None:
        """Return up the lock, or the wish for it; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file's lock for the block, made with mode 0600 if it is absent; threads and processes wait for each other."""
    with LockFile(path) as file:
        file.acquire()
        yield
