"""Many connections at once, while certificates change and while they don't: gRPC frees what a handshake may still read."""

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import pytest

from tests.unit.wire.server_process import anybody, served

CLIENTS = 32
PATIENCE = 100
NEVER = 10**9
"""A gRPC that is told of a change at every handshake, and at once, died within the first second (docs/adr/0007)."""


def _shake_hands(port: int, number: int, process: "subprocess.Popen[bytes]") -> set[bytes]:
    """Connect so often, and return the certificates that were shown."""
    client, shown = anybody(), set()
    for _ in range(number):
        if process.poll() is not None:
            break
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain, client.wrap_socket(plain) as secured:
            shown.add(secured.getpeercert(binary_form=True) or b"")
    return shown


@pytest.mark.parametrize(
    ("changes_every", "each", "shown"), [(NEVER, 20, 1), (1, 2, 2)], ids=["nothing-changes", "each-changes"]
)
def test_many_connections_at_once_do_not_end_the_server(
    tmp_path: Path, changes_every: int, each: int, shown: int
) -> None:
    # Freed memory is written over, so that reading it is noticed.
    server = served(tmp_path / "ready", "--changes-every", str(changes_every), MALLOC_PERTURB_="165")
    with server as (process, port), ThreadPoolExecutor(CLIENTS) as clients:
        seen = list(clients.map(_shake_hands, repeat(port, CLIENTS), repeat(each), repeat(process)))
        assert process.poll() is None
    assert len(set().union(*seen)) == shown
