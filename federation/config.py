"""Settings: frozen dataclasses read from TOML, `medunion.toml` in a node's directory.

An unknown key, a value out of its range or a secret that others may read is an error that names the key.
"""

import dataclasses
import json
import re
import stat
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from federation.epochs import Lifetimes
from federation.protocol.time import Freshness
from federation.store.database import CONNECTIONS, require_address
from federation.store.errors import StoreUnavailable
from federation.store.shelves import require_shelf

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
N = TypeVar("N", int, float)

_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


class ConfigError(Exception):
    """The settings can't be used; the sentence names the key."""

    reason = "SETTINGS_INVALID"


def between(least: float, most: float, default: N) -> N:
    """Declare a number with its range, both ends included."""
    return field(default=default, metadata={"least": least, "most": most})


def _require_private(path: Path) -> None:
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others may read {path}; give it mode 0600")


def _require_credential_name(name: str) -> None:
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ConfigError("a credential's name is a plain file name")


def _require_database(url: str) -> None:
    try:
        place = require_address(url)
    except StoreUnavailable as error:
        raise ConfigError(str(error)) from error
    if place.drivername == "sqlite" and not Path(place.database or "").is_absolute():
        raise ConfigError("the path of a SQLite file has to be absolute: sqlite:////path/to/file")


def _require_shelf(url: str) -> None:
    try:
        require_shelf(url)
    except StoreUnavailable as error:
        raise ConfigError(str(error)) from error


@dataclass(frozen=True)
class TokenSettings:
    """`[token]`: which token, by RFC 7512 URI. `softhsm_configuration` leads a development node to its SoftHSM directory.

    Its PIN is in a file, or is the credential of that name which systemd hands to the service (LoadCredential).
    """

    uri: str
    softhsm_configuration: Path | None = None
    pin_file: Path | None = field(default=None, metadata={"check": _require_private})
    pin_credential: str | None = field(default=None, metadata={"check": _require_credential_name})
    sessions: int = between(1, 64, 4)


@dataclass(frozen=True)
class DatabaseSettings:
    """`[database]`: `postgresql://user@host/name`, shared by any number of machines, or `sqlite:////path/to/file`.

    Left out, it is the file `store.sqlite` in the node's directory. A password is never in the URL: it is in a file, or is the
    credential of that name which systemd hands to the service; without either, libpq looks for it (PGPASSFILE).
    """

    url: str | None = field(default=None, metadata={"check": _require_database})
    password_file: Path | None = field(default=None, metadata={"check": _require_private})
    password_credential: str | None = field(default=None, metadata={"check": _require_credential_name})
    connections: int = between(1, 1_000, CONNECTIONS)


@dataclass(frozen=True)
class BlobSettings:
    """`[blobs]`: `s3://bucket/prefix?endpoint=https://s3.example&region=eu-1`, or `file:///path/to/directory`.

    Left out, it is the directory `blobs` in the node's directory. Credentials come as every AWS tool
    finds them, never in the URL.
    """

    url: str | None = field(default=None, metadata={"check": _require_shelf})


@dataclass(frozen=True)
class ProtocolSettings:
    """`[protocol]`: Delta T, sigma, and the life of an epoch."""

    freshness_seconds: float = between(1, 600, 30)
    skew_seconds: float = between(0, 60, 5)
    epoch_hours: float = between(0.01, 24 * 30, 168)
    renew_hours_before_end: float = between(0, 24 * 7, 24)

    @property
    def freshness(self) -> Freshness:
        """Give Delta T and sigma."""
        return Freshness(timedelta(seconds=self.freshness_seconds), timedelta(seconds=self.skew_seconds))

    @property
    def lifetimes(self) -> Lifetimes:
        """Give the life of epochs."""
        return Lifetimes(timedelta(hours=self.epoch_hours), timedelta(hours=self.renew_hours_before_end))


@dataclass(frozen=True)
class ServerSettings:
    """`[server]`: how many processes serve at the same ports (docs/adr/0022), and the bounds of each one."""

    processes: int = between(1, 64, 1)
    threads: int = between(1, 64, 4)
    most_waiting_calls: int = between(1, 10_000, 256)
    most_concurrent_calls: int = between(1, 100_000, 2_000)
    most_calls_per_caller: int = between(1, 100_000, 500)
    openers_per_second: float = between(0.1, 100_000, 50)
    openers_burst: int = between(1, 100_000, 200)
    first_message_seconds: float = between(0.1, 300, 10)
    next_message_seconds: float = between(1, 3_600, 120)
    write_seconds: float = between(0.1, 600, 30)
    handshake_seconds: float = between(0.1, 120, 10)
    keepalive_seconds: float = between(1, 3_600, 60)
    idle_minutes: float = between(0.01, 1_440, 10)
    connection_age_minutes: float = between(0.01, 1_440, 10)
    stop_seconds: float = between(0, 300, 10)


