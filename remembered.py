"""What a process remembers, so that it need not ask, open or verify again: all of it, in one table.

A memory is bounded in number and in time. Nothing that decides on an access rests on one alone: times, revocation, replay keys,
budgets and what a patient hides are looked at in each call. What is remembered dies with the process.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import TLRUCache

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Remembered:
    """One kind of what is remembered: at most so many, for so many seconds since it was begun to learn each."""

    what: str
    most: int
    seconds: float
    forgotten: str
    """What else makes it forgotten: in a word for who reads the table, and in code a call of `Memory.forget`."""


TABLE: Final[dict[str, Remembered]] = {
    "keys of batches of seals": Remembered(
        "what the token derived for a batch of seals, by purpose, generation and batch",
        most=4_096,
        seconds=300,
        forgotten="any change to the generations of the key that made them (keystore.keyring)",
    ),
    "batch to seal under": Remembered(
        "the name of the batch under which a process seals what belongs to nothing else",
        most=1,
        seconds=3_600,
        forgotten="65,536 seals under it (keystore.keyring)",
    ),
    "values of identities": Remembered(
        "W of an identity, which the token derived and all its names follow from, by generation",
        most=4_096,
        seconds=60,
        forgotten="any change to the generations of the index key (keystore.keyring)",
    ),
    "doctors of rooms": Remembered(
        "that KS_D and Cert_D of a room's doctor held, byte for byte, under one revocation list and one trust bundle",
        most=4096,
        seconds=600.0,
        forgotten="another list or bundle, and the end of anything in them: the time is looked at in each call",
    ),
    "epochs": Remembered(
        "a party's own epochs, as its store has them: which encryption key it states",
        most=1,
        seconds=1.0,
        forgotten="one that this process begins or ends; another process's is seen within the second. What a message is sealed"
        " to is looked up in the store at once",
    ),
    "generations": Remembered(
        "the generations of a party's keys, as its store has them: which are there, and which are revoked",
        most=1,
        seconds=1.0,
        forgotten="a change by this process; another process's is seen within the second",
    ),
    "trust bundle": Remembered(
        "the newest trust bundle that a party's store has",
        most=1,
        seconds=1.0,
        forgotten="one that this process takes; another process's is seen within the second",
    ),
    "addresses of nodes": Remembered(
        "where a server whose log is witnessed, or that witnesses one, is dialled",
        most=4096,
        seconds=60.0,
        forgotten="nothing: a node that has moved is dialled where it was for a minute, and nobody else answers under its name",
    ),
    "statements": Remembered(
        "that a key signed a statement, by the bytes of both and of the signature, and how the statement reads",
        most=2048,
        seconds=3600.0,
        forgotten="nothing, for it stays true: whether that key counts, and all that the statement says of time, is looked at in"
        " each call",
    ),
    "readings of statements": Remembered(
        "how a statement reads that keeps the rules of its definition, by its bytes, whoever signed it",
        most=2048,
        seconds=3600.0,
        forgotten="nothing, for it stays true: that a key signed it, and that the key counts, is looked at in each call",
    ),
    "certificates": Remembered(
        "which authority signed a Cert_D, by its bytes and the authorities' certificates",
        most=1024,
        seconds=3600.0,
        forgotten="other certificates in the trust bundle: whom an authority may certify, times and CRLs are looked at in each"
        " call",
    ),
    "points": Remembered(
        "a public key's point, by its 33 bytes", most=4096, seconds=3600.0, forgotten="nothing, for it is arithmetic"
    ),
    "public points": Remembered(
        "U_X, by R_X1, PK and M_X", most=4096, seconds=3600.0, forgotten="nothing, for it is arithmetic"
    ),
}


class Memory(Generic[K, V]):
    """What was learnt of one kind, by key. Safe for several threads.

    A key that is bytes from outside is compared whole: nothing is remembered by a part of what was verified.
    """

    def __init__(self, kind: str, seconds: Callable[[], float] = time.monotonic) -> None:
        """Begin empty; `kind` is a row of the table, `seconds` a clock that is never set back."""
        row = TABLE[kind]
        self._seconds = seconds
        self._learnt: TLRUCache[K, tuple[float, V]] = TLRUCache(
            maxsize=row.most, ttu=lambda _key, learnt, _now: learnt[0] + row.seconds, timer=seconds
        )
        self._lock = threading.Lock()
        self._forgettings = 0

    def of(self, key: K, learn: Callable[[], V]) -> V:
        """Return what is remembered under a key, or learn it now. Raises what `learn` raises; then nothing is remembered.

        Several threads may learn the same at once. What was begun before `forget` is not remembered after it.
        """
        with self._lock:
            forgettings = self._forgettings
            with suppress(KeyError):
                return self._learnt[key][1]
        begun = self._seconds()
        value = learn()
        with self._lock:
            if forgettings == self._forgettings:
                self._learnt[key] = begun, value
        return value

    def forget(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._learnt.clear()
            self._forgettings += 1

    def __len__(self) -> int:
        with self._lock:
            return len(self._learnt)

    def __repr__(self) -> str:
        return f"<Memory of {len(self)}>"
