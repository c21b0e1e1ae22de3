package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.KeyPeriod;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.TrustBundle;
import java.util.List;
import java.util.Optional;

/**
 * A trust bundle that was pinned, or followed one that was: the first is handed over, each later one is vouched for by a key that its
 * predecessor lets sign (docs/protocol.md, 2; ADR 18).
 */
public final class TrustedBundle {
  private static final String LABEL = "tb";

  private final SignedStatement signed;
  private final TrustBundle content;
  private final KeyHistory issuers;
  private final KeyHistory cloudKeys;
  private final List<WitnessPolicy> witnessPolicies;

  private TrustedBundle(SignedStatement signed) {
    this.signed = signed;
    this.content = Statements.peek(TrustBundle.getDefaultInstance(), signed);
    this.issuers = new KeyHistory(content.getIssuersList());
    this.cloudKeys = new KeyHistory(content.getCloudKeysList());
    this.witnessPolicies = WitnessPolicy.read(content);
  }

  /** Takes a bundle that was handed over: whoever did so vouches for it. Compare its digest with what was printed beside it. */
  public static TrustedBundle pin(SignedStatement signed) {
    return sound(signed);
  }

  /** Takes a bundle that was handed over, if it has the digest that was. */
  public static TrustedBundle pin(SignedStatement signed, byte[] digest) {
    boolean pinned = Bytes.equal(Transcript.statementDigest(LABEL, signed), digest);
    require(pinned, "BUNDLE_UNPINNED", "the trust bundle has not the digest that was handed over");
    return sound(signed);
  }

  /** The number that a bundle claims: says what to ask for, and nothing else. */
  public static long sequenceOf(SignedStatement signed) {
    return Statements.peek(TrustBundle.getDefaultInstance(), signed).getSequence();
  }

  /** Takes the next bundle. Nothing in it is read before a key that this one lets sign vouches for it. */
  public TrustedBundle follow(SignedStatement next) {
    requireSigner(next, cloudKeys, content.getIssuedAt());
    TrustedBundle following = sound(next);
    TrustBundle after = following.content;
    boolean same = after.getRealm().equals(content.getRealm()) && after.getCloudId().equals(content.getCloudId());
    require(same, "BUNDLE_FOREIGN", "the trust bundle is another federation's");
    boolean follows = after.getSequence() == content.getSequence() + 1;
    require(follows, "BUNDLE_OUT_OF_SEQUENCE", "trust bundle " + after.getSequence() + " doesn't follow " + sequence());
    boolean later = after.getIssuedAt() >= content.getIssuedAt();
    require(later, "BUNDLE_BACKDATED", "the trust bundle was made before the one that it follows");
    requireContinued(issuers, following.issuers);
    requireContinued(cloudKeys, following.cloudKeys);
    WitnessPolicy.requireFollow(witnessPolicies, following.witnessPolicies, content.getIssuedAt());
    return following;
  }

  public SignedStatement signed() {
    return signed;
  }

  public TrustBundle content() {
    return content;
  }

  public long sequence() {
    return content.getSequence();
  }

  /** H(tb), 32 bytes: what is read aloud or printed beside the file, and pins it. */
  public byte[] digest() {
    return Transcript.statementDigest(LABEL, signed);
  }

  /** The witness policy of now. */
  public WitnessPolicy witnessPolicy() {
    return witnessPolicies.get(witnessPolicies.size() - 1);
  }

  /** The PK that signed a credential of that begin. */
  public byte[] issuerAt(long notBefore) {
    KeyPeriod period = issuers.at(notBefore).orElseThrow(() -> unknown("ISSUER_UNKNOWN"));
    require(!period.hasRevokedAt(), "ISSUER_REVOKED", "the PK of the credential is revoked");
    return period.getVerifyingKey().toByteArray();
  }

  /** The PUK_C of what the cloud signed at that moment. */
  public byte[] cloudKeyAt(long moment) {
    return usable(cloudKeys.at(moment));
  }

  /** Whether what the cloud signed at that moment can't be relied on any more. */
  public boolean isCloudKeyFallenAt(long moment) {
    return cloudKeys.isFallenAt(moment);
  }

  /** The PUK_C that EK_C names: begun by now, and not ended when the epoch begins. */
  public byte[] cloudKeyOfEpoch(ByteString digest, long epochBegin, long now) {
    return usable(
        cloudKeys
            .ofDigest(digest)
            .filter(period -> KeyHistory.hasBegun(period, now) && !KeyHistory.hasEnded(period, epochBegin)));
  }

  private static byte[] usable(Optional<KeyPeriod> found) {
    KeyPeriod period = found.orElseThrow(() -> unknown("CLOUD_KEY_UNKNOWN"));
    require(!period.hasRevokedAt(), "CLOUD_KEY_REVOKED", "the PUK_C of the statement is revoked");
    return period.getVerifyingKey().toByteArray();
  }

  private static Refusal unknown(String reason) {
    return new Refusal(reason, "the trust bundle at hand names no key for that time");
  }

  /** Reads a bundle and requires it to be signed by a cloud key that it names itself, and that had not ended before it. */
  private static TrustedBundle sound(SignedStatement signed) {
    TrustedBundle bundle = new TrustedBundle(signed);
    boolean complete = bundle.content.getTlsCaCertificatesCount() > 0 && bundle.sequence() != 0;
    require(complete, "BUNDLE_INVALID", "the trust bundle has no TLS CA, or no number");
    // The moment before: a key that is retired by this very bundle may sign it.
    requireSigner(signed, bundle.cloudKeys, bundle.content.getIssuedAt() - 1);
    return bundle;
  }

  private static void requireSigner(SignedStatement signed, KeyHistory keys, long moment) {
    byte[] covered = Transcript.of(LABEL).add(signed.getStatement()).bytes();
    byte[] signature = signed.getSignature().toByteArray();
    boolean signs =
        keys.signers(moment).stream()
            .anyMatch(period -> Signatures.isSignature(period.getVerifyingKey().toByteArray(), signature, covered));
    require(signs, "BUNDLE_SIGNER_UNKNOWN", "no cloud key that may sign this trust bundle did");
  }

  /** Requires what was said of keys that had signed by then: none is dropped, moved in time, or taken back into grace. */
  private void requireContinued(KeyHistory before, KeyHistory after) {
    long issuedAt = content.getIssuedAt();
    for (KeyPeriod old : before.periods()) {
      if (KeyHistory.hasBegun(old, issuedAt)) {
        boolean kept = after.ofKey(old.getVerifyingKey()).filter(now -> continues(old, now, issuedAt)).isPresent();
        require(kept, "BUNDLE_REWRITES_HISTORY", "a key that has signed is gone, moved in time, or taken back into grace");
      }
    }
  }

  private static boolean continues(KeyPeriod old, KeyPeriod now, long issuedAt) {
    boolean begin = now.hasNotBefore() && now.getNotBefore() == old.getNotBefore();
    boolean end = !KeyHistory.hasEnded(old, issuedAt) || (now.hasNotAfter() && now.getNotAfter() == old.getNotAfter());
    boolean taint = !old.hasTaintedAt() || (now.hasTaintedAt() && now.getTaintedAt() == old.getTaintedAt());
    boolean revocation = !old.hasRevokedAt() || (now.hasRevokedAt() && now.getRevokedAt() == old.getRevokedAt());
    return begin && end && taint && revocation;
  }
}
