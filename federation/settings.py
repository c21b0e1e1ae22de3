"""Settings: frozen dataclasses, read from `medunion.toml` in a node's directory, and written with what they say as comments.

A new setting is one field here: its type, range or check, default and meaning are all that reading, writing and `init` go by
(docs/adr/0021-settings.md). An unknown key, a value out of its range or a secret that others may read is an error that names
the key.

Long because every setting has its meaning here, which is what an operator reads.
"""

import dataclasses
import ipaddress
import json
import re
import stat
import textwrap
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from federation.errors import NoteMalformed
from federation.protocol.addresses import is_address
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.time import Freshness, Lifetimes
from federation.store.errors import StoreUnavailable
from federation.store.shelves import require_shelf
from keystore.identities import ANY, is_identity

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from federation.protocol.public_witness import PublicWitness

N = TypeVar("N", int, float)
T = TypeVar("T")

SETTINGS_FILE = "medunion.toml"
"""In a node's directory."""

_WIDTH = 118
_OTHER_KIND = "; is this the directory of another kind of node?"
_REASON_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


class ConfigError(Exception):
    """The settings can't be used; the sentence names the key."""

    reason = "SETTINGS_INVALID"


def between(least: float, most: float, default: N, says: str = "") -> N:
    """Declare a number with its range, both ends included."""
    return field(default=default, metadata={"least": least, "most": most, "says": says})


def about(says: str, *, example: object = None, check: Callable[[Any], object] | None = None) -> Mapping[str, Any]:
    """Return the metadata of a setting: what it means, an example where there is no default, and what a value has to pass.

    A check raises ConfigError; the setting's name is added to what it says.
    """
    return {"says": says, "example": example, "check": check}


def _require_private(path: Path) -> None:
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others may read {path}; give it mode 0600")


def _require_credential_name(name: str) -> None:
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ConfigError("a credential's name is a plain file name")


def _require_database(url: str) -> None:
    from federation.store.database import require_address  # noqa: PLC0415 - SQLAlchemy is a fifth of a command's start

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


def _require_networks(networks: tuple[str, ...]) -> None:
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _require_reason_codes(codes: tuple[str, ...]) -> None:
    for code in codes:
        if not _REASON_CODE.fullmatch(code):
            raise ConfigError(f"{code!r} is no code: lower-case letters, digits and hyphens, 32 at most")


def _require_classes(classes: tuple[str, ...]) -> None:
    for name in classes:
        if name != ANY and not is_identity("department class", name):
            raise ConfigError(f"{name!r} is no department class")


def _require_dialled(address: str) -> None:
    if not is_address(address):
        raise ConfigError(f"{address} is not an address, host:port")


def _require_own_address(address: str) -> None:
    _require_dialled(f"{address.removesuffix(':0')}:1" if address.endswith(":0") else address)


@dataclass(frozen=True)
class OtherTokenSettings:
    """One of `token.others`: its PIN is in a file, which may be its URI's pin-source, or in a credential."""

    uri: str = field(metadata=about("Which token, by RFC 7512 URI."))
    pin_file: Path | None = field(default=None, metadata=about("File with its PIN, mode 0600.", check=_require_private))
    pin_credential: str | None = field(
        default=None, metadata=about("Name of the credential with its PIN.", check=_require_credential_name)
    )


@dataclass(frozen=True)
class TokenSettings:
    """`[token]`: where the node's keys live. Its PIN is in a file or a credential, or whoever starts the node types it."""

    uri: str = field(metadata=about("Which token, by RFC 7512 URI; serial= says it best."))
    softhsm_configuration: Path | None = field(
        default=None,
        metadata=about("softhsm2.conf of a development token.", example="/var/lib/medunion/tokens/softhsm2.conf"),
    )
    pin_file: Path | None = field(
        default=None,
        metadata=about("File with the PIN, mode 0600.", example="/etc/medunion/token.pin", check=_require_private),
    )
    pin_credential: str | None = field(
        default=None,
        metadata=about(
            "Name of the credential with the PIN that systemd hands to the service (LoadCredential=); instead of pin_file.",
            example="token-pin",
            check=_require_credential_name,
        ),
    )
    sessions: int = between(1, 64, 4, "Sessions with the token that each process has: so many operations at a time.")
    others: tuple[OtherTokenSettings, ...] = field(
        default=(),
        metadata=about(
            "Tokens that hold the same keys: what the one above can't do because it is lost, the next does (docs/tokens.md)."
            " Each has uri, and pin_file or pin_credential.",
            example=(
                OtherTokenSettings("pkcs11:serial=2?module-path=/usr/lib/m.so", Path("/etc/medunion/second.pin")),
            ),
        ),
    )


