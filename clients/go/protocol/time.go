package protocol

import (
	"time"

	"medunion.example/clients/go/refusal"
)

// Instant is milliseconds since the Unix epoch, as T travels.
type Instant = uint64

// Freshness is the window Delta T and the skew sigma between clocks: fresh means -sigma <= now - T <= Delta T (B3).
type Freshness struct{ Window, Skew time.Duration }

// DefaultFreshness is what the federation runs with.
var DefaultFreshness = Freshness{Window: 30 * time.Second, Skew: 5 * time.Second}

func milliseconds(duration time.Duration) uint64 { return uint64(duration.Milliseconds()) }

// Require refuses with STALE or FUTURE_DATED unless T is fresh.
func (f Freshness) Require(sentAt, now Instant) error {
	if err := f.RequireNotFuture(sentAt, now); err != nil {
		return err
	}
	if now > sentAt && now-sentAt > milliseconds(f.Window) {
		return refusal.New(refusal.Stale, "sent at %d, and it is %d here: longer ago than %s", sentAt, now, f.Window)
	}
	return nil
}

// RequireSince requires T of long content: fresh when its first frame came, however long the rest takes on a slow line.
func (f Freshness) RequireSince(sentAt, heardAt, now Instant) error {
	if err := f.RequireNotFuture(sentAt, now); err != nil {
		return err
	}
	return f.Require(min(sentAt, heardAt), heardAt)
}

// RequireNotFuture refuses with FUTURE_DATED a T that lies further ahead than clocks may differ.
func (f Freshness) RequireNotFuture(sentAt, now Instant) error {
	if !f.Begun(sentAt, now) {
		return refusal.New(refusal.FutureDated, "sent at %d, and it is %d here: further ahead than %s", sentAt, now, f.Skew)
	}
	return nil
}

// Begun says whether a validity has begun, for a clock that may be sigma behind the one that stated it.
func (f Freshness) Begun(notBefore, now Instant) bool { return notBefore <= now+milliseconds(f.Skew) }

// ReplayKeyUntil says how long a replay key admitted now is kept: Delta T + 2 sigma.
func (f Freshness) ReplayKeyUntil(now Instant) Instant { return now + milliseconds(f.Window+2*f.Skew) }

func requireSameTime(inside, outside Instant) error {
	if inside != outside {
		return refusal.New(refusal.TimeMismatch, "the time inside the seal is not the time outside") // B2
	}
	return nil
}
