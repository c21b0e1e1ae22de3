"""Files that are durable when a call returns, and their errors as the store's."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from federation.store.errors import StoreFull, StoreUnavailable

NAME = re.compile(r"[0-9a-f]{32}")
"""What a blob is called."""


def make_directory(path: Path) -> None:
    """Make a directory, mode 0700, unless it is there."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(path.parent)


def create(path: Path) -> BinaryIO:
    """Make a new file, mode 0600, to write to. Raises FileExistsError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def publish(file: BinaryIO, partial: Path, final: Path) -> None:
    """Put what was written to the disk, then give it its name, then put the name to the disk."""
    file.flush()
    os.fsync(file.fileno())
    partial.rename(final)
    sync_directory(final.parent)


def sync_directory(path: Path) -> None:
    """Put a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_older(path: Path, than: int) -> bool:
    """Say whether a file was last written before a time in ms. One that has gone meanwhile is not."""
    try:
        return path.stat().st_mtime_ns < than * 1_000_000
    except FileNotFoundError:
        return False


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable for an OSError, StoreFull for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(f"the blob store is full: {error.strerror}") from error
        raise StoreUnavailable(f"the blob store is not available: {error.strerror}") from error
