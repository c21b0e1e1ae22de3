"""People who hold a ceremony at a terminal of their own: they read what it says, write shares down, and type."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import safefiles
from hsm import TokenUri
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
MEDUNION = [sys.executable, "-c", "from federation.cli.main import main; main()"]
PROMPT = " > "
OTHER_SCREEN, FIRST_SCREEN = "\033[?1049h", "\033[?1049l"
ESCAPES = re.compile(r"\033\[[?0-9]*[a-zA-Z]")
CTRL_C = b"\x03"
_CELL = re.compile(r"(\d+) ([a-z]{4,8})\b")


class Terminal:
    """A program in a session of its own, on a terminal of so many columns."""

    def __init__(self, *words: object, columns: int = 80) -> None:
        """Start `medunion` with these words."""
        self._here, there = pty.openpty()
        size = f'stty cols {columns} rows 24; exec "$@"'
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "sh", "-c", size, "sh", *MEDUNION, *map(str, words)],
            stdin=there, stdout=there, stderr=there, cwd=ROOT, env=os.environ | {"TERM": "xterm"},
        )  # fmt: skip
        os.close(there)
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def until_asked(self) -> str | None:
        """Return what was said up to the next prompt, or None when the program has ended."""
        begun = len(self.said)
        while not self.said[begun:].endswith(PROMPT):
            piece = self._read()
            if not piece:
                return None
            self.said += piece
        return self.said[begun:]

    def until_said(self, words: str) -> None:
        """Read on until it has said something, while it asks nobody."""
        while words not in self.said:
            piece = self._read()
            assert piece, self.said
            self.said += piece

    def _read(self) -> str:
        ready, _, _ = select.select([self._here], [], [], PATIENCE_SECONDS)
        assert ready, f"it says nothing any more: {self.said[-500:]}"
        try:
            return os.read(self._here, 4096).decode(errors="replace")
        except OSError:  # the other end was closed
            return ""

    def type(self, line: str) -> None:
        self.press(line.encode() + b"\n")

    def press(self, keys: bytes) -> None:
        os.write(self._here, keys)

    def close(self) -> None:
        """Close the terminal, as somebody closes its window."""
        if self._here >= 0:
            os.close(self._here)
            self._here = -1

    def end(self) -> int:
        """Wait for the program's end and return its exit code; a signal's is negative."""
        while self._here >= 0 and self.until_asked() is not None:
            pass
        return self.process.wait(PATIENCE_SECONDS)

    def send(self, number: int) -> None:
        self.process.send_signal(number)


Answer = Callable[["Players", str], str | None]


@dataclass
class Players:
    """Everybody at the table: they have their PINs, write shares down and type them back from paper.

    `slips` are answers that somebody gives first, by what the prompt says: each once.
    """

    pins: dict[str, str]
    papers: dict[str, list[str]] = field(default_factory=dict)
    slips: list[tuple[str, str]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def play(self, terminal: Terminal, stop: Callable[[str], bool] = lambda _: False) -> str | None:
        """Answer until a prompt at which to stop, which is returned; None when the program ended."""
        while (said := terminal.until_asked()) is not None:
            said = ESCAPES.sub("", said)
            prompt = said.splitlines()[-1]
            self._write_down(said)
            if stop(prompt):
                return prompt
            self.prompts.append(prompt)
            terminal.type(self._answer(prompt))
        return None

    def _write_down(self, said: str) -> None:
        """Copy a share from the screen, cell by cell."""
        holder = re.search(r"(\w+): write down these (\d+) words", said)
        if holder:
            cells = {int(number): word for number, word in _CELL.findall(said[holder.end() :])}
            assert sorted(cells) == list(range(1, int(holder[2]) + 1)), said
            self.papers[holder[1]] = [cells[number] for number in sorted(cells)]

    def _answer(self, prompt: str) -> str:
        for slip in self.slips:
            if slip[0] in prompt:
                self.slips.remove(slip)
                return slip[1]
        if "PIN of" in prompt:
            return next(pin for whose, pin in self.pins.items() if whose in prompt)
        if typed := re.search(r"(\w+), word (\d+)", prompt):
            rest = self.papers[typed[1]][int(typed[2]) - 1 :]
            return " ".join(word[:4] for word in rest[:5])
        return "" if "presses Enter" in prompt or "press Enter" in prompt else "yes"


def ended_by(terminal: Terminal, way: str) -> int:
    """Interrupt a program at its prompt: by Ctrl-C, by closing its terminal, or by a signal; return its exit code."""
    if way == "ctrl-c":
        terminal.press(CTRL_C)
    elif way == "closed":
        terminal.close()
    else:
        terminal.send(signal.Signals[way])
    return terminal.end()


def labels_in(token: TokenUri, pin: str, directory: Path) -> set[str]:
    """Return the labels in a token whose PIN another process has changed, as a fresh one lists them.

    SoftHSM 2.6 reads what a PIN is held against once a process: this one would still ask for the old PIN.
    """
    given = directory / "pin-now"
    safefiles.replace(given, pin.encode())
    words = ["token", "keys", "--json", "--token", str(token), "--pin-file", str(given)]
    listed = subprocess.run([*MEDUNION, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return {found["label"] for found in json.loads(listed.stdout)}


def run_words(file: Path, transcript: Path, *options: str) -> Sequence[object]:
    """Return the words of `medunion ceremony run`."""
    return ("ceremony", "run", file, "--output", transcript, *options)
