"""Options that the `medunion token` commands share: which token, its PIN, how the answer is written."""

import sys
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from typing import Any, TypeVar

import click

from federation.cli.common import TOKEN_URI_FILE, TokenChoice
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import token_settings_of
from federation.settings import ConfigError, TokenSettings
from hsm import Pin, PinProvider, pin_from_fd, pin_from_file, pin_from_prompt

F = TypeVar("F", bound=Callable[..., Any])

PIN_FILE = click.Path(dir_okay=False, path_type=Path)


def json_option(command: F) -> F:
    """Add `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(command)


def softhsm_option(command: F) -> F:
    """Add `--softhsm-configuration`, where no other option of a token's choice is wanted."""
    return click.option(
        "--softhsm-configuration",
        type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
        help="softhsm2.conf of development tokens.",
    )(command)


def optional_directory(command: F) -> F:
    """Add `--directory`, as a NodeDirectory or None."""
    return click.option(
        "--directory",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        callback=lambda _context, _parameter, value: None if value is None else NodeDirectory(value.resolve()),
        help="A node's directory, to use its token; otherwise give --token.",
    )(command)


def settings_of(choice: TokenChoice, directory: NodeDirectory | None) -> TokenSettings:
    """Give the token that the command line names, or a node's, or the development token beside it. Raises ConfigError."""
    if choice.uri is not None:
        return TokenSettings(choice.uri, choice.softhsm_configuration, choice.pin.pin_file)
    if directory is None:
        raise ConfigError("which token? give --token URI, or --directory of a node")
    if directory.is_initialised or not (directory.tokens / TOKEN_URI_FILE).exists():
        return token_settings_of(directory)
    return choice.settings(directory)


def new_pin(file: Path | None, descriptor: int | None, what: str) -> Pin:
    """Get a PIN that is to be set: from a file, a descriptor, or typed twice. Raises ConfigError, PinUnavailable."""
    if file is not None or descriptor is not None:
        return present_pin(file, descriptor, what)
    first, second = _provider(None, None, what)(), _provider(None, None, f"{what}, again")()
    if not compare_digest(first.reveal().encode(), second.reveal().encode()):
        raise ConfigError("the two PINs that were typed differ; nothing was changed")
    return first


def present_pin(file: Path | None, descriptor: int | None, what: str) -> Pin:
    """Get a PIN that is set already: from a file, a descriptor, or typed once. Raises ConfigError, PinUnavailable."""
    return _provider(file, descriptor, what)()


def _provider(file: Path | None, descriptor: int | None, what: str) -> PinProvider:
    if file is not None:
        return pin_from_file(file)
    if descriptor is not None:
        return pin_from_fd(descriptor)
    if not sys.stdin.isatty():
        raise ConfigError(f"the PIN of {what} is needed: give its file or descriptor")
    return pin_from_prompt(what)
