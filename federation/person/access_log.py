"""Who accessed a patient's records, as the public cloud and hospitals tell it: what began and how it ended, joined."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from federation.protocol.access import BEGUN
from federation.protocol.time import Instant
from federation.v1.access_pb2 import AccessEntry


@dataclass(frozen=True, eq=False)
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
    for entry in sorted(entries, key=_in_order):
        waiting = begun[entry.asker_id, entry.kind, entry.department_class, entry.authorization]
        if entry.reason == BEGUN:
            waiting.append(entry)
        else:
            first = waiting.pop(0) if waiting else entry
            found.append(ReadAccess(party_id, entry.number, first.at, entry))
    found += [ReadAccess(party_id, one.number, one.at, one) for waiting in begun.values() for one in waiting]
    return sorted(found, key=lambda access: access.number, reverse=True)


def _in_order(entry: AccessEntry) -> tuple[Instant, bool, int]:
    """Order by time; of one time, what began comes before what ended."""
    return entry.at, entry.reason != BEGUN, entry.number
