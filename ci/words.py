"""What follows from the commands and their words: what TAB is answered from, shells' scripts, man pages, clients' words."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from ci import client_words
from federation.cli.examples import examples_of
from federation.cli.exit_codes import MEANINGS
from federation.cli.groups import Group
from federation.cli.main import main

ROOT = Path(__file__).parents[1]
LIST = Path("federation/cli/words.json")
SCRIPTS: dict[str, type[ShellComplete]] = {
    "share/bash-completion/completions/medunion": BashComplete,
    "share/zsh/site-functions/_medunion": ZshComplete,
    "share/fish/vendor_completions.d/medunion.fish": FishComplete,
}
MAN = "share/man/man1"


def walk(command: click.Command = main, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of each group and each command."""
    name = command.name if parent else "medunion"
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from walk(found, context)


def path_of(context: click.Context) -> str:
    """Return a command's words, without `medunion`."""
    return context.command_path.removeprefix("medunion").strip()


def word_list() -> str:
    """Return the list that TAB is answered from, as JSON."""
    listed = {path_of(context): _words(context) for context in walk()}
    return json.dumps(listed, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _words(context: click.Context) -> dict[str, Any]:
    command, options, arguments = context.command, {}, []
    for param in command.get_params(context):
        values = _values(param)
        if isinstance(param, click.Argument):
            arguments.append({"values": values[0], "repeats": param.nargs == -1})
        elif isinstance(param, click.Option) and not param.hidden:
            for name in (*param.opts, *param.secondary_opts):
                takes = [] if param.is_flag else values
                options[name] = {"says": param.help or "", "values": takes, "repeats": param.multiple}
    page = {
        "options": options,
        "help": command.help or "",
        "usage": command.collect_usage_pieces(context),
        "records": [record for param in command.get_params(context) if (record := _record(param, context)) is not None],
    }
    if isinstance(command, click.Group):
        return page | {"commands": dict(_commands(context))}
    return page | {"arguments": arguments}


def _commands(context: click.Context) -> list[tuple[str, str]]:
    command = context.command
    return sorted(command.says_of().items()) if isinstance(command, Group) else []


def _values(param: click.Parameter) -> list[str | list[str]]:
    kinds = param.type.types if isinstance(param.type, click.Tuple) else [param.type]
    return [_value(kind) for kind in kinds]


def _value(kind: click.ParamType) -> str | list[str]:
    if isinstance(kind, click.Choice):
        return [str(choice) for choice in kind.choices]
    if isinstance(kind, click.Path):
        return "dir" if kind.dir_okay and not kind.file_okay else "file"
    return "file" if isinstance(kind, click.File) else ""


def script(shell: type[ShellComplete]) -> str:
    """Return click's own script for a shell."""
    values = shell(main, {}, "medunion", "_MEDUNION_COMPLETE").source_vars()
    made = shell.source_template % values
    if shell is not ZshComplete:
        return made
    # Its end is for a file that is read once: as a function of fpath, it would offer nothing at every second TAB.
    head, end, _ = made.partition("if [[ $zsh_eval_context[-1]")
    if not end:
        raise ValueError("click's script for zsh ends in another way than it did")
    return f'{head}{values["complete_func"]} "$@"\n'


def manual() -> Iterator[tuple[str, str]]:
    """Yield each man page, by its name: of `medunion`, and of each of its commands and groups."""
    pages: dict[str, list[click.Context]] = {}
    for context in walk():
        pages.setdefault("-".join(["medunion", *path_of(context).split()[:1]]), []).append(context)
    for name, contexts in pages.items():
        yield name, "\n".join(_page(name, contexts, sorted(pages))) + "\n"


def _page(name: str, contexts: list[click.Context], names: list[str]) -> Iterator[str]:
    first, *rest = contexts
    yield f'.TH {name.upper()} 1 "" "medunion" "medunion"'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(first.command.get_short_help_str(200).rstrip('.'))}"
    yield from _about(first, ".SH")
    for context in rest:
        yield f".SH {_text(context.command_path.upper())}"
        yield from _about(context, ".SS")
    if name == "medunion":
        yield ".SH EXIT STATUS"
        for code, means in MEANINGS.items():
            yield from (".TP", f".B {code.value}", _text(means))
    yield ".SH SEE ALSO"
    others = [other for other in names if other != name]
    yield from (f".BR {_text(other)} (1){',' if other != others[-1] else ''}" for other in others)


def _about(context: click.Context, head: str) -> Iterator[str]:
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"{head} SYNOPSIS", f".B {_text(context.command_path)}", _text(usage))
    yield f"{head} DESCRIPTION"
    for number, paragraph in enumerate((command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.replace("\b", "").split()))
    records = [record for param in command.get_params(context) if (record := _record(param, context)) is not None]
    if records:
        yield f"{head} OPTIONS"
        for names, says in records:
            yield from (".TP", f".B {_text(names)}", _text(says))
    if isinstance(command, click.Group):
        yield f"{head} COMMANDS"
        for name, says in _commands(context):
            yield from (".TP", f".B {_text(name)}", _text(says))
    lines = examples_of(path_of(context).split()) if not isinstance(command, click.Group) else []
    if lines:
        yield from (f"{head} EXAMPLES", ".nf", *map(_text, lines), ".fi")


def _record(param: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    is_shown = isinstance(param, click.Option) and not param.hidden
    return param.get_help_record(context) if is_shown else None


def _text(words: str) -> str:
    """Return words as roff has them: no line is a request, and a hyphen can be copied."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def files() -> dict[str, str]:
    """Return everything that is made, by its path from the root."""
    pages = {f"{MAN}/{name}.1": page for name, page in manual()}
    scripts = {path: script(shell) for path, shell in SCRIPTS.items()}
    return {str(LIST): word_list(), **scripts, **pages, **client_words.files()}


def stale(made: dict[str, str]) -> list[str]:
    """Return the paths of what is not there as it is made, or is there and made no more."""
    share = {str(path.relative_to(ROOT)) for path in (ROOT / "share").rglob("*") if path.is_file()}
    there = share | {path for path in made if (ROOT / path).is_file()}
    same = {path for path in there & set(made) if (ROOT / path).read_text(encoding="utf-8") == made[path]}
    return sorted((there | set(made)) - same)


def run(arguments: list[str]) -> int:
    """Make it, or say what is stale; return the exit code."""
    parser = argparse.ArgumentParser(prog="ci/words", description=__doc__)
    parser.add_argument("--check", action="store_true", help="say what is not as they are, and change nothing")
    is_check, made = parser.parse_args(arguments).check, files()
    for path in stale(made):
        if is_check:
            print(f"{path} is not as the commands and their words are: run ci/words and commit")
        elif path in made:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(made[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
    return 1 if is_check and stale(made) else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
