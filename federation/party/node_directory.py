"""A node's directory, and what every kind of node opens from it: settings, trust bundle, database, token."""

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format

import safefiles
from federation.errors import BundleUnpinned, FederationError
from federation.protocol.bundle import TrustedBundle, pin
from federation.settings import (
    SETTINGS_FILE,
    BlobSettings,
    ConfigError,
    DatabaseSettings,
    OtherTokenSettings,
    TokenSettings,
    read_identity,
    read_settings,
    to_toml,
)
from federation.store.shelves import Shelf, open_shelf
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.statement_pb2 import SignedStatement
from hsm import PinProvider, Token, TokenUri, open_group, open_token, pin_from_credential, pin_from_file, softhsm

if TYPE_CHECKING:
    from federation.store.database import Database

T = TypeVar("T")

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""The environment variable that systemd sets for a service that has credentials."""

_SIGNED = "statement", "signature"
_OTHERS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


@dataclass(frozen=True)
class NodeDirectory:
    """Where a node keeps what is its own."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Return the path of `medunion.toml`."""
        return self.path / SETTINGS_FILE

    @property
    def trust_file(self) -> Path:
        """Return the path of `trust.json`."""
        return self.path / "trust.json"

    @property
    def tokens(self) -> Path:
        """Return the directory of a development SoftHSM."""
        return self.path / "tokens"

    @property
    def is_initialised(self) -> bool:
        """Return whether settings are there."""
        return self.settings_file.exists()

    @property
    def unfinished_file(self) -> Path:
        """Return the path of the note that keys are being made (federation/party/key_provisioning.py)."""
        return self.path / "unfinished.json"

    @property
    def is_unfinished(self) -> bool:
        """Return whether an `init` in this directory began to make keys and did not come to its end."""
        return self.unfinished_file.exists() and not self.is_initialised

    def create(self) -> None:
        """Make the directory, mode 0700."""
        safefiles.make_directory(self.path)

    @property
    def letter(self) -> str:
        """Return the first letter of the identity, which says what kind of node it is: C, H, D, P or M. Raises ConfigError."""
        return read_identity(self.settings_file).partition(":")[0]

    def settings(self, kind: type[T]) -> T:
        """Read `medunion.toml`. Raises ConfigError."""
        return read_settings(self.settings_file, kind)

    def write_settings(self, settings: object) -> None:
        """Write `medunion.toml`, mode 0600."""
        safefiles.replace(self.settings_file, to_toml(settings).encode())

    def trust(self) -> TrustedBundle:
        """Read `trust.json`. Raises ConfigError."""
        return read_trust(self.trust_file)

    def write_trust(self, bundle: TrustedBundle) -> None:
        """Write `trust.json`."""
        safefiles.replace(self.trust_file, trust_to_json(bundle).encode())

    def database(self, settings: DatabaseSettings | None = None) -> "Database":
        """Open the database of the settings, or `store.sqlite`, made and migrated as needed.

        Raises ConfigError, StoreUnavailable.
        """
        from federation.store.database import open_database  # noqa: PLC0415 - SQLAlchemy is a fifth of a command's start

        chosen = settings or DatabaseSettings()
        return open_database(
            self.database_url(chosen), password_file=password_file(chosen), connections=chosen.connections
        )

    def database_url(self, settings: DatabaseSettings) -> str:
        """Return the URL of the settings, or of `store.sqlite` in the directory."""
        return settings.url or f"sqlite:///{(self.path / 'store.sqlite').resolve()}"

    def shelf(self, settings: BlobSettings) -> Shelf:
        """Open the shelf of the settings, or the directory `blobs`. Raises StoreUnavailable."""
        return open_shelf(settings.url or (self.path / "blobs").resolve().as_uri())


