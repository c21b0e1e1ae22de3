"""What the public cloud keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from federation.store.interfaces.party import SealedEntry, StoredStatement


@dataclass(frozen=True)
class Registration:
    """A live registration: what the public cloud keeps of a party. S_X is not among it; K_X is sealed (findings A5)."""

    role: str
    identity: str
    serial: bytes
    credential: bytes
    registration_point: bytes
    verifying_key: bytes
    key_statement: StoredStatement
    encryption_key_statement: StoredStatement
    sealed_shared_key: bytes
    not_before: int
    not_after: int
    address: str | None


@dataclass(frozen=True)
class Superseded:
    """A credential whose place another one took before its time was over."""

    serial: bytes
    not_after: int


@dataclass(frozen=True)
class Ticket:
    """Who may take an identity (A3). The store holds the ticket's SHA-256 alone."""

    digest: bytes
    role: str
    identity: str
    expires_at: int
    issued_by: str


class Registrations(Protocol):
    """The public cloud's registrations and tickets.

    An `entry` for the log is written in the transaction of the change that it tells of: it is there if, and only if, that is.
    """

    def put_ticket(self, ticket: Ticket, *, entry: SealedEntry | None = None) -> None: ...

    def find_ticket(self, digest: bytes, *, now: int) -> Ticket | None: ...

    def answer_to(self, request_digest: bytes, *, now: int) -> bytes | None:
        """The kept sealed answer to the same reg1, if it is not older than 10 minutes."""
        ...

    def reserve_serial(
        self,
        serial: bytes,
        *,
        role: str,
        identity: str,
        credential: bytes,
        at: int,
        until: int,
        supersedes: bytes | None = None,
    ) -> None:
        """Insert the serial into the issuance log before anything is signed for it, if it is this registration's turn.

        One of an identity is under way at a time, until it is completed or released, or its time is over: of two at once the
        loser uses no serial up. Raises AlreadyStored for a serial used before, where another is under way, and where something
        else is live than what `supersedes` names; NotStored where nothing is.
        """
        ...

    def release(self, identity: str, serial: bytes) -> None:
        """Let another registration of the identity begin: this one won't be completed. None under way is no error."""
        ...

    def complete(
        self,
        registration: Registration,
        *,
        request_digest: bytes,
        answer: bytes,
        answer_until: int,
        ticket_digest: bytes | None,
        supersedes: bytes | None = None,
        now: int,
        entry: SealedEntry | None = None,
    ) -> None:
        """Make the registration live in one transaction: consume the ticket, mark the issuance, keep the answer.

        A registration whose `not_after` is over gives way, and so does the live one whose serial is `supersedes`: a renewal.
        Raises AlreadyStored if (role, identity) has another live registration and no re-issue was authorized; NotStored if the
        ticket is gone or names another, if the serial was not reserved, or if there is nothing live to supersede.
        """
        ...

    def live(self, identity: str) -> Registration | None: ...

    def walk(self) -> Iterator[Registration]:
        """Every registration, those whose time is over among them."""
        ...

    def superseded(self, identity: str, *, now: int) -> Sequence[Superseded]:
        """The credentials of an identity that renewals replaced and that are not over, the one that ends first in front."""
        ...

    def credential_of(self, serial: bytes) -> bytes | None:
        """The credential of any serial in the issuance log, whatever became of it."""
        ...

    def reseal(self, identity: str, old: bytes, new: bytes) -> bool:
        """Replace the sealed K_X of a registration if it is still the old one, and say whether it was."""
        ...

    def restate(self, identity: str, old: StoredStatement, new: StoredStatement) -> bool:
        """Replace the key statement of a registration if it is still the old one, and say whether it was."""
        ...

    def count_issued(self, *, since: int, until: int, now: int) -> int:
        """How many live registrations have a credential with since <= not_before < until."""
        ...

    def renew(
        self,
        identity: str,
        encryption_key_statement: StoredStatement,
        address: str | None,
        *,
        entry: SealedEntry | None = None,
    ) -> None:
        """Keep the newest encryption key and, if given, the address. Raises NotStored."""
        ...

    def authorize_reissue(self, identity: str, serial: bytes, *, entry: SealedEntry | None = None) -> Registration:
        """End the live registration of that serial so that its identity may register again; return it.

        Raises NotStored, also if a renewal has taken its place meanwhile.
        """
        ...

    def issued(self) -> Iterator[tuple[bytes, str, str, int]]:
        """The issuance log: serial, role, identity, time."""
        ...


@dataclass(frozen=True)
class SealedRow:
    """A row of the blind index: all but the generation are HMACs and AES-GCM, so that the database names nobody (C5).

    `bucket` is 16 bits of the patient's pseudorandom value: what lies together, of one patient in 1,500 at 100 million.
    `hospital_key` is the same in all rows of one patient of one hospital. `generation` says which generation of the index key
    they come from.
    """

    bucket: int
    row_key: bytes
    row_id: bytes
    hospital_key: bytes
    sealed: bytes
    generation: int = 1

    @property
    def name(self) -> "RowName":
        """Give what the row is called."""
        return RowName(self.bucket, self.row_key, self.row_id)

    @property
    def owner(self) -> "RowOwner":
        """Give whose row it is: one patient's, of one hospital."""
        return RowOwner(self.bucket, self.hospital_key)


