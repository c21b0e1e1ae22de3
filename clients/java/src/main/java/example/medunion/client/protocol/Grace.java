package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.RevocationHead;

/**
 * For how many milliseconds a head counts that is over, and the latest moment at which it was used so (docs/protocol.md, When the hub is dark).
 * `seen` keeps who sets a clock back from stretching it.
 */
public record Grace(long length, long seen) {
  /** A head that is over counts no more. */
  public static final Grace NONE = new Grace(0, 0);

  /** Requires a head to be current, or over for less than this. */
  void requireCurrent(RevocationHead head, long now) {
    boolean good = !Freshness.hasEnded(head.getNextUpdate() + length, now);
    require(good, "REVOCATION_LIST_STALE", "no current revocation list is at hand");
    boolean wentBack = isLate(head, now) && now + Freshness.SKEW < seen;
    require(!wentBack, "REVOCATION_LIST_STALE", "the list at hand is over, and this clock has gone back since");
    boolean begun = Freshness.hasBegun(head.getThisUpdate(), now);
    require(begun, "REVOCATION_LIST_STALE", "the revocation list is from the future");
  }

  /** Requires of what somebody stated that it is no newer than the head, where that is over. */
  void requireStood(RevocationHead head, long statedAt, long now) {
    boolean stood = !isLate(head, now) || Long.compareUnsigned(statedAt, head.getThisUpdate()) <= 0;
    require(stood, "NEWER_THAN_LIST", "what is shown is newer than the revocation list at hand, and that is over");
  }

  /** Whether a head is over, by this clock or by what it has shown before. */
  public boolean isLate(RevocationHead head, long now) {
    return Freshness.hasEnded(head.getNextUpdate(), Math.max(now, seen));
  }
}
