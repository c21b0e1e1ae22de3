"""What every party keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


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


@dataclass(frozen=True)
class SealedEntry:
    """An entry of the log to be: when, and what, sealed."""

    at: int
    sealed: bytes


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

    def reseal(self, key_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace the sealed seed if it is still the old one, and say whether it was."""
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
class StoredEvidence:
    """A piece of evidence; its id was the digest of all the rest when it was added, and stays when it is sealed anew."""

    entry_id: bytes
    kind: str
    reference: bytes
    sealed: bytes
    at: int


class Evidence(Protocol):
    """What a holder keeps to show a judge: the exact signed fields, sealed under a token key (docs/protocol.md, 7)."""

    def add(self, kind: str, reference: bytes, sealed: bytes, *, at: int) -> None: ...

    def walk(self) -> Iterator[StoredEvidence]: ...

    def reseal(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in a piece if it is still the old, and say whether it was."""
        ...

    def all(self, kind: str | None = None) -> Iterator[tuple[str, bytes, bytes, int]]: ...
