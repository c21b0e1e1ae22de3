"""The generations of a party's long-lived keys, and what each may do at a moment (docs/adr/0018-rotation.md).

Pure data: a party keeps `Generations` in its store, every process of it reads the same times and comes to the same states.
All times are milliseconds since 1970. Only an activation may be scheduled; taint and revocation hold from when they are written.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Protocol

from keystore.errors import (
    ActivationInPast,
    GenerationActive,
    GenerationPrepared,
    GenerationRevoked,
    GenerationsBroken,
    GenerationUnknown,
    PublicHalfDiffers,
    RotationAlreadyPrepared,
    RotationAlreadyScheduled,
    RotationNotPrepared,
)

_LABEL = re.compile(r"([^.]+)(?:\.([1-9][0-9]{0,4}))?")
_LAST_NUMBER = 0xFFFF
_VERSION = 1
_PUBLIC_KEY_BYTES = 33


class State(StrEnum):
    """What a generation may do; a generation goes through them in this order, and may leave some out."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    TAINTED = "tainted"
    REVOKED = "revoked"


USABLE = frozenset({State.ACTIVE, State.RETIRED, State.TAINTED})
"""The states in which a generation still opens and verifies."""


@dataclass(frozen=True)
class Generation:
    """One key of a purpose. `public` is a P-256 key, compressed, or a TLS CA's certificate in DER; empty for a secret key."""

    number: int
    prepared_at: int = 0
    active_from: int | None = None
    tainted_at: int | None = None
    revoked_at: int | None = None
    public: bytes = b""


_FIRST = (Generation(1, active_from=0),)


def label_of(purpose: str, number: int) -> str:
    """Return the label of a generation's key in its token: "sealing", "sealing.2"."""
    if not 1 <= number <= _LAST_NUMBER:
        raise GenerationUnknown(f"generations are numbered from 1 to {_LAST_NUMBER}")
    return purpose if number == 1 else f"{purpose}.{number}"


def purpose_and_number(label: str) -> tuple[str, int]:
    """Invert `label_of`; "sealing.1" and "sealing.02" are no labels. Raises GenerationUnknown."""
    match = _LABEL.fullmatch(label)
    number = int(match[2] or 1) if match else 0
    if not match or label_of(match[1], number) != label:
        raise GenerationUnknown(f"{label!r} is no label of a generation")
    return match[1], number


