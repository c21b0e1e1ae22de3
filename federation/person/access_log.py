"""Who accessed a patient's records, as the public cloud and hospitals tell it: joined, and what is new since the last look."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safefiles
from federation.clinical.audit_events import RecordedAccess, access_bundle
from federation.clinical.identity import moment_of
from federation.protocol.access import BEGUN
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES
from federation.protocol.time import Instant
from federation.v1.access_pb2 import AccessEntry
from keystore.identities import PatientId


@dataclass(frozen=True)
class ReadAccess:
    """One access at one party: what its log says that began, and how it ended. `number` is that of its last entry."""

    party_id: str
    number: int
    at: Instant
    entry: AccessEntry

    @property
    def reason(self) -> str:
        """Return how it ended: "OK", why not, or "BEGUN" where nothing says how."""
        return self.entry.reason


def joined(party_id: str, entries: Iterable[AccessEntry]) -> list[ReadAccess]:
    """Return the accesses of a party's log, the newest first: an entry that says how one ended, and that it began, are one."""
    found: list[ReadAccess] = []
    begun: dict[tuple[str, int, str, bytes], list[AccessEntry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda one: one.number):
        waiting = begun[entry.asker_id, entry.kind, entry.department_class, entry.authorization]
        if entry.reason == BEGUN:
            waiting.append(entry)
        else:
            first = waiting.pop(0) if waiting else entry
            found.append(ReadAccess(party_id, entry.number, first.at, entry))
    found += [ReadAccess(party_id, one.number, one.at, one) for waiting in begun.values() for one in waiting]
    return sorted(found, key=lambda access: access.number, reverse=True)


def accesses_as_fhir(patient_id: PatientId, accesses: Iterable[ReadAccess], *, now: Instant) -> bytes:
    """Return a Bundle of AuditEvents: of each access one, and how it ended."""
    return access_bundle([_recorded(patient_id, one) for one in accesses], moment_of(now))


def _recorded(patient_id: PatientId, access: ReadAccess) -> RecordedAccess:
    entry = access.entry
    return RecordedAccess(
        sequence=access.number,
        at=moment_of(access.at),
        kind=KIND_NAMES[entry.kind],
        asker_id=entry.asker_id,
        patient_id=patient_id,
        scope=entry.department_class,
        ground=GROUND_NAMES[entry.ground],
        authorization=entry.authorization,
        reason=entry.reason,
        detail="",
        recorded_by=access.party_id,
    )


class LastLook:
    """Up to which number each log of each patient was read from this profile."""

    def __init__(self, path: Path) -> None:
        """Keep it in this file."""
        self._path = path

    def number(self, patient_id: PatientId, party_id: str) -> int:
        """Return the number of the newest entry that was read; 0 before the first."""
        number = self._read().get(f"{patient_id} {party_id}", 0)
        return number if isinstance(number, int) else 0

    def remember(self, patient_id: PatientId, party_id: str, entries: Sequence[AccessEntry]) -> None:
        """Keep that these were read."""
        newest = max((entry.number for entry in entries), default=0)
        seen = self._read() | {f"{patient_id} {party_id}": max(newest, self.number(patient_id, party_id))}
        safefiles.replace(self._path, json.dumps(seen, sort_keys=True).encode())

    def _read(self) -> dict[str, object]:
        try:
            read = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}
