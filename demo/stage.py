"""A federation as its people run it: every party a process of its own, driven through the command line as a user types it.

Each party has its own directory and SoftHSM; servers listen on loopback under TLS. The demonstration and the end-to-end tests
stand on this stage.
"""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import safefiles
from demo.forks import Forked, Forks

MEDUNION = [sys.executable, "-c", "from federation.cli.main import main; main()"]
SECONDS = 60
CLASS = "cardiology"
"""Where the doctors here are on duty."""
CONSENT = "--read", "everywhere", "--yes"
"""What the patients here consent to, beside that the hospital keeps the visit: the doctor finds and reads all records."""
FORKS: Forks | None = None
"""Where commands are run (`forked`); without, each is a process that this one starts, and that may outlive it."""
_ENDING = signal.SIGTERM, signal.SIGHUP


class Refused(AssertionError):
    """A command ended with another exit code than it should."""


@contextmanager
def forked(*modules: str) -> Iterator[None]:
    """Fork the block's commands from one process: they begin sooner, and none outlives this process, however that ends.

    `modules` are further ones that it runs.
    """
    global FORKS  # noqa: PLW0603 - whoever types a command looks there
    if FORKS is not None:
        yield
        return
    FORKS = Forks(*modules)
    try:
        yield
    finally:
        FORKS.close()
        FORKS = None


