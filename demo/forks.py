"""Commands without their imports' second: processes of their own, forked from one that has imported everything and done nothing.

The tests type hundreds of commands; half of the time that they would take is Python reading the same modules again. No gRPC,
token or database is touched before the fork, so a child is what a fresh process would be. The demonstration itself types them.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = (
    "federation.cli.main",
    "federation.cli.authority",
    "federation.cli.backup",
    "federation.cli.doctor",
    "federation.cli.hospital",
    "federation.cli.patient",
    "federation.cli.public_cloud",
    "federation.cli.token",
)
MOST_ORDER_BYTES = 1 << 20


class Forks:
    """The caller's side: begins the process that forks at its first command. Close it."""

    def __init__(self) -> None:
        """Begin nothing yet."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """End it."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait(20)
            self._socket = None

    def _begun(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                program = [sys.executable, "-m", "demo.forks", str(theirs.fileno())]
                self._process = subprocess.Popen(
                    program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT
                )
        return self._socket

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], stdin: str, seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `medunion` with these words to its end, as `subprocess.run` would. Raises TimeoutExpired, and kills it.

        One at a time: threads whose commands wait for each other type them.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            given.write(stdin.encode())
            given.seek(0)
            order = json.dumps({"words": list(words), "environment": dict(environment), "directory": str(Path.cwd())})
            files = [given.fileno(), out.fileno(), errors.fileno()]
            with self._lock:
                orders = self._begun()
                socket.send_fds(orders, [order.encode()], files)
                code = _awaited(orders, int(orders.recv(64)), seconds)
            if code is None:
                raise subprocess.TimeoutExpired(list(words), seconds)
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(list(words), code, out.read().decode(), errors.read().decode())


def _awaited(orders: socket.socket, pid: int, seconds: float) -> int | None:
    """Give the exit code, or None if it had to be killed."""
    orders.settimeout(seconds)
    try:
        return int(orders.recv(64))
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        orders.settimeout(None)
        orders.recv(64)
        return None
    finally:
        orders.settimeout(None)


def serve(orders: socket.socket) -> None:
    """Fork a command for each order, one at a time, and say its number and then how it ended."""
    for module in MODULES:
        __import__(module)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, MOST_ORDER_BYTES, 3)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            orders.close()
            _live(json.loads(order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        orders.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        orders.send(str(os.waitstatus_to_exitcode(status)).encode())


def _live(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Be a fresh process, and end without ever going back."""
    code = 1
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["directory"])
        from federation.cli.main import main  # noqa: PLC0415 - read long ago

        sys.argv = ["medunion", *order["words"]]
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - told where the command tells everything
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given_socket:
        serve(given_socket)
