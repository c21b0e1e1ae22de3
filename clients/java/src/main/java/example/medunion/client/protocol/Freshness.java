package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

/** Freshness of messages (B2, B3): -sigma <= now - T <= Delta T, in milliseconds since the Unix epoch: a uint64, compared as one. */
public final class Freshness {
  public static final long WINDOW = 30_000;
  public static final long SKEW = 5_000;

  private Freshness() {}

  /** Requires T to be fresh. The sentence holds this party's time. */
  public static void requireFresh(long sentAt, long now) {
    requireNotFuture(sentAt, now);
    require(now - sentAt <= WINDOW, "STALE", "sent at " + sentAt + ", and it is " + now + " here");
  }

  /** Requires T of long content: fresh when its first frame came, however long the rest takes on a slow line. */
  public static void requireFreshSince(long sentAt, long heardAt, long now) {
    requireNotFuture(sentAt, now);
    requireFresh(Math.min(sentAt, heardAt), heardAt);
  }

  public static void requireNotFuture(long sentAt, long now) {
    require(hasBegun(sentAt, now), "FUTURE_DATED", "sent at " + sentAt + ", and it is " + now + " here");
  }

  /** Whether a validity has begun, for a clock that may be sigma behind the one that stated it. */
  public static boolean hasBegun(long notBefore, long now) {
    return Long.compareUnsigned(notBefore, now + SKEW) <= 0;
  }

  /** Whether a validity has ended. */
  public static boolean hasEnded(long notAfter, long now) {
    return Long.compareUnsigned(notAfter, now) <= 0;
  }

  /** Requires the T inside a seal to be the T outside (B2). */
  public static void requireSameTime(long inside, long outside) {
    require(inside == outside, "TIME_MISMATCH", "the time inside the seal is not the time outside");
  }
}
