"""Hosts: where commands are typed, by which clock, and the processes that go on there.

Where the clock is right, commands are forked (`demo.forks`): the lab takes half as long.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from demo.forks import Forked, Forks
from demo.stage import MEDUNION, Refused, environment
from lab.network import inside
from lab.privilege import faketime_library

SECONDS = 60.0
"""How long anything may take that ought to be quick."""

_POLL_SECONDS = 0.05
_CLOCK_READ_SECONDS = 1.2


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Wait for something to become true. Raises Refused with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Refused(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL_SECONDS)


class Process:
    """A command that goes on at a host; what it says goes to a file."""

    def __init__(self, begun: "subprocess.Popen[bytes] | Forked", keyboard: int, log: Path) -> None:
        """Take what was begun, and the descriptor by which one types to it."""
        self.log = log
        self._begun, self._keyboard = begun, keyboard

    @property
    def lives(self) -> bool:
        """Return whether it has not ended."""
        return self._begun.poll() is None

    def said(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text(errors="replace")

    def wait_for_words(self, words: str, seconds: float = SECONDS) -> None:
        """Wait until it has said something. Raises Refused if it ends without."""
        wait_until(lambda: words in self.said() or not self.lives, f"{words!r} in {self.log.name}", seconds)
        if words not in self.said():
            raise Refused(f"{self.log.name} ended without {words!r}:\n{self.said()}")

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._keyboard, line.encode() + b"\n")

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for its end and give its exit code. Raises Refused if it goes on for longer."""
        try:
            return self._begun.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Refused(f"{self.log.name} goes on after {seconds:g} s:\n{self.said()}") from error

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._begun.kill()
        self._begun.wait()

    def freeze(self) -> None:
        """Stop it where it is; its connections stay open and silent."""
        self._begun.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._begun.send_signal(signal.SIGCONT)


@dataclass
class Host:
    """A machine: a network namespace, an address in it, and a clock."""

    namespace: str
    address: str = ""
    skew_seconds: float = 0
    clock: Path | None = None
    """A file by which the clock of what runs here is set while it runs: see `step`."""

    def run(self, *words: object, expect: int | None = 0, stdin: str = "") -> str:
        """Type a medunion command, wait for its end, and give what it said. Raises Refused for another exit code."""
        done = self._done(words, stdin)
        said = done.stdout + done.stderr
        if expect is not None and done.returncode != expect:
            raise Refused(f"medunion {' '.join(map(str, words))}: exit code {done.returncode}\n{said}")
        return said

    def start(self, log: Path, *words: object, at_terminal: bool = False) -> Process:
        """Type a medunion command that goes on; at a terminal it is asked what a script must have said."""
        keyboard, keys = os.openpty() if at_terminal else reversed(os.pipe())
        try:
            with log.open("ab") as output:
                return Process(self._begun(words, keys, output), keyboard, log)
        finally:
            os.close(keys)

    def step(self, seconds: float) -> None:
        """Step the clock of what runs here so far from the right time, and wait until that is seen: it is read each second."""
        assert self.clock is not None  # noqa: S101 - what runs was started with it
        partial = self.clock.with_suffix(".new")
        partial.write_text(f"{seconds:+g}s\n")
        partial.replace(self.clock)
        time.sleep(_CLOCK_READ_SECONDS)

    @property
    def is_right(self) -> bool:
        """Whether its clock is: what goes by another has a library of its own from its first moment."""
        return not self.skew_seconds and self.clock is None

    @cached_property
    def _forks(self) -> Forks:
        return Forks(prefix=inside(self.namespace))

    def _done(self, words: tuple[object, ...], stdin: str) -> "subprocess.CompletedProcess[str]":
        if self.is_right:
            return self._forks.run([*map(str, words)], environment(), stdin, SECONDS)
        return subprocess.run(
            self._command(words),
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _begun(self, words: tuple[object, ...], keys: int, output: IO[bytes]) -> "subprocess.Popen[bytes] | Forked":
        if self.is_right:
            return self._forks.start([*map(str, words)], environment(), (keys, output, output))
        return subprocess.Popen(self._command(words), env=self._environment(), stdin=keys, stdout=output, stderr=output)

    def _command(self, words: tuple[object, ...]) -> list[str]:
        return [*inside(self.namespace), *MEDUNION, *map(str, words)]

    def _environment(self) -> dict[str, str]:
        return environment() | {
            "LD_PRELOAD": str(faketime_library()),
            # What measures intervals goes on rightly: a machine's clock is wrong, not its oscillator.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(Path(__file__).parent / "moved_clock"),
            **self._time(),
        }

    def _time(self) -> dict[str, str]:
        if self.clock is None:
            return {"FAKETIME": f"{self.skew_seconds:+g}s"}
        return {"FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_CACHE_DURATION": "1"}


@dataclass
class Server:
    """The public cloud's or a hospital's server, at its host."""

    host: Host
    kind: str
    directory: Path
    process: Process | None = None
    frozen: bool = False

    @property
    def log(self) -> Path:
        """Return the file with what it says."""
        return self.directory / "serve.log"

    @property
    def is_well(self) -> bool:
        """Return whether it runs, and by the right clock."""
        return self.process is not None and self.process.lives and not self.frozen and self.host.is_right

    def init(self, *words: object) -> str:
        """Make the node, on a token of its own; give what was said. Raises Refused."""
        return self.host.run(self.kind, "init", "--directory", self.directory, *words, "--development-token")

    def start(self) -> None:
        """Start it and wait until it takes calls."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        self.process = process = self.host.start(
            self.log, self.kind, "serve", "--directory", self.directory, "--ready-file", ready
        )
        wait_until(lambda: ready.exists() or not process.lives, f"{self.directory.name} takes calls")
        if not ready.exists():
            raise Refused(f"{self.directory.name} did not start:\n{process.said()}")

    def kill(self) -> None:
        """End it at once."""
        assert self.process is not None  # noqa: S101 - it was started
        self.process.kill()

    def freeze(self) -> None:
        """Stop it where it is."""
        assert self.process is not None  # noqa: S101 - it was started
        self.process.freeze()
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None  # noqa: S101 - it was started
        self.process.thaw()
        self.frozen = False

    def restart(self, skew_seconds: float = 0, *, clock: Path | None = None) -> None:
        """Start it anew, by a clock that is so much ahead, or by one that `host.step` sets while it runs."""
        if self.process is not None and self.process.lives:
            self.kill()
        self.frozen = False
        self.host.skew_seconds, self.host.clock = skew_seconds, clock
        if clock is not None:
            self.host.step(0)
        self.start()

    def said(self) -> str:
        """Return its operational log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def run(self, command: str, *words: object, expect: int | None = 0) -> str:
        """Type a command at this server's host: `run("log", "--verify")`."""
        return self.host.run(self.kind, *command.split(), "--directory", self.directory, *words, expect=expect)
