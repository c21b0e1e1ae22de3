"""Sealed blobs as objects of an S3 bucket, or of a store that speaks its protocol.

An object is there at once and whole, or not: a small one by one PUT, a larger one by a multipart upload that its last call
completes. Names are those of the directory of files, so that `aws s3 sync` moves a hospital from one to the other.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from federation.store.errors import NotStored, StoreUnavailable
from federation.store.files import NAME, Known, orphans

PART_BYTES = 8 * 1024 * 1024
"""Of a multipart upload: the protocol's least is 5 MiB, and at most 10,000 parts make an object (80 GiB here)."""

_GONE = frozenset({"NoSuchKey", "404"})
_SETTINGS = Config(
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=16,
    retries={"mode": "standard", "total_max_attempts": 5},
    # The blob proves its own bytes; stores that imitate S3 don't all know the newer checksums.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Sink:
    """An object while it is uploaded."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:  # noqa: ANN401 - boto3 makes its classes as it runs
        """Begin it; nothing is sent before there is a part's worth."""
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._waiting = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, object]] = []

    def write(self, data: bytes | bytearray) -> None:
        """Add bytes, of which at most a part waits in memory. Raises StoreUnavailable."""
        self._waiting += data
        while len(self._waiting) >= PART_BYTES:
            part = bytes(self._waiting[:PART_BYTES])
            del self._waiting[:PART_BYTES]
            self._send(part)

    def publish(self) -> None:
        """Send what waits, and make the object visible. Raises StoreUnavailable."""
        if self._upload is None:
            with translated():
                self._client.put_object(**self._place, Body=bytes(self._waiting))
            return
        if self._waiting:
            self._send(bytes(self._waiting))
        with translated():
            parts = {"Parts": self._parts}
            self._client.complete_multipart_upload(**self._place, UploadId=self._upload, MultipartUpload=parts)
        self._upload = None

    def abandon(self) -> None:
        """Return the upload up, if one is under way; what fails here is left for `remove_orphans`."""
        if self._upload is not None:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._place, UploadId=self._upload)

    def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        with translated():
            if self._upload is None:
                self._upload = self._client.create_multipart_upload(**self._place)["UploadId"]
            sent = self._client.upload_part(**self._place, UploadId=self._upload, PartNumber=number, Body=part)
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})


class S3Source:
    """An object while it is read."""

    def __init__(self, body: Any) -> None:  # noqa: ANN401
        """Read this response."""
        self._body = body

    def read(self, size: int, /) -> bytes:
        """Return so many bytes; fewer only at the end. Raises StoreUnavailable."""
        pieces = []
        with translated():
            while size and (piece := self._body.read(size)):
                pieces.append(piece)
                size -= len(piece)
        return b"".join(pieces)


class S3Shelf:
    """`Shelf`. Credentials are found as every AWS tool finds them: a file, the environment, the machine's role."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, region: str | None) -> None:
        """Use this bucket, under this prefix. Raises StoreUnavailable if the bucket can't be used."""
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        with translated():
            self._client = _client(endpoint, region)
            self._client.head_bucket(Bucket=bucket)

    def create(self, name: str) -> S3Sink:
        """Begin a blob."""
        return S3Sink(self._client, self._bucket, self._key(name))

    @contextmanager
    def open(self, name: str) -> Iterator[S3Source]:
        """Open a blob to read. Raises NotStored, StoreUnavailable."""
        try:
            with translated():
                body = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
        except StoreUnavailable as error:
            if _code(error.__cause__) in _GONE:
                raise NotStored("there is no such blob") from error
            raise
        with closing(body):
            yield S3Source(body)

    def remove(self, name: str) -> None:
        """Remove a blob; none there is no error. Raises StoreUnavailable."""
        self._remove(self._key(name))

    def names(self) -> Iterator[str]:
        """Return the names of the blobs that are complete. Raises StoreUnavailable."""
        return (_name(entry["Key"]) for entry in self._listed("list_objects_v2", "Contents"))

    def remove_orphans(self, known: Known, *, older_than: int) -> int:
        """Remove what is not known, and uploads never completed, of before `older_than` (ms by the store's clock)."""
        limit = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=older_than)
        removed = 0
        listed = self._listed("list_objects_v2", "Contents")
        for name in orphans((_name(entry["Key"]) for entry in listed if entry["LastModified"] < limit), known):
            self.remove(name)
            removed += 1
        for entry in self._listed("list_multipart_uploads", "Uploads"):
            if entry["Initiated"] < limit:
                with translated():
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=entry["Key"], UploadId=entry["UploadId"]
                    )
                removed += 1
        return removed

    def _listed(self, operation: str, what: str) -> Iterator[dict[str, Any]]:
        """Yield what the store lists of ours, page by page."""
        with translated():
            for page in self._client.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=self._prefix):
                yield from (entry for entry in page.get(what, ()) if self._is_ours(entry["Key"]))

    def _is_ours(self, key: str) -> bool:
        name = _name(key)
        return NAME.fullmatch(name) is not None and key == self._key(name)

    def _remove(self, key: str) -> None:
        with translated():
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name[:2]}/{name}"


def put_object(
    bucket: str, key: str, content: bytes, content_type: str, *, endpoint: str | None, region: str | None
) -> None:
    """Put one object in place of what is there, at once. Raises StoreUnavailable."""
    with translated():
        _client(endpoint, region).put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)


def _client(endpoint: str | None, region: str | None) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=_SETTINGS)


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable for what boto3 raises; its sentences name buckets and codes, and no secret."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(f"the blob store is not available: {error}") from error


def _code(error: BaseException | None) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _name(key: str) -> str:
    return key.rpartition("/")[2]
