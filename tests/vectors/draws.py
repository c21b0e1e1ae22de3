"""Fixed randomness, and the private keys that come of it."""

import hashlib
from typing import Any

from tests.vectors import spec

Json = dict[str, Any]


class Stream:
    """Fixed randomness: SHAKE-256 of a name, or bytes recorded before; remembers what was drawn."""

    def __init__(self, source: bytes | str) -> None:
        self._bytes = hashlib.shake_256(f"medunion vectors/{source}".encode()).digest(512)
        if isinstance(source, bytes):
            self._bytes = source
        self.drawn = 0

    def __call__(self, size: int) -> bytes:
        taken = self._bytes[self.drawn : self.drawn + size]
        assert len(taken) == size, "more is drawn than was recorded"
        self.drawn += size
        return taken

    def private_key(self) -> bytes:
        """Draw a private key on P-256: a scalar, 32 bytes."""
        return spec.octets(spec.scalar(self(spec.SEED_BYTES)))

    @property
    def consumed(self) -> bytes:
        return self._bytes[: self.drawn]
