"""`medunion token`: look at tokens, try them, initialise them, audit their keys. No private key is ever shown."""

import secrets
from pathlib import Path

import click

from federation.cli.common import TOKEN_URI_FILE, directory_option, write_pin_unless_there
from federation.cli.token_check import check, keys
from federation.cli.token_list import list_tokens
from federation.cli.token_pins import change_pin, init
from federation.party.node_directory import NodeDirectory, write_private
from hsm import Pin, pin_from_file
from hsm.softhsm import SoftHsm


@click.group()
def token() -> None:
    """Look at tokens, try them, initialise them, audit their keys."""


for _command in (list_tokens, check, keys, init, change_pin):
    token.add_command(_command)


@token.command("init-softhsm")
@directory_option
@click.option("--label", required=True, help="The token's label.")
@click.option("--pin-file", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File with its PIN.")
def init_softhsm(directory: NodeDirectory, label: str, pin_file: Path) -> None:
    """Make a SoftHSM token in DIRECTORY/tokens, which `init` then uses, and print its URI.

    If the PIN file is not there, a random PIN is written to it. SoftHSM protects keys from mistakes, not from its machine.
    """
    directory.create()
    write_pin_unless_there(pin_file)
    pin = pin_from_file(pin_file)()
    uri = SoftHsm(directory.tokens).create_token(label, pin=pin, so_pin=Pin(secrets.token_urlsafe(24)))
    write_private(directory.tokens / TOKEN_URI_FILE, f"{uri}\n".encode())
    click.echo(str(uri))