@dataclass(frozen=True)
class Generations:
    """Of all purposes of one party. A purpose that isn't named has its first generation, active from the beginning.

    A change gives a new value and leaves this one. Each purpose has exactly one active generation at any moment.
    """

    purposes: Mapping[str, tuple[Generation, ...]] = field(default_factory=dict)

    def of(self, purpose: str) -> tuple[Generation, ...]:
        """Return every generation of a purpose, by number."""
        return self.purposes.get(purpose, _FIRST)

    def get(self, purpose: str, number: int) -> Generation:
        """Return one generation. Raises GenerationUnknown."""
        if not 1 <= number <= len(self.of(purpose)):
            raise GenerationUnknown(f"{purpose!r} has no generation {number}")
        return self.of(purpose)[number - 1]

    def state(self, purpose: str, number: int, now: int) -> State:
        """Say what a generation may do now. Raises GenerationUnknown."""
        it = self.get(purpose, number)
        if it.revoked_at is not None:
            return State.REVOKED
        if it.active_from is None or it.active_from > now:
            return State.PREPARED
        if it.tainted_at is not None:
            return State.TAINTED
        return State.ACTIVE if it == self.active(purpose, now) else State.RETIRED

    def active(self, purpose: str, now: int) -> Generation:
        """Return the generation that signs, seals, indexes or issues now."""
        found = self.active_at(purpose, now)
        return found if found is not None else self.of(purpose)[0]

    def usable(self, purpose: str, now: int) -> tuple[Generation, ...]:
        """Return the generations that still open and verify, the active one first, then the newest."""
        newest_first = reversed(self.of(purpose))
        return tuple(it for it in newest_first if self.state(purpose, it.number, now) in USABLE)

    def prepared(self, purpose: str, now: int) -> Generation | None:
        """Return the generation that waits for its activation, scheduled or not."""
        newest = self.of(purpose)[-1]
        return newest if self.state(purpose, newest.number, now) is State.PREPARED else None

    def active_at(self, purpose: str, moment: int) -> Generation | None:
        """Return the generation whose time it was, whatever became of it since; None before the first one's."""
        begun = [it for it in self.of(purpose) if it.active_from is not None and it.active_from <= moment]
        return begun[-1] if begun else None

    def retired_at(self, purpose: str, number: int) -> int | None:
        """Say when a generation's successor takes over, which may lie ahead; None if nothing follows it."""
        self.get(purpose, number)
        return next((it.active_from for it in self.of(purpose)[number:] if it.active_from is not None), None)

    def prepare(self, purpose: str, now: int, public: bytes = b"") -> "Generations":
        """Add a successor, which does nothing yet. Raises RotationAlreadyPrepared."""
        if self.prepared(purpose, now) is not None:
            raise RotationAlreadyPrepared(f"{purpose!r} has a successor that waits for its activation")
        made = Generation(len(self.of(purpose)) + 1, prepared_at=now, public=public)
        label_of(purpose, made.number)
        return self._with(purpose, *self.of(purpose), made)

    def activate(self, purpose: str, at: int, now: int) -> "Generations":
        """Let the successor take over, now or later; its predecessor retires at the same moment.

        Raises RotationNotPrepared, RotationAlreadyScheduled, ActivationInPast.
        """
        waiting = self.prepared(purpose, now)
        if waiting is None:
            raise RotationNotPrepared(f"{purpose!r} has no successor that could take over: `rotate prepare` takes one")
        if waiting.active_from is not None:
            raise RotationAlreadyScheduled(f"generation {waiting.number} of {purpose!r} has its time of activation")
        if at < now or at <= (self.active(purpose, now).active_from or 0):
            raise ActivationInPast("a generation is activated now or later, and after its predecessor")
        return self._changed(purpose, replace(waiting, active_from=at))

    def taint(self, purpose: str, number: int, now: int) -> "Generations":
        """Say that a retired generation's key can't be trusted any more; to say it again changes nothing.

        Raises GenerationActive (activate a successor first), GenerationPrepared, GenerationRevoked, GenerationUnknown.
        """
        state = self.state(purpose, number, now)
        if state is State.TAINTED:
            return self
        if state is State.PREPARED:
            raise GenerationPrepared(f"generation {number} of {purpose!r} was never used: revoke it")
        self._require_ended(purpose, number, state)
        return self._changed(purpose, replace(self.get(purpose, number), tainted_at=now))

    def revoke(self, purpose: str, number: int, now: int) -> "Generations":
        """End a generation that is retired or tainted, or drop one that waits: it will never be activated.

        Whether something still needs it is the caller's to find out first. Raises GenerationActive, GenerationRevoked,
        GenerationUnknown.
        """
        state = self.state(purpose, number, now)
        self._require_ended(purpose, number, state)
        it = self.get(purpose, number)
        began = None if state is State.PREPARED else it.active_from
        return self._changed(purpose, replace(it, active_from=began, revoked_at=now))

    def record(self, purpose: str, number: int, public: bytes) -> "Generations":
        """Note a generation's public half. A public key never changes; a certificate may be made anew for its key.

        Raises GenerationUnknown, PublicHalfDiffers.
        """
        it = self.get(purpose, number)
        if it.public != public and _PUBLIC_KEY_BYTES in (len(it.public), len(public)) and it.public:
            raise PublicHalfDiffers(f"generation {number} of {purpose!r} has another public key")
        return self._changed(purpose, replace(it, public=public))

    def to_json(self) -> bytes:
        """Write it; equal generations give equal bytes."""
        purposes = {purpose: [_plain(it) for it in them] for purpose, them in self.purposes.items()}
        return json.dumps({"version": _VERSION, "purposes": purposes}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Generations":
        """Read what `to_json` wrote. Raises GenerationsBroken."""
        try:
            document = json.loads(data)
            if document.keys() != {"version", "purposes"} or document["version"] != _VERSION:
                raise GenerationsBroken("generations of another version, or of something else")
            purposes = {purpose: tuple(map(_parsed, them)) for purpose, them in document["purposes"].items()}
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise GenerationsBroken("generations that cannot be read") from error
        if not all(map(_in_order, purposes.values())):
            raise GenerationsBroken("generations that cannot have come about")
        return cls(purposes)

    def _require_ended(self, purpose: str, number: int, state: State) -> None:
        if state is State.ACTIVE:
            raise GenerationActive(f"generation {number} of {purpose!r} is active: activate a successor first")
        if state is State.REVOKED:
            raise GenerationRevoked(f"generation {number} of {purpose!r} is revoked")

    def _changed(self, purpose: str, it: Generation) -> "Generations":
        them = list(self.of(purpose))
        them[it.number - 1] = it
        return self._with(purpose, *them)

    def _with(self, purpose: str, *them: Generation) -> "Generations":
        return Generations({**self.purposes, purpose: them})


def _plain(it: Generation) -> dict[str, Any]:
    return {**vars(it), "public": it.public.hex()}


def _parsed(plain: dict[str, Any]) -> Generation:
    it = Generation(**{**plain, "public": bytes.fromhex(plain["public"])})
    times = (it.prepared_at, it.active_from or 0, it.tainted_at or 0, it.revoked_at or 0)
    if any(type(value) is not int or value < 0 for value in (it.number, *times)):
        raise GenerationsBroken("a generation's number or time is none")
    return it


def _in_order(them: tuple[Generation, ...]) -> bool:
    """Return whether operations can have led here: numbered from 1, active one after the other, the last of them not ended."""
    used = [it for it in them if it.active_from is not None]
    return (
        [it.number for it in them] == list(range(1, len(them) + 1))
        and used[:1] == list(them[:1])
        and all((a.active_from or 0) < (b.active_from or 0) for a, b in pairwise(used))
        and bool(used)
        and used[-1].revoked_at is None
        and used[-1].tainted_at is None
        and all(it in used or it.revoked_at is not None for it in them[:-1])
        and all(it.tainted_at is None or it in used for it in them)
    )


class GenerationBook(Protocol):
    """Where a party keeps its generations; read at each use, so that every process follows a rotation."""

    def read(self) -> Generations:
        """Return the generations as they stand now."""
        ...


class FirstGenerations:
    """The book of a party whose keys have never been rotated."""

    def read(self) -> Generations:
        """Return the first generation of everything."""
        return Generations()
