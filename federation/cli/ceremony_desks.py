"""At whose desk a ceremony is held: people at a terminal, or a file of answers in their place.

A share is on the terminal's other screen (xterm's alternate screen, which scrolls nothing back), each word in a cell with its
number, in as many columns as fit: no line is as long as the terminal is wide, so none is broken. What is hidden while it is typed
is shown if its holder asks for it. A terminal that is gone ends the input: nothing is undone for it.
"""

import os
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getpass
from pathlib import Path
from typing import Final, Self

import click

from hsm import Pin, PinProvider, pin_from_file, pin_from_value
from keystore.ceremony.console import PAUSE, STOP
from keystore.ceremony.errors import AnswerMissing, CeremonyFileInvalid
from keystore.ceremony.share_entry import ShareEntry
from keystore.ceremony.transcript import write_new
from keystore.errors import CorruptShare
from keystore.quorum import Share

_OTHER_SCREEN: Final = "\033[?1049h\033[2J\033[H"
_FIRST_SCREEN: Final = "\033[2J\033[3J\033[H\033[?1049l"
"""To the alternate screen; it is cleared, with what was scrolled away, before the first one comes back (xterm, ECMA-48)."""
_CELL: Final = 13
"""Columns of a cell: two digits, a word of eight letters, three blanks."""
_MOST_CELLS: Final = 5
PROMPT: Final = " > "
"""Ends every line at which somebody types."""
_SHOW, _HIDE, _ANEW = "show", "hide", "anew"
_SHARE_SUFFIX: Final = ".share"


