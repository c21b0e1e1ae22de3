"""Commands and their groups: imported when they are asked for, and each fault of theirs told as one sentence.

No stack trace is shown unless `medunion --debug` asks for it. Options are written in help as the vocabulary has them; a name
that is misspelt is answered with the one that was meant.

Words for faults know every family of them, and so nearly all packages: they too are imported when they are needed.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from federation.cli.vocabulary import OPTIONS

if TYPE_CHECKING:
    from federation.cli.words import Words

_LONGEST = 200
"""Of what a list says of a command: a sentence is shorter."""
_NEAR, _AS_NEAR = 0.6, 0.1
"""How alike a name is to what was typed if it may be meant, and by how much less than the one that is most so."""
_OF_CLICK = click.ClickException, click.exceptions.Exit, click.Abort
"""What click itself raises and shows; help ends so, too."""


class Lazy(NamedTuple):
    """A command that is imported when it is asked for: "module:attribute", and what a list says of it."""

    where: str
    says: str


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return a question about the names that are near to what was typed, or nothing if none is."""
    from difflib import SequenceMatcher  # noqa: PLC0415 - needed by a fault alone

    alike = {name: SequenceMatcher(None, name, typed).ratio() for name in known}
    least = max(_NEAR, max(alike.values(), default=0.0) - _AS_NEAR)
    near = [name for name in sorted(alike, key=alike.__getitem__, reverse=True) if alike[name] >= least]
    return f" Did you mean {' or '.join(near)}?" if near else ""


class Choice(click.Choice[str]):
    """One of a few words; what is misspelt is answered with the one that was meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's own
        """Return what is told of a word that is none of them."""
        return super().get_invalid_choice_message(value, ctx) + did_you_mean(str(value), map(str, self.choices))


class Command(click.Command):
    """A command whose options' values are called in help as the vocabulary has them, and whose help ends with examples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        """Take what a command takes."""
        super().__init__(*args, **kwargs)
        for option in self.params:
            if isinstance(option, click.Option) and _is_named(option):
                option.metavar = OPTIONS[option.opts[-1]].value

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        from federation.cli.examples import examples_of  # noqa: PLC0415 - needed by help alone

        super().format_epilog(ctx, formatter)
        lines = examples_of(_words_of(ctx))
        if lines:
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class HelpPage(Command):
    """What help says of a command, or of a group, from the list of all words: its module is not read."""

    def __init__(self, name: str, page: "Words") -> None:
        """Take the page; whatever else is in the line is left alone, for nothing is done."""
        around = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(name, help=page["help"], context_settings=around)
        self._page = page

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        """Return what is behind the command's words."""
        return list(self._page["usage"])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's own
        """Write the options, and the commands of a group."""
        with formatter.section("Options"):
            formatter.write_dl([(names, says) for names, says in self._page["records"]])
        write_commands(formatter, self._page.get("commands", {}))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples of a command; a group has none."""
        if "commands" not in self._page:
            super().format_epilog(ctx, formatter)


def _words_of(ctx: click.Context) -> list[str]:
    """Return the words by which a command is typed, without `medunion`, however that was started."""
    return [] if ctx.parent is None else [*_words_of(ctx.parent), *(ctx.info_name or "").split()]


def _is_named(option: click.Option) -> bool:
    """Return whether the vocabulary says how the option's value is called: a flag has none, and a choice lists its words."""
    is_alone = option.is_flag or isinstance(option.type, click.Choice)
    return not is_alone and option.metavar is None and option.opts[-1] in OPTIONS


def write_commands(formatter: click.HelpFormatter, says: Mapping[str, str]) -> None:
    """Write a list of commands, with what is said of each."""
    if says:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(says.items()))


