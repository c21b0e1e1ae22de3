"""Where sealed blobs lie, as an interface, and its choice by URL. A shelf sees names and bytes, never a key or a plaintext."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from federation.store.errors import StoreUnavailable
from federation.store.file_shelf import FileShelf
from federation.store.files import Known

_S3_OPTIONS = frozenset({"endpoint", "region"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Sink(Protocol):
    """A blob while it is written. All methods raise StoreUnavailable."""

    def write(self, data: bytes | bytearray) -> None: ...

    def publish(self) -> None:
        """Make the blob visible under its name, whole and durable, at once."""
        ...

    def abandon(self) -> None:
        """Leave nothing; after `publish`, leave what was published."""
        ...


class Source(Protocol):
    """A blob while it is read."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes; fewer only at the end. Raises StoreUnavailable."""
        ...


class Shelf(Protocol):
    """Blobs by name: 32 lower-case hexadecimal digits. All methods raise StoreUnavailable."""

    def create(self, name: str) -> Sink: ...

    def open(self, name: str) -> AbstractContextManager[Source]:
        """Open a blob to read. Raises NotStored."""
        ...

    def remove(self, name: str) -> None:
        """Remove a blob; none there is no error."""
        ...

    def names(self) -> Iterator[str]:
        """Return the names of the blobs that are complete."""
        ...

    def remove_orphans(self, known: Known, *, older_than: int) -> int:
        """Remove blobs that aren't known, and what was never finished, last written before `older_than` (ms); say how many."""
        ...


def open_shelf(url: str) -> Shelf:
    """Open the shelf of a URL: `file:///var/lib/medunion/blobs`, or `s3://bucket/prefix?endpoint=https://s3.example&region=eu-1`.

    Raises StoreUnavailable for another URL, or if it can't be opened.
    """
    place = require_shelf(url)
    return FileShelf(Path(unquote(place.path))) if place.scheme == "file" else _s3_shelf(place)


def require_shelf(url: str) -> SplitResult:
    """Require a URL of a shelf, and give its parts; nothing is opened. Raises StoreUnavailable, which doesn't quote it."""
    try:
        place = urlsplit(url)
    except ValueError:
        raise StoreUnavailable("the blob URL can't be read") from None
    if place.scheme == "file" and place.path.startswith("/") and not (place.netloc or place.query or place.fragment):
        return place
    if place.scheme == "s3":
        _require_s3(place)
        return place
    raise StoreUnavailable("a place is file:///path/to/directory or s3://bucket/prefix")


def _require_s3(place: SplitResult) -> None:
    options = dict(parse_qsl(place.query, keep_blank_values=True))
    if not place.hostname or "@" in place.netloc or ":" in place.netloc or place.fragment:
        # What is not quoted here may hold a secret.
        raise StoreUnavailable(
            "the blob URL must be s3://bucket/prefix; credentials come from a file or the environment"
        )
    if not options.keys() <= _S3_OPTIONS:
        raise StoreUnavailable(f"the blob URL may have these options alone: {', '.join(sorted(_S3_OPTIONS))}")
    endpoint = urlsplit(options.get("endpoint", ""))
    if options.get("endpoint") is not None and endpoint.scheme != "https" and endpoint.hostname not in _LOOPBACK:
        raise StoreUnavailable("the blob URL's endpoint is on another machine: it must be https://")


def s3_options(place: SplitResult) -> dict[str, str | None]:
    """Return endpoint and region of a URL that `require_shelf` took."""
    options = dict(parse_qsl(place.query, keep_blank_values=True))
    return {name: options.get(name) for name in sorted(_S3_OPTIONS)}


def _s3_shelf(place: SplitResult) -> Shelf:
    try:
        from federation.store.s3_shelf import S3Shelf  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise StoreUnavailable("S3 needs the package boto3: install medunion[s3]") from error
    return S3Shelf(place.netloc, place.path.strip("/"), **s3_options(place))
