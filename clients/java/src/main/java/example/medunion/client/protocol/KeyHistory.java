package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.KeyPeriod;
import java.util.List;
import java.util.Optional;

/**
 * Which key signed when: the generations of s or PRK_C as the trust bundle tells them, in the order of their activation, prepared ones
 * last. At most one holds any moment (docs/protocol.md, 2; ADR 18).
 */
public record KeyHistory(List<KeyPeriod> periods) {
  public KeyHistory {
    require(!periods.isEmpty(), "BUNDLE_INVALID", "the trust bundle names no key");
    long keys = periods.stream().map(KeyPeriod::getVerifyingKey).distinct().count();
    require(keys == periods.size(), "BUNDLE_INVALID", "the trust bundle names a key twice");
    periods.forEach(KeyHistory::requireSound);
    for (int index = 1; index < periods.size(); index++) {
      boolean ordered = precedes(periods.get(index - 1), periods.get(index));
      require(ordered, "BUNDLE_INVALID", "the trust bundle names two keys for one time, or in the wrong order");
    }
  }

  /** The generation that signed at that moment, whatever became of it since. */
  public Optional<KeyPeriod> at(long moment) {
    return periods.stream().filter(period -> hasBegun(period, moment) && !hasEnded(period, moment)).findFirst();
  }

  /** Whether the generation that signed at that moment is tainted or revoked: what it signed is needed signed anew. */
  public boolean isFallenAt(long moment) {
    return at(moment).filter(period -> period.hasTaintedAt() || period.hasRevokedAt()).isPresent();
  }

  /** The generation with this H(verifying key). */
  public Optional<KeyPeriod> ofDigest(ByteString digest) {
    return periods.stream().filter(period -> Bytes.equal(digest, Bytes.sha256(period.getVerifyingKey()))).findFirst();
  }

  /** The generation of this key. */
  public Optional<KeyPeriod> ofKey(ByteString key) {
    return periods.stream().filter(period -> period.getVerifyingKey().equals(key)).findFirst();
  }

  /** Who may sign the bundle that follows one of that moment: the active key, and those that are prepared. */
  public List<KeyPeriod> signers(long moment) {
    return periods.stream().filter(period -> !hasEnded(period, moment)).toList();
  }

  static boolean hasBegun(KeyPeriod period, long moment) {
    return period.hasNotBefore() && period.getNotBefore() <= moment;
  }

  static boolean hasEnded(KeyPeriod period, long moment) {
    return period.hasNotAfter() && period.getNotAfter() <= moment;
  }

  private static void requireSound(KeyPeriod period) {
    boolean begins = !period.hasNotAfter() || hasBegun(period, period.getNotAfter());
    require(begins, "BUNDLE_INVALID", "a key of the trust bundle ends before it begins");
    boolean fallen = period.hasRevokedAt() || period.hasTaintedAt();
    require(!fallen || period.hasNotAfter(), "BUNDLE_INVALID", "a key is tainted or revoked and has no successor");
  }

  private static boolean precedes(KeyPeriod earlier, KeyPeriod later) {
    return !later.hasNotBefore() || (earlier.hasNotAfter() && earlier.getNotAfter() <= later.getNotBefore());
  }
}