def read_trust(path: Path) -> TrustedBundle:
    """Read a trust bundle that was handed over as a file. Raises ConfigError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        signed = json_format.ParseDict({name: document[name] for name in _SIGNED}, SignedStatement())
        bundle = pin(signed)
        if document["bundle"] != _readable(bundle.content):
            raise ConfigError(f"{path}: what people read in it is not what is signed")
    except OSError as error:
        raise ConfigError(f"the trust bundle {path} can't be read: {error.strerror}") from error
    except (json_format.ParseError, FederationError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise ConfigError(f"{path} is no trust bundle: {error}") from error
    return bundle


def require_digest(bundle: TrustedBundle, digest: str) -> None:
    """Require a bundle's digest, in hexadecimal as it was read aloud: spaces and capitals don't matter. Raises BundleUnpinned."""
    if bundle.digest.hex() != "".join(digest.split()).lower():
        raise BundleUnpinned(
            f"this trust bundle has the digest {bundle.digest.hex()}, which is not the one that was given"
        )


def trust_to_json(bundle: TrustedBundle) -> str:
    """Return the form of `trust.json`: the statement and its signature in base64, and beside them what they say, for people."""
    signed = json_format.MessageToDict(bundle.signed, preserving_proto_field_name=True)
    return json.dumps({"bundle": _readable(bundle.content)} | signed, indent=2) + "\n"


def _readable(content: TrustBundle) -> dict[str, Any]:
    return json_format.MessageToDict(content, preserving_proto_field_name=True)


def open_node_token(settings: TokenSettings, pin: PinProvider | None) -> Token:
    """Open the token of a node, or the group of several that it names. Raises HsmError, ConfigError.

    Without a PIN provider the settings' or the URI's PIN file is read; each of the others has a PIN of its own there.
    """
    uri = TokenUri.parse(settings.uri)
    use_softhsm(settings.softhsm_configuration)
    if settings.softhsm_configuration is not None:
        softhsm.mend(settings.softhsm_configuration)
    provider = pin or stored_pin(settings)
    if provider is None:
        raise ConfigError(
            "token.pin_file: neither it nor a credential is there, and no other way to get the PIN was given"
        )
    if settings.others:
        others = [(TokenUri.parse(it.uri), _pin_of_other(it)) for it in settings.others]
        token: Token = open_group([(uri, provider), *others], sessions=settings.sessions)
    else:
        token = open_token(uri, provider, sessions=settings.sessions)
    if settings.softhsm_configuration is not None:
        # Without a copy the token works as well.
        with suppress(OSError):
            softhsm.keep(settings.softhsm_configuration)
    return token


def _pin_of_other(settings: OtherTokenSettings) -> PinProvider:
    if settings.pin_credential is not None and not _has_credentials() and settings.pin_file is None:
        raise ConfigError(
            "token.others.pin_credential: systemd hands credentials to the service alone; name a pin_file"
        )
    provider = stored_pin(settings, "token.others")
    if provider is None:
        raise ConfigError(
            "token.others.pin_file: every one of the other tokens needs a file or a credential with its PIN"
        )
    return provider


def use_softhsm(configuration: Path | None) -> None:
    """Lead SoftHSM to a directory of tokens: it reads this when it is first loaded, and a process stays with one directory."""
    if configuration is not None:
        os.environ["SOFTHSM2_CONF"] = str(configuration)


def stored_pin(settings: TokenSettings | OtherTokenSettings, table: str = "token") -> PinProvider | None:
    """Return the provider that the settings or the URI name, if any. Raises ConfigError, TokenUriInvalid.

    A credential is there in the service that systemd started; for an operator's command beside it, it is as if none was named.
    """
    if settings.pin_credential is not None and settings.pin_file is not None:
        raise ConfigError(f"{table}.pin_credential: pin_file is set too, and one place is enough")
    if settings.pin_credential is not None and _has_credentials():
        return pin_from_credential(credential_file(settings.pin_credential, f"{table}.pin_credential"))
    file = settings.pin_file or TokenUri.parse(settings.uri).pin_source
    return None if file is None else pin_from_file(file)


def password_file(settings: DatabaseSettings) -> Path | None:
    """Return the file with a database's password, if the settings name one. Raises ConfigError."""
    if settings.password_credential is None:
        return settings.password_file
    if settings.password_file is not None:
        raise ConfigError("database.password_credential: password_file is set too, and one place is enough")
    return credential_file(settings.password_credential, "database.password_credential")


def _has_credentials() -> bool:
    """Return whether systemd started this process with credentials."""
    return bool(os.environ.get(CREDENTIALS_DIRECTORY))


def credential_file(name: str, key: str) -> Path:
    """Return the file of the credential that a setting names. Raises ConfigError, which names the setting.

    systemd hands credentials to a service in a directory of its own (systemd.exec(5), LoadCredential). Their mode may show
    0440, for an access list lets the service's user read them; nowhere else is such a mode taken for a secret's.
    """
    directory = Path(os.environ.get(CREDENTIALS_DIRECTORY, ""))
    if not directory.is_absolute():
        raise ConfigError(
            f"{key}: there is no ${CREDENTIALS_DIRECTORY}: systemd hands credentials to the service alone"
        )
    file = directory / name
    try:
        status = file.lstat()
    except OSError as error:
        raise ConfigError(f"{key}: the credential {name} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS:
        raise ConfigError(f"{key}: the credential {name} has to be a regular file that others can't read")
    return file
