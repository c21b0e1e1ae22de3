"""All commands of `medunion`, one after the other, as tests walk them."""

from collections.abc import Iterator

import click

from federation.cli.main import main


def walk(command: click.Command = main, parent: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """Yield each command and each group with its context: `hospital log`."""
    name = "medunion" if parent is None else str(command.name)
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context.command_path.removeprefix("medunion").strip(), context
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            assert found is not None
            assert found.name == word
            yield from walk(found, context)


COMMANDS = {path: context for path, context in walk() if not isinstance(context.command, click.Group)}
"""What does something, by its words."""