@dataclass(frozen=True)
class AdminSettings:
    """`[admin]`: where the admin server listens: `unix:/path`, or `host:port` of this machine alone (docs/adr/0019).

    Left out, it is the socket `admin.sock` in the node's directory.
    """

    listen: str | None = None


@dataclass(frozen=True)
class MetricsSettings:
    """`[metrics]`: `host:port` where Prometheus fetches; nothing is served unless it is set. Workers take the ports behind it."""

    listen: str | None = None


@dataclass(frozen=True)
class TracingSettings:
    """`[tracing]`: the OTLP collector that spans go to; none are made unless it is set. Needs `medunion[tracing]`.

    `ratio` of the calls are traced; `continue_peers` lets a hospital's `traceparent` say which trace a call belongs to.
    """

    endpoint: str | None = None
    ratio: float = between(0, 1, 1)
    continue_peers: bool = False


@dataclass(frozen=True)
class RetentionSettings:
    """`[retention]`: how many years a record is kept from the day it was stored (docs/retention.md); unset, none is ever due.

    `classes` are exceptions, as "radiology=10".
    """

    years: int | None = field(default=None, metadata={"least": 1, "most": 200})
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CloudSettings:
    """The public cloud's `medunion.toml`."""

    identity: str
    public_listen: str
    peer_listen: str
    token: TokenSettings
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    ticket_hours: float = between(0.01, 24 * 90, 24 * 7)
    revocation_list_minutes: float = between(1, 60, 60)
    revocation_list_renewal_minutes: float = between(0.01, 59, 10)


@dataclass(frozen=True)
class HospitalSettings:
    """A hospital's `medunion.toml`. `address` is where others dial it; departments are `class` or `class.local`."""

    identity: str
    listen: str
    address: str
    token: TokenSettings
    departments: tuple[str, ...] = ()
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    blobs: BlobSettings = field(default_factory=BlobSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)


@dataclass(frozen=True)
class MemberSettings:
    """A doctor's or patient's `medunion.toml`."""

    identity: str
    token: TokenSettings
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)


def read_settings(path: Path, kind: type[T]) -> T:
    """Read a settings file into its dataclass. Raises ConfigError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return _section(table, kind, "")
    except ConfigError as error:
        raise ConfigError(f"{error} ({path}; is it the directory of another kind of node?)") from error


def require_valid(settings: object) -> None:
    """Hold settings that were put together here against the rules for those that are read. Raises ConfigError."""
    _section(tomllib.loads(to_toml(settings)), type(settings), "")


def to_toml(settings: object) -> str:
    """Write settings as TOML that `read_settings` reads back; what is None is left out."""
    plain: list[str] = []
    tables: list[str] = []
    for item in fields(cast("DataclassInstance", settings)):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{item.name}]\n{to_toml(value)}")
        elif value is not None:
            plain.append(f"{item.name} = {_toml_value(value)}\n")
    return "".join(plain + tables)


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # A TOML basic string takes every escape that JSON makes; a JSON number is a TOML number.
    return json.dumps(value if isinstance(value, bool | int | float | str) else str(value))


def _section(table: dict[str, object], kind: type[T], prefix: str) -> T:
    known = {item.name: item for item in fields(cast("type[DataclassInstance]", kind))}
    hints = typing.get_type_hints(kind)
    for name in table:
        if name not in known:
            raise ConfigError(f"{prefix}{name}: there is no such setting")
    values = {name: _value(value, hints[name], known[name], prefix + name) for name, value in table.items()}
    for name, item in known.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{prefix}{name}: this setting is missing")
    return kind(**values)


def _value(value: object, hint: object, item: "dataclasses.Field[Any]", name: str) -> object:
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(_of((dict,), value, name), hint, name + ".")
    if hint is Path:
        return _passed(_path(Path(_of((str,), value, name)), name), item, name)
    if typing.get_origin(hint) is tuple:
        return tuple(_of((str,), element, name) for element in _of((list,), value, name))
    if "least" in item.metadata:
        number = _of((int, float) if hint is float else (int,), value, name)
        return _in_range(number, item, name)
    return _passed(_of((cast("type", hint),), value, name), item, name)


def _passed(value: T, item: "dataclasses.Field[Any]", name: str) -> T:
    check = item.metadata.get("check")
    if check is not None:
        try:
            check(value)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
    return value


def _of(kinds: tuple[type, ...], value: object, name: str) -> Any:  # noqa: ANN401 - the kinds say which
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"{name}: a value of another type is needed")
    return value


def _in_range(value: float, item: "dataclasses.Field[Any]", name: str) -> float:
    least, most = item.metadata["least"], item.metadata["most"]
    if not least <= value <= most:
        raise ConfigError(f"{name}: {value} is not between {least} and {most}")
    return value


def _path(path: Path, name: str) -> Path:
    if not path.is_absolute():
        raise ConfigError(f"{name}: an absolute path is needed")
    return path