@dataclass(frozen=True)
class DatabaseSettings:
    """`[database]`: left out, it is SQLite: the file `store.sqlite` in the node's directory.

    A password is never in the URL. Where neither a file nor a credential has it, libpq looks for it (PGPASSFILE).
    """

    url: str | None = field(
        default=None,
        metadata=about(
            "`postgresql://user@host/name`, shared by any number of machines, or `sqlite:////path/to/file`. From another"
            " machine it has to be sslmode=verify-full or verify-ca.",
            example="postgresql://medunion@db.example/node?sslmode=verify-full&sslrootcert=/etc/medunion/db-ca.pem",
            check=_require_database,
        ),
    )
    password_file: Path | None = field(
        default=None,
        metadata=about(
            "File with the password, mode 0600; read for each connection.",
            example="/etc/medunion/database.password",
            check=_require_private,
        ),
    )
    password_credential: str | None = field(
        default=None,
        metadata=about(
            "Name of the credential with the password that systemd hands to the service; instead of password_file.",
            example="database-password",
            check=_require_credential_name,
        ),
    )
    connections: int = between(1, 1_000, 8, "Most connections of one process to PostgreSQL.")


@dataclass(frozen=True)
class BlobSettings:
    """`[blobs]`: where sealed records lie. Left out, it is the directory `blobs` in the node's directory.

    Credentials for S3 come as every AWS tool finds them, never in the URL.
    """

    url: str | None = field(
        default=None,
        metadata=about(
            "`s3://bucket/prefix?endpoint=https://s3.example&region=eu-1`, or `file:///path/to/directory`.",
            example="s3://records/alpha?endpoint=https://s3.example&region=eu-1",
            check=_require_shelf,
        ),
    )


@dataclass(frozen=True)
class ProtocolSettings:
    """`[protocol]`: Delta T, sigma, and the life of an epoch."""

    freshness_seconds: float = between(1, 600, 30, "Delta T: how old a message may be when it comes, in seconds.")
    skew_seconds: float = between(0, 60, 5, "Sigma: how far a peer's clock may be ahead of this one, in seconds.")
    epoch_hours: float = between(0.01, 24 * 30, 168, "Life of an encryption key, in hours; then it is destroyed.")
    renew_hours_before_end: float = between(
        0, 24 * 7, 24, "How long before its end the next encryption key is made, in hours."
    )

    @property
    def freshness(self) -> Freshness:
        """Return Delta T and sigma."""
        return Freshness(timedelta(seconds=self.freshness_seconds), timedelta(seconds=self.skew_seconds))

    @property
    def lifetimes(self) -> Lifetimes:
        """Return the life of epochs."""
        return Lifetimes(timedelta(hours=self.epoch_hours), timedelta(hours=self.renew_hours_before_end))


@dataclass(frozen=True)
class ServerSettings:
    """`[server]`: how many processes serve at the same ports (docs/adr/0022), and the bounds of each one."""

    processes: int = between(
        1, 64, 1, "Processes that serve at the same ports, each with threads and sessions of its own."
    )
    threads: int = between(1, 64, 4, "Threads that work on calls, in each process.")
    most_waiting_calls: int = between(
        1, 10_000, 256, "Calls that may wait for a thread; one more is turned away with a time to come again."
    )
    most_concurrent_calls: int = between(
        1, 100_000, 2_000, "Calls under way at a time at one port of each process; half of them may be streams."
    )
    most_calls_per_caller: int = between(
        1, 100_000, 500, "Of these, so many of one caller: an IPv4 address, a /64 of IPv6, or a hospital."
    )
    most_connections: int = between(
        1, 100_000, 4_000, "Connections at a time at one port of each process; one more is closed at once."
    )
    openers_per_second: float = between(
        0.1,
        100_000,
        50,
        "First messages that are taken each second, of all callers; each costs operations in the token.",
    )
    openers_burst: int = between(1, 100_000, 200, "So many of them may come at once.")
    refusals_logged: int = between(
        1, 100_000, 40, "Refusals of one caller that are logged one by one in a minute; the others are counted."
    )
    first_message_seconds: float = between(
        0.1, 300, 10, "How long a stream may be open before its first message, in seconds."
    )
    next_message_seconds: float = between(1, 3_600, 120, "How long it may be silent afterwards, in seconds.")
    write_seconds: float = between(0.1, 600, 30, "How long a reader may leave what was sent to it, in seconds.")
    handshake_seconds: float = between(0.1, 120, 10, "How long a TLS handshake may take, in seconds.")
    keepalive_seconds: float = between(
        1, 3_600, 60, "After how many silent seconds a connection is asked for a sign of life."
    )
    idle_minutes: float = between(0.01, 1_440, 10, "After how many minutes a connection without calls is closed.")
    connection_age_minutes: float = between(
        0.01,
        1_440,
        10,
        "After how many minutes a connection is closed gently, so that callers meet new leaves and machines.",
    )
    stop_seconds: float = between(
        0, 300, 10, "How long calls under way may take to end when the server stops, in seconds."
    )


