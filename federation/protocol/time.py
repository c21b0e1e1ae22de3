"""Freshness of messages (B2, B3). An instant is milliseconds since the Unix epoch, as T travels."""

from dataclasses import dataclass
from datetime import timedelta

from federation.errors import FutureDated, StaleMessage, TimeMismatch

EPOCH_LIFE = timedelta(days=7)
RENEW_BEFORE_END = timedelta(days=1)

Instant = int
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(duration: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return duration // _MILLISECOND


@dataclass(frozen=True)
class Freshness:
    """The window Delta T and the skew sigma between clocks: fresh means -sigma <= now - T <= Delta T."""

    window: timedelta = timedelta(seconds=30)
    skew: timedelta = timedelta(seconds=5)

    def require(self, sent_at: Instant, *, now: Instant) -> None:
        """Raise StaleMessage or FutureDated unless T is fresh; the sentence holds this party's time."""
        self.require_not_future(sent_at, now=now)
        if now - sent_at > milliseconds(self.window):
            raise StaleMessage(f"sent at {sent_at}, and it is {now} here: longer ago than {self.window}")

    def require_since(self, sent_at: Instant, *, heard_at: Instant, now: Instant) -> None:
        """Require T of long content: fresh when its first frame came, however long the rest takes on a slow line."""
        self.require_not_future(sent_at, now=now)
        self.require(min(sent_at, heard_at), now=heard_at)

    def require_not_future(self, sent_at: Instant, *, now: Instant) -> None:
        """Raise FutureDated if T lies further ahead than clocks may differ."""
        if not self.begun(sent_at, now=now):
            raise FutureDated(f"sent at {sent_at}, and it is {now} here: further ahead than {self.skew}")

    def begun(self, not_before: Instant, *, now: Instant) -> bool:
        """Return whether a validity has begun, for a clock that may be sigma behind the one that stated it."""
        return not_before - now <= milliseconds(self.skew)

    def replay_key_until(self, *, now: Instant) -> Instant:
        """Say how long a replay key admitted now is kept: Delta T + 2 sigma."""
        return now + milliseconds(self.window + 2 * self.skew)


def require_same_time(inside: Instant, outside: Instant) -> None:
    """Raise TimeMismatch unless the T inside the seal is the T in clear (B2)."""
    if inside != outside:
        raise TimeMismatch("the time inside the seal is not the time outside")


@dataclass(frozen=True)
class Lifetimes:
    """How long an epoch of an encryption key lasts (B5), and how long before its end the next one begins."""

    epoch: timedelta = EPOCH_LIFE
    renew_before_end: timedelta = RENEW_BEFORE_END
