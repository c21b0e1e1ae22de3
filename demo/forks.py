"""Programs without their imports' second: processes of their own, forked from one that has imported everything and done nothing.

The tests start thousands of them; half of the time that they would take is Python reading the same modules again. No gRPC, token
or database is touched before the fork, so a child is what a fresh process would be.

A mother process waits for orders; each child of hers runs `medunion` with a command line, or another module's `main`. She goes
when the other end of her socket is closed, as when its holder is killed; whoever is still there then goes with her.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
MEDUNION = "federation.cli.main"
MODULES = (
    MEDUNION,
    "federation.cli.authority",
    "federation.cli.backup",
    "federation.cli.doctor",
    "federation.cli.doctor_desk",
    "federation.cli.doctor_emergency",
    "federation.cli.hospital",
    "federation.cli.hospital_import",
    "federation.cli.patient",
    "federation.cli.patient_accesses",
    "federation.cli.patient_app",
    "federation.cli.patient_grants",
    "federation.cli.patient_hiding",
    "federation.cli.patient_records",
    "federation.cli.public_cloud",
    "federation.cli.records",
    "federation.cli.token",
    "federation.store.postgresql",
    "psycopg",
)
MOST_ORDER_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1
_DESCRIPTORS = 4
"""Standard input, output and error of the child, and where its end is told."""


class Forked:
    """A child, used as a `subprocess.Popen` is. A signal never reaches another process that got its number later."""

    def __init__(self, pid: int, process: int, end: int) -> None:
        """Take its number, a descriptor of it, and the one from which its end is read."""
        self.pid = pid
        self.returncode: int | None = None
        self._process, self._end = process, end

    def poll(self) -> int | None:
        """Return the exit code, or None while it lives."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and give the exit code; that of a signal is negative. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], seconds)[0]:
            told = os.read(self._end, 16)
            self.returncode = int(told) if told else -signal.SIGKILL  # the mother went, and it with her
            os.close(self._end)
            os.close(self._process)
        return self.returncode


class Forks:
    """The caller's side, for any number of threads: begins the mother at the first order. Close it, or use it in `with`."""

    def __init__(self, *modules: str, prefix: Sequence[str] = ()) -> None:
        """Begin nothing yet; these modules are read beforehand too, and the mother is begun by this command."""
        self._modules, self._prefix = modules, prefix
        self._lock = threading.Lock()
        self._mother: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exit: object) -> None:
        self.close()

    def close(self) -> None:
        """End the mother, and whoever of her children is left."""
        if self._socket is not None and self._mother is not None:
            self._socket.close()
            self._mother.wait(20)
            self._socket = None

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        files: tuple[IO[Any] | int, IO[Any] | int, IO[Any] | int],
        module: str = MEDUNION,
    ) -> Forked:
        """Begin `medunion`, or another module's `main`, with these words, surroundings, and standard input, output and error."""
        order = {"module": module, "words": list(words), "environment": dict(environment), "directory": str(Path.cwd())}
        end, told = os.pipe()
        descriptors = [*(file if isinstance(file, int) else file.fileno() for file in files), told]
        try:
            with self._lock:
                orders = self._begun()
                socket.send_fds(orders, [json.dumps(order).encode()], descriptors)
                pid, received, _, _ = socket.recv_fds(orders, 16, 1)
        finally:
            os.close(told)
        return Forked(int(pid), received[0], end)

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], stdin: str, seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `medunion` with these words to its end, as `subprocess.run` would. Raises TimeoutExpired, and kills it."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            given.write(stdin.encode())
            given.seek(0)
            child = self.start(words, environment, (given, out, errors))
            try:
                code = child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(list(words), code, out.read().decode(), errors.read().decode())

    def _begun(self) -> socket.socket:
        if self._socket is None:
            self._socket, hers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            program = [*self._prefix, sys.executable, "-m", "demo.forks", str(hers.fileno()), *MODULES, *self._modules]
            with hers:
                # In a session of her own: Ctrl-C is her caller's, who ends her children in order, and then her.
                self._mother = subprocess.Popen(
                    program, pass_fds=[hers.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
                )
        return self._socket


class _Mother:
    """Forks a child for each order, and says how each ended where its caller listens."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._children: dict[int, tuple[int, int]] = {}
        """Number and place to tell the end of, by descriptor."""

    def work(self) -> None:
        """Until the caller goes."""
        watched = select.poll()
        watched.register(self._orders, select.POLLIN)
        while True:
            for descriptor, _ in watched.poll():
                if descriptor in self._children:
                    watched.unregister(descriptor)
                    self._bury(descriptor)
                elif (child := self._bear()) is not None:
                    watched.register(child, select.POLLIN)
                else:
                    return

    def _bear(self) -> int | None:
        order, descriptors, _, _ = socket.recv_fds(self._orders, MOST_ORDER_BYTES, _DESCRIPTORS)
        if not order:
            return None
        mother, pid = os.getpid(), os.fork()
        if pid == 0:
            _live(mother, descriptors[:3], **json.loads(order))
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        process = os.pidfd_open(pid)
        self._children[process] = pid, descriptors[3]
        socket.send_fds(self._orders, [str(pid).encode()], [process])
        return process

    def _bury(self, process: int) -> None:
        pid, end = self._children.pop(process)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):
            os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(end)
        os.close(process)


def _live(
    mother: int, files: Sequence[int], module: str, words: list[str], environment: dict[str, str], directory: str
) -> None:
    """Be a fresh process, and end without ever going back."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != mother:
            os._exit(1)
        for number, descriptor in enumerate(files):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        program = importlib.import_module(module).main
        sys.argv = ["medunion" if module == MEDUNION else module, *words]
        program(*(() if module == MEDUNION else words))
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


def main() -> None:
    """Be the mother."""
    for module in sys.argv[2:]:
        importlib.import_module(module)
    # What was read is never garbage: a child that looked through it would copy the pages of it.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        _Mother(orders).work()


if __name__ == "__main__":
    main()
