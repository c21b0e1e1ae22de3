"""The commands of docs/deployment.md and docs/upgrading.md are there, with their options; ci/systemd-proof performs the first."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ci.systemd_proof import BLOCK
from federation.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "deployment.md", "upgrading.md"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""Commands for machines that the proof does not have: an HSM, a database."""

TYPED = re.compile(r"^medunion(?:-node \w+)? (.+)$", re.MULTILINE)


def commands(page: str) -> Iterator[list[str]]:
    """Give the words of every command of medunion in a page's blocks."""
    text = (DOCS / page).read_text()
    for script in [*(script for _, script in BLOCK.findall(text)), *CONSOLE.findall(text)]:
        for line in TYPED.findall(script.replace("\\\n", " ")):
            yield shlex.split(line)


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """Give the command that words name, and the words after it."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_is_there_with_its_options(page: str) -> None:
    typed = list(commands(page))
    assert typed
    for words in typed:
        command, rest = resolved(words)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert "--directory" in known
        unknown = {word for word in rest if word.startswith("--")} - known
        assert not unknown, f"{' '.join(words)}: {unknown}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_one_that_the_proof_performs(page: str) -> None:
    text = (DOCS / page).read_text()
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("\n```sh")
    assert {manner for manner, _ in blocks} <= {"", "ticket", "doctor", "after"}
