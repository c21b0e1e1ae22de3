"""Sealed blobs as files of a directory, each durable and whole when it has its name."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import safefiles
from federation.store.errors import NotStored
from federation.store.files import NAME, Known, is_older, orphans, translated

_PARTIAL = ".partial"


class FileSink:
    """A file under a temporary name until it is published."""

    def __init__(self, path: Path) -> None:
        """Begin it, mode 0600."""
        self._path = path
        self._partial = path.with_suffix(_PARTIAL)
        with translated():
            safefiles.make_directory(path.parent)
            self._file = safefiles.open_new(self._partial)

    def write(self, data: bytes | bytearray) -> None:
        """Add bytes. Raises StoreUnavailable, of a full disk for one."""
        with translated():
            self._file.write(data)

    def publish(self) -> None:
        """Put the file to the disk, and then its name."""
        with translated(), self._file:
            safefiles.publish(self._file, self._partial, self._path)

    def abandon(self) -> None:
        """Remove the temporary name, which is gone if the file was published; what fails here is left for `remove_orphans`."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)


class FileShelf:
    """`Shelf`. A directory of 256 folders: no folder of a large hospital grows beyond what a file system lists well."""

    def __init__(self, directory: Path) -> None:
        """Make the directory, mode 0700, if it is absent. Raises StoreUnavailable."""
        self.directory = directory
        with translated():
            safefiles.make_directory(directory)

    def create(self, name: str) -> FileSink:
        """Begin a blob. Raises StoreUnavailable."""
        return FileSink(self._path(name))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a blob to read. Raises NotStored, StoreUnavailable."""
        with translated():
            try:
                file = self._path(name).open("rb")
            except FileNotFoundError as error:
                raise NotStored("there is no such blob") from error
            with file:
                yield file

    def salvage(self, name: str) -> None:
        """Give what a program left unfinished its name, as far as it came: its reader says where it ends."""
        path = self._path(name)
        partial = path.with_suffix(_PARTIAL)
        with translated(), suppress(FileNotFoundError), partial.open("r+b") as file:
            safefiles.publish(file, partial, path)

    def remove(self, name: str) -> None:
        """Remove a blob; none there is no error. Raises StoreUnavailable."""
        with translated():
            self._path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Return the names of the blobs that are complete."""
        return (path.name for path in self._files() if path.suffix != _PARTIAL)

    def remove_orphans(self, known: Known, *, older_than: int) -> int:
        """Remove what is not known, and what was never finished, last written before `older_than` (ms); say how many."""
        with translated():
            unfinished = [it for it in self._files() if it.suffix == _PARTIAL and is_older(it, older_than)]
            complete = (it.name for it in self._files() if it.suffix != _PARTIAL and is_older(it, older_than))
            lost = [*unfinished, *map(self._path, orphans(complete, known))]
            for path in lost:
                path.unlink(missing_ok=True)
        return len(lost)

    def _files(self) -> Iterator[Path]:
        return (path for path in self.directory.glob("??/*") if NAME.fullmatch(path.stem))

    def _path(self, name: str) -> Path:
        return self.directory / name[:2] / name
