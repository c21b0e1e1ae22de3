package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.MedicalAuthority;
import example.medunion.federation.v1.RevocationList;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.Sweep;
import java.security.cert.X509CRL;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The revocation list and the authorities' CRLs as last received. Stale or absent means no. */
public final class Lists {
  private static final long LONGEST_LIFE = 3_600_000;

  private final RevocationList revocations;
  private final List<X509CRL> crls;
  private final Set<ByteString> serials;
  private final Set<ByteString> statements;
  private final Map<ByteString, Long> sweeps;
  private final Set<ByteString> keyIds;

  private Lists(RevocationList revocations, List<X509CRL> crls) {
    this.revocations = revocations;
    this.crls = crls;
    this.serials = new HashSet<>(revocations.getSerialsList());
    this.statements = new HashSet<>(revocations.getStatementsList());
    this.sweeps =
        revocations.getSweepsList().stream()
            .collect(Collectors.toMap(Sweep::getPatientDigest, Sweep::getBefore, Math::max));
    this.keyIds = new HashSet<>(revocations.getKeyIdsList());
  }

  /** Verifies a list by the PUK_C of its time, and parses the CRLs: which of them counts is said where one is used. */
  public static Lists read(TrustedBundle bundle, SignedStatement signed, List<ByteString> crls) {
    RevocationList type = RevocationList.getDefaultInstance();
    byte[] key = bundle.cloudKeyAt(Statements.peek(type, signed).getThisUpdate());
    RevocationList list = Statements.open("rl", type, signed, key);
    boolean brief = Long.compareUnsigned(list.getNextUpdate(), list.getThisUpdate() + LONGEST_LIFE) <= 0;
    require(brief, "MALFORMED_MESSAGE", "a revocation list may not live longer than an hour");
    return new Lists(list, crls.stream().flatMap(crl -> AuthorityCrl.read(crl).stream()).toList());
  }

  public RevocationList revocations() {
    return revocations;
  }

  public List<X509CRL> crls() {
    return crls;
  }

  /** Of each authority the newest CRL that counts by this list, DER: of these and of those at hand. One that was made up displaces none. */
  public List<ByteString> crlsBeside(Lists kept, List<MedicalAuthority> authorities) {
    Lists all = new Lists(revocations, Stream.concat(crls.stream(), kept.crls.stream()).toList());
    return authorities.stream()
        .map(authority -> DoctorCertificate.read(authority.getCertificate().toByteArray()))
        .flatMap(authority -> AuthorityCrl.newest(authority, all, crl -> true).stream())
        .map(crl -> ByteString.copyFrom(AuthorityCrl.encoded(crl)))
        .toList();
  }

  public void requireCurrent(long now) {
    boolean current = !Freshness.hasEnded(revocations.getNextUpdate(), now);
    require(current, "REVOCATION_LIST_STALE", "no current revocation list is at hand");
    boolean begun = Freshness.hasBegun(revocations.getThisUpdate(), now);
    require(begun, "REVOCATION_LIST_STALE", "the revocation list is from the future");
  }

  public void requireSerialGood(ByteString serial) {
    byte[] entry = Transcript.of("serial").add(serial).digest();
    require(!serials.contains(ByteString.copyFrom(entry)), "CREDENTIAL_REVOKED", "the credential is revoked");
  }

  public void requireKeyGood(ByteString keyId) {
    require(!keyIds.contains(keyId), "CREDENTIAL_REVOKED", "the encryption key is revoked");
  }

  /** Whether a statement of this kind ("grant", "mandate", "guardian", "duty") was taken back by itself. */
  public boolean isRevoked(String kind, String ownerId, ByteString statementId) {
    byte[] entry = Transcript.of("revoked").add(kind).add(ownerId).add(statementId).digest();
    return statements.contains(ByteString.copyFrom(entry));
  }

  /** Whether a grant or mandate was taken back, by itself or with all that its patient signed. */
  public boolean isTakenBack(String kind, String patientId, ByteString statementId, long statedAt) {
    return statedAt < sweptBefore(patientId) || isRevoked(kind, patientId, statementId);
  }

  /** Before when everything that a patient signed was taken back; 0 where nothing was. */
  public long sweptBefore(String patientId) {
    byte[] entry = Transcript.of("sweep").add(patientId).digest();
    return sweeps.getOrDefault(ByteString.copyFrom(entry), 0L);
  }
}
