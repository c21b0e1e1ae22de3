"""Groups of commands: imported when they are asked for, and each fault of theirs told as one sentence.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. No stack trace is shown unless `medunion --debug` asks for it.
"""

from importlib import import_module
from typing import Any

import click

from federation.words import EXPECTED, sentence


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for: `name -> "module:attribute"`."""

    def __init__(self, *args: Any, lazy: dict[str, str], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
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
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class TellingGroup(click.Group):
    """A group that tells what a person can do something about, unless `medunion --debug` asks for the stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException, which click shows and turns into an exit code."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            if _is_debugged(ctx):
                raise
            raise self.told(error) from error

    def told(self, error: BaseException) -> click.ClickException:
        """Return how a fault is told: as one sentence, with exit code 1."""
        return click.ClickException(sentence(error))


class MedunionGroup(TellingGroup, LazyGroup):
    """The outermost group: tells whatever goes wrong."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _is_debugged(ctx):
                raise
            fault = f"internal error ({type(error).__name__}); `medunion --debug ...` shows where"
            raise click.ClickException(fault) from error


def _is_debugged(ctx: click.Context) -> bool:
    """Return whether `medunion --debug` was typed."""
    return bool(ctx.find_root().params.get("debug"))
