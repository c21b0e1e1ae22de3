package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.MedicalAuthority;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.SignedStatement;
import java.security.cert.X509CRL;
import java.util.List;
import java.util.stream.Stream;

/** The head of the revocation list, what is at hand of its set, and the authorities' CRLs as last received. Stale or absent means no. */
public final class Lists {
  private static final long LONGEST_LIFE = 3_600_000;

  private final RevocationHead head;
  private final List<X509CRL> crls;
  private final Listed listed;

  private Lists(RevocationHead head, List<X509CRL> crls, Listed listed) {
    this.head = head;
    this.crls = crls;
    this.listed = listed;
  }

  /**
   * Verifies a head by the PUK_C of its time, and parses the CRLs: which of them counts is said where one is used. `listed` is what is at
   * hand of the head's set.
   */
  public static Lists read(TrustedBundle bundle, SignedStatement signed, List<ByteString> crls, Listed listed) {
    RevocationHead type = RevocationHead.getDefaultInstance();
    byte[] key = bundle.cloudKeyAt(Statements.peek(type, signed).getThisUpdate());
    RevocationHead head = Statements.open("rl", type, signed, key);
    boolean brief = Long.compareUnsigned(head.getNextUpdate(), head.getThisUpdate() + LONGEST_LIFE) <= 0;
    require(brief, "MALFORMED_MESSAGE", "a head of the revocation list may not live longer than an hour");
    return new Lists(head, crls.stream().flatMap(crl -> AuthorityCrl.read(crl).stream()).toList(), listed);
  }

  /** The same of a head and the shards that came with it, which it has to prove: for what is checked at once. */
  public static Lists read(TrustedBundle bundle, RevocationExcerpt excerpt, List<ByteString> crls) {
    Lists unlisted = read(bundle, excerpt.getHead(), crls, Shards.NONE);
    return new Lists(unlisted.head, unlisted.crls, Shards.read(excerpt, unlisted.head.getRoot()));
  }

  /** The head, verified, whether it is current or not. */
  public RevocationHead head() {
    return head;
  }

  public List<X509CRL> crls() {
    return crls;
  }

  /** Of each authority the newest CRL that counts by this list, DER: of these and of those at hand. One that was made up displaces none. */
  public List<ByteString> crlsBeside(Lists kept, List<MedicalAuthority> authorities) {
    Lists all = new Lists(head, Stream.concat(crls.stream(), kept.crls.stream()).toList(), listed);
    return authorities.stream()
        .map(authority -> DoctorCertificate.read(authority.getCertificate().toByteArray()))
        .flatMap(authority -> AuthorityCrl.newest(authority, all, crl -> true).stream())
        .map(crl -> ByteString.copyFrom(AuthorityCrl.encoded(crl)))
        .toList();
  }

  public void requireSerialGood(ByteString serial) {
    byte[] entry = Transcript.of("serial").add(serial).digest();
    require(listed.find(entry).isEmpty(), "CREDENTIAL_REVOKED", "the credential is revoked");
  }

  public void requireKeyGood(ByteString keyId) {
    byte[] entry = Transcript.of("key").add(keyId).digest();
    require(listed.find(entry).isEmpty(), "CREDENTIAL_REVOKED", "the encryption key is revoked");
  }

  /** Whether a statement of this kind ("grant", "mandate", "guardian", "duty") was taken back by itself. */
  public boolean isRevoked(String kind, String ownerId, ByteString statementId) {
    byte[] entry = Transcript.of("revoked").add(kind).add(ownerId).add(statementId).digest();
    return listed.find(entry).isPresent();
  }

  /** Whether a grant or mandate was taken back, by itself or with all that its patient signed. */
  public boolean isTakenBack(String kind, String patientId, ByteString statementId, long statedAt) {
    return statedAt < sweptBefore(patientId) || isRevoked(kind, patientId, statementId);
  }

  /** Before when everything that a patient signed was taken back; 0 where nothing was. */
  public long sweptBefore(String patientId) {
    return listed.find(Transcript.of("sweep").add(patientId).digest()).orElse(0);
  }
}
