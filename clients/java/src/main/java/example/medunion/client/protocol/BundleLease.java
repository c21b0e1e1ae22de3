package example.medunion.client.protocol;

import example.medunion.federation.v1.RevocationHead;

/**
 * A bundle, and when a revocation list last named it as the newest: it may be used until its grace is over. The list's own time counts,
 * not the moment at which it came: an old list played again confirms nothing anew.
 */
public record BundleLease(TrustedBundle bundle, long confirmedAt) {
  /** Begins with a bundle that was pinned or followed just now: it was the newest when it was made. */
  public static BundleLease of(TrustedBundle bundle) {
    return new BundleLease(bundle, bundle.content().getIssuedAt());
  }

  /** The lease after a verified list: it goes on unless the list names a newer bundle. */
  public BundleLease heard(RevocationHead head) {
    boolean newest = head.getBundleSequence() <= bundle.sequence();
    return newest ? new BundleLease(bundle, Math.max(confirmedAt, head.getThisUpdate())) : this;
  }

  /** The bundle to verify by. */
  public TrustedBundle usable(long now) {
    long endsAt = confirmedAt + 1000L * bundle.content().getOfflineGraceSeconds();
    Refusal.require(now < endsAt, "BUNDLE_STALE", "no list has named this trust bundle as the newest for longer than its grace");
    return bundle;
  }
}