@dataclass(frozen=True)
class AdminSettings:
    """`[admin]`: the admin server, with health by dependency and reflection (docs/adr/0019). It has no TLS."""

    listen: str | None = field(
        default=None,
        metadata=about(
            "`unix:/path`, or `host:port` of this machine alone. Left out, it is `admin.sock` in the node's directory.",
            example="unix:/run/medunion/admin.sock",
        ),
    )


@dataclass(frozen=True)
class MetricsSettings:
    """`[metrics]`: for Prometheus; nothing is served unless it is set."""

    listen: str | None = field(
        default=None,
        metadata=about(
            "`host:port` where it fetches, without TLS. Further processes take the ports behind it.",
            example="127.0.0.1:9464",
        ),
    )


@dataclass(frozen=True)
class TracingSettings:
    """`[tracing]`: spans by OpenTelemetry; none are made unless it is set. Needs `medunion[tracing]`."""

    endpoint: str | None = field(
        default=None, metadata=about("The OTLP collector that spans go to.", example="http://127.0.0.1:4317")
    )
    ratio: float = between(0, 1, 1, "The part of the calls that are traced.")
    continue_peers: bool = field(
        default=False, metadata=about("Whether a hospital's `traceparent` says which trace a call belongs to.")
    )


@dataclass(frozen=True)
class DiallingSettings:
    """`[dialling]`: whom this node connects to, and how. The environment's proxy (`https_proxy`) is never asked."""

    networks: tuple[str, ...] = field(
        default=(),
        metadata=about(
            'Networks that may be dialled, as "10.0.0.0/8"; left out, any. A name is resolved once, and every address of it'
            " has to lie in them.",
            check=_require_networks,
        ),
    )
    proxy: str | None = field(
        default=None,
        metadata=about(
            "`host:port` of an HTTP proxy that every call goes through by CONNECT; it sees whom this node calls, and no more.",
            example="proxy.example:3128",
            check=_require_dialled,
        ),
    )


@dataclass(frozen=True)
class CrlSettings:
    """`[crls]`: how medical authorities' lists are fetched that have a URL; `[dialling]` says where that may lead.

    The public cloud fetches all the time, a hospital while it hears nothing from the cloud.
    """

    minutes: float = between(0.01, 720, 10, "How often they are asked for, in minutes.")
    ca: Path | None = field(
        default=None,
        metadata=about(
            "PEM file with the CAs by which their servers are known; left out, those of the system.",
            example="/etc/medunion/authorities-tls.pem",
        ),
    )


LONGEST_GRACE_HOURS = 72


@dataclass(frozen=True)
class RevocationSettings:
    """`[revocation]`: what is done while the public cloud is silent, and its revocation list is over."""

    grace_hours: float = between(
        0,
        LONGEST_GRACE_HOURS,
        1,
        "For how many hours after the end of the last list what stood before it counts on, in emergencies and for deposits what"
        " is newer too; after that nothing does (docs/adr/0039-hub-dark.md). The list itself lives for an hour.",
    )

    @property
    def grace(self) -> timedelta:
        """Return the grace."""
        return timedelta(hours=self.grace_hours)


@dataclass(frozen=True)
class RetentionSettings:
    """`[retention]`: how many years a record is kept from the day it was stored (docs/retention.md); unset, none is ever due.

    `classes` are exceptions, as "radiology=10".
    """

    years: int | None = field(
        default=None,
        metadata={"least": 1, "most": 200, "says": "Years; left out, no record is ever due.", "example": 30},
    )
    classes: tuple[str, ...] = field(default=(), metadata=about('Exceptions by class, as "radiology=10".'))


