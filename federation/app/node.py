"""A node's directory, and what every kind of node opens from it: settings, trust bundle, database, token."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from federation.config import ConfigError, TokenSettings, read_settings, to_toml
from federation.errors import MalformedMessage
from federation.protocol.parsing import check
from federation.store.database import Database, open_database
from federation.store.files import sync_directory
from federation.v1.directory_pb2 import TrustBundle
from hsm import PinProvider, Token, TokenUri, open_token, pin_from_file

T = TypeVar("T")


@dataclass(frozen=True)
class NodeDirectory:
    """Where a node keeps what is its own."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Give the path of `medunion.toml`."""
        return self.path / "medunion.toml"

    @property
    def trust_file(self) -> Path:
        """Give the path of `trust.json`."""
        return self.path / "trust.json"

    @property
    def tokens(self) -> Path:
        """Give the directory of a development SoftHSM."""
        return self.path / "tokens"

    @property
    def is_initialised(self) -> bool:
        """Say whether settings are there."""
        return self.settings_file.exists()

    def create(self) -> None:
        """Make the directory, mode 0700."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def settings(self, kind: type[T]) -> T:
        """Read `medunion.toml`. Raises ConfigError."""
        return read_settings(self.settings_file, kind)

    def write_settings(self, settings: object) -> None:
        """Write `medunion.toml`, mode 0600."""
        write_private(self.settings_file, to_toml(settings).encode())

    def trust(self) -> TrustBundle:
        """Read `trust.json`. Raises ConfigError."""
        return read_trust(self.trust_file)

    def write_trust(self, bundle: TrustBundle) -> None:
        """Write `trust.json`."""
        write_private(self.trust_file, json_format.MessageToJson(bundle, preserving_proto_field_name=True).encode())

    def database(self) -> Database:
        """Open `store.sqlite`, made and migrated as needed. Raises StoreUnavailable."""
        return open_database(f"sqlite:///{(self.path / 'store.sqlite').resolve()}")


def read_trust(path: Path) -> TrustBundle:
    """Read a trust bundle in protobuf's JSON form. Raises ConfigError."""
    try:
        bundle = json_format.Parse(path.read_text(encoding="utf-8"), TrustBundle())
        check(bundle)
    except OSError as error:
        raise ConfigError(f"the trust bundle {path} can't be read: {error.strerror}") from error
    except (json_format.ParseError, MalformedMessage, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no trust bundle: {error}") from error
    return bundle


def message_to_json(message: Message) -> str:
    """Give a message in protobuf's JSON form, with the names of its definition."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place, whole, durable and with mode 0600; what was there gives way."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_directory(path.parent)


def open_node_token(settings: TokenSettings, pin: PinProvider | None) -> Token:
    """Open the token of a node; without a PIN provider the settings' or the URI's PIN file is read. Raises HsmError."""
    uri = TokenUri.parse(settings.uri)
    if settings.softhsm_configuration is not None:
        # SoftHSM reads this when it is first loaded; a process stays with one directory.
        os.environ["SOFTHSM2_CONF"] = str(settings.softhsm_configuration)
    provider = pin or stored_pin(settings)
    if provider is None:
        raise ConfigError("token.pin_file: there is no PIN file, and no other way to get the PIN was given")
    return open_token(uri, provider, sessions=settings.sessions)


def stored_pin(settings: TokenSettings) -> PinProvider | None:
    """Give the provider that the settings or the URI name, if any. Raises TokenUriInvalid."""
    file = settings.pin_file or TokenUri.parse(settings.uri).pin_source
    return None if file is None else pin_from_file(file)