class RowName(NamedTuple):
    """A row's bucket, key and id."""

    bucket: int
    row_key: bytes
    row_id: bytes


class RowOwner(NamedTuple):
    """One patient and one hospital, as its rows tell them."""

    bucket: int
    hospital_key: bytes


@dataclass(frozen=True)
class RowBound:
    """How many rows a patient may have of one hospital, and what it is called in them, one name a generation."""

    owners: Sequence[RowOwner]
    most: int


@dataclass(frozen=True)
class Wanted:
    """Which rows of a patient are looked for: under these keys of a bucket, and of these hospitals unless of all."""

    bucket: int
    row_keys: Sequence[bytes]
    hospital_keys: Sequence[bytes] | None = None


@dataclass(frozen=True)
class RowPage:
    """Some of the rows that were looked for, and how many there are in all."""

    rows: Sequence[SealedRow]
    total: int


class Index(Protocol):
    """The public cloud's blind index."""

    def upsert(
        self,
        row: SealedRow,
        *,
        replaces: Sequence[RowName] = (),
        bound: RowBound | None = None,
        entry: SealedEntry | None = None,
    ) -> None:
        """Keep a row; one of the same name gives way, and so do those it replaces: its own under older generations.

        Raises StoreLimit where that makes one row more than the bound.
        """
        ...

    def withdraw(self, *names: RowName, entry: SealedEntry | None = None) -> None:
        """Take the rows out, under whatever generation they are; none there is no error."""
        ...

    def purge(self, owners: Sequence[RowOwner]) -> int:
        """Take out all rows of these owners, and say how many it were."""
        ...

    def count_of(self, owners: Sequence[RowOwner]) -> int:
        """How many rows these owners have."""
        ...

    def walk(self) -> Iterator[SealedRow]: ...

    def reseal(self, row: SealedRow, sealed: bytes) -> bool:
        """Replace what is sealed in a row if the row is still as given, and say whether it was."""
        ...

    def move(self, old: SealedRow, new: SealedRow) -> bool:
        """Put the new row in the old one's place if that is still as given, and say whether it was.

        A row that stands under the new name already is newer and stays; the old one goes all the same.
        """
        ...

    def count(self, generation: int) -> int:
        """How many rows a generation of the index key names."""
        ...

    def page(self, wanted: Sequence[Wanted], *, offset: int, limit: int) -> RowPage:
        """Some of the rows that are looked for, in a stable order in which each owner has its turn: the first of each, the
        second of each. Nobody who has many stands before one who has few."""
        ...

    def older(self, wanted: Sequence[Wanted], *, than: int, limit: int) -> Sequence[SealedRow]:
        """Some of the rows that are looked for and are under an earlier generation."""
        ...


@dataclass(frozen=True)
class Revocations:
    """What is revoked now, as the entries of the next list."""

    version: int
    serials: Sequence[bytes]
    grants: Sequence[bytes]
    key_ids: Sequence[bytes]


RevocationKind = Literal["serial", "grant", "key"]


class RevocationBook(Protocol):
    """What the public cloud has revoked. Every change raises `version` by one."""

    def revoke(
        self, kind: RevocationKind, digest: bytes, *, expires_at: int, at: int, entry: SealedEntry | None = None
    ) -> int:
        """Add an entry and return the version; one already there is no error, and no change.

        An entry may leave the book after `expires_at`, when what it names would not be accepted anyway.
        """
        ...

    def current(self, *, now: int) -> Revocations: ...


@dataclass(frozen=True)
class StoredAuthority:
    """A key of a medical authority that the public cloud recognises, whom it may certify, and its newest CRL."""

    authority_id: str
    certificate: bytes
    doctor_ids: tuple[str, ...]
    crl: bytes | None
    crl_number: int


class Authorities(Protocol):
    """The medical authorities of the federation. One stands twice while its key is rotated: each certificate has its CRL."""

    def put(
        self, authority_id: str, certificate: bytes, doctor_ids: tuple[str, ...], *, entry: SealedEntry | None = None
    ) -> None:
        """Recognise a certificate of an authority for these doctors; one that is there has this scope, and keeps its CRL."""
        ...

    def put_crl(
        self, authority_id: str, certificate: bytes, crl: bytes, crl_number: int, *, entry: SealedEntry | None = None
    ) -> None:
        """Keep a certificate's newer CRL.

        Raises NotStored for an unknown authority or certificate, AlreadyStored for a CRL number not above the kept one.
        """
        ...

    def drop(self, authority_id: str, certificate: bytes, *, entry: SealedEntry | None = None) -> None:
        """Recognise a certificate no longer; none there is no error."""
        ...

    def all(self) -> Sequence[StoredAuthority]:
        """All certificates by authority, in a stable order."""
        ...


class TrustChain(Protocol):
    """The signed trust bundles of a federation by their sequence; a public cloud keeps all that it ever signed."""

    def put(self, sequence: int, bundle: StoredStatement) -> None:
        """Keep a bundle. Raises AlreadyStored if one of its number, or a newer one, is there."""
        ...

    def newest(self) -> tuple[int, StoredStatement] | None: ...

    def after(self, sequence: int, *, limit: int) -> Sequence[tuple[int, StoredStatement]]:
        """The bundles whose sequence is above, in order, at most `limit`."""
        ...