def end_in_order() -> None:
    """Take SIGTERM and a terminal's end as Ctrl-C from now on, once: what was begun is ended, what was written removed."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A terminal's end is told by the shell and by the kernel: the second may not interrupt what the first began.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def environment() -> dict[str, str]:
    """Return the environment of a fresh shell: no SoftHSM of this process."""
    return {name: value for name, value in os.environ.items() if name != "SOFTHSM2_CONF"} | {"COLUMNS": "200"}


def run(*words: object, expect: int = 0, stdin: str = "") -> str:
    """Type a command, wait for its end, require its exit code, and give what it said (both streams). Raises Refused."""
    done = typed(words, environment(), stdin)
    said = done.stdout + done.stderr
    if done.returncode != expect:
        raise Refused(f"medunion {' '.join(map(str, words))}: exit code {done.returncode}\n{said}")
    return said


def typed(words: Sequence[object], surroundings: dict[str, str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Type a command in these surroundings, wait for its end, and give how it ended."""
    if FORKS is not None:
        return FORKS.run([*map(str, words)], surroundings, stdin, SECONDS)
    command = [*MEDUNION, *map(str, words)]
    return subprocess.run(
        command, env=surroundings, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def started(
    words: Sequence[object], surroundings: dict[str, str], output: IO[bytes], keyboard: int | None = None
) -> "subprocess.Popen[bytes] | Forked":
    """Type a command in these surroundings and let it go on; what it says goes to `output`, what it asks comes by `keyboard`."""
    with Path(os.devnull).open("rb") as nothing:
        given = nothing.fileno() if keyboard is None else keyboard
        if FORKS is not None:
            return FORKS.start([*map(str, words)], surroundings, (given, output, output))
        return subprocess.Popen(
            [*MEDUNION, *map(str, words)], env=surroundings, stdin=given, stdout=output, stderr=output
        )


class Running:
    """A command that goes on in the background."""

    def __init__(self, log: Path, *words: object, keyboard: int | None = None) -> None:
        """Start it; what it says goes to the log, and what it asks is read from the descriptor `keyboard`."""
        self.log = log
        with log.open("wb") as output:
            self.process = started(words, environment(), output, keyboard)

    def said(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text()

    def wait(self, expect: int = 0) -> str:
        """Wait for its end and give what it said. Raises Refused for another exit code."""
        code = self.process.wait(SECONDS)
        if code != expect:
            raise Refused(f"exit code {code}\n{self.said()}")
        return self.said()

    def wait_for(self, path: Path) -> str:
        """Wait for a file that it writes, and give its content. Raises Refused if it ends without."""
        deadline = time.monotonic() + SECONDS
        while not path.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Refused(f"{path.name} did not come\n{self.said()}")
            time.sleep(0.05)
        return path.read_text().strip()

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_address() -> str:
    """Return an address of this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def ticket_in(said: str) -> str:
    """Return the ticket that a desk printed: on a line of its own, indented."""
    found = re.search(r"^    (\S+)$", said, re.MULTILINE)
    if found is None:
        raise Refused(f"no ticket in: {said}")
    return found[1]


def write_pin(path: Path) -> Path:
    """Write a fresh PIN to a file that only its owner reads."""
    safefiles.create(path, secrets.token_urlsafe(18).encode())
    return path


def make_token(directory: Path, label: str) -> Path:
    """Make a node's development token and give its PIN file."""
    directory.mkdir(parents=True)
    pin_file = write_pin(directory / "pin")
    run("token", "init-softhsm", "--directory", directory, "--label", label, "--pin-file", pin_file)
    return pin_file


class Federation:
    """One public cloud and one medical authority; hospitals, doctors and patients as they come."""

    def __init__(self, root: Path) -> None:
        """Keep everybody's directories there."""
        self.root = root
        self.trust = root / "trust.json"
        self.addresses: dict[str, str] = {}
        self.running: list[Running] = []
        self._on_duty: set[tuple[str, str]] = set()

    def found(self, *options: object) -> None:
        """Make the public cloud, with these options of its `init` too, and the medical authority, and start the cloud."""
        cloud, authority = self.root / "cloud", self.root / "authority"
        address, peers = free_address(), free_address()
        pin = make_token(authority, "authority")
        certificate, crl = self.root / "authority.der", self.root / "authority.crl"
        run(
            *("authority", "init", "--directory", authority, "--identity", "M:board"),
            *("--output", certificate, "--pin-file", pin),
        )
        run("authority", "crl", "--directory", authority, "--output", crl)
        names = "--identity", "C:union", "--realm", "demo", "--address", address, "--peer-address", peers
        run(
            *("public-cloud", "init", "--directory", cloud, *names, "--development-token"),
            *("--authority", certificate, "D:*", "--crl", crl, *options),
        )
        run("public-cloud", "trust", "--directory", cloud, "--output", self.trust)
        self.serve("public-cloud", cloud)

    def add_hospital(self, label: str, *options: object) -> None:
        """Make a hospital `H:label`, with these options of its `init` too, register and start it."""
        directory, address = self.root / label, free_address()
        licence = self.root / f"{label}.licence"
        licence.write_text(f"licence of {label}")
        run(
            *("hospital", "init", "--directory", directory, "--identity", f"H:{label}", "--trust", self.trust),
            *("--listen", address, "--development-token", *options),
        )
        ticket = ticket_in(run("public-cloud", "invite", "--directory", self.root / "cloud", f"H:{label}"))
        run("hospital", "register", "--directory", directory, "--licence", licence, stdin=f"{ticket}\n")
        self.addresses[label] = address
        self.serve("hospital", directory)

    def serve(self, kind: str, directory: Path) -> None:
        """Start a server and wait until it takes calls."""
        ready = directory / "ready"
        server = Running(directory / "serve.log", kind, "serve", "--directory", directory, "--ready-file", ready)
        self.running.append(server)
        server.wait_for(ready)

    def add_doctor(self, label: str, *described: object) -> Path:
        """Make a doctor `D:label`, certified by the authority, described so, and registered; give its directory."""
        directory, certificate = self.root / label, self.root / f"{label}.der"
        pin_file = write_pin(self.root / f"{label}.pin")
        run(
            *("doctor", "init", "--directory", directory, "--trust", self.trust, "--identity", f"D:{label}"),
            *("--pin-file", pin_file),
        )
        run(
            *("authority", "issue", "--directory", self.root / "authority", "--doctor", f"D:{label}"),
            *("--request", directory / "certificate-request.der", "--output", certificate, *described),
        )
        run("doctor", "register", "--directory", directory, "--certificate", certificate)
        return directory

    def add_patient(self, label: str, hospital: str) -> Path:
        """Make a patient `P:label`, enrolled at a hospital's desk and registered; give its directory."""
        directory, person = self.root / label, self.root / f"{label}.person"
        run(
            *("patient", "init", "--directory", directory, "--trust", self.trust, "--identity", f"P:{label}"),
            *("--simulated-sensor", person),
        )
        said = run("hospital", "ticket", "--directory", self.root / hospital, "--no-qr", f"P:{label}")
        run("patient", "register", "--directory", directory, stdin=f"{ticket_in(said)}\n")
        return directory

    def put_on_duty(self, doctor: Path, hospital: str, *departments: str) -> None:
        """Put a doctor on the roster of a hospital from now on, in these departments, unless that was done before."""
        if (doctor.name, hospital) in self._on_duty:
            return
        self._on_duty.add((doctor.name, hospital))
        where = [word for department in departments or (CLASS,) for word in ("--department", department)]
        run("hospital", "duty", "add", "--directory", self.root / hospital, f"D:{doctor.name}", *where)

    def consult(
        self, doctor: Path, hospital: str, name: str, *words: object, keyboard: int | None = None
    ) -> tuple[Running, str]:
        """Let a doctor, who is on duty, open a room; give the command, which goes on, and the room's code."""
        self.put_on_duty(doctor, hospital)
        code_file = self.root / f"{name}.code"
        running = Running(
            self.root / f"{name}.log",
            *("doctor", "consult", "--directory", doctor, "--hospital", f"H:{hospital}"),
            *("--address", self.addresses[hospital], "--code-file", code_file, *words),
            keyboard=keyboard,
        )
        self.running.append(running)
        return running, running.wait_for(code_file)

    def await_publication(self, hospital: str) -> None:
        """Wait until the public cloud knows of all records: the hospital's outbox is empty. Raises Refused."""
        deadline = time.monotonic() + SECONDS
        while "0 waiting" not in run("hospital", "outbox", "--directory", self.root / hospital):
            if time.monotonic() > deadline:
                raise Refused("a record was not published")

    def stop(self) -> None:
        """Stop everybody, the last one started first."""
        for running in reversed(self.running):
            running.stop()


@contextmanager
def federation(root: Path) -> Iterator[Federation]:
    """Found a federation with hospitals a and b, and stop it at the end."""
    made = Federation(root)
    try:
        made.found()
        made.add_hospital("a")
        made.add_hospital("b")
        yield made
    finally:
        made.stop()
