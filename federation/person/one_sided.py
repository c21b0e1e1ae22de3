"""What one side's log has and the other's should: what the public cloud did about a patient, and what hospitals did.

Both name an access by the same digests: H(grant) where a grant was shown, H(access) in an emergency (docs/protocol.md, told).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from federation.person.access_log import ReadAccess, joined
from federation.protocol.access import BEGUN
from federation.protocol.consultation import CONSULTATION_LIFE
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_GROUND_EMERGENCY,
    ACCESS_KIND_READ,
    ACCESS_KIND_SEARCH,
    AccessEntry,
)

UNSEARCHED = "THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT"
UNREAD = "no hospital tells that anything was read"

TOLERANCE_MS = milliseconds(Freshness().window + Freshness().skew)
"""By so much two servers' clocks may differ: at more, one of them refuses what is sent to both."""
SEARCH_SERVES_MS = milliseconds(CONSULTATION_LIFE)
"""So long a doctor may read by what one search found."""

_GROUNDS = (ACCESS_GROUND_CONSENT, ACCESS_GROUND_EMERGENCY)
_DONE = ("OK", BEGUN)

Key = tuple[str, bytes]


@dataclass(frozen=True)
class Side:
    """What one log told: its accesses, and since when it has all about its patient; 0 for from the first on."""

    accesses: Sequence[ReadAccess]
    since: Instant

    @classmethod
    def of(cls, party_id: str, entries: Sequence[AccessEntry]) -> "Side":
        """Return what a party's log told."""
        return cls(joined(party_id, entries), known_since(entries))


def remarks(
    cloud: Side, hospitals: Sequence[Side], unsearchable: Collection[bytes], *, asked_at: Instant, is_whole: bool
) -> dict[ReadAccess, str]:
    """Return what is to be said of accesses that one side alone has, and nothing of any other.

    The cloud was asked at `asked_at`, and hospitals after it; `unsearchable` are H of the grants that give no right to search;
    `is_whole` says that every hospital was asked and answered.
    """
    at_hospitals = [one for side in hospitals for one in side.accesses]
    searched = {_key(one.entry) for one in cloud.accesses if _is_by_doctor(one, ACCESS_KIND_SEARCH)}
    read = {_key(one.entry) for one in at_hospitals if _is_by_doctor(one, ACCESS_KIND_READ)}
    settled = asked_at - TOLERANCE_MS
    found = {
        one: UNSEARCHED
        for one in at_hospitals
        if _is_by_doctor(one, ACCESS_KIND_READ)
        and _behind(cloud.since, SEARCH_SERVES_MS) <= one.at <= settled
        and one.entry.grant_digest not in unsearchable
        and _key(one.entry) not in searched
    }
    if is_whole:
        all_know_since = max((_behind(side.since, TOLERANCE_MS) for side in hospitals), default=0)
        found |= {
            one: UNREAD
            for one in cloud.accesses
            if _is_by_doctor(one, ACCESS_KIND_SEARCH)
            and all_know_since <= one.at <= settled
            and _key(one.entry) not in read
        }
    return found


def known_since(entries: Iterable[AccessEntry]) -> Instant:
    """Return since when a log has every entry about its patient, by their numbers: 0 where that is from the first on."""
    newest_first = sorted(entries, key=lambda one: one.number, reverse=True)
    for newer, older in pairwise(newest_first):
        if newer.number != older.number + 1:
            return newer.at
    return newest_first[-1].at if newest_first and newest_first[-1].number > 1 else 0


def _behind(since: Instant, duration: int) -> Instant:
    return since + duration if since else 0


def _is_by_doctor(access: ReadAccess, kind: int) -> bool:
    """Return whether it was given, by what others need: one's own right is of one side by nature, and so is a refusal."""
    entry = access.entry
    return entry.kind == kind and entry.ground in _GROUNDS and access.reason in _DONE


def _key(entry: AccessEntry) -> Key:
    """Return by what both sides name it: a doctor's duty may be another at each, a grant is not."""
    return entry.asker_id, entry.grant_digest or entry.authorization
