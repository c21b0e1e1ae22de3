"""One vocabulary of options, arguments, exit codes and examples for all commands."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from federation.cli.examples import examples, examples_of
from federation.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from federation.cli.groups import Choice, Command, Group, did_you_mean
from federation.cli.main import main
from federation.cli.vocabulary import ARGUMENTS, CHOICE, FLAG, OPTIONS
from hsm.errors import HsmError
from keystore.ceremony import errors
from tests.unit.cli.walking import COMMANDS, walk

CLI = Path(__file__).parents[3] / "federation" / "cli"
PAGE = (Path(__file__).parents[3] / "docs" / "command.md").read_text()
ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*", "clients/*.md", "clients/*/*.md", "federation/**/*.py")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
TYPED = re.compile(r"medunion(?:-node \S+)? ((?:[a-z-]+ )*[^`#\n|;]*)")
LISTS = (
    r"(list|status|count|due|held|outbox|tickets|members|addresses|log-heads|grants|hidden|diagnoses|accesses|keys|check"
    r"|health|duty|show)$"
)
"""Names of commands that list what is there, or say how it stands."""
NOT_LISTS = {
    "hospital accesses": "writes a file of FHIR",
    "public-cloud accesses": "writes a file of FHIR",
    "patient records show": "shows what is in records",
}


def options() -> Iterator[tuple[str, click.Context, click.Option]]:
    for path, context in walk():
        for option in context.command.get_params(context):
            if isinstance(option, click.Option) and not option.hidden:
                yield path, context, option


def value_of(option: click.Option, context: click.Context) -> str:
    if option.is_flag:
        return FLAG
    return CHOICE if isinstance(option.type, click.Choice) else option.make_metavar(context)


def test_every_option_is_of_the_vocabulary_and_its_value_is_called_the_same_everywhere() -> None:
    strange = [f"{path} {option.opts}" for path, _, option in options() if option.opts[-1] not in OPTIONS]
    assert strange == []
    differing = {
        f"{path} {option.opts[-1]} {value_of(option, context)}"
        for path, context, option in options()
        if value_of(option, context) != OPTIONS[option.opts[-1]].value
    }
    assert differing == set()


def test_no_word_of_the_vocabulary_is_left_over() -> None:
    assert {option.opts[-1] for _, _, option in options()} == set(OPTIONS)


def test_no_option_has_a_second_name_but_help() -> None:
    named_twice = {tuple(option.opts) for _, _, option in options() if len(option.opts) > 1}
    assert {names for names in named_twice if set(names) != {"-h", "--help"}} == set()


def test_every_option_says_what_it_does() -> None:
    assert [f"{path} {option.opts}" for path, _, option in options() if not option.help] == []


def test_every_argument_is_of_the_vocabulary() -> None:
    used = set()
    for context in COMMANDS.values():
        for argument in context.command.params:
            if isinstance(argument, click.Argument) and not isinstance(argument.type, click.Choice):
                used |= set(re.sub(r"[\[\].]", "", argument.make_metavar(context)).split("|"))
    assert used == set(ARGUMENTS)


def test_page_has_the_vocabulary_as_it_is() -> None:
    rows = set(re.findall(r"^\| `(--[a-z-]+)` \| (?:`([^`]+)`|) ?\| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert rows == {(name, word.value, word.means) for name, word in OPTIONS.items()}
    arguments = set(re.findall(r"^\| `([A-Z][A-Z:]*)` \| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert arguments == set(ARGUMENTS.items())


def test_secret_is_no_options_value() -> None:
    """A PIN, a password and a ticket come by a file, a descriptor or the prompt: `ps` shows what is typed."""
    secret = re.compile(r"(pin|password|ticket|secret)$")
    assert [name for name, word in OPTIONS.items() if word.value and secret.search(name)] == []


def test_whatever_lists_can_write_json() -> None:
    without = {
        path
        for path, context in COMMANDS.items()
        if re.search(LISTS, path) and "as_json" not in {param.name for param in context.command.params}
    }
    assert without == set(NOT_LISTS)


def test_one_verb_sets_up() -> None:
    made = {path for path in COMMANDS if re.search(r"\b(setup|set-up|create|enrol|found|make|init)\b", path)}
    nodes = "authority", "doctor", "hospital", "patient", "public-cloud"
    assert made == {*(f"{kind} init" for kind in nodes), "token init", "token init-softhsm"}


def test_every_command_and_group_is_of_our_kinds() -> None:
    strange = [path for path, context in walk() if not isinstance(context.command, Command | Group)]
    assert strange == []
    plain = [
        f"{path} {param.name}"
        for path, context in walk()
        for param in context.command.params
        if type(param.type) is click.Choice
    ]
    assert plain == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which every file and directory is that an example names and that has to be there."""
    monkeypatch.chdir(tmp_path)
    for name in ("backups/alpha-2027-03-01", "alpha", "chen", "roe", "records"):
        Path(name).mkdir(parents=True)
    for word in {word for line in examples() for word in shlex.split(line)}:
        path = Path(word)
        if path.is_absolute() or ":" in word or path.exists() or not path.parent.is_dir():
            continue
        if path.suffix or word == "case":
            path.touch()
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_that_its_parser_takes(path: str) -> None:
    lines = examples_of(path.split())
    assert lines
    for line in lines:
        typed = shlex.split(line.partition(" | ")[0])[1 + len(path.split()) :]
        context = COMMANDS[path].command.make_context(path, list(typed), parent=click.Context(main))
        assert not context.args


