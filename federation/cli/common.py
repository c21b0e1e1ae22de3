"""What all commands share: where a node is, how its PIN comes in, and how a fault is told.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. A PIN is never an argument: `--pin-file`, `--pin-fd`, the settings'
file, or the prompt. No stack trace is shown unless `medunion --debug` asks for it.
"""

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from federation.clinical.errors import ClinicalError
from federation.clinical.text import printable
from federation.errors import FederationError
from federation.party.key_provisioning import is_unfinished
from federation.party.node_directory import NodeDirectory, stored_pin
from federation.settings import BlobSettings, ConfigError, DatabaseSettings, TokenSettings
from federation.store.errors import StoreError
from hsm import PinProvider, TokenUri, pin_from_fd, pin_from_file, pin_from_prompt
from hsm.errors import HsmError
from keystore.errors import KeystoreError

F = TypeVar("F", bound=Callable[..., Any])

EXPECTED = (FederationError, ConfigError, StoreError, HsmError, KeystoreError, ClinicalError, OSError)
"""What a person can do something about; anything else is a fault of ours."""

MOST_SAID = 2000
"""Characters of a fault's sentence."""

TOKEN_URI_FILE = "token.uri"  # noqa: S105 - a file's name


class MedunionGroup(click.Group):
    """The outermost group: tells every fault as one sentence."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises ClickException, which click shows and turns into exit code 1."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except EXPECTED as error:
            if ctx.params.get("debug"):
                raise
            raise click.ClickException(sentence(error)) from error
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            fault = f"internal error ({type(error).__name__}); `medunion --debug ...` shows where"
            raise click.ClickException(fault) from error


class LazyGroup(MedunionGroup):
    """A group whose commands are imported when they are asked for: `name -> "module:attribute"`."""

    def __init__(self, *args: Any, lazy: dict[str, str], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        """Know the commands by name."""
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give all names."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def sentence(error: BaseException) -> str:
    """Give a fault as a person reads it, with the reason that the documentation explains."""
    if isinstance(error, OSError) and not isinstance(error, HsmError):
        return printable(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", MOST_SAID)
    reason, unknown = getattr(error, "reason", None), getattr(error, "unknown_reason", "")
    said = f"{error} {not_known(unknown)}" if unknown else printable(str(error), MOST_SAID)
    return f"{said} [{reason}]" if reason else said


def not_known(reason: str) -> str:
    """Say that a peer gave a reason that this version has no words for."""
    return f"It refused for a reason that this version does not know ({reason})."


@dataclass(frozen=True)
class PinChoice:
    """Where the command line says that the PIN comes from."""

    pin_file: Path | None
    pin_fd: int | None

    def provider(self, settings: TokenSettings) -> PinProvider:
        """Give the provider: file, descriptor, what the settings or the URI name, or the prompt. Raises ConfigError."""
        if self.pin_file is not None:
            return pin_from_file(self.pin_file)
        if self.pin_fd is not None:
            return pin_from_fd(self.pin_fd)
        stored = stored_pin(settings)
        if stored is not None:
            return stored
        if not sys.stdin.isatty():
            beside = "; the credential that the settings name is the service's alone" if settings.pin_credential else ""
            raise ConfigError(f"the token's PIN is needed: give --pin-file or --pin-fd{beside}")
        return pin_from_prompt(TokenUri.parse(settings.uri).token or "the token")


@dataclass(frozen=True)
class TokenChoice:
    """Which token a new node is to use, and where its PIN comes from."""

    uri: str | None
    softhsm_configuration: Path | None
    pin: PinChoice

    def settings(self, directory: NodeDirectory) -> TokenSettings:
        """Give `[token]`. Without a URI it is the token that `medunion token init-softhsm` made in this directory."""
        kept = directory.tokens / TOKEN_URI_FILE
        pin_file = self.pin.pin_file.resolve() if self.pin.pin_file else None
        if self.uri is not None:
            return TokenSettings(self.uri, self.softhsm_configuration, pin_file)
        if not kept.exists():
            raise ConfigError("which token? give --token URI, or make one with `medunion token init-softhsm`")
        configuration = (directory.tokens / "softhsm2.conf").resolve()
        return TokenSettings(kept.read_text(encoding="utf-8").strip(), configuration, pin_file)


def database_options(command: F) -> F:
    """Add `--database` and where its password is, as DatabaseSettings named `database`."""

    def choice(values: dict[str, Any]) -> dict[str, Any]:
        names = "database", "database_password_file", "database_password_credential"
        return {"database": DatabaseSettings(*(values.pop(name) for name in names))}

    return gather_options(command, choice, _DATABASE_OPTIONS)


def blobs_option(command: F) -> F:
    """Add `--blobs`, as BlobSettings named `blobs`."""
    return click.option(
        "--blobs",
        callback=lambda _context, _parameter, value: BlobSettings(value),
        help="URL of the records' shelf (s3://bucket/prefix, file:///path), if not files in the directory.",
    )(command)


def ask_ticket(given: str | None) -> str:
    """Give the ticket of the command line, of the terminal (without echo), or a line of standard input. Raises ConfigError."""
    if given is not None:
        return given
    if sys.stdin.isatty():
        return str(click.prompt("Ticket", hide_input=True))
    line = sys.stdin.readline().strip()
    if not line:
        raise ConfigError("a ticket is needed: give --ticket, or a line at standard input")
    return line


def write_pin_unless_there(path: Path) -> None:
    """Write a random PIN to a file of mode 0600, for a token that is about to be made. Raises OSError."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(24))


