"""Which key signed when: the generations of s and PRK_C, as the trust bundle tells them (docs/adr/0018-rotation.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from federation.errors import BundleInvalid
from federation.protocol.time import Instant
from federation.v1.directory_pb2 import KeyPeriod
from keystore.generations import Generation, Generations, State
from keystore.transcript import digest


def is_revoked(period: KeyPeriod) -> bool:
    """Say whether the key verifies nothing but kept evidence."""
    return period.HasField("revoked_at")


def has_begun(period: KeyPeriod, moment: Instant) -> bool:
    """Say whether the key was activated by that moment."""
    return period.HasField("not_before") and period.not_before <= moment


def has_ended(period: KeyPeriod, moment: Instant) -> bool:
    """Say whether the key had a successor at that moment."""
    return period.HasField("not_after") and period.not_after <= moment


def periods_of(generations: Generations, purpose: str, first: bytes) -> list[KeyPeriod]:
    """Give a purpose's generations as a trust bundle states them; `first` is the public key of the first.

    One that was revoked before it was ever active is left out: nothing hangs on it.
    """
    return [
        _period(it, it.public or first, generations.retired_at(purpose, it.number))
        for it in generations.of(purpose)
        if it.active_from is not None or it.revoked_at is None
    ]


def _period(it: Generation, public: bytes, retired_at: Instant | None) -> KeyPeriod:
    return KeyPeriod(
        verifying_key=public,
        not_before=it.active_from,
        not_after=retired_at,
        tainted_at=it.tainted_at,
        revoked_at=it.revoked_at,
    )


@dataclass(frozen=True)
class KeyHistory:
    """The generations of one key in the order of their activation, prepared ones last. At most one holds any moment."""

    periods: tuple[KeyPeriod, ...]

    @classmethod
    def read(cls, periods: Iterable[KeyPeriod]) -> "KeyHistory":
        """Take a bundle's generations. Raises BundleInvalid where they contradict each other."""
        history = cls(tuple(periods))
        if not history.periods:
            raise BundleInvalid("the trust bundle names no key")
        if len({period.verifying_key for period in history.periods}) != len(history.periods):
            raise BundleInvalid("the trust bundle names a key twice")
        for period in history.periods:
            _require_sound(period)
        for earlier, later in pairwise(history.periods):
            if not _precedes(earlier, later):
                raise BundleInvalid("the trust bundle names two keys for one time, or in the wrong order")
        return history

    def at(self, moment: Instant) -> KeyPeriod | None:
        """Give the generation that signed at that moment, whatever became of it since."""
        holding = (p for p in self.periods if has_begun(p, moment) and not has_ended(p, moment))
        return next(holding, None)

    def of_digest(self, verifying_key_digest: bytes) -> KeyPeriod | None:
        """Give the generation with this H(verifying key)."""
        return next((p for p in self.periods if digest(p.verifying_key) == verifying_key_digest), None)

    def of_key(self, verifying_key: bytes) -> KeyPeriod | None:
        """Give the generation of this key."""
        return next((p for p in self.periods if p.verifying_key == verifying_key), None)

    def state(self, verifying_key: bytes, *, now: Instant) -> State | None:
        """Give what a generation may do now, or None for a key that is none of these."""
        period = self.of_key(verifying_key)
        if period is None:
            return None
        if is_revoked(period):
            return State.REVOKED
        if not has_begun(period, now):
            return State.PREPARED
        if period.HasField("tainted_at"):
            return State.TAINTED
        return State.RETIRED if has_ended(period, now) else State.ACTIVE

    def signers(self, moment: Instant) -> tuple[KeyPeriod, ...]:
        """Give who may sign the bundle that follows one of that moment: the active key, and those that are prepared."""
        return tuple(period for period in self.periods if not has_ended(period, moment))


def _require_sound(period: KeyPeriod) -> None:
    if period.HasField("not_after") and not has_begun(period, period.not_after):
        raise BundleInvalid("a key of the trust bundle ends before it begins")
    fallen = is_revoked(period) or period.HasField("tainted_at")
    if fallen and not period.HasField("not_after"):
        raise BundleInvalid("a key of the trust bundle is tainted or revoked and has no successor")


def _precedes(earlier: KeyPeriod, later: KeyPeriod) -> bool:
    if not later.HasField("not_before"):
        return True
    return earlier.HasField("not_after") and earlier.not_after <= later.not_before
