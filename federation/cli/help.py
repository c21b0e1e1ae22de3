"""`medunion help`: the help of a command, or what every command ends with."""

import click

from federation.cli.exit_codes import MEANINGS
from federation.cli.groups import Command, HelpPage, did_you_mean
from federation.cli.words import help_of

EXIT_CODES = "exit-codes"


@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
def help_command(words: tuple[str, ...]) -> None:
    """Show the help of a command, as COMMAND --help does; `help exit-codes` shows what commands end with."""
    if words == (EXIT_CODES,):
        for code, means in MEANINGS.items():
            click.echo(f"{code.value}  {means}")
        return
    context = click.get_current_context().find_root()
    page = help_of([*words, "--help"])
    if words and page is not None and page["path"] == list(words):
        click.echo(HelpPage(words[-1], page).get_help(click.Context(HelpPage("", page), context, " ".join(words))))
        return
    for word in words:
        found = context.command.get_command(context, word) if isinstance(context.command, click.Group) else None
        if found is None:
            known = context.command.list_commands(context) if isinstance(context.command, click.Group) else []
            raise click.UsageError(
                f"There is no command {word!r} in `{context.command_path}`.{did_you_mean(word, known)}"
            )
        context = click.Context(found, info_name=word, parent=context)
    click.echo(context.get_help())
