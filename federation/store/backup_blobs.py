"""The blobs of a backup: copied from shelf to shelf, or only read, and listed as sha256sum does: digest, name."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from federation.store.errors import BackupRejected, NotStored
from federation.store.shelves import Shelf

CHUNK_BYTES = 1024 * 1024
_LINE = re.compile(r"([0-9a-f]{64})  ([0-9a-f]{32})\n")

Progress = Callable[[int], None]
"""Is told of bytes as they are read."""


def copy_all(source: Shelf, target: Shelf | None, progress: Progress) -> Iterator[tuple[str, str]]:
    """Copy every blob of a shelf, or only read it, and give name and SHA-256; one that is erased meanwhile is left out.

    Raises StoreUnavailable.
    """
    for name in sorted(source.names()):
        with suppress(NotStored):
            yield name, _copy(source, target, name, None, progress)


def put_all(listed: Path, source: Shelf, target: Shelf | None, progress: Progress) -> int:
    """Copy what a list names, or only read it where it is; give how many. Raises BackupRejected for what isn't as listed."""
    count = 0
    for count, (name, digest) in enumerate(read_list(listed), start=1):  # noqa: B007 - the last count is the answer
        try:
            _copy(source, target, name, digest, progress)
        except NotStored as error:
            raise BackupRejected(f"the blob {name} is missing") from error
    return count


def write_list(path: Path, blobs: Iterable[tuple[str, str]]) -> set[str]:
    """Write a list; give the names."""
    names = set()
    with path.open("x", encoding="ascii") as file:
        for name, digest in blobs:
            file.write(f"{digest}  {name}\n")
            names.add(name)
    path.chmod(0o600)
    return names


def read_list(path: Path) -> Iterator[tuple[str, str]]:
    """Give name and SHA-256 of each blob of a list. Raises BackupRejected."""
    with path.open(encoding="ascii") as file:
        for line in file:
            match = _LINE.fullmatch(line)
            if match is None:
                raise BackupRejected("the list of blobs is not what was written")
            yield match[2], match[1]


def _copy(source: Shelf, target: Shelf | None, name: str, expected: str | None, progress: Progress) -> str:
    """Copy a blob, and put it in place only if it is what is expected; give its SHA-256. Raises NotStored, BackupRejected."""
    digest = hashlib.sha256()
    with source.open(name) as file:
        sink = None if target is None else target.create(name)
        try:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                if sink is not None:
                    sink.write(chunk)
                progress(len(chunk))
            if expected not in {None, digest.hexdigest()}:
                raise BackupRejected(f"the blob {name} is not what was kept")
            if sink is not None:
                sink.publish()
        finally:
            if sink is not None:
                sink.abandon()
    return digest.hexdigest()
