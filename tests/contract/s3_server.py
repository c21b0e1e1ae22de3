"""A throw-away S3 server (moto's, over HTTP) for the blob store's contract, one for each test process."""

import atexit
import itertools
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from tests.waiting import until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
_numbers = itertools.count(1)


class Server:
    """A running server, whose buckets are in its memory."""

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile(prefix="s3-", suffix=".log") as log:
            # It dies with whoever started it, on a port that it chooses.
            command = ["setpriv", "--pdeathsig=KILL", sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | CREDENTIALS)
            atexit.register(self.stop)
            self.endpoint = _announced(Path(log.name))
        keys = {name.lower(): value for name, value in CREDENTIALS.items() if name.startswith("AWS_") and "KEY" in name}
        self._client = boto3.client("s3", endpoint_url=self.endpoint, region_name="eu-central-1", **keys)

    def new_bucket(self) -> str:
        """Make a bucket and give the URL of a shelf in it."""
        name = f"bucket-{next(_numbers)}"
        self._client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        return f"s3://{name}/blobs/north?endpoint={self.endpoint}"

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Put an object that is not a blob's."""
        self._client.put_object(Bucket=bucket, Key=key, Body=body)

    def get(self, bucket: str, key: str) -> dict[str, Any]:
        """Give an object with what is said of it."""
        return self._client.get_object(Bucket=bucket, Key=key)

    def keys(self, bucket: str) -> list[str]:
        """List every object."""
        return [entry["Key"] for entry in self._client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    def uploads(self, bucket: str) -> int:
        """Count the multipart uploads that are neither completed nor aborted."""
        return len(self._client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))

    def stop(self) -> None:
        """Stop; nothing is kept."""
        self.process.kill()
        self.process.wait(30)


@cache
def server() -> Server:
    """Give this process's server."""
    return Server()


def _announced(log: Path) -> str:
    address = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
    until(lambda: address.search(log.read_text()), log.read_text)
    return address.findall(log.read_text())[0]
