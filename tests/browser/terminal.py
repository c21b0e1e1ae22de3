"""A program at a terminal of its own: what it says there, and a keyboard."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from tests.waiting import until

ROOT = Path(__file__).parents[2]
OPENED = "opened.txt"


class Terminal:
    """The program in a terminal of its own: what it said there, and a keyboard."""

    def __init__(self, directory: Path, program: Sequence[object]) -> None:
        """Start it. `directory` is the person's, where `open.html` comes."""
        self.directory = directory
        # A "browser" that notes how it was called, as anybody's `ps` would show it.
        starter = directory / "browser"
        starter.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0 $*" >> {directory / OPENED}\n')
        starter.chmod(0o700)
        self._here, there = os.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *map(str, program)],
            stdin=there,
            stdout=there,
            stderr=there,
            cwd=ROOT,
            env=os.environ | {"BROWSER": f"{starter} %s", "DISPLAY": ":0"},
        )
        os.close(there)
        self._said = b""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._here, 4096)
            except OSError:  # the other end was closed
                return
            self._said += piece

    def said(self) -> str:
        return self._said.decode(errors="replace")

    def shows(self, words: str, times: int = 1) -> None:
        until(lambda: self.said().count(words) >= times, self.said)

    def type(self, line: str) -> None:
        self.press(line.encode() + b"\n")

    def press(self, keys: bytes) -> None:
        """Press keys, without Enter."""
        os.write(self._here, keys)

    def opened(self) -> list[str]:
        file = self.directory / OPENED
        return file.read_text().splitlines() if file.exists() else []

    @property
    def file(self) -> Path:
        return self.directory / "open.html"

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._here)
