"""What `medunion check` finds: every dependency of a node tried once, each said in words, whether the node serves or not.

Nothing is migrated, registered or renewed on the way; the probes leave nothing behind.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

from federation.clock import Clock
from federation.errors import FederationError
from federation.party.generations import StoredGenerations
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory
from federation.person.profile import DoctorSettings, PatientSettings
from federation.protocol.bundle import TrustedBundle
from federation.protocol.time import Freshness
from federation.settings import BlobSettings, CloudSettings, ConfigError, DatabaseSettings, HospitalSettings
from federation.store.database import Database
from federation.store.errors import StoreError
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from hsm import PinProvider, Token
from hsm.errors import HsmError
from keystore.errors import KeystoreError
from keystore.party import CloudKeys, HospitalKeys, PartyKeys

NodeSettings = CloudSettings | HospitalSettings | DoctorSettings | PatientSettings

_REMEDIES = {
    "PIN_INCORRECT": "give the right PIN (--pin-file); each wrong one counts towards locking the token",
    "PIN_LOCKED": "unlock the token with its maker's tools and the security officer's PIN",
    "PIN_FINAL_TRY": "unlock the token with its maker's tools before you try a PIN again",
    "PIN_UNAVAILABLE": "make the PIN's file readable for this user alone, mode 0600",
    "TOKEN_NOT_FOUND": "connect the token, or correct token.uri; `medunion token list` shows what is there",
    "TOKEN_AMBIGUOUS": "name the token by serial= in token.uri",
    "MODULE_NOT_FOUND": "install the token's PKCS#11 module, or correct module-path in token.uri",
    "MODULE_UNUSABLE": "correct module-path in token.uri",
    "KEY_NOT_FOUND": "restore the keys (docs/ceremonies/backup.md), or name the token that holds them",
    "KEY_AMBIGUOUS": "`medunion token keys` shows the two; destroy the one that is not the node's",
    "KEYS_DIFFER": "find out which of the two is the node's, and take the other out of its token (docs/tokens.md)",
    "GROUP_MAKES_NO_KEYS": "put the same key into every token of the node first (docs/tokens.md)",
    "KEY_POLICY_VIOLATION": "`medunion token keys` shows them; rotate such a key (docs/rotation.md)",
    "STORE_FULL": "make room on the disk of the records' shelf (docs/operations.md)",
    "STORE_UNAVAILABLE": "see that the database runs and takes this user (docs/operations.md)",
    "STORED_RECORD_CORRUPT": "stop the node, keep a copy of the database, and restore a backup",
    "NETWORK_FORBIDDEN": "name its network in [dialling], or find out why its address is another (docs/running.md)",
    "UNAVAILABLE": "see that the other side serves, and that nothing between keeps you from it",
    "BUNDLE_STALE": "see that the public cloud can be reached; the bundle is followed by itself then",
    "NOT_REGISTERED": "register: `medunion hospital|doctor|patient register`",
    "CREDENTIAL_EXPIRED": "register again with a new ticket",
    "CREDENTIAL_REVOKED": "ask the public cloud's operator why; register again with a new ticket",
    "REVOCATION_LIST_STALE": "see that the public cloud can be reached, and that this clock is right",
    "BIOMETRIC_MISMATCH": "let the person whose device it is be read",
    "REJECTED": "compare this clock with the public cloud's; its log has the cause",
    "TLS_UNTRUSTED": "see that trust.json is the federation's newest, and that nothing terminates TLS in between",
}
"""What to do about a fault, by its reason."""

_EXPECTED = (FederationError, ConfigError, StoreError, HsmError, KeystoreError, OSError)


class Verdict(StrEnum):
    """What is to be thought of a finding; WRONG alone makes the check fail."""

    OK = "ok"
    NOTE = "note"
    UNSEEN = "unseen"
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, how it is, and what to do where it is wrong."""

    what: str
    verdict: Verdict
    says: str
    do: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of node: its settings, and its keys."""

    role: str
    settings: type[NodeSettings]
    keys: type[PartyKeys]


KINDS = {
    "C": Kind("public-cloud", CloudSettings, CloudKeys),
    "H": Kind("hospital", HospitalSettings, HospitalKeys),
    "D": Kind("doctor", DoctorSettings, PartyKeys),
    "P": Kind("patient", PatientSettings, PartyKeys),
}
"""By the first letter of the identity."""


@dataclass
class Examined:
    """A node while it is looked at: what could be opened of it so far."""

    directory: NodeDirectory
    kind: Kind
    settings: NodeSettings
    pin: Callable[[], PinProvider]
    clock: Clock
    opened: ExitStack = field(default_factory=ExitStack)
    database: Database | None = None
    token: Token | None = None
    keys: PartyKeys | None = None
    trust: TrustedBundle | None = None
    member: Member | None = None

    @property
    def identity(self) -> str:
        """Return whose node it is."""
        return self.settings.identity

    @property
    def freshness(self) -> Freshness:
        """Return the node's freshness window."""
        return self.settings.protocol.freshness

    @property
    def database_settings(self) -> DatabaseSettings:
        """Return `[database]`, which is always the default for doctors and patients."""
        return getattr(self.settings, "database", DatabaseSettings())

    @property
    def blob_settings(self) -> BlobSettings | None:
        """Return `[blobs]` of a hospital."""
        return getattr(self.settings, "blobs", None)

    @property
    def kept(self) -> Settings:
        """Return the party's small values. Raises ConfigError without a database."""
        return Settings(self.need_database())

    def need_database(self) -> Database:
        """Return the database. Raises NotSeen if it could not be opened."""
        if self.database is None:
            raise NotSeen("the database")
        return self.database

    def need_token(self) -> Token:
        """Return the token. Raises NotSeen if it could not be opened."""
        if self.token is None:
            raise NotSeen("the token")
        return self.token

    def need_keys(self) -> PartyKeys:
        """Return the keys. Raises NotSeen if they could not be opened."""
        if self.keys is None:
            raise NotSeen("the keys")
        return self.keys

    def need_trust(self) -> TrustedBundle:
        """Return the newest trust bundle. Raises NotSeen if there is none that can be read."""
        if self.trust is None:
            raise NotSeen("the trust bundle")
        return self.trust

    def need_member(self) -> Member:
        """Return the party as a member of the federation; the public cloud is none. Raises NotSeen."""
        if self.member is None:
            self.member = self._member()
        return self.member

    def _member(self) -> Member:
        keys, database, settings = self.need_keys(), self.need_database(), self.settings
        protocol = settings.protocol
        return Member(
            self.identity,
            keys,
            Settings(database),
            Epochs(database),
            self.directory.trust(),
            protocol.freshness,
            protocol.lifetimes,
            KeptShards(database) if self.directory.letter == "H" else None,
        )

    @property
    def book(self) -> StoredGenerations:
        """Return the generations of its keys. Raises NotSeen without a database."""
        return StoredGenerations(self.kept)


class NotSeen(Exception):
    """Something could not be looked at, for want of something else."""


Look = Callable[[Examined], Iterable[Finding]]


def look(what: str, examined: Examined, at: Look) -> Iterator[Finding]:
    """Look at one dependency; what fails is a finding."""
    try:
        yield from at(examined)
    except NotSeen as error:
        yield Finding(what, Verdict.UNSEEN, f"not looked at, for want of {error}")
    except _EXPECTED as error:
        yield failed(what, error)


def failed(what: str, error: BaseException) -> Finding:
    """Return a fault in words, and what to do about it."""
    if isinstance(error, OSError) and not isinstance(error, HsmError):
        said = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        return Finding(what, Verdict.WRONG, said)
    reason = getattr(error, "reason", None)
    return Finding(what, Verdict.WRONG, f"{error} [{reason}]" if reason else str(error), remedy_of(error))


def remedy_of(error: BaseException) -> str:
    """Return what to do; nothing where the fault's own words say it."""
    return _REMEDIES.get(getattr(error, "reason", None) or "", "")
