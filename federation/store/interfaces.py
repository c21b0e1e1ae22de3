"""What a party keeps, as interfaces. One contract suite (tests/contract/test_store_*.py) runs on every implementation.

Times are milliseconds since the Unix epoch; a limit is inclusive: what ends at t is good at t. Every method is one
transaction: when it returns, the change is durable; when it raises, nothing has changed. What is confidential arrives
sealed: the store never sees a key or a plaintext record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class StoredStatement:
    """A statement's exact bytes and the signature over them."""

    statement: bytes
    signature: bytes


@dataclass(frozen=True)
class StoredEpoch:
    """An encryption key of an epoch.

    Its X25519 half is `token_label` in the token, its ML-KEM seed is sealed under a token key.
    """

    key_id: bytes
    token_label: str
    sealed_seed: bytes
    statement: StoredStatement
    not_after: int


@dataclass(frozen=True)
class LogEntry:
    """An entry of the append-only log, whose sequence counts from 1.

    digest = SHA-256(previous digest || u64be(at) || sealed), where 32 zero bytes come before the first entry.
    """

    sequence: int
    at: int
    sealed: bytes
    digest: bytes


class ReplayMemory(Protocol):
    """Replay keys of admitted messages (B2): shared by all workers of a party, durable, failing closed."""

    def admit(self, key: bytes, *, now: int, until: int) -> bool:
        """Insert the key if absent and say whether it was; forget keys whose time is over."""
        ...


class Settings(Protocol):
    """Small named values of a party: its own key statement, the newest revocation list it has seen."""

    def get(self, name: str) -> bytes | None: ...

    def put(self, name: str, value: bytes) -> None: ...

    def advance(self, name: str, sequence: int, value: bytes) -> bool:
        """Put the value unless one of an equal or higher sequence is there; say whether it was put."""
        ...


class Epochs(Protocol):
    """A party's own encryption keys."""

    def put(self, epoch: StoredEpoch) -> None: ...

    def all(self) -> Sequence[StoredEpoch]:
        """All epochs, the one that ends last first."""
        ...

    def drop(self, key_id: bytes) -> None: ...


class Log(Protocol):
    """The append-only log, written before anything is released. The database itself refuses UPDATE and DELETE on it."""

    def append(self, *, at: int, sealed: bytes) -> LogEntry: ...

    def entries(self, *, after: int = 0) -> Iterator[LogEntry]: ...

    def verify(self) -> int:
        """Check the chain of digests and return the number of entries. Raises StoredRecordCorrupt."""
        ...


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
    not_after: int
    address: str | None


@dataclass(frozen=True)
class Ticket:
    """Who may take an identity (A3). The store holds the ticket's SHA-256 alone."""

    digest: bytes
    role: str
    identity: str
    expires_at: int
    issued_by: str


class Registrations(Protocol):
    """The public cloud's registrations, tickets and challenges."""

    def put_challenge(self, challenge: bytes, *, now: int, expires_at: int) -> None:
        """Keep a challenge. Raises StoreLimit when too many are open (100,000)."""
        ...

    def consume_challenge(self, challenge: bytes, *, now: int) -> bool:
        """Take the challenge away and say whether it was there and not expired: single use."""
        ...

    def put_ticket(self, ticket: Ticket) -> None: ...

    def find_ticket(self, digest: bytes, *, now: int) -> Ticket | None: ...

    def answer_to(self, request_digest: bytes, *, now: int) -> bytes | None:
        """The kept sealed answer to the same reg1, if it is not older than 10 minutes."""
        ...

    def reserve_serial(self, serial: bytes, *, role: str, identity: str, credential: bytes, at: int) -> None:
        """Insert the serial into the issuance log before anything is signed for it. Raises AlreadyStored for one used before."""
        ...

    def complete(
        self,
        registration: Registration,
        *,
        request_digest: bytes,
        answer: bytes,
        answer_until: int,
        ticket_digest: bytes | None,
        now: int,
    ) -> None:
        """Make the registration live in one transaction: consume the ticket, mark the issuance, keep the answer.

        A registration whose `not_after` is over gives way. Raises AlreadyStored if (role, identity) has a live registration
        and no re-issue was authorized, NotStored if the ticket is gone or names another, or the serial was not reserved.
        """
        ...

    def live(self, identity: str) -> Registration | None: ...

    def renew(self, identity: str, encryption_key_statement: StoredStatement, address: str | None) -> None:
        """Keep the newest encryption key and, if given, the address. Raises NotStored."""
        ...

    def authorize_reissue(self, identity: str) -> Registration:
        """End the live registration so that its identity may register again; return it. Raises NotStored."""
        ...

    def issued(self) -> Iterator[tuple[bytes, str, str, int]]:
        """The issuance log: serial, role, identity, time."""
        ...


@dataclass(frozen=True)
class SealedRow:
    """A row of the blind index. `row_key` and `row_id` are HMACs, `sealed` is AES-GCM: the database says nothing (C5)."""

    row_key: bytes
    row_id: bytes
    sealed: bytes


