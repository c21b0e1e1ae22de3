"""docs/operations.md: the commands that it tells a woken operator to type are there, with these options."""

import re

import click
import pytest

from federation.cli.main import main
from federation.monitor.events import CHORES, EVENTS, RARE_CHORES
from tests.page_commands import DOCS, commands_of, words_of

PAGE = "operations.md"


def accepted(words: list[str]) -> click.Command:
    """Give the command that the words lead to. Raises AssertionError for a word or an option that it does not have."""
    command: click.Command = main
    context = click.Context(command, info_name="medunion")
    while isinstance(command, click.Group):
        assert words, f"{context.command_path} needs another word"
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{context.command_path} has no {name}"
        command, context = found, click.Context(found, info_name=name, parent=context)
    options = {name: param for param in command.params if isinstance(param, click.Option) for name in param.opts}
    arguments = sum(isinstance(param, click.Argument) for param in command.params)
    while words:
        word, *words = words
        if not word.startswith("-"):
            arguments -= 1
            continue
        assert word in options, f"{context.command_path} has no option {word}"
        words = words if options[word].is_flag else words[1:]
    assert arguments == 0, f"{context.command_path} takes another number of arguments"
    return command


@pytest.mark.parametrize("command", commands_of(PAGE))
def test_command_of_the_page_is_there_with_its_options(command: str) -> None:
    accepted(words_of(command))


@pytest.mark.parametrize(
    "command", ["medunion nothing", "medunion hospital log --nothing", "medunion public-cloud crl --directory DIR"]
)
def test_command_that_is_not_there_is_found_out(command: str) -> None:
    with pytest.raises(AssertionError):
        accepted(words_of(command))


def test_events_of_the_page_are_told_by_the_code() -> None:
    quoted = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", (DOCS / PAGE).read_text())
    assert quoted
    assert set(quoted) <= EVENTS, set(quoted) - EVENTS


def test_every_chore_has_its_line() -> None:
    table = (DOCS / PAGE).read_text().partition("## Medunion chores failing")[2].partition("\n## ")[0]
    told = re.findall(
        r"`([a-z-]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    )
    assert sorted(told) == sorted(CHORES | RARE_CHORES)
