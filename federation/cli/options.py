"""Options that commands share: where a node is, how its PIN comes in, how it is opened, who types and why.

A PIN is never an argument: `--pin-file`, `--pin-fd`, the settings' file, or the prompt.
"""

import json
import os
import pwd
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar, cast

import click

import safefiles
from federation.party.node_directory import NodeDirectory, stored_pin
from federation.protocol.addresses import is_address
from federation.settings import BlobSettings, ConfigError, DatabaseSettings, TokenSettings
from hsm import Pin, PinProvider, TokenUri, pin_from_fd, pin_from_file, pin_from_prompt
from hsm.softhsm import SoftHsm
from keystore.identities import is_identity

HANDLE_BYTES = 16

F = TypeVar("F", bound=Callable[..., Any])
Node = TypeVar("Node")
OpenNode = Callable[[NodeDirectory, PinProvider], AbstractContextManager[Node]]

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that has to be there."""

TOKEN_URI_FILE = "token.uri"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class PinChoice:
    """Where the command line says that the PIN comes from."""

    pin_file: Path | None
    pin_fd: int | None

    def provider(self, settings: TokenSettings) -> PinProvider:
        """Return the provider: file, descriptor, what the settings or the URI name, or the prompt. Raises ConfigError."""
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
        """Return `[token]`. Without a URI it is the token that `medunion token init-softhsm` made in this directory."""
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


ticket_option = click.option(
    "--ticket-file",
    type=click.File("r"),
    help="File with the ticket, - for standard input; it is asked for if this is left out.",
)


def ask_ticket(file: TextIO | None) -> str:
    """Return the ticket of a file, of the terminal (without echo), or a line of standard input. Raises ConfigError."""
    if file is None and sys.stdin.isatty():
        return str(click.prompt("Ticket", hide_input=True))
    line = (file or sys.stdin).readline().strip()
    if not line:
        raise ConfigError("a ticket is needed: give --ticket-file, or a line at standard input")
    return line


def output_option(says: str) -> Callable[[F], F]:
    """Add `--output`, for the file that a command always writes."""
    return click.option("--output", required=True, type=OutputFile(), help=says)


def write_pin_unless_there(path: Path) -> None:
    """Write a random PIN to a file of mode 0600, for a token that is about to be made. Raises OSError."""
    if path.exists():
        return
    safefiles.create(path, secrets.token_urlsafe(24).encode())


def make_development_token(directory: NodeDirectory, label: str, pin_file: Path) -> str:
    """Make a SoftHSM token in a node's directory, note its URI there, and return it. A random PIN is written if there is none."""
    directory.create()
    write_pin_unless_there(pin_file)
    pin = pin_from_file(pin_file)()
    uri = str(SoftHsm(directory.tokens).create_token(label, pin=pin, so_pin=Pin(secrets.token_urlsafe(24))))
    safefiles.replace(directory.tokens / TOKEN_URI_FILE, f"{uri}\n".encode())
    return uri


def directory_option(command: F) -> F:
    """Add `--directory`: the node's own, as a NodeDirectory named `directory`."""
    return DIRECTORY_OPTION(command)


class _HasToken(Protocol):
    @property
    def token(self) -> TokenSettings: ...


def node_options(open_node: OpenNode[Node], settings: type[_HasToken]) -> Callable[[F], F]:
    """Add `--directory` and the PIN's options, as `opened`: enter it with `with` for the node that they name."""

    @contextmanager
    def opened(directory: NodeDirectory, pin: PinChoice) -> Iterator[Node]:
        with open_node(directory, pin.provider(directory.settings(settings).token)) as node:
            yield node

    def add(command: F) -> F:
        options = DIRECTORY_OPTION, *PIN_OPTIONS
        return gather_options(
            command, lambda values: {"opened": opened(values.pop("directory"), pin_of(values))}, options
        )

    return add


pin_credential_option = click.option(
    "--pin-credential",
    metavar="NAME",
    help="Let the settings name this systemd credential, in place of the PIN's file.",
)


def tell_unfinished(directory: NodeDirectory) -> None:
    """Say so if an `init` here was cut off after it began to make keys."""
    if directory.is_unfinished:
        click.echo("An init in this directory was cut off: it goes on with the keys that it made in the token.")


