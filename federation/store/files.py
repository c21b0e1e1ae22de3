"""What blobs' files are called, how old they are, and their errors as the store's."""

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from federation.store.errors import StoreFull, StoreUnavailable

NAME = re.compile(r"[0-9a-f]{32}")
"""What a blob is called."""

Known = Callable[[Sequence[str]], AbstractSet[str]]
"""Which of these blobs stay."""

_ASKED_AT_ONCE = 500


def orphans(names: Iterable[str], known: Known) -> Iterator[str]:
    """Yield the names that are not known, asked for some at a time: a hospital's names don't all lie in memory."""
    left = iter(names)
    while batch := list(islice(left, _ASKED_AT_ONCE)):
        stay = known(batch)
        yield from (name for name in batch if name not in stay)


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
