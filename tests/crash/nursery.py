"""Processes that start in a fraction of their imports' second: forked from one that has imported everything and done nothing.

`Nursery` starts a mother; each child of hers runs `medunion` with a command line, or one of our own programs, as a process of its
own with nothing shared but code. No gRPC, token or database is touched before the fork. Whoever is still there when the mother
goes, goes with her.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_MODULES = (
    "federation.cli.main",
    "federation.cli.public_cloud",
    "federation.cli.hospital",
    "federation.store.postgresql",
    "psycopg",
    "federation.cli.backup",
    "tests.crash.practice",
    "tests.crash.stage",
)


@dataclass
class Child:
    """A process, known by a descriptor: a signal never reaches another one that got its number later."""

    name: str
    pid: int
    descriptor: int
    log: Path

    def is_alive(self) -> bool:
        return self.descriptor >= 0 and not select.select([self.descriptor], [], [], 0)[0]

    def wait(self, seconds: float) -> bool:
        """Wait for its end and say whether it came."""
        return self.descriptor < 0 or bool(select.select([self.descriptor], [], [], seconds)[0])

    def signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.descriptor, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        if self.descriptor >= 0:
            self.signal(signal.SIGKILL)
            assert self.wait(20), f"{self.name} outlives SIGKILL"
            os.close(self.descriptor)
            self.descriptor = -1

    def children(self) -> list[int]:
        """The processes that it has started itself and not buried yet."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def kill_child(self, pid: int) -> bool:
        """Kill one of them, and say whether it was still there."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # Still its child, now that the descriptor holds it: so the number is nobody else's.
            if not self.is_alive() or pid not in self.children():
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Nursery:
    """The tester's side. A context manager."""

    def __enter__(self) -> Self:
        ours, hers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if name != "SOFTHSM2_CONF"}
        with hers:
            self._mother = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery", str(hers.fileno())],
                pass_fds=[hers.fileno()],
                env=environment | {"COLUMNS": "200"},
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
            )
        self._socket = ours
        assert self._socket.recv(16) == b"ready", "the nursery did not start"
        return self

    def __exit__(self, *_exit: object) -> None:
        self._socket.close()
        self._mother.wait(20)

    def start(self, name: str, log: Path, module: str, *words: object) -> Child:
        """Run `module.main(words)` in a process of its own; what it says goes to the end of the log."""
        order = {"log": str(log), "module": module, "words": [str(word) for word in words]}
        self._socket.send(json.dumps(order).encode())
        pid, descriptors, _, _ = socket.recv_fds(self._socket, 16, 1)
        return Child(name, int(pid), descriptors[0], log)

    def medunion(self, name: str, log: Path, *words: object) -> Child:
        """Run a command as a user types it."""
        return self.start(name, log, "federation.cli.main", *words)


def _serve(orders: socket.socket) -> None:
    for module in _MODULES:
        importlib.import_module(module)
    orders.send(b"ready")
    mother = os.getpid()
    while order := orders.recv(65536):
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        pid = os.fork()
        if pid == 0:
            orders.close()
            _live(mother, **json.loads(order))
        descriptor = os.pidfd_open(pid)
        socket.send_fds(orders, [str(pid).encode()], [descriptor])
        os.close(descriptor)


def _live(mother: int, log: str, module: str, words: list[str]) -> None:
    """Be a fresh process, and end without ever going back."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != mother:
            os._exit(1)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = [module, *words]
        program = importlib.import_module(module).main
        if module == "federation.cli.main":
            program(words, standalone_mode=True)
        else:
            program(*words)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - told in its log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)
