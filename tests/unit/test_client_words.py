"""What the clients in other languages tell a person: no advice that they can't follow, and their own commands' names."""

import re
from pathlib import Path

import pytest

from ci.client_words import COMMANDS, OPTIONS, PROGRAMS, Words, advice, words
from federation.words import Told

CLIENTS = Path(__file__).parents[2] / "clients"
USAGES = {
    "go": CLIENTS / "go/cmd/medunion/main.go",
    "typescript": CLIENTS / "typescript/src/main.ts",
    "java": CLIENTS / "java/src/main/java/example/medunion/client/Main.java",
}
OPTION = re.compile(r"--[a-z][a-z-]+")
COMMAND = re.compile(r"\b(patient|doctor) +([a-z]+) +--directory")


def commands_in(text: str) -> set[str]:
    return {" ".join(found) for found in COMMAND.findall(text)}


def named(said: Words) -> list[str]:
    """What a person is told to type."""
    return re.findall(r"`([^`]+)`", f"{said.happened} {said.to_do}")


@pytest.mark.parametrize("page", [CLIENTS / "README.md", *USAGES.values()], ids=lambda path: path.name)
def test_the_clients_have_these_commands_and_options(page: Path) -> None:
    text = page.read_text()
    assert commands_in(text) == set(COMMANDS)
    assert set(OPTIONS) <= set(OPTION.findall(text))


@pytest.mark.parametrize("language", PROGRAMS)
def test_client_is_told_of_its_own_commands_and_options_alone(language: str) -> None:
    own = {f"{PROGRAMS[language]} {command}".strip() for command in COMMANDS}
    own |= {command.split()[1] for command in COMMANDS} | set(OPTIONS)
    said = [name for entry in words(PROGRAMS[language]).values() for name in named(entry)]
    assert said
    assert [name for name in said if name not in own] == []


@pytest.mark.parametrize(
    ("program", "spelled"),
    [
        ("medunion", "medunion patient grants"),
        ("medunion-client", "medunion-client patient grants"),
        ("", "patient grants"),
    ],
)
def test_command_is_spelled_as_the_client_has_it(program: str, spelled: str) -> None:
    assert advice(Told("", "`medunion patient grants` lists yours."), program) == f"`{spelled}` lists yours."


def test_advice_that_names_what_the_clients_lack_is_another_there() -> None:
    assert advice(Told("", "Look at `medunion patient hidden`.", "Look again."), "medunion") == "Look again."


@pytest.mark.parametrize(
    "told",
    [
        Told("", "See `medunion token check`."),
        Told("", "See `[dialling]`."),
        Told("", "See `medunion trust`.", "See `medunion check`."),
    ],
)
def test_advice_that_no_client_can_follow_is_refused(told: Told) -> None:
    with pytest.raises(ValueError, match="the clients lack"):
        advice(told, "medunion")
