"""The generations of a party's keys, in its store: what every process of it reads at each use, and how they change.

Several processes change them by comparison: a change is made to what was read, and made again if another one came first.
"""

import time
from collections.abc import Callable

from federation.errors import Unavailable
from federation.store.party import Settings
from federation.store.transactions import PATIENCE_SECONDS, tries
from keystore.generations import Generations
from remembered import TABLE, Memory

REREAD_SECONDS = TABLE["generations"].seconds
"""How long a process may work with what it has read: so long others take to follow a change."""

_NAME = "generations"
_SEQUENCE_BYTES = 8


class StoredGenerations:
    """A `GenerationBook` over a party's settings. Safe for several threads and processes."""

    def __init__(self, settings: Settings, seconds: Callable[[], float] = time.monotonic) -> None:
        """Keep them among these settings. `seconds` is a clock that only goes forward."""
        self._settings = settings
        self._known: Memory[None, Generations] = Memory("generations", seconds)

    def read(self) -> Generations:
        """Return the generations as they stood a second ago or later. Raises StoreError, GenerationsBroken."""
        return self._known.of(None, lambda: self._newest()[1])

    def reread(self) -> Generations:
        """Return the generations as they stand now, and go on with them. Raises StoreError, GenerationsBroken."""
        self._known.forget()
        return self.read()

    def change(self, step: Callable[[Generations], Generations]) -> Generations:
        """Put what a step makes of the newest generations in their place, and return it.

        The step may run several times. Raises what it raises, StoreError, and Unavailable if others change them all the time.
        """
        for _ in tries(PATIENCE_SECONDS):
            sequence, newest = self._newest()
            changed = step(newest)
            value = (sequence + 1).to_bytes(_SEQUENCE_BYTES, "big") + changed.to_json()
            if changed == newest or self._settings.advance(_NAME, sequence + 1, value):
                self._known.forget()
                return changed
        raise Unavailable("other processes change the generations faster than this one")

    def _newest(self) -> tuple[int, Generations]:
        value = self._settings.get(_NAME)
        if value is None:
            return 0, Generations()
        return int.from_bytes(value[:_SEQUENCE_BYTES], "big"), Generations.from_json(value[_SEQUENCE_BYTES:])