class Group(click.Group):
    """A group of commands; a command that is misspelt is answered with the one that was meant."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UsageError."""
        name = click.utils.make_str(args[0])
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            meant = did_you_mean(name, self.list_commands(ctx))
            raise click.UsageError(f"There is no command {name!r} in `{ctx.command_path}`.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def says_of(self) -> dict[str, str]:
        """Return what is said of each command that is added here, by its name."""
        return {name: it.get_short_help_str(_LONGEST) for name, it in self.commands.items() if not it.hidden}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's own
        """Write the list of commands, whole sentences."""
        write_commands(formatter, self.says_of())


# Groups in groups are of this kind, too; the attribute is click's, and stands here because it names its own class.
Group.group_class = Group


class LazyGroup(Group):
    """A group that lists its commands without importing them."""

    def __init__(self, *args: Any, lazy: dict[str, Lazy], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        """Know these by name, beside those that are added."""
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command if it is a lazy one."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].where.partition(":")
        with _nothing_to_collect():
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or what help says of it if that is asked for. Raises UsageError."""
        if args[0] in self._lazy and not ctx.resilient_parsing and {"-h", "--help"} & set(args[1:]):
            from federation.cli.words import help_of  # noqa: PLC0415 - needed by help alone

            before = _words_of(ctx)
            page = help_of([*before, *args])
            if page is not None and len(page["path"]) > len(before):
                name = " ".join(page["path"][len(before) :])
                return name, HelpPage(name, page), args[1:]
        return super().resolve_command(ctx, args)

    def says_of(self) -> dict[str, str]:
        """Return what is said of each command, of the lazy ones by what is known of them here."""
        return {**super().says_of(), **{name: command.says for name, command in self._lazy.items()}}


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Import in this block without looking for garbage: modules stay, and a search through them takes a tenth of an import."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class TellingGroup(Group):
    """A group that tells what a person can do something about, unless `medunion --debug` asks for the stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException, which click shows and turns into an exit code."""
        try:
            return super().invoke(ctx)
        except _OF_CLICK:
            raise
        except Exception as error:
            if _is_debugged(ctx) or not _is_expected(error):
                raise
            raise self.told(error) from error

    def told(self, error: BaseException) -> click.ClickException:
        """Return how a fault is told: as one sentence, with exit code 1."""
        from federation.words import sentence  # noqa: PLC0415 - needed by a fault alone

        return click.ClickException(sentence(error))


class ClientGroup(TellingGroup, LazyGroup):
    """Commands of a person: refusals in plain words."""

    def told(self, error: BaseException) -> click.ClickException:
        """Return a refusal in plain words, with exit code 1."""
        from federation.words import plain  # noqa: PLC0415 - needed by a fault alone

        return click.ClickException(plain(error))


class CeremonyGroup(TellingGroup, LazyGroup):
    """Commands of key ceremonies: each ends with the exit code of a fault's kind, and says under the fault what to do next."""

    def told(self, error: BaseException) -> click.ClickException:
        """Return how a fault is told, with its exit code; all faults of a ceremony's file at once."""
        from federation.cli.exit_codes import exit_code_of  # noqa: PLC0415 - needed by a fault alone
        from federation.clinical.text import printable  # noqa: PLC0415 - needed by a fault alone
        from keystore.ceremony.errors import CeremonyFileInvalid  # noqa: PLC0415 - needed by a fault alone

        faults = error.faults if isinstance(error, CeremonyFileInvalid) else ()
        if len(faults) > 1:
            said = [f"the file has {len(faults)} faults [{CeremonyFileInvalid.reason}]:"]
            said += [f"  {printable(fault)}" for fault in faults]
        else:
            said = [super().told(error).message]
        told = click.ClickException("\n".join([*said, *getattr(error, "__notes__", ())]))
        told.exit_code = exit_code_of(error)  # type: ignore[misc] # click's own way to say it
        return told


class MedunionGroup(TellingGroup, LazyGroup):
    """The outermost group: tells whatever goes wrong."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException."""
        try:
            return super().invoke(ctx)
        except _OF_CLICK:
            raise
        except Exception as error:
            if _is_debugged(ctx):
                raise
            fault = f"internal error ({type(error).__name__}); `medunion --debug ...` shows where"
            raise click.ClickException(fault) from error


def _is_expected(error: Exception) -> bool:
    from federation.words import EXPECTED  # noqa: PLC0415 - needed by a fault alone

    return isinstance(error, EXPECTED)


def _is_debugged(ctx: click.Context) -> bool:
    """Return whether `medunion --debug` was typed."""
    return bool(ctx.find_root().params.get("debug"))
