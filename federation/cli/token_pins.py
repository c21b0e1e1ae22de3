"""`medunion token init` and `change-pin`: what a security officer does with any vendor's token."""

from pathlib import Path

import click

from federation.cli.common import TokenChoice, token_options
from federation.cli.token_choice import PIN_FILE, new_pin, optional_directory, present_pin, settings_of, softhsm_option
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import lead_to, survey
from federation.settings import ConfigError
from hsm import TokenUri
from hsm.administration import change_user_pin, initialise_token
from hsm.errors import TokenExists, TokenNotFound
from hsm.survey import FoundToken


@click.command("init")
@click.option("--module", required=True, type=PIN_FILE, help="The PKCS#11 module, by absolute path.")
@click.option("--label", required=True, help="The label that the token gets.")
@click.option("--serial", help="Serial number of the token; without it, the module's first blank one.")
@click.option("--erase", is_flag=True, help="Make an initialised token anew: EVERYTHING ON IT IS GONE.")
@click.option("--pin-file", type=PIN_FILE, help="File with the user's new PIN, mode 0600.")
@click.option("--pin-fd", type=int, help="Open file descriptor to read the user's new PIN from.")
@click.option("--so-pin-file", type=PIN_FILE, help="File with the security officer's PIN, mode 0600.")
@click.option("--so-pin-fd", type=int, help="Open file descriptor to read the security officer's PIN from.")
@softhsm_option
def init(
    module: Path,
    label: str,
    serial: str | None,
    erase: bool,
    pin_file: Path | None,
    pin_fd: int | None,
    so_pin_file: Path | None,
    so_pin_fd: int | None,
    softhsm_configuration: Path | None,
) -> None:
    """Initialise a token (C_InitToken, C_InitPIN) and print its URI.

    PINs come from files, descriptors or the prompt, never from the command line. A token that is initialised already is
    refused, unless --erase is given and its label is typed; then its own security officer's PIN is needed.
    """
    lead_to(softhsm_configuration)
    if serial is not None:
        _confirm_erasure(module, serial, erase=erase)
    elif erase:
        raise ConfigError("--erase needs --serial: it has to be said which token is erased")
    so_pin = (present_pin if erase else new_pin)(so_pin_file, so_pin_fd, "the security officer")
    pin = new_pin(pin_file, pin_fd, f"the user of {label}")
    click.echo(str(initialise_token(module, label, pin=pin, so_pin=so_pin, serial=serial, erase=erase)))


def _confirm_erasure(module: Path, serial: str, *, erase: bool) -> None:
    found = _of_serial(module, serial)
    if not found.is_initialised:
        return
    if not erase:
        raise TokenExists(f"The token {found.label!r} is initialised already: --erase would destroy all that is on it.")
    typed = click.prompt(
        f"All keys of the token {found.label!r} will be destroyed. Type its label to go on", default=""
    )
    if typed != found.label:
        raise ConfigError("that is not its label; nothing was changed")


def _of_serial(module: Path, serial: str) -> FoundToken:
    (surveyed,) = survey([module])
    for found in surveyed.tokens:
        if found.serial == serial:
            return found
    raise TokenNotFound(surveyed.fault or f"The module has no token of serial number {serial}.")


@click.command("change-pin")
@optional_directory
@token_options
@click.option("--new-pin-file", type=PIN_FILE, help="File with the new PIN, mode 0600.")
@click.option("--new-pin-fd", type=int, help="Open file descriptor to read the new PIN from.")
def change_pin(
    directory: NodeDirectory | None, token: TokenChoice, new_pin_file: Path | None, new_pin_fd: int | None
) -> None:
    """Change a token's user PIN. The old one is presented once: a wrong one costs one try.

    Servers that use the token keep their login until they lose it, and need the new PIN from then on.
    """
    settings = settings_of(token, directory)
    lead_to(settings.softhsm_configuration)
    uri = TokenUri.parse(settings.uri)
    old = token.pin.provider(settings)()
    new = new_pin(new_pin_file, new_pin_fd, f"the user of {uri.token or uri.serial}, new")
    change_user_pin(uri, old=old, new=new)
    click.echo("the PIN was changed")
    kept = settings.pin_file or uri.pin_source
    if kept is not None:
        click.echo(f"{kept} may hold the old one: put the new one there")
