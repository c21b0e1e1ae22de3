"""What blobs' files are called, how old they are, and their errors as the store's."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.store.errors import StoreFull, StoreUnavailable

NAME = re.compile(r"[0-9a-f]{32}")
"""What a blob is called."""


def is_older(path: Path, than: int) -> bool:
    """Return whether a file was last written before a time in ms. One that has gone meanwhile is not."""
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