def test_every_example_is_of_a_command_and_is_in_its_help() -> None:
    shown = []
    for path, context in COMMANDS.items():
        shown += examples_of(path.split())
        told = context.command.get_help(context)
        assert all(line in told for line in examples_of(path.split()))
    assert sorted(shown) == sorted(examples())


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["hospitl"], "There is no command 'hospitl' in `medunion`. Did you mean hospital?"),
        (["hospital", "records", "lst"], "Did you mean list?"),
        (["help", "hospital", "lgo"], "There is no command 'lgo' in `medunion hospital`. Did you mean log?"),
        (["trust", "show", "--jsn"], "Did you mean '--json'?"),
        (["doctor", "rotate", "prepare", "identty"], "Did you mean identity?"),
        (["qqqqqq"], "There is no command 'qqqqqq' in `medunion`."),
    ],
)
def test_misspelt_word_is_answered_with_the_one_that_was_meant(typed: list[str], told: str) -> None:
    result = CliRunner().invoke(main, typed, prog_name="medunion")
    assert result.exit_code == ExitCode.USAGE
    assert told in result.output


@pytest.mark.parametrize("typed", ["vsit", "vist", "viit", "visti", "vissit"])
def test_name_that_is_farther_than_another_is_not_asked_for(typed: str) -> None:
    known = COMMANDS["patient visit"].parent.command.list_commands(COMMANDS["patient visit"].parent)
    assert did_you_mean(typed, known) == " Did you mean visit?"


def test_names_that_are_as_near_are_asked_for_together() -> None:
    assert did_you_mean("lot", ["log", "lost", "list"]) == " Did you mean lost?"
    assert did_you_mean("log-heas", ["log-heads", "log-head"]) == " Did you mean log-heads or log-head?"


def test_nothing_near_is_no_question() -> None:
    assert did_you_mean("xyz", ["log", "list"]) == ""
    assert Choice(["all", "none"]).get_invalid_choice_message("zzzz", None).endswith("'all', 'none'.")


def test_every_exit_code_has_its_row_here_and_on_the_page() -> None:
    assert set(MEANINGS) == set(ExitCode)
    said = CliRunner().invoke(main, ["help", "exit-codes"]).output
    rows = dict(re.findall(r"^\| (\d) \| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert rows == {str(code.value): means for code, means in MEANINGS.items()}
    assert said == "".join(f"{code.value}  {means}\n" for code, means in MEANINGS.items())


def test_every_command_ends_with_an_exit_code_of_the_table() -> None:
    """Whatever ends a command in the middle of one says so by its name in the table."""
    named = "ExitCode.DONE", "ExitCode.REFUSED", "ExitCode.USAGE", "ExitCode.TOKEN", "exit_code_of(error)"
    found = []
    for file in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="Exit" | "exit" | "_exit") as end, args=codes):
                    found += [ast.unparse(code) for code in codes] or [f"{file.name}: {ast.unparse(end)}"]
                case ast.Assign(targets=[ast.Attribute(attr="exit_code")], value=code):
                    found.append(ast.unparse(code))
                case ast.Raise(exc=ast.Call(func=ast.Name(id="SystemExit"))):
                    found.append(f"{file.name}: SystemExit")
    assert len(found) > 10
    assert set(found) - set(named) == set()


def test_every_end_of_a_ceremony_has_its_exit_code() -> None:
    def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    codes = {kind.__name__: exit_code_of(kind("it")) for kind in below(errors.CeremonyError)}
    assert {name for name, code in codes.items() if code is ExitCode.USAGE} == {"CeremonyFileInvalid"}
    assert {name for name, code in codes.items() if code is ExitCode.TOKEN} == {"NoncesBiased", "NoncesDeterministic"}
    assert exit_code_of(HsmError("it")) is ExitCode.TOKEN
    assert exit_code_of(OSError("it")) is ExitCode.REFUSED


def test_help_shows_a_commands_help() -> None:
    told = CliRunner().invoke(main, ["help", "hospital", "log"], prog_name="medunion").output
    assert told.startswith("Usage: medunion hospital log [OPTIONS]")
    assert CliRunner().invoke(main, ["help"], prog_name="medunion").output.startswith("Usage: medunion [OPTIONS]")


def test_what_pages_and_messages_say_to_type_is_there() -> None:
    """Each command that a page, a unit or a sentence of the code names has the options that are named with it."""
    faults, seen = [], 0
    for page in PAGES:
        text = re.sub(r"\\\n\s*|\s*\n\s+(?=--)", " ", page.read_text(encoding="utf-8", errors="replace"))
        for words in (found[1].split() for found in TYPED.finditer(text)):
            path = next((" ".join(words[:n]) for n in range(4, 0, -1) if " ".join(words[:n]) in COMMANDS), None)
            if path is None:
                continue
            context = COMMANDS[path]
            known = {name for it in context.command.get_params(context) for name in (*it.opts, *it.secondary_opts)}
            seen += 1
            named = {found[0] for word in words if (found := re.match(r"--[a-z][a-z-]*", word))}
            faults += [f"{page.relative_to(ROOT)}: {path} {name}" for name in named - known]
    assert seen > 200
    assert faults == []
