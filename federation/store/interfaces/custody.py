"""What a hospital keeps about its records beside them: until when, where each stands, what holds it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from federation.store.interfaces.hospital import OutboxEntry, StoredRecord
from federation.store.interfaces.party import SealedEntry

StandingName = Literal["shown", "withdrawn", "erased"]


@dataclass(frozen=True)
class Standing:
    """Where a record stands since `changed_at`; entry `logged` of the log says why. A record without one was never changed.

    "withdrawn": on file, and not found. "shown": found again. "erased": not on file any more; it stays so.
    """

    handle: bytes
    standing: StandingName
    changed_at: int
    logged: int

    @property
    def is_shown(self) -> bool:
        """Say whether the record is to be found."""
        return self.standing == "shown"


@dataclass(frozen=True)
class Hold:
    """A legal hold on a record: as long as there is one, it is not erased. Entry `logged` of the log says why."""

    handle: bytes
    hold_id: bytes
    placed_at: int
    logged: int


class Custody(Protocol):
    """A hospital's custody of its records. A change and its entry in the log are one transaction."""

    def versions(self, handle: bytes) -> Sequence[StoredRecord]:
        """Every version of a record, the oldest first; none of one that is not on file."""
        ...

    def handles(
        self,
        *,
        patient_keys: Sequence[bytes] | None = None,
        kept_until_before: int | None = None,
        undated: bool = False,
    ) -> Iterator[bytes]:
        """The records on file, by handle; a patient's, those of which no version is kept any more, those without a date."""
        ...

    def standing(self, handle: bytes) -> Standing | None: ...

    def standings(self, standing: StandingName) -> Iterator[Standing]:
        """Every record that stands so, by handle."""
        ...

    def holds(self, handle: bytes | None = None) -> Iterator[Hold]:
        """The holds on a record, or all, by handle and id."""
        ...

    def keep(self, handle: bytes, until: int, entry: SealedEntry) -> None:
        """Set until when every version of a record is kept. Raises NotStored."""
        ...

    def hold(self, handle: bytes, hold_id: bytes, entry: SealedEntry) -> None:
        """Place a hold. Raises NotStored."""
        ...

    def release(self, handle: bytes, hold_id: bytes, entry: SealedEntry) -> None:
        """Take a hold away. Raises NotStored."""
        ...

    def stand(self, handle: bytes, standing: StandingName, outbox: OutboxEntry, entry: SealedEntry) -> bool:
        """Withdraw a record that is shown, or show one that is withdrawn, and intend to tell the index.

        Gives False, and changes nothing, if it stands so already. Raises NotStored.
        """
        ...

    def correct(self, record: StoredRecord, entry: SealedEntry) -> None:
        """Keep another version. Raises NotStored unless the one before is the newest, AlreadyStored for one that is there."""
        ...

    def erase(
        self, versions: Sequence[StoredRecord], *, blobs: Sequence[str], outbox: OutboxEntry, entry: SealedEntry
    ) -> bool:
        """Destroy the wrapped keys of a record, condemn its blobs and intend to take it out of the index.

        Gives False, and changes nothing, unless the record has exactly these versions still. Raises StillHeld while there is
        a hold, StillKept unless every version's `keep_until` is before `entry.at`.
        """
        ...

    def condemned(self, *, limit: int) -> Sequence[str]:
        """Blobs whose record is erased and that are still to be removed."""
        ...

    def buried(self, name: str) -> None:
        """Forget a condemned blob, which is removed."""
        ...
