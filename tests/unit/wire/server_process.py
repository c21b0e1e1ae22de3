"""A server in a process of its own: were gRPC to die there, the tests would live to tell."""

import argparse
import asyncio
import itertools
import os
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from federation.settings import ServerSettings
from federation.wire import server
from federation.wire.server import LeafRotation, build_server
from tests.unit.wire.conftest import Authority

STARTS_WITHIN_SECONDS = 30


@contextmanager
def served(ready: Path, *words: str, **environment: str) -> Iterator["tuple[subprocess.Popen[bytes], int]"]:
    """Run this program with more words and environment for a block, and yield its process and port."""
    program = [sys.executable, "-m", __name__, str(ready), *words]
    with subprocess.Popen(program, env={**os.environ, **environment}) as process:
        try:
            until = time.monotonic() + STARTS_WITHIN_SECONDS
            while not ready.exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            yield process, int(ready.read_text())
        finally:
            process.kill()


def anybody() -> ssl.SSLContext:
    """Return the TLS of somebody who asks nobody's name, and has none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _serve(ready: Path, changes_every: int) -> None:
    authority, asked, now = Authority(), itertools.count(), datetime.now(UTC)
    leaves = itertools.cycle([authority.cloud_leaf(now), authority.cloud_leaf(now)])

    def issuer() -> bytes:
        return str(next(asked) // changes_every).encode()

    made = build_server(
        "127.0.0.1:0",
        LeafRotation(lambda _: next(leaves), issuer=issuer),
        authority.root_pem,
        require_client_certificate=False,
        interceptors=[],
        settings=ServerSettings(),
    )
    await made.start()
    ready.with_suffix(".new").write_text(str(made.port))
    ready.with_suffix(".new").rename(ready)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed; the port goes to a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ready", type=Path, help="where the port is written")
    parser.add_argument(
        "--changes-every", type=int, default=10**9, help="another certificate at each so many-th handshake"
    )
    parser.add_argument("--most-files", type=int, help="hard limit of open files")
    given = parser.parse_args()
    if given.most_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given.most_files, given.most_files))
    server.TAKING_HOLD = timedelta(seconds=0.01)  # some hundreds of changes within a test
    asyncio.run(_serve(given.ready, given.changes_every))


if __name__ == "__main__":
    main()