@dataclass(frozen=True)
class EmergencySettings:
    """`[emergency]`: which emergencies are let in without the patient's consent (docs/consent.md); unless set, none."""

    reasons: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Codes of the reasons for which an emergency is let in.",
            example=("unconscious", "life-threatening"),
            check=_require_reason_codes,
        ),
    )
    duty_classes: tuple[str, ...] = field(
        default=(ANY,),
        metadata=about(
            'Classes of the departments in one of which the doctor has to be on duty; "*" is any, or none.',
            check=_require_classes,
        ),
    )
    second_clinician: bool = field(
        default=False, metadata=about("Whether a second clinician has to sign for each emergency.")
    )

    @property
    def policy(self) -> EmergencyPolicy | None:
        """Return when an emergency is let in, None for never."""
        if not self.reasons:
            return None
        return EmergencyPolicy(frozenset(self.reasons), frozenset(self.duty_classes), self.second_clinician)


def _require_witnesses(names: tuple[str, ...]) -> None:
    for name in names:
        if not is_identity("hospital", name):
            raise ConfigError(f"{name!r} is no hospital")
    if len(set(names)) != len(names):
        raise ConfigError("a witness is named twice")


def _require_stamps_url(url: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{url} is no URL of https or http")


MOST_PUBLIC_WITNESSES = 4


def public_witness_of(words: str) -> "tuple[str, PublicWitness]":
    """Return the URL and the key of a public witness, of both with a space between them. Raises ConfigError."""
    from federation.protocol.public_witness import PublicWitness  # noqa: PLC0415 - with it come curves and signatures

    url, _, vkey = words.partition(" ")
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"{url!r} is no URL of https or http")
    try:
        return url, PublicWitness.read(vkey)
    except NoteMalformed as error:
        raise ConfigError(f"{vkey!r} is no key of a witness: {error}") from error


def _require_public_witnesses(named: tuple[str, ...]) -> None:
    names = [public_witness_of(it)[1].name for it in named]
    if len(set(names)) != len(names) or len(names) > MOST_PUBLIC_WITNESSES:
        raise ConfigError(f"a public witness is named twice, or there are more than {MOST_PUBLIC_WITNESSES}")


@dataclass(frozen=True)
class LogSettings:
    """`[log]`: who stands by the heads of this node's log, and for how long it keeps what it says (docs/retention.md)."""

    witnesses: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Hospitals that are asked to cosign each head of the log, beside those of the trust bundle's witness policy, which"
            " says how many have to. A hospital asks the public cloud beside them; a public cloud for which neither names any"
            " asks the first three hospitals by name, or more if the policy asks for more.",
            example=("H:beta", "H:gamma"),
            check=_require_witnesses,
        ),
    )
    public_witnesses: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Witnesses of the public that are asked beside them (C2SP tlog-witness), each as its URL, a space, and its key; no"
            " policy counts them.",
            example=(
                "https://witness.example witness.example/w1+833a2b59+BEQpkwZQBKoeTEj03QFYGUwCNJvMZkzZbkAOommRio1R",
            ),
            check=_require_public_witnesses,
        ),
    )
    emergency_wait_seconds: float = between(
        0,
        30,
        3,
        "How long the first byte of an emergency waits at a hospital for witnesses to cosign a head over its entry, as many as"
        " the trust bundle asks for, in seconds; without them it goes out then, and the log says so.",
    )
    retention_years: int = between(
        1, 100, 10, "After how many years an entry of the log is shredded; what commits to it stays."
    )
    time_stamp_authority: str | None = field(
        default=None,
        metadata=about(
            "URL of an authority that stamps the log's cosigned heads with the time (RFC 3161), https or http; left out, none"
            " does. It learns a digest, and nothing else.",
            example="https://tsa.example/stamp",
            check=_require_stamps_url,
        ),
    )
    time_stamp_certificates: Path | None = field(
        default=None,
        metadata=about(
            "PEM file with the certificates by which that authority's stamps are known: its root, and those between.",
            example="/etc/medunion/tsa.pem",
        ),
    )
    time_stamp_minutes: float = between(0.01, 10_080, 60, "How often a head is stamped, if the log grew, in minutes.")


def _budget(says: str, example: int) -> int | None:
    return cast(
        "int | None",
        field(default=None, metadata={"least": 1, "most": 10_000_000, "says": says, "example": example}),
    )


