"""Many connections at once, while certificates change and while they don't: gRPC frees what a handshake may still read."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest

CLIENTS = 32
SECONDS = 2
NEVER = 10**9
"""A gRPC that is told of a change at every handshake, and at once, died within the first second (docs/adr/0007)."""


@contextmanager
def _server(ready: Path, changes_every: int) -> Iterator["tuple[subprocess.Popen[bytes], int]"]:
    program = [
        sys.executable,
        "-m",
        "tests.unit.wire.server_process",
        str(ready),
        "--changes-every",
        str(changes_every),
    ]
    # Freed memory is written over, so that reading it is noticed.
    environment = {**os.environ, "MALLOC_PERTURB_": "165"}
    with subprocess.Popen(program, env=environment) as process:
        try:
            for _ in range(600):
                if ready.exists() or process.poll() is not None:
                    break
                time.sleep(0.05)
            yield process, int(ready.read_text())
        finally:
            process.kill()


def _shake_hands(port: int, until: float, process: "subprocess.Popen[bytes]") -> set[bytes]:
    """Connect again and again, and give the certificates that were shown."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    anybody.set_alpn_protocols(["h2"])
    shown = set()
    while time.monotonic() < until and process.poll() is None:
        with socket.create_connection(("127.0.0.1", port), 20) as plain, anybody.wrap_socket(plain) as secured:
            shown.add(secured.getpeercert(binary_form=True) or b"")
    return shown


@pytest.mark.parametrize(("changes_every", "shown"), [(NEVER, 1), (1, 2)], ids=["nothing-changes", "each-changes"])
def test_many_connections_at_once_do_not_end_the_server(tmp_path: Path, changes_every: int, shown: int) -> None:
    with _server(tmp_path / "ready", changes_every) as (process, port), ThreadPoolExecutor(CLIENTS) as clients:
        until = time.monotonic() + SECONDS
        seen = list(clients.map(_shake_hands, repeat(port, CLIENTS), repeat(until), repeat(process)))
        assert process.poll() is None
    assert len(set().union(*seen)) == shown
