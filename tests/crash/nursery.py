"""The processes of a crash test: forked (`demo.forks`), each with its log, and each to be killed at any moment."""

import os
import signal
import subprocess
from pathlib import Path

from demo.forks import MEDUNION, Forked, Forks
from demo.stage import environment


class Child:
    """A process and its log."""

    def __init__(self, name: str, log: Path, process: Forked) -> None:
        self.name, self.log = name, log
        self._process = process

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for its end and say whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        self._process.kill()
        assert self.wait(20), f"{self.name} outlives SIGKILL"

    def children(self) -> list[int]:
        """The processes that it has started itself and not buried yet."""
        pid = self._process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
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


class Nursery(Forks):
    """Starts them."""

    def __init__(self) -> None:
        super().__init__("tests.crash.practice", "tests.crash.stage")

    def child(self, name: str, log: Path, module: str, *words: object) -> Child:
        """Run `module.main(words)` in a process of its own; what it says goes to the end of the log."""
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            files = nothing, output, output
            return Child(name, log, self.start([*map(str, words)], environment(), files, module))

    def medunion(self, name: str, log: Path, *words: object) -> Child:
        """Run a command as a user types it."""
        return self.child(name, log, MEDUNION, *words)