@dataclass(frozen=True)
class BudgetSettings:
    """`[budgets]`: of how many patients doctors find and read records by consent, or in emergencies, until no more is given.

    A patient who was seen in a day or month, in UTC, costs no more in it; one's own records are never counted. A budget that is
    left out has no end.
    """

    patients_per_doctor_a_day: int | None = _budget("Patients of one doctor a day.", 200)
    patients_per_doctor_a_month: int | None = _budget("Patients of one doctor a month.", 2_000)
    patients_per_hospital_a_day: int | None = _budget(
        "Patients a day of all doctors on duty at one hospital, as far as they show it.", 5_000
    )
    patients_per_hospital_a_month: int | None = _budget("The same a month.", 50_000)
    emergencies_per_doctor_a_day: int | None = _budget("Patients of one doctor a day in emergencies.", 10)


@dataclass(frozen=True)
class CloudBudgetSettings(BudgetSettings):
    """`[budgets]`: what one doctor or hospital is given in a day or a month, in UTC, until no more is.

    Of how many patients records are found, by consent or in emergencies: a patient who was seen costs no more, and one's own
    records are never counted. For how many patients a desk gets tickets. A budget that is left out has no end.
    """

    tickets_per_hospital_a_day: int | None = _budget("Patients a day for whom one hospital's desk gets tickets.", 1_000)


@dataclass(frozen=True)
class CloudSettings:
    """The public cloud's settings. Addresses are `host:port`; where others dial is in the trust bundle."""

    identity: str = field(metadata=about("ID_C, such as C:union."))
    public_listen: str = field(metadata=about("Where it listens for everybody."))
    peer_listen: str = field(metadata=about("Where it listens for hospitals, by mutual TLS."))
    token: TokenSettings
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    dialling: DiallingSettings = field(default_factory=DiallingSettings)
    crls: CrlSettings = field(default_factory=CrlSettings)
    emergency: EmergencySettings = field(default_factory=EmergencySettings)
    budgets: CloudBudgetSettings = field(default_factory=CloudBudgetSettings)
    log: LogSettings = field(default_factory=LogSettings)
    ticket_hours: float = between(0.01, 24 * 90, 24 * 7, "How long a ticket is good, in hours.")
    revocation_list_minutes: float = between(
        1, 60, 60, "Life of a revocation list, in minutes: so long members that hear nothing rely on the last one."
    )
    revocation_list_renewal_minutes: float = between(0.01, 59, 10, "How often it is signed anew at least, in minutes.")
    most_revocations: int = between(
        2_048,
        6_000_000,
        4_000_000,
        "Entries of the revocation list at the most: every hospital's processes hold it, 35 MB a million.",
    )
    renewal_days: int = between(
        31, 180, 45, "How many days before its end a credential may be renewed; members ask from the 30th on."
    )
    most_rows_per_patient: int = between(
        64,
        4096,
        512,
        "Records of one patient that one hospital may have in the index; three a week for over three years.",
    )


@dataclass(frozen=True)
class HospitalSettings:
    """A hospital's settings. Addresses are `host:port`."""

    identity: str = field(metadata=about("ID_HPC, such as H:alpha."))
    listen: str = field(metadata=about("Where it listens; port 0 lets the system choose."))
    address: str = field(metadata=about("Where others dial it.", check=_require_own_address))
    token: TokenSettings
    departments: tuple[str, ...] = field(
        default=(), metadata=about("Its departments: `class` or `class.local`, of the classes in the trust bundle.")
    )
    relay_gigabytes: float = between(0.001, 100_000, 16, "What all rooms of the relay hold together, in gigabytes.")
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    blobs: BlobSettings = field(default_factory=BlobSettings)
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    dialling: DiallingSettings = field(default_factory=DiallingSettings)
    crls: CrlSettings = field(default_factory=CrlSettings)
    revocation: RevocationSettings = field(default_factory=RevocationSettings)
    emergency: EmergencySettings = field(default_factory=EmergencySettings)
    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass(frozen=True)
class MemberSettings:
    """The settings of a doctor, a patient or a medical authority."""

    identity: str = field(metadata=about("Who it is, such as D:chen."))
    token: TokenSettings
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)


