"""Publishing a small file for everybody: in a directory that something serves, or in a bucket. Whole or not at all."""

from pathlib import Path
from urllib.parse import unquote

import safefiles
from federation.store.errors import StoreUnavailable
from federation.store.shelves import require_shelf, s3_options

FOR_EVERYBODY = 0o644


def publish(url: str, name: str, content: bytes, content_type: str) -> None:
    """Put a file under this name at `file:///directory` or `s3://bucket/prefix?endpoint=...`, in place of what is there.

    Whoever reads it meanwhile has the one before, whole. Nothing else that lies there is touched. Raises StoreUnavailable.
    """
    place = require_shelf(url)
    if place.scheme == "file":
        _put_file(Path(unquote(place.path)) / name, content)
        return
    try:
        from federation.store.s3_shelf import put_object  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise StoreUnavailable("S3 needs the package boto3: install medunion[s3]") from error
    prefix = place.path.strip("/")
    put_object(place.netloc, f"{prefix}/{name}" if prefix else name, content, content_type, **s3_options(place))


def _put_file(path: Path, content: bytes) -> None:
    try:
        safefiles.replace(path, content, FOR_EVERYBODY)
    except OSError as error:
        raise StoreUnavailable(f"{path} can't be written: {error.strerror}") from error
