"""What a hospital keeps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from federation.store.interfaces.party import Act, StoredStatement


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
    """One record at a hospital. `patient_key` is an HMAC of ID_P; `wrapped_key` is the record's key under the token.

    `generation` says which generation of the index key made the HMAC. `keep_until` is when the retention of this version
    ends, if that was said.
    """

    handle: bytes
    version: int
    patient_key: bytes
    department_id: str
    department_class: str
    stored_at: int
    wrapped_key: bytes
    sealed_parts: bytes
    generation: int = 1
    keep_until: int | None = None


@dataclass(frozen=True)
class OutboxEntry:
    """A publication that the public cloud has not acknowledged yet. `sealed` holds what to publish."""

    entry_id: bytes
    sealed: bytes
    attempts: int
    not_before: int


class Records(Protocol):
    """A hospital's records. Versions are appended, never overwritten."""

    def add(
        self,
        record: StoredRecord,
        *,
        outbox: OutboxEntry | None,
        answer: tuple[bytes, bytes] | None,
        act: Act | None = None,
    ) -> None:
        """Keep a record, the intent to publish it, and the answer (H(sto), stoack), in one transaction.

        Raises AlreadyStored for a (handle, version) that is there.
        """
        ...

    def find(
        self, patient_keys: Sequence[bytes], *, department_class: str | None, handles: Sequence[bytes]
    ) -> Sequence[StoredRecord]:
        """The newest version of each record of the patient, oldest first; of one class, and of these handles, where given.

        A record that is withdrawn is not found. The patient has a key under each generation of the index key that is not
        revoked: give them all, for a record that moves from one to another is then found once. An empty list of handles gives
        none: all records that fit come back.
        """
        ...

    def all(self) -> Iterator[StoredRecord]:
        """Every version of every record, in no order that means anything: for upkeep (which blobs are in use, wrapping anew)."""
        ...

    def rewrap(self, old: StoredRecord, new: StoredRecord) -> bool:
        """Replace patient key, generation, wrapped key and parts of a version if it is still as given; say whether it was.

        Handle, version, department and time are the old ones'. Raises ValueError if they are not.
        """
        ...

    def count(self, generation: int) -> int:
        """How many versions of records a generation of the index key names."""
        ...

    def answer_to(self, deposit_digest: bytes) -> bytes | None: ...

    def intend(self, entry: OutboxEntry) -> bool:
        """Keep an intent to publish a record that is there already, unless it waits already; say whether it was kept."""
        ...

    def due(self, *, now: int, limit: int) -> Sequence[OutboxEntry]:
        """The entries to publish now, the longest due first. Take one before it is published: another worker has it too."""
        ...

    def take(self, entry: OutboxEntry, *, until: int) -> bool:
        """Count an attempt and keep the entry from others until then; False if another took, put off or settled it."""
        ...

    def postpone(self, entry_id: bytes, *, not_before: int) -> None:
        """Leave an entry that was taken alone until then; one settled meanwhile is no error."""
        ...

    def settle(self, entry_id: bytes) -> None:
        """Take a published entry out of the outbox."""
        ...

    def outbox(self) -> Iterator[OutboxEntry]:
        """Every entry, due or not."""
        ...

    def reseal_outbox(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in an entry if it is still the old, and say whether it was."""
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

    def close(self, room_id: bytes) -> None:
        """Remove a room with its frames; none there is no error."""
        ...

    def sweep(self, *, now: int) -> int:
        """Remove rooms that have expired, with their frames, some at a time; say how many."""
        ...

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

    def all_bytes(self) -> int:
        """What all rooms hold together. It reads them all: ask seldom."""
        ...

    def held_bytes(self, room_ids: Sequence[bytes]) -> Mapping[bytes, int]:
        """What each of these rooms holds, which grows with every frame; a room that is not there is left out."""
        ...
