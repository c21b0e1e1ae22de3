"""Stores in memory for tests of the protocol alone; the contract suite holds them to the same rules as the SQL ones."""

from collections.abc import Sequence

from federation.store.interfaces import StoredEpoch


class MemoryReplay:
    """Replay keys in a dictionary."""

    def __init__(self) -> None:
        self._until: dict[bytes, int] = {}

    def admit(self, key: bytes, *, now: int, until: int) -> bool:
        self._until = {k: u for k, u in self._until.items() if u > now}
        if key in self._until:
            return False
        self._until[key] = until
        return True


class MemorySettings:
    """Named values in a dictionary."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._sequences: dict[str, int] = {}

    def get(self, name: str) -> bytes | None:
        return self._values.get(name)

    def put(self, name: str, value: bytes) -> None:
        self._values[name] = value

    def advance(self, name: str, sequence: int, value: bytes) -> bool:
        if self._sequences.get(name, -1) >= sequence:
            return False
        self._sequences[name] = sequence
        self._values[name] = value
        return True


class MemoryEpochs:
    """Epochs in a list."""

    def __init__(self) -> None:
        self._epochs: dict[bytes, StoredEpoch] = {}

    def put(self, epoch: StoredEpoch) -> None:
        self._epochs[epoch.key_id] = epoch

    def all(self) -> Sequence[StoredEpoch]:
        return sorted(self._epochs.values(), key=lambda epoch: -epoch.not_after)

    def drop(self, key_id: bytes) -> None:
        self._epochs.pop(key_id, None)