class Index(Protocol):
    """The public cloud's blind index."""

    def upsert(self, row: SealedRow) -> None: ...

    def withdraw(self, row_key: bytes, row_id: bytes) -> None:
        """Take the row out; none there is no error."""
        ...

    def rows(self, row_keys: Sequence[bytes]) -> Sequence[SealedRow]:
        """All rows under these keys, in a stable order."""
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

    def revoke(self, kind: RevocationKind, digest: bytes, *, expires_at: int, at: int) -> int:
        """Add an entry and return the version; one already there is no error, and no change.

        An entry may leave the book after `expires_at`, when what it names would not be accepted anyway.
        """
        ...

    def current(self, *, now: int) -> Revocations: ...


@dataclass(frozen=True)
class StoredAuthority:
    """A medical authority that the public cloud recognises, and its newest CRL."""

    authority_id: str
    certificate: bytes
    crl: bytes | None
    crl_number: int


class Authorities(Protocol):
    """The medical authorities of the federation."""

    def put(self, authority_id: str, certificate: bytes) -> None: ...

    def put_crl(self, authority_id: str, crl: bytes, crl_number: int) -> None:
        """Keep a newer CRL. Raises NotStored for an unknown authority, AlreadyStored for a CRL number not above the kept one."""
        ...

    def all(self) -> Sequence[StoredAuthority]: ...


@dataclass(frozen=True)
class StoredPart:
    """One part of a record: its bytes are an encrypted blob of that name."""

    kind: str
    name: str
    media_type: str
    size_bytes: int
    digest: bytes
    blob: str


@dataclass(frozen=True)
class StoredRecord:
    """One record at a hospital. `patient_key` is an HMAC of ID_P; `wrapped_key` is the record's key under the token."""

    handle: bytes
    version: int
    patient_key: bytes
    department_id: str
    department_class: str
    stored_at: int
    wrapped_key: bytes
    sealed_parts: bytes


@dataclass(frozen=True)
class OutboxEntry:
    """A publication that the public cloud has not acknowledged yet. `sealed` holds what to publish."""

    entry_id: bytes
    sealed: bytes
    attempts: int
    not_before: int


class Records(Protocol):
    """A hospital's records. Versions are appended, never overwritten."""

    def add(self, record: StoredRecord, *, outbox: OutboxEntry | None, answer: tuple[bytes, bytes] | None) -> None:
        """Keep a record, the intent to publish it, and the answer (H(sto), stoack), in one transaction.

        Raises AlreadyStored for a (handle, version) that is there.
        """
        ...

    def find(
        self, patient_key: bytes, *, department_class: str | None, handles: Sequence[bytes]
    ) -> Sequence[StoredRecord]:
        """The newest version of each record of the patient, oldest first; of one class, and of these handles, where given.

        An empty list of handles gives none: all records that fit come back.
        """
        ...

    def all(self) -> Iterator[StoredRecord]:
        """Every version of every record, in no order that means anything: for upkeep (which blobs are in use, wrapping anew)."""
        ...

    def answer_to(self, deposit_digest: bytes) -> bytes | None: ...

    def due(self, *, now: int, limit: int) -> Sequence[OutboxEntry]: ...

    def postpone(self, entry_id: bytes, *, not_before: int) -> None: ...

    def settle(self, entry_id: bytes) -> None:
        """Take a published entry out of the outbox."""
        ...

    def outbox_size(self) -> int: ...


@dataclass(frozen=True)
class StoredRoom:
    """A room of the relay and the public statements of its doctor."""

    room_id: bytes
    doctor_id: str
    key_statement: StoredStatement
    doctor_certificate: bytes
    encryption_key_statement: StoredStatement
    expires_at: int


class Rooms(Protocol):
    """The relay's mailboxes."""

    def open(self, room: StoredRoom, *, now: int, most_per_doctor: int) -> None:
        """Keep a room. Raises StoreLimit when the doctor has too many open. Rooms that have expired go, with their frames."""
        ...

    def get(self, room_id: bytes, *, now: int) -> StoredRoom | None: ...

    def put_frame(
        self, room_id: bytes, direction: int, number: int, frame: bytes, *, now: int, most_bytes: int
    ) -> None:
        """Keep the next frame of a direction, numbered from 0. The same frame under the same number again is taken once.

        Raises NotStored for no such room, AlreadyStored for another frame under that number, OutOfSequence for a number
        that is not the next, StoreLimit when the room holds too much (each frame counts 64 bytes beside its own).
        """
        ...

    def frames(
        self, room_id: bytes, direction: int, *, from_number: int, limit: int
    ) -> Sequence[tuple[int, bytes]]: ...


class Evidence(Protocol):
    """What a holder keeps to show a judge: the exact signed fields, sealed under a token key (docs/protocol.md, 7)."""

    def add(self, kind: str, reference: bytes, sealed: bytes, *, at: int) -> None: ...

    def all(self, kind: str | None = None) -> Iterator[tuple[str, bytes, bytes, int]]: ...
