"""A chore that one process at a time does, of all that share a store: the one that holds its lease.

It is a courtesy, not a lock: a holder that is stopped for longer than the lease's life may go on beside the next one. So each
chore does no harm where two do it. Clocks that differ make a lease longer or shorter, not void.
"""

import secrets
import struct
import threading
from datetime import timedelta
from typing import Final

from federation.clock import Clock
from federation.protocol.time import milliseconds
from federation.store.party import Settings

LIFE: Final = timedelta(seconds=30)
_FORM: Final = struct.Struct(">QQ16s")  # number, end (ms), holder


class Lease:
    """A lease of this process, which takes it at the first occasion and keeps it as long as it asks in time."""

    def __init__(self, settings: Settings, name: str, clock: Clock, life: timedelta = LIFE) -> None:
        """Share it by these settings, under a name."""
        self._settings = settings
        self._name = f"lease-{name}"
        self._clock = clock
        self._life_ms = milliseconds(life)
        self._me = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._kept_at: int | None = None

    def is_held(self) -> bool:
        """Take the lease, or keep it for another life, and say whether it is this process's now. Raises StoreError."""
        now = self._clock()
        with self._lock:
            if self._kept_at is None or not 0 <= now - self._kept_at < self._life_ms / 3:
                self._kept_at = now if self._take(now) else None
            return self._kept_at is not None

    def release(self) -> None:
        """Let another process have it at once, if it is this one's. Raises StoreError."""
        with self._lock:
            self._kept_at = None
            number, _, holder = self._kept()
            if holder == self._me:
                self._advance(number + 1, 0)

    def _take(self, now: int) -> bool:
        number, end, holder = self._kept()
        # No lease reaches further than a life: one that does was taken by a clock that has been set back since.
        if holder != self._me and now < end <= now + 2 * self._life_ms:
            return False
        return self._advance(number + 1, now + self._life_ms)

    def _kept(self) -> tuple[int, int, bytes]:
        value = self._settings.get(self._name)
        return (0, 0, b"") if value is None else _FORM.unpack(value)

    def _advance(self, number: int, end: int) -> bool:
        return self._settings.advance(self._name, number, _FORM.pack(number, end, self._me))
