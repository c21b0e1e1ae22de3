"""The audit log: who was given or refused what, sealed, in the append-only log. Durable before `record` returns.

An entry may name identities, so it is sealed under the party's token; it never holds a key, a PIN or a record's content. What
operators watch day by day is another thing (`federation.wire.operations`), and names nobody.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from federation.errors import BudgetExhausted, Corrupt, FederationError, LeafMismatch
from federation.party.patients import LogPlace, Patients
from federation.party.reencryption import Steps, sealed_under
from federation.protocol.access import AccessEvent
from federation.protocol.access_log import entry_of
from federation.protocol.log_leaf import BLIND_BYTES, access_leaf, event_leaf, require_leaf
from federation.protocol.merkle import leaf_hash
from federation.protocol.parties import Pending, reason_of
from federation.protocol.time import Instant
from federation.store.errors import BudgetSpent, StoreError
from federation.store.log import Log, new_entry_id
from federation.store.rows import NOTHING, About, Admission, Beside, LogEntry, SealedEntry, StoredAccess
from federation.v1.access_pb2 import AccessEntry
from federation.wire import operations
from keystore.errors import GenerationRevoked, SealBroken
from keystore.identities import PatientId
from keystore.keyring import Sealing
from keystore.transcript import transcript, u64

S = TypeVar("S")

OK = "OK"
FORGOTTEN = "FORGOTTEN"
"""The kind of an entry whose sealing key was revoked, as was agreed to (docs/adr/0018-rotation.md)."""
SHREDDED = "SHREDDED"
"""The kind, and the reason, of an entry that was destroyed when its time was over."""
LOG_SHREDDED = "LOG-SHREDDED"
_LONGEST_DETAIL = 300
_DIGESTS = ("authorization", "grant_digest")


@dataclass(frozen=True)
class AuditEvent:
    """Something that was done or refused. `reason` is OK or an error's reason; `detail` a sentence for the operator."""

    kind: str
    reason: str
    method: str = ""
    detail: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """An entry as the operator reads it. `blind` opens its leaf; it is nothing where the entry is forgotten or shredded.

    `request_id` is that of the call which it was written in, or nothing. An access's leaf doesn't commit to it: nobody but the
    operator is told of it.
    """

    sequence: int
    at: int
    event: AccessEvent | AuditEvent
    blind: bytes = b""
    request_id: str = ""


def refusal(error: BaseException, method: str, request_id: str) -> AuditEvent:
    """Return the event of a refused call: the precise reason, which the wire may not have said.

    An error without a reason is a fault of ours whose sentence could hold anything: its class alone is kept.
    """
    reason = reason_of(error)
    detail = type(error).__name__ if reason == FederationError.reason else precise_sentence(error)[:_LONGEST_DETAIL]
    return AuditEvent("REFUSAL", reason, method, detail, request_id)


def precise_sentence(error: BaseException) -> str:
    """Return the sentence of what `reason_of` names: of the cause, where the refusal hides one."""
    cause = error.__cause__
    hidden = cause is not None and reason_of(error) == reason_of(cause)
    return precise_sentence(cause) if hidden and cause is not None else str(error)


@contextmanager
def budgeted() -> Iterator[None]:
    """Refuse, and tell the operator, what finds a budget used up in its own transaction. Raises BudgetExhausted."""
    try:
        yield
    except BudgetSpent as error:
        operations.warning("budget-exhausted", budget=error.kind)
        raise BudgetExhausted(str(error)) from error


@dataclass(frozen=True)
class LogPage:
    """Accesses as their patient is told of them, the newest first, and the last one's place where older ones are left."""

    accesses: tuple[AccessEntry, ...]
    after: LogPlace | None