def read_settings(path: Path, kind: type[T]) -> T:
    """Read a settings file into its dataclass. Raises ConfigError."""
    table = _table_of(path)
    try:
        return _section(table, kind, "")
    except ConfigError as error:
        raise ConfigError(f"{error} ({path})") from error


def read_identity(path: Path) -> str:
    """Read whose settings a file holds, and nothing else; "" if it does not say. Raises ConfigError."""
    return str(_table_of(path).get("identity", ""))


def _table_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def require_valid(settings: object) -> None:
    """Hold settings that were put together here against the rules for those that are read. Raises ConfigError."""
    _section(tomllib.loads(to_toml(settings)), type(settings), "")


def to_toml(settings: object) -> str:
    """Write settings as TOML that `read_settings` reads back, each with its meaning; what has its default is a comment."""
    head = _comment(f"{_first_words(settings)} A setting that is left out, or behind a #, has its default.")
    return "\n".join([*head, "", *_lines(settings)]) + "\n"


def _lines(settings: object) -> Iterator[str]:
    values = [(item, getattr(settings, item.name)) for item in fields(cast("DataclassInstance", settings))]
    for item, value in values:
        if not dataclasses.is_dataclass(value):
            yield from _setting(item, value)
    for item, value in values:
        if dataclasses.is_dataclass(value):
            yield from ("", *_comment(_first_words(value)), f"[{item.name}]", *_lines(value))


def _first_words(settings: object) -> str:
    """Return what the docstring says, in one line, without the table's name before it."""
    words = " ".join((type(settings).__doc__ or "").split())
    said = words.partition("]`: ")[2] or words
    return said[:1].upper() + said[1:]


def _setting(item: "dataclasses.Field[Any]", value: object) -> Iterator[str]:
    yield from _comment(" ".join(_meaning(item)))
    if value != item.default:
        yield f"{item.name} = {_toml_value(value)}"
        return
    shown = item.metadata.get("example") or value
    if shown is not None:
        yield f"#{item.name} = {_toml_value(shown)}"


def _meaning(item: "dataclasses.Field[Any]") -> Iterator[str]:
    yield item.metadata.get("says", "")
    if "least" in item.metadata:
        yield f"{item.metadata['least']:g} to {item.metadata['most']:g}."
    if item.default in (None, ()) and item.metadata.get("example") is not None:
        yield "None unless set; for example:"
    elif item.default not in {dataclasses.MISSING, None, ()}:
        yield f"Default: {_toml_value(item.default)}."


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _toml_value(value: object) -> str:
    if dataclasses.is_dataclass(value):
        given = ((it, getattr(value, it.name)) for it in fields(value))
        return f"{{{', '.join(f'{it.name} = {_toml_value(has)}' for it, has in given if has != it.default)}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # A TOML basic string takes every escape that JSON makes; a JSON number is a TOML number.
    return json.dumps(value if isinstance(value, bool | int | float | str) else str(value))


def _section(table: dict[str, object], kind: type[T], prefix: str) -> T:
    known = {item.name: item for item in fields(cast("type[DataclassInstance]", kind))}
    hints = typing.get_type_hints(kind)
    for name in table:
        if name not in known:
            raise ConfigError(f"{prefix}{name}: there is no such setting{_meant(name, hints)}")
    values = {name: _value(value, hints[name], known[name], prefix + name) for name, value in table.items()}
    for name, item in known.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{prefix}{name}: this setting is missing{_OTHER_KIND}")
    return kind(**values)


def _meant(name: str, hints: Mapping[str, object]) -> str:
    """Return what was meant by a setting that is none: the same in a table that is there, or one whose name is near."""
    for table, kind in hints.items():
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and name in {it.name for it in fields(kind)}:
            return f" here; it belongs under [{table}]"
    from difflib import get_close_matches  # noqa: PLC0415 - needed by a fault alone

    near = get_close_matches(name, hints, 1, cutoff=0.85)
    return f". Did you mean {near[0]}?" if near else _OTHER_KIND


def _value(value: object, hint: object, item: "dataclasses.Field[Any]", name: str) -> object:
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(_of((dict,), value, name), hint, name + ".")
    if hint is Path:
        return _passed(_path(Path(_of((str,), value, name)), name), item, name)
    if typing.get_origin(hint) is tuple:
        kind, elements = typing.get_args(hint)[0], _of((list,), value, name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return tuple(_section(_of((dict,), element, name), kind, name + ".") for element in elements)
        return _passed(tuple(_of((str,), element, name) for element in elements), item, name)
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
