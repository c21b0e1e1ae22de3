"""The audit log: who was given or refused what, sealed, in the append-only log. Durable before `record` returns.

An entry may name identities, so it is sealed under the party's token; it never holds a key, a PIN or a record's content. What
operators watch day by day is another thing (`federation.wire.operations`), and names nobody.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from federation.errors import BudgetExhausted, Corrupt, FederationError
from federation.party.patients import Patients
from federation.party.reencryption import Steps, sealed_under
from federation.protocol.access import AccessEvent
from federation.protocol.access_log import entry_of
from federation.protocol.parties import reason_of
from federation.store.errors import BudgetSpent, StoreError
from federation.store.party import Log
from federation.store.rows import NOTHING, About, Beside, LogEntry, SealedEntry, StoredAccess
from federation.v1.access_pb2 import AccessEntry
from federation.wire import operations
from keystore.errors import GenerationRevoked, SealBroken
from keystore.identities import PatientId
from keystore.keyring import Sealing
from keystore.transcript import transcript, u64

OK = "OK"
FORGOTTEN = "FORGOTTEN"
"""The kind of an entry whose sealing key was revoked, as was agreed to (docs/adr/0018-rotation.md)."""
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
    """An entry as the operator reads it."""

    sequence: int
    at: int
    event: AccessEvent | AuditEvent


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


class Audit:
    """Writes and reads the audit log of one party. Safe for several threads and processes."""

    def __init__(self, log: Log, sealing: Sealing, patients: Patients | None = None) -> None:
        """Log to this store, sealed under this key of the token; with `patients`, accesses are found by whom they are about."""
        self._log = log
        self._sealing = sealing
        self._patients = patients

    def record(self, event: AccessEvent | AuditEvent, *, now: int, beside: Beside = NOTHING) -> None:
        """Seal and append an event, with what goes with it; it is durable when this returns.

        Raises BudgetExhausted, StoreError, HsmError: then release nothing, and nothing is written.
        """
        entry = self.entry(event, now=now, beside=beside)
        with budgeted():
            self._log.append(entry)

    def entry(self, event: AccessEvent | AuditEvent, *, now: int, beside: Beside = NOTHING) -> SealedEntry:
        """Seal an event, for a store that appends it in the transaction of what it tells of. Raises HsmError."""
        plaintext = json.dumps(_as_json(event), separators=(",", ":"), sort_keys=True).encode()
        return SealedEntry(now, self._sealing.seal(plaintext, _context(now)), self._about(event), beside)

    def entries(self, *, after: int = 0) -> Iterator[AuditEntry]:
        """Open the entries in order. Raises Corrupt for one that does not open."""
        return map(self._opened, self._log.entries(after=after))

    def accesses_of(self, patient_id: PatientId, *, offset: int = 0, limit: int) -> tuple[Sequence[AuditEntry], int]:
        """Open the newest accesses to one patient's records behind the first `offset`, the newest first; say how many there are.

        Raises Corrupt, also for an entry about another patient.
        """
        if self._patients is None:
            return (), 0
        sealed, total = self._patients.entries_about(patient_id, offset=offset, limit=limit)
        found = [self._opened(entry) for entry in sealed]
        if any(isinstance(it.event, AccessEvent) and it.event.patient_id != patient_id for it in found):
            raise Corrupt("an entry of the audit log is not about whom the store says")
        return found, total

    def log_of(self, patient_id: PatientId, *, offset: int = 0, limit: int) -> tuple[tuple[AccessEntry, ...], int]:
        """Return the same as the patient is told of it; what was forgotten is left out. Raises Corrupt."""
        found, total = self.accesses_of(patient_id, offset=offset, limit=limit)
        told = (
            entry_of(it.event, number=total - offset - place, at=it.at)
            for place, it in enumerate(found)
            if isinstance(it.event, AccessEvent)
        )
        return tuple(told), total

    def name_anew(self) -> Steps:
        """Name by the active index key the accesses that an older one names. One whose entry was forgotten is named no more."""
        for row in self._patients.accesses.walk() if self._patients else ():
            try:
                yield self._named_anew(row)
            except (FederationError, StoreError) as error:
                # It stays as it is, and its index key with it; the walk goes on behind it.
                operations.failure("access-not-named-anew", error)
                yield False

    def verify(self) -> int:
        """Check the chain and return the number of entries. Raises StoredRecordCorrupt."""
        return self._log.verify()

    def count_under(self, generation: int) -> int:
        """Count the entries that a sealing generation sealed."""
        return sealed_under((entry.sealed for entry in self._log.entries()), self._sealing, generation)

    def _about(self, event: AccessEvent | AuditEvent) -> About | None:
        if self._patients is None or not isinstance(event, AccessEvent):
            return None
        return self._patients.about(event.patient_id)

    def _named_anew(self, row: StoredAccess) -> bool:
        if self._patients is None or row.generation == self._patients.index.generation:
            return False
        event = self._opened(self._log.entry(row.sequence)).event
        return self._patients.accesses.move(row, self._about(event))

    def _opened(self, entry: LogEntry) -> AuditEntry:
        try:
            plaintext = self._sealing.open(entry.sealed, _context(entry.at))
        except SealBroken as error:
            if isinstance(error.__cause__, GenerationRevoked):
                return AuditEntry(entry.sequence, entry.at, AuditEvent(FORGOTTEN, GenerationRevoked.reason))
            raise Corrupt(f"entry {entry.sequence} of the audit log does not open") from error
        return AuditEntry(entry.sequence, entry.at, _from_json(json.loads(plaintext)))


def _context(at: int) -> bytes:
    return transcript("audit", u64(at))


def _as_json(event: AccessEvent | AuditEvent) -> dict[str, str]:
    fields = dict(vars(event))
    if isinstance(event, AccessEvent):
        fields |= {name: fields[name].hex() for name in _DIGESTS}
    return fields


def _from_json(fields: dict[str, Any]) -> AccessEvent | AuditEvent:
    if "authorization" not in fields:
        return AuditEvent(**fields)
    return AccessEvent(**fields | {name: bytes.fromhex(fields[name]) for name in _DIGESTS if name in fields})
