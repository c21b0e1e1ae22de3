"""Groups of commands: imported when they are asked for, and each fault of theirs told as one sentence.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. No stack trace is shown unless `medunion --debug` asks for it.

Words for faults know every family of them, and so nearly all packages: they too are imported when they are needed.
"""

from importlib import import_module
from typing import Any, NamedTuple

import click

_OF_CLICK = click.ClickException, click.exceptions.Exit, click.Abort
"""What click itself raises and shows; help ends so, too."""


class Lazy(NamedTuple):
    """A command that is imported when it is asked for: "module:attribute", and what a list says of it."""

    where: str
    says: str


class LazyGroup(click.Group):
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
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, of the lazy ones by what is known of them here."""
        known = {name: click.Command(name, short_help=command.says) for name, command in self._lazy.items()}
        click.Group(commands={**self.commands, **known}).format_commands(ctx, formatter)


class TellingGroup(click.Group):
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
        from federation.clinical.text import printable  # noqa: PLC0415 - needed by a fault alone
        from keystore.ceremony.errors import CeremonyFileInvalid, exit_code_of  # noqa: PLC0415 - needed by a fault alone

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