def pin_options(command: F) -> F:
    """Add `--pin-file` and `--pin-fd`, as a PinChoice named `pin`."""
    return gather_options(command, lambda values: {"pin": pin_of(values)}, PIN_OPTIONS)


def token_options(command: F) -> F:
    """Add `--token`, `--softhsm-configuration` and the PIN's options, as a TokenChoice named `token`."""

    def choice(values: dict[str, Any]) -> dict[str, Any]:
        uri, configuration = values.pop("token"), values.pop("softhsm_configuration")
        return {"token": TokenChoice(uri, configuration, pin_of(values))}

    return gather_options(command, choice, (*PIN_OPTIONS, *_TOKEN_OPTIONS))


def pin_of(values: dict[str, Any]) -> PinChoice:
    """Take the PIN's options out of the values."""
    return PinChoice(values.pop("pin_file"), values.pop("pin_fd"))


def gather_options(
    command: F, gather: Callable[[dict[str, Any]], dict[str, Any]], options: Sequence[Callable[[F], F]]
) -> F:
    """Gather several options into one parameter."""

    @wraps(command)
    def gathered(**values: Any) -> object:  # noqa: ANN401 - click's own
        chosen = gather(values)
        return command(**values, **chosen)

    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast("F", wrapped)


def json_option(command: F) -> F:
    """Add `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(command)


def show_json(found: object) -> None:
    """Write what `--json` asked for to standard output. What comes from outside is escaped in it."""
    click.echo(json.dumps(found, indent=2))


def reason_option(command: F) -> F:
    """Add `--why`, for what the log is to remember, as `reason`."""
    return click.option(
        "--why", "reason", required=True, help="Your reason; it goes into the sealed log with your name."
    )(command)


def operator() -> str:
    """Return the system's name of whoever types; for whom, where sudo says so."""
    user, asked_for = pwd.getpwuid(os.getuid()).pw_name, os.environ.get("SUDO_USER")
    return f"{user}, for {asked_for}" if asked_for else user


def moment(at: int | None) -> str:
    """Return a moment as an operator reads it, in UTC."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class IdentityParameter(click.ParamType[str]):
    """An identity of a kind ("patient", "hospital", "department class"), or one of these words."""

    def __init__(self, kind: str, *words: str) -> None:
        """Take that kind."""
        self.name = kind
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the text. Raises BadParameter."""
        if value not in self._words and not is_identity(self.name, value):
            either = "".join(f"{word}, or " for word in self._words)
            self.fail(f"{value!r} is not {either}the id of a {self.name}", param, ctx)
        return value


class AddressParameter(click.ParamType[str]):
    """Where a node is dialled: host:port."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the text. Raises BadParameter."""
        if not is_address(str(value)):
            self.fail(f"{value!r} is not an address, host:port", param, ctx)
        return value


def handle_of(text: str) -> bytes:
    """Read a record's handle. Raises BadParameter."""
    return named_bytes(text, HANDLE_BYTES, f"{text} is no record's handle, {2 * HANDLE_BYTES} hexadecimal digits")


def named_bytes(text: str, size: int, otherwise: str) -> bytes:
    """Read what is named by so many bytes, in hexadecimal digits. Raises BadParameter, which says what it is not."""
    try:
        named = bytes.fromhex(text)
    except ValueError:
        named = b""
    if len(named) != size:
        raise click.BadParameter(otherwise)
    return named


class OutputFile(click.Path):
    """A file that a command writes at its end: what stands in its way is told at the beginning, before anything is done."""

    def __init__(self) -> None:
        """Take a path whose file may be there already or not."""
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the path. Raises BadParameter."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment] # path_type says so
        if not path.parent.is_dir():
            self.fail(f"{path} can't be written: there is no such directory", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{path} can't be written", param, ctx)
        return path


DIRECTORY_OPTION = click.option(
    "--directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    callback=lambda _context, _parameter, value: NodeDirectory(value.resolve()),
    help="Where the node keeps its settings, store and trust bundle.",
)
_FILE = click.Path(dir_okay=False, path_type=Path)
PIN_OPTIONS = (
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