class Audit:
    """Writes and reads the audit log of one party. Safe for several threads and processes."""

    def __init__(
        self,
        log: Log,
        sealing: Sealing,
        patients: Patients | None = None,
        *,
        where: str,
        listed_at: Callable[[], Instant | None] = lambda: None,
    ) -> None:
        """Log to this store, sealed under this key of the token; `where` is whose log it is, by its id.

        With `patients`, accesses are found by whom they are about. `listed_at` gives the time of the revocation list at hand, by
        which accesses are decided.
        """
        self._log = log
        self._sealing = sealing
        self._where = where
        self._patients = patients
        self._listed_at = listed_at

    def record(self, event: AccessEvent | AuditEvent, *, now: int, beside: Beside = NOTHING) -> None:
        """Seal and append an event, with what goes with it; it is durable when this returns.

        Raises BudgetExhausted, StoreError, HsmError: then release nothing, and nothing is written.
        """
        entry = self.entry(event, now=now, beside=beside)
        with budgeted():
            self._log.append(entry)

    def take(self, pending: Pending[S], event: AccessEvent | AuditEvent, *, now: int, beside: Beside = NOTHING) -> S:
        """Take a message, and record what it leads to, in one transaction. Raises Rejected for a replay, and as `record`."""
        admission = Admission(pending.replay_key, now, pending.keep_until)
        entry = self.entry(event, now=now, beside=beside)
        with budgeted():
            return pending.admit(self._log.append_once(entry, admission))

    def entry(self, event: AccessEvent | AuditEvent, *, now: int, beside: Beside = NOTHING) -> SealedEntry:
        """Seal an event, for a store that appends it in the transaction of what it tells of. Raises HsmError."""
        event, blind = self._dated(event, now), secrets.token_bytes(BLIND_BYTES)
        leaf = leaf_hash(leaf_data(event, self._where, now, blind))
        beneath = {"blind": blind.hex(), "call": operations.request_id()}
        sealed = self._sealing.seal(_as_json(_fields(event) | beneath), _context(now))
        return SealedEntry(now, sealed, new_entry_id(), leaf, self._about(event), beside)

    def entry_of(self, entry_id: bytes) -> AuditEntry:
        """Open the entry of this id. Raises NotStored, Corrupt."""
        self._log.sequence()
        return self.opened(self._log.entry_of(entry_id))

    def entries(self, *, after: int = 0, since: Instant = 0) -> Iterator[AuditEntry]:
        """Open the entries from a time on, in order. Raises Corrupt for one that does not open."""
        return (self.opened(entry) for entry in self._log.entries(after=after) if entry.at >= since)

    def accesses_of(
        self, patient_id: PatientId, *, after: LogPlace | None = None, limit: int
    ) -> Sequence[tuple[LogPlace, AuditEntry]]:
        """Open the newest accesses to one patient's records behind a place in the log, each with its own, the newest first.

        Raises Corrupt, also for an entry about another patient.
        """
        if self._patients is None:
            return ()
        sealed, number = self._patients.entries_about(patient_id, after=after, limit=limit)
        found = [(LogPlace(entry.sequence, number - place), self.opened(entry)) for place, entry in enumerate(sealed)]
        if any(isinstance(it.event, AccessEvent) and it.event.patient_id != patient_id for _, it in found):
            raise Corrupt("an entry of the audit log is not about whom the store says")
        return found

    def log_of(self, patient_id: PatientId, *, after: LogPlace | None = None, limit: int) -> LogPage:
        """Return the same as the patient is told of it, unproved yet; what was forgotten is left out. Raises Corrupt."""
        found = self.accesses_of(patient_id, after=after, limit=limit)
        told = (
            entry_of(it.event, number=place.number, at=it.at, leaf_index=place.sequence - 1, blind=it.blind)
            for place, it in found
            if isinstance(it.event, AccessEvent)
        )
        return LogPage(tuple(told), found[-1][0] if found and found[-1][0].number > 1 else None)

    def name_anew(self) -> Steps:
        """Name by the active index key the accesses that an older one names. One whose entry was forgotten is named no more."""
        for row in self._patients.accesses.walk() if self._patients else ():
            try:
                yield self._named_anew(row)
            except (FederationError, StoreError) as error:
                # It stays as it is, and its index key with it; the walk goes on behind it.
                operations.failure("access-not-named-anew", error)
                yield False

    def verify(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Let the tree grow anew from its leaves, open each entry to its own, and return the number of entries.

        `progress` is told of entries as they are read. Raises StoredRecordCorrupt, Corrupt.
        """

        def look(entry: LogEntry) -> None:
            self.opened(entry)
            progress(1)

        return self._log.verify(look)

    def shred(self, *, before: Instant, now: Instant, witnessed: int = 0) -> int:
        """Destroy the entries that are older than a time, and say in the log that it was done; return how many.

        So many entries had been witnessed by then, and are older whatever a clock dated them. Raises StoreError, HsmError.
        """
        up_to = self._log.due(before=before, witnessed=witnessed)
        if up_to <= self._log.shredded():
            return 0
        # Said first: whoever finds entries gone finds why.
        self.record(AuditEvent(LOG_SHREDDED, OK, detail=f"entries up to {up_to}, whose time is over"), now=now)
        return sum(iter(lambda: self._log.shred(up_to), 0))

    def count_under(self, generation: int) -> int:
        """Count the entries that a sealing generation sealed."""
        sealed = (entry.sealed for entry in self._log.entries() if entry.sealed is not None)
        return sealed_under(sealed, self._sealing, generation)

    def _dated(self, event: AccessEvent | AuditEvent, now: int) -> AccessEvent | AuditEvent:
        """Return an access with how old the list was that it was decided by."""
        if not isinstance(event, AccessEvent) or (listed_at := self._listed_at()) is None:
            return event
        return replace(event, list_age_seconds=max(0, now - listed_at) // 1000)

    def _about(self, event: AccessEvent | AuditEvent) -> About | None:
        if self._patients is None or not isinstance(event, AccessEvent):
            return None
        return self._patients.about(event.patient_id, event.asker_id)

    def _named_anew(self, row: StoredAccess) -> bool:
        if self._patients is None or row.generation == self._patients.index.generation:
            return False
        event = self.opened(self._log.entry(row.sequence)).event
        return self._patients.accesses.move(row, self._about(event))

    def opened(self, entry: LogEntry) -> AuditEntry:
        """Open an entry, and require it to be what its leaf commits to. Raises Corrupt, HsmError."""
        if entry.sealed is None:
            return AuditEntry(entry.sequence, entry.at, AuditEvent(SHREDDED, SHREDDED))
        try:
            plaintext = self._sealing.open(entry.sealed, _context(entry.at))
        except SealBroken as error:
            if isinstance(error.__cause__, GenerationRevoked):
                return AuditEntry(entry.sequence, entry.at, AuditEvent(FORGOTTEN, GenerationRevoked.reason))
            raise Corrupt(f"entry {entry.sequence} of the audit log does not open") from error
        event, blind, request_id = _from_json(json.loads(plaintext))
        try:
            require_leaf(leaf_data(event, self._where, entry.at, blind), entry.leaf)
        except LeafMismatch as error:
            raise Corrupt(f"entry {entry.sequence} of the audit log is not what its leaf commits to") from error
        return AuditEntry(entry.sequence, entry.at, event, blind, request_id)


def leaf_data(event: AccessEvent | AuditEvent, where: str, at: int, blind: bytes) -> bytes:
    """Return what the leaf of an event commits to (docs/protocol.md, section 8)."""
    if isinstance(event, AccessEvent):
        return access_leaf(event, where, at, blind)
    return event_leaf(_as_json(_fields(event)), where, at, blind)


def _context(at: int) -> bytes:
    return transcript("audit", u64(at))


def _as_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def _fields(event: AccessEvent | AuditEvent) -> dict[str, Any]:
    fields = dict(vars(event))
    if isinstance(event, AccessEvent):
        fields |= {name: fields[name].hex() for name in _DIGESTS}
    return fields


def _from_json(fields: dict[str, Any]) -> tuple[AccessEvent | AuditEvent, bytes, str]:
    """Return the event, its blind, and the call that it was written in."""
    blind, request_id = bytes.fromhex(fields.pop("blind")), str(fields.pop("call"))
    if "authorization" not in fields:
        event = AuditEvent(**fields)
        return event, blind, event.request_id or request_id
    digests = {name: bytes.fromhex(fields[name]) for name in _DIGESTS if name in fields}
    return AccessEvent(**fields | digests), blind, request_id
