"""How long a party goes on by a revocation list that is over, and what keeps a clock that is set back from stretching that."""

import threading
from datetime import timedelta

from federation.protocol.anchors import Grace, Lists
from federation.protocol.time import Instant, milliseconds
from federation.store.party import Settings

_LATE = "late-list-used"
_KEPT_EVERY_MS = 60_000
_BYTES = 8


class LateClock:
    """The latest moment at which the head at hand was used though it was over. Safe for several threads and processes.

    Another head begins anew: a clock that once ran ahead bars no grace for ever.
    """

    def __init__(self, settings: Settings, length: timedelta) -> None:
        """Begin with what the store has."""
        self._settings = settings
        self._length_ms = milliseconds(length)
        self._lock = threading.Lock()
        self._seen: tuple[int, Instant] = 0, 0
        self._kept_at: Instant = 0

    def grace(self, lists: Lists) -> Grace:
        """Return what is left of it is reckoned by."""
        with self._lock:
            return Grace(self._length_ms, self._seen_of(lists.sequence))

    def note(self, lists: Lists, now: Instant) -> None:
        """Take note that it is now, if the head is over; once a minute for who starts later. Raises StoreError."""
        if not lists.is_late(now):
            return
        with self._lock:
            if now <= self._seen_of(lists.sequence):
                return
            self._seen = lists.sequence, now
            if now - self._kept_at >= _KEPT_EVERY_MS:
                self._kept_at = now
                self._settings.put(_LATE, lists.sequence.to_bytes(_BYTES, "big") + now.to_bytes(_BYTES, "big"))

    def _seen_of(self, sequence: int) -> Instant:
        """Return the moment of this head, read from the store when it is first asked for; called with the lock held."""
        if self._seen[0] != sequence:
            kept = self._settings.get(_LATE) or bytes(2 * _BYTES)
            of = int.from_bytes(kept[:_BYTES], "big")
            self._seen = sequence, int.from_bytes(kept[_BYTES:], "big") if of == sequence else 0
            self._kept_at = self._seen[1]
        return self._seen[1]
