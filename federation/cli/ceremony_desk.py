"""The desks of `medunion ceremony`: the terminal, and an answers file that stands in for people in CI."""

import sys
import tomllib
from getpass import getpass
from pathlib import Path
from typing import Final

import click

from hsm import PinProvider, pin_from_file, pin_from_prompt
from keystore.ceremony.errors import AnswerMissing, CeremonyFileInvalid
from keystore.ceremony.files import write_new

_CLEAR: Final = "\033[2J\033[3J\033[H"
"""Clears the screen and what was scrolled away (ECMA-48; 3J is xterm's)."""
_SHARE_SUFFIX: Final = ".share"


class TerminalDesk:
    """People at a terminal."""

    def __init__(self, mark: str = "") -> None:
        """Begin what only the terminal says with this mark."""
        self._mark = mark

    def say(self, text: str) -> None:
        """Show lines."""
        click.echo(text)

    def ask(self, prompt: str, text: str) -> str:  # noqa: ARG002 - people need no names of prompts
        """Ask for a line. Raises EOFError, KeyboardInterrupt."""
        click.echo(f"{text}: ", nl=False)
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            raise EOFError("the input ended")
        return line.removesuffix("\n")

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Ask for a PIN without echo."""
        return pin_from_prompt(text)

    def show_share(self, holder: str, share: str) -> None:
        """Show a share to its holder, alone at the screen, until they type "Yes"; then clear the screen."""
        self.ask("", f"{self._mark}Everybody but {holder} looks away; {holder} presses Enter")
        click.echo(share)
        while self.ask("", f'{self._mark}{holder}: write it down, compare it, type "Yes"') != "Yes":
            continue
        click.echo(_CLEAR, nl=False, color=True)  # color: even where click would strip it

    def take_share(self, holder: str) -> str:
        """Take a share without echo; an empty line gives none."""
        return getpass(f"{holder}: type your share, or just Enter to give none: ")


class AnswersDesk:
    """Answers by prompt, from a file: `[answers]`, `[pins]` (files), `shares` (a directory). For CI only."""

    def __init__(self, path: Path) -> None:
        """Read the file; paths in it are relative to where it lies. Raises CeremonyFileInvalid."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise CeremonyFileInvalid(f"{path} is no answers file: {error}") from error
        unknown = sorted(content.keys() - {"default", "answers", "pins", "shares"})
        if unknown:
            raise CeremonyFileInvalid(f"{unknown[0]}: unknown in an answers file")
        self._default = content.get("default")
        self._answers: dict[str, str] = content.get("answers", {})
        self._pins = {name: path.parent / file for name, file in content.get("pins", {}).items()}
        self._shares: Path | None = path.parent / content["shares"] if "shares" in content else None

    def say(self, text: str) -> None:
        """Show lines."""
        click.echo(text)

    def ask(self, prompt: str, text: str) -> str:
        """Give the answer to a prompt. Raises AnswerMissing."""
        answer = self._answers.get(prompt, self._default)
        if not isinstance(answer, str):
            raise AnswerMissing(f"the answers file has nothing for {prompt!r}")
        click.echo(f"{text}: {answer}")
        return answer

    def pin(self, name: str, text: str) -> PinProvider:  # noqa: ARG002
        """Give the PIN's file. Raises AnswerMissing."""
        if name not in self._pins:
            raise AnswerMissing(f"the answers file has no PIN for {name!r}")
        return pin_from_file(self._pins[name])

    def show_share(self, holder: str, share: str) -> None:
        """Write a share to the directory, for CI only."""
        write_new(self._share(holder), share.encode(), mode=0o600)

    def take_share(self, holder: str) -> str:
        """Read a share from the directory; none if there is no file."""
        path = self._share(holder)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _share(self, holder: str) -> Path:
        if self._shares is None:
            raise AnswerMissing("the answers file names no directory for shares")
        return self._shares / f"{holder}{_SHARE_SUFFIX}"
