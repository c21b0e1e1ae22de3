"""TAB, from a list that is what click would say, and in the shells themselves; and man pages as the commands are."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from ci.words import files, stale
from federation.cli.completion import offered
from federation.cli.main import main
from federation.cli.vocabulary import OPTIONS
from federation.cli.words import all_words, help_of
from tests.unit.cli.walking import COMMANDS, walk

ROOT = Path(__file__).parents[3]
SHARE = ROOT / "share"
SECONDS = 60.0
"""As long as a loaded machine may take for what takes a tenth of a second."""
WORDS = all_words()
CONTEXTS = dict(walk())
READY = "[^']ready> "
"""The prompt that was asked for, not the line that asks for it."""


def by_click(typed: list[str], begun: str) -> set[tuple[str, str]]:
    found = ShellComplete(main, {}, "medunion", "_MEDUNION_COMPLETE").get_completions(typed, begun)
    return {(item.type, item.value) for item in found}


def by_list(typed: list[str], begun: str) -> set[tuple[str, str]]:
    return {(item.type, item.value) for item in offered(WORDS, typed, begun)}


def test_everything_that_follows_from_the_commands_is_as_they_are() -> None:
    assert stale(files()) == [], "run ci/words and commit"


@pytest.mark.parametrize("path", CONTEXTS)
def test_list_offers_what_click_would(path: str) -> None:
    typed = path.split()
    for begun in ("", "-", "--d", "x"):
        assert by_list(typed, begun) == by_click(typed, begun)


@pytest.mark.parametrize("path", [path for path in CONTEXTS if path])
def test_help_from_the_list_is_what_the_command_would_say(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.formatting, "FORCED_WIDTH", 80)
    context = CONTEXTS[path]
    said = f"{context.command.get_help(context)}\n"
    for typed in ([*path.split(), "--help"], [*path.split(), "--directory", "--help", "-h"], ["help", *path.split()]):
        assert CliRunner().invoke(main, typed, prog_name="medunion").output == said


def test_word_that_is_an_options_value_asks_for_no_help() -> None:
    typed = ["hospital", "log", "--directory", "--help"]
    assert help_of(typed) is None
    assert help_of(["hospital", "log", "--", "--help"]) is None
    assert help_of(["hospital", "records", "lst", "--help"]) is None


@pytest.mark.parametrize("path", COMMANDS)
def test_list_knows_what_an_options_value_is(path: str) -> None:
    typed = path.split()
    for param in COMMANDS[path].command.params:
        if isinstance(param, click.Option) and not param.is_flag and param.nargs == 1 and not param.hidden:
            assert by_list([*typed, param.opts[0]], "") == by_click([*typed, param.opts[0]], ""), param.opts


@pytest.mark.parametrize(
    ("typed", "begun", "values"),
    [
        (["public-cloud", "init", "--authority", "board.der"], "", set()),  # whom it certifies: no list has them
        (["public-cloud", "init", "--authority", "board.der", "D:*", "--rea"[:0]], "--rea", {"--realm"}),
        (["doctor", "rotate", "prepare"], "s", {"sealing"}),
        (["doctor", "rotate", "prepare", "sealing"], "", set()),
        (["hospital", "log", "--follow"], "--fo", set()),
        (["hospital", "log", "--reason", "OK"], "--rea", {"--reason"}),
        (["public-cloud", "members", "--role=doctor"], "--ro", {"--role"}),
        (["patient", "records", "add", "x.pdf"], "", set()),
    ],
)
def test_what_was_typed_before_is_taken_into_account(typed: list[str], begun: str, values: set[str]) -> None:
    assert {value for _, value in by_list([word for word in typed if word], begun)} == values


def test_tab_reads_no_module_of_a_command() -> None:
    script = (
        "import os, sys; os.environ |= {'_MEDUNION_COMPLETE': 'bash_complete', 'COMP_CWORD': '3',"
        " 'COMP_WORDS': 'medunion hospital log --'}\n"
        "from federation.cli.main import main\n"
        "try: main(prog_name='medunion')\n"
        "except SystemExit: print(*sorted(n for n in sys.modules if n.startswith('federation')))"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    *offers, imported = told.splitlines()
    assert "plain,--follow" in offers
    names = "completion", "groups", "main", "vocabulary", "words"
    assert set(imported.split()) == {"federation", "federation.cli", *(f"federation.cli.{name}" for name in names)}


class Shell:
    """A shell at a terminal, to which somebody types."""

    def __init__(self, *command: str, home: Path) -> None:
        """Start it; `medunion` is on its path."""
        self._master, slave = pty.openpty()
        bin_ = Path(sys.executable).parent
        environment = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=home, start_new_session=True
        )
        os.close(slave)
        self.said = ""

    def type(self, keys: str, until: str) -> None:
        """Type keys, and wait for words. Raises AssertionError if they don't come."""
        self.said = ""
        os.write(self._master, keys.encode())
        deadline = time.monotonic() + SECONDS
        while not re.search(until, self.said):
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{until!r} did not come: {self.said!r}"
            self.said += os.read(self._master, 65536).decode(errors="replace")

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)


def test_bash_completes_commands_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "alpha-directory").mkdir()
    script = SHARE / "bash-completion" / "completions" / "medunion"
    with Shell("bash", "--norc", "--noprofile", "-i", home=tmp_path) as bash:
        bash.type(f"PS1='ready> '; source {script}\n", READY)
        bash.type("medunion hospital rec\t", "records ")
        bash.type("erase --handl\t", "--handles-file ")
        bash.type("x --direct\t", "--directory ")
        bash.type("alpha-d\t", "alpha-directory")


def test_zsh_completes_commands_and_options(tmp_path: Path) -> None:
    functions = SHARE / "zsh" / "site-functions"
    with Shell("zsh", "-f", "-i", home=tmp_path) as zsh:
        zsh.type(f"PS1='ready> '; fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D\n", READY)
        zsh.type("medunion hospital rec\t", "records")
        zsh.type("\x15medunion hospital records erase --handl\t", "--handles-file")


def test_fish_completes_commands_and_options(tmp_path: Path) -> None:
    script = SHARE / "fish" / "vendor_completions.d" / "medunion.fish"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def offers(line: str) -> list[str]:
        command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS)
        return [line.split("\t")[0] for line in told.stdout.splitlines()]

    assert offers("medunion hospital rec") == ["records"]
    assert offers("medunion hospital records erase --handl") == ["--handles-file"]


def test_man_pages_have_every_command_and_every_option() -> None:
    pages = {path.name: path.read_text().replace("\\-", "-") for path in (SHARE / "man" / "man1").iterdir()}
    whole = "\n".join(pages.values())
    assert [path for path in COMMANDS if f".B medunion {path}\n" not in whole] == []
    assert [name for name in OPTIONS if name not in whole] == []
    assert "\n.SH EXIT STATUS\n" in pages["medunion.1"]
    requests = set(re.findall(r"^[.'](\S*)", whole, re.MULTILINE))
    assert requests == {"TH", "SH", "SS", "TP", "PP", "B", "BR", "nf", "fi"}