def grid(words: list[str], columns: int) -> list[str]:
    """Return words in numbered cells, in rows that are narrower than a terminal of so many columns."""
    across = max(1, min(_MOST_CELLS, (columns - 1) // _CELL))
    cells = [f"{number:>2} {word}" for number, word in enumerate(words, 1)]
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    return ["".join(cell.ljust(_CELL) for cell in row).rstrip() for row in rows]


class TerminalDesk:
    """People at a terminal."""

    def __init__(self, mark: str = "") -> None:
        """Begin what only the terminal says with this mark."""
        self._mark = mark

    def say(self, text: str) -> None:
        """Show lines. Raises EOFError if the terminal is gone."""
        with _there():
            click.echo(text)

    def ask(self, prompt: str, text: str) -> str:  # noqa: ARG002 - people need no names of prompts
        """Ask for a line. Raises EOFError, KeyboardInterrupt."""
        return _line(f"{text}{PROMPT}")

    def try_again(self, prompt: str, error: Exception) -> None:  # noqa: ARG002
        """Say what was wrong; people may try as often as the ceremony asks them."""
        self._say(f"{error} Once more.")

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Ask for a PIN without echo, when it is needed."""

        def ask() -> Pin:
            while not (typed := _hidden(f"{text} (hidden), pause or stop{PROMPT}")):
                self._say("Nothing was typed.")
            return Pin(typed)

        return ask

    def show_share(self, share: Share) -> None:
        """Show a share to its holder, alone at the screen, until they press Enter; then nothing of it is left on it."""
        holder, words = share.holder, share.words.split()
        self.ask("", f"{self._mark}Everybody but {holder} looks away; {holder} presses Enter")
        with _other_screen():
            self._say(f"{holder}: write down these {len(words)} words with their numbers, on paper alone.")
            for row in grid(words, _columns() - len(self._mark)):
                self._say(row)
            self.ask("", f"{self._mark}{holder}: compare each word, then press Enter")

    def take_share(self, holder: str, text: str) -> str:
        """Take a share's words without echo, or with it if the holder asks for that; none give none."""
        self._say(f"{holder}: your share; {text}.")
        self._say(
            "The first four letters of a word do, as many words a line as you like. Type show to see what you type;"
        )
        self._say("hide hides it, anew begins again, 7 acid puts another word in place 7, Enter alone ends.")
        self._say("pause and stop are as everywhere; what was typed of the share is forgotten then.")
        with _TypedShare(holder, self._mark) as typed:
            while not typed.is_over:
                typed.take()
            return typed.text

    def _say(self, text: str) -> None:
        self.say(f"{self._mark}{text}")


class _TypedShare:
    """A share while its holder types it."""

    def __init__(self, holder: str, mark: str) -> None:
        self._holder, self._mark = holder, mark
        self._entry = ShareEntry()
        self._seen = False
        self._called = ""
        self.is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()

    @property
    def text(self) -> str:
        return self._called or self._entry.text()

    def take(self) -> None:
        """Take one line."""
        prompt = f"{self._mark}{self._holder}, word {len(self._entry) + 1}{PROMPT}"
        line = (_line(prompt) if self._seen else _hidden(prompt)).strip()
        try:
            self._obey(line)
        except CorruptShare as error:
            _show(f"{self._mark}{self._holder}: {error}")

    def _obey(self, line: str) -> None:
        match line.casefold():
            case "":
                self._end()
            case word if word == _SHOW:
                self._show()
            case word if word == _HIDE:
                self._hide()
            case word if word == _ANEW:
                self._entry = ShareEntry()
            case word if word in {PAUSE, STOP}:
                self._called, self.is_over = word, True
            case words:
                self._entry.add(words)
                self.is_over = self._entry.is_whole()

    def _end(self) -> None:
        if len(self._entry):
            self._entry.share()
        self.is_over = True

    def _show(self) -> None:
        if not self._seen:
            _show(_OTHER_SCREEN)
            _show(f"{self._mark}Everybody but {self._holder} looks away. Your words so far:")
            for row in grid(self.text.split(), _columns()):
                _show(row)
        self._seen = True

    def _hide(self) -> None:
        if self._seen:
            with suppress(EOFError):
                _show(_FIRST_SCREEN)
        self._seen = False


def _columns() -> int:
    """Return how wide the terminal is now; COLUMNS, which a shell or a tool exported earlier, counts only where there is none."""
    with suppress(OSError):
        if columns := os.get_terminal_size(sys.stdout.fileno()).columns:
            return columns
    return shutil.get_terminal_size().columns


@contextmanager
def _other_screen() -> Iterator[None]:
    _show(_OTHER_SCREEN)
    try:
        yield
    finally:
        with suppress(EOFError):
            _show(_FIRST_SCREEN)


def _show(text: str) -> None:
    with _there():
        click.echo(text, nl="\033" not in text, color=True)  # color: even where click would strip it


def _line(prompt: str) -> str:
    with _there():
        click.echo(prompt, nl=False)
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            raise EOFError("the input ended")
    return line.removesuffix("\n")


def _hidden(prompt: str) -> str:
    with _there():
        return getpass(prompt)


@contextmanager
def _there() -> Iterator[None]:
    """Raise EOFError if the terminal is gone; the signal that says so, too, no longer disturbs what is noted then."""
    try:
        yield
    except (OSError, EOFError) as error:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise EOFError("the terminal is gone") from error


class AnswersDesk:
    """Answers by prompt, from a file: `[answers]`, `[pins]` (files), `shares` (a directory). For CI only.

    An answer or a PIN may be a list, and a share's file may have several lines: what is asked again gets the next one.
    """

    def __init__(self, path: Path, practice_pin: str = "") -> None:
        """Read the file; paths in it are relative to where it lies. Raises CeremonyFileInvalid.

        `practice_pin`: of every token for which the file has none.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise CeremonyFileInvalid(f"{path} is no answers file: {error}") from error
        unknown = sorted(content.keys() - {"default", "answers", "pins", "shares"})
        if unknown:
            raise CeremonyFileInvalid(f"{', '.join(unknown)}: unknown in an answers file")
        self._default = content.get("default")
        self._answers = {name: _several(answer) for name, answer in content.get("answers", {}).items()}
        self._pins = {
            name: [path.parent / file for file in _several(files)] for name, files in content.get("pins", {}).items()
        }
        self._practice_pin = practice_pin
        self._shares: Path | None = path.parent / content["shares"] if "shares" in content else None
        self._tried: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Show lines."""
        click.echo(text)

    def ask(self, prompt: str, text: str) -> str:
        """Return the answer to a prompt. Raises AnswerMissing."""
        answers = self._answers.get(prompt, [])
        answer = answers.pop(0) if answers else self._default
        if not isinstance(answer, str):
            raise AnswerMissing(f"the answers file has nothing for {prompt!r}")
        click.echo(f"{text}: {answer}")
        return answer

    def try_again(self, prompt: str, error: Exception) -> None:
        """Go on to the next answer; raise the error where there is none."""
        self._tried[prompt] = self._tried.get(prompt, 0) + 1
        if self._left(prompt) <= 0:
            raise error
        click.echo(f"{error} Once more.")

    def _left(self, prompt: str) -> int:
        """Return how many answers to a prompt there are still."""
        kind, _, name = prompt.partition(".")
        if kind in {"pin", "share"}:
            given = self._pins.get(name, []) if kind == "pin" else self._lines(name)
            return len(given) - self._tried[prompt]
        return len(self._answers.get(prompt, []))

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Return the PIN's file. Raises AnswerMissing."""
        files = self._pins.get(name, [])
        if not files and self._practice_pin:
            return pin_from_value(self._practice_pin)
        if not files:
            raise AnswerMissing(f"the answers file has no PIN for {name!r}")

        def read() -> Pin:
            return pin_from_file(files[self._tried.get(f"pin.{name}", 0)])()

        return read

    def show_share(self, share: Share) -> None:
        """Write a share to the directory, for CI only."""
        write_new(self._share(share.holder), share.text().encode(), mode=0o600)

    def take_share(self, holder: str, text: str) -> str:  # noqa: ARG002
        """Read a share from the directory; none if there is no file."""
        lines = self._lines(holder)
        return lines[min(self._tried.get(f"share.{holder}", 0), len(lines) - 1)] if lines else ""

    def _lines(self, holder: str) -> list[str]:
        path = self._share(holder)
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def _share(self, holder: str) -> Path:
        if self._shares is None:
            raise AnswerMissing("the answers file names no directory for shares")
        return self._shares / f"{holder}{_SHARE_SUFFIX}"


def _several(given: object) -> list[str]:
    return [str(one) for one in given] if isinstance(given, list) else [str(given)]