def directory_option(command: F) -> F:
    """Add `--directory`: the node's own, as a NodeDirectory named `directory`."""
    return click.option(
        "--directory",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: NodeDirectory(value.resolve()),
        help="Where the node keeps its settings, store and trust bundle.",
    )(command)


def keys_in_token_option(command: F) -> F:
    """Add `--keys-in-token`: take the keys that are in the token, as a ceremony or a restore left them."""
    return click.option(
        "--keys-in-token",
        is_flag=True,
        help="Use the keys that the token holds, from a ceremony or a restore; make none.",
    )(command)


def tell_unfinished(directory: NodeDirectory) -> None:
    """Say so if an `init` here was cut off after it began to make keys."""
    if is_unfinished(directory):
        click.echo("An init in this directory was cut off: it goes on with the keys that it made in the token.")


def pin_options(command: F) -> F:
    """Add `--pin-file` and `--pin-fd`, as a PinChoice named `pin`."""
    return gather_options(command, lambda values: {"pin": _pin(values)}, _PIN_OPTIONS)


def token_options(command: F) -> F:
    """Add `--token`, `--softhsm-configuration` and the PIN's options, as a TokenChoice named `token`."""

    def choice(values: dict[str, Any]) -> dict[str, Any]:
        uri, configuration = values.pop("token"), values.pop("softhsm_configuration")
        return {"token": TokenChoice(uri, configuration, _pin(values))}

    return gather_options(command, choice, (*_PIN_OPTIONS, *_TOKEN_OPTIONS))


def _pin(values: dict[str, Any]) -> PinChoice:
    return PinChoice(values.pop("pin_file"), values.pop("pin_fd"))


def gather_options(
    command: F, gather: Callable[[dict[str, Any]], dict[str, Any]], options: Sequence[Callable[[F], F]]
) -> F:
    """Gather several options into one parameter."""

    def gathered(**values: Any) -> object:  # noqa: ANN401 - click's own
        chosen = gather(values)
        return command(**values, **chosen)

    gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
    gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined] # where click keeps them
    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast("F", wrapped)


class OutputFile(click.Path):
    """A file that a command writes at its end: what stands in its way is told at the beginning, before anything is done."""

    def __init__(self) -> None:
        """Take a path whose file may be there already or not."""
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Give the path. Raises BadParameter."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment] # path_type says so
        if not path.parent.is_dir():
            self.fail(f"{path} can't be written: there is no such directory", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{path} can't be written", param, ctx)
        return path


_FILE = click.Path(dir_okay=False, path_type=Path)
_PIN_OPTIONS = (
    click.option("--pin-file", type=_FILE, help="File with the token's PIN, mode 0600."),
    click.option("--pin-fd", type=int, help="Open file descriptor to read the token's PIN from."),
)
_DATABASE_OPTIONS = (
    click.option(
        "--database", metavar="URL", help="URL of the database, if not SQLite in the directory; no password in it."
    ),
    click.option(
        "--database-password-file",
        type=click.Path(dir_okay=False, path_type=Path, resolve_path=True),
        help="File with the database's password, mode 0600.",
    ),
    click.option(
        "--database-password-credential", metavar="NAME", help="The systemd credential that is it, for the settings."
    ),
)
_TOKEN_OPTIONS = (
    click.option("--token", help="The token, as an RFC 7512 URI."),
    click.option(
        "--softhsm-configuration",
        type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
        help="softhsm2.conf of a development token.",
    ),
)
