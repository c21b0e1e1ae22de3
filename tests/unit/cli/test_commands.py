"""How every command comes to its node, and how groups find commands and tell faults."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from federation.cli.groups import Lazy, LazyGroup, MedunionGroup
from federation.cli.main import main
from federation.cli.options import node_options
from federation.errors import NotFound
from federation.party.node_directory import NodeDirectory
from federation.settings import MemberSettings, TokenSettings

_NOUNS = "hospital", "public-cloud", "doctor", "patient", "token", "ceremony"
"""The groups whose commands are many."""


@pytest.fixture
def directory(tmp_path: Path) -> NodeDirectory:
    """Return the directory of a node whose token's PIN is in a file."""
    (tmp_path / "pin").write_text("1234")
    (tmp_path / "pin").chmod(0o600)
    node = NodeDirectory(tmp_path)
    node.write_settings(MemberSettings("M:board", TokenSettings("pkcs11:token=t", pin_file=tmp_path / "pin")))
    return node


def test_node_is_opened_when_the_command_enters_it_and_closed_after(directory: NodeDirectory) -> None:
    told: list[object] = []

    @contextmanager
    def open_node(of: NodeDirectory, pin):
        told.append((of, pin().reveal()))
        yield "node"
        told.append("closed")

    @click.command()
    @node_options(open_node, MemberSettings)
    @click.option("--after", type=int)
    def command(opened, after: int) -> None:
        told.append(after)
        with opened as node:
            told.append(node)

    result = CliRunner().invoke(command, ["--directory", str(directory.path), "--after", "7"], catch_exceptions=False)
    assert result.exit_code == 0
    assert told == [7, (directory, "1234"), "node", "closed"]


def test_lazy_commands_are_listed_with_those_that_were_added() -> None:
    group = LazyGroup("all", lazy={"trust": Lazy("federation.cli.trust:trust", "Look at a trust bundle.")})
    group.add_command(click.Command("again"))
    context = click.Context(group)
    assert group.list_commands(context) == ["again", "trust"]
    assert group.get_command(context, "trust") is main.get_command(context, "trust")
    assert group.get_command(context, "again").name == "again"
    assert group.get_command(context, "nothing") is None


@pytest.mark.parametrize("words", [[], *([noun] for noun in _NOUNS)], ids=" ".join)
def test_help_lists_every_command_and_imports_none(words: list[str]) -> None:
    """A list that is asked for at a keyboard comes at once: nothing of the nodes, of databases, gRPC or tokens is read for it."""
    script = (
        "import sys; from click.testing import CliRunner; from federation.cli.main import main\n"
        f"print(CliRunner().invoke(main, {[*words, '--help']}).output)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} | {n for n in sys.modules if n.startswith('federation.')}))"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    *listed, imported = told.splitlines()
    group = main.get_command(click.Context(main), words[0]) if words else main
    assert {line.split()[0] for line in listed if line.startswith("  ")} >= set(
        group.list_commands(click.Context(group))
    )
    assert not any(line.endswith("...") for line in listed[1:])
    heavy = {"sqlalchemy", "grpc", "google", "pkcs11", "cryptography", "hsm", "keystore", "rich"}
    assert not heavy & set(imported.split())
    ours = {it for it in imported.split() if it.startswith("federation.")}
    told_of = {"federation.cli", "federation.cli.groups", "federation.cli.main", "federation.cli.vocabulary"}
    assert ours - {"federation.cli.nouns", "federation.cli.words"} == told_of


def test_every_lazy_command_is_where_its_group_says() -> None:
    root = click.Context(main)
    for group in (main, *(main.get_command(root, noun) for noun in _NOUNS)):
        context = click.Context(group)
        assert all(group.get_command(context, name).name == name for name in group.list_commands(context))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (NotFound("there is none"), "Error: there is none [NOT_FOUND]"),
        (KeyError("secret"), "Error: internal error (KeyError); `medunion --debug ...` shows where"),
    ],
)
def test_fault_is_told_as_one_sentence_and_raised_for_who_debugs(fault: Exception, told: str) -> None:
    @click.group(cls=MedunionGroup, lazy={})
    @click.option("--debug", is_flag=True)
    def group(debug: bool) -> None:
        pass

    @group.command()
    def fail() -> None:
        raise fault

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output.strip()) == (1, told)
    with pytest.raises(type(fault)):
        CliRunner().invoke(group, ["--debug", "fail"], catch_exceptions=False)
