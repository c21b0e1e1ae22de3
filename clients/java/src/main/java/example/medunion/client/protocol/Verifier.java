package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.Credential;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.KeyStatement;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;
import java.util.Map;

/**
 * CRED(X) and its company: the checks that every receiver makes (docs/protocol.md, 2), by what it trusts and the lists, and for how long one
 * counts that is over.
 */
public record Verifier(TrustedBundle bundle, Lists lists, Grace grace) {
  private static final Map<Role, String> PREFIXES =
      Map.of(Role.ROLE_PATIENT, "P:", Role.ROLE_DOCTOR, "D:", Role.ROLE_HOSPITAL, "H:");

  /** By lists that count as long as they are current. */
  public Verifier(TrustedBundle bundle, Lists lists) {
    this(bundle, lists, Grace.NONE);
  }

  /** CRED(X) for a key statement. */
  public VerifiedParty party(SignedStatement signed, Role role, long now) {
    grace.requireCurrent(lists.head(), now); // cred.1
    KeyStatement type = KeyStatement.getDefaultInstance();
    byte[] key = bundle.cloudKeyAt(Statements.peek(type, signed).getStatedAt());
    KeyStatement statement = Statements.open("ks", type, signed, key);
    byte[] encoded = statement.getCredential().toByteArray();
    Credential credential = Rules.parse(Credential.getDefaultInstance(), encoded);
    requireAgreement(statement, credential, role);
    // Else a PRK_C that waits for its stated time could speak already.
    requireValid(statement.getStatedAt(), statement.getNotAfter(), now);
    requireValid(statement.getNotBefore(), statement.getNotAfter(), now);
    requireValid(credential.getNotBefore(), credential.getNotAfter(), now);
    lists.requireSerialGood(credential.getSerial());
    byte[] issuer = bundle.issuerAt(credential.getNotBefore());
    byte[] registrationPoint = statement.getRegistrationPoint().toByteArray();
    var point = Curve.publicPoint(registrationPoint, issuer, credentialTranscript(issuer, encoded));
    grace.requireStood(lists.head(), statement.getStatedAt(), now); // cred.14
    return new VerifiedParty(
        role,
        statement.getIdentity(),
        credential.getSerial().toByteArray(),
        credential.getAttribute().toByteArray(),
        encoded,
        registrationPoint,
        point,
        statement.getVerifyingKey().toByteArray(),
        issuer,
        signed,
        null);
  }

  /** CRED(D), and Cert_D: legal, this doctor's, and the one in the credential. */
  public VerifiedParty doctor(SignedStatement signed, byte[] certificate, long now) {
    VerifiedParty party = party(signed, Role.ROLE_DOCTOR, now);
    boolean bound = Bytes.equal(party.attribute(), Bytes.sha256(certificate));
    require(bound, "CREDENTIAL_INVALID", "the credential was issued for another Cert_D");
    return party.certifiedBy(
        DoctorCertificate.verify(certificate, bundle.content().getMedicalAuthoritiesList(), lists, party, now));
  }

  /** CRED(X) of whatever role; of a doctor with Cert_D, which nobody else has. */
  VerifiedParty member(SignedStatement signed, Role role, byte[] certificate, long now) {
    if (role == Role.ROLE_DOCTOR) {
      return doctor(signed, certificate, now);
    }
    require(certificate.length == 0, "CERTIFICATE_FOREIGN", "only a doctor has a Cert_D");
    return party(signed, role, now);
  }

  /** CRED(X) for a party's own KS, signed anew by a rotated PRK_C: it says what the kept one says, at another time. */
  public VerifiedParty restated(SignedStatement signed, SignedStatement kept, long now) {
    KeyStatement type = KeyStatement.getDefaultInstance();
    KeyStatement before = Statements.peek(type, kept);
    VerifiedParty party = party(signed, before.getRole(), now);
    KeyStatement after = Statements.peek(type, signed).toBuilder().setStatedAt(before.getStatedAt()).build();
    require(after.equals(before), "CREDENTIAL_INVALID", "the key statement signed anew is not of this credential and key");
    return party;
  }

  /** EK_X by PUK_X. */
  public EncryptionKey encryptionKey(SignedStatement signed, VerifiedParty owner, long now) {
    return encryptionKey(signed, owner.identity(), owner.verifyingKey(), now);
  }

  /** EK_C by the PUK_C that it names: its validity begins before it is signed, so no time of its own could say which. */
  public EncryptionKey cloudEncryptionKey(SignedStatement signed, long now) {
    EncryptionKeyStatement type = EncryptionKeyStatement.getDefaultInstance();
    EncryptionKeyStatement named = Statements.peek(type, signed);
    long begunBy = now + Freshness.SKEW;
    byte[] key = bundle.cloudKeyOfEpoch(named.getVerifyingKeyDigest(), named.getNotBefore(), begunBy);
    return encryptionKey(signed, bundle.content().getCloudId(), key, now);
  }

  /** T("cred", PK, M_X): what s signs. */
  public static byte[] credentialTranscript(byte[] issuer, byte[] credential) {
    return Transcript.of("cred").add(issuer).add(credential).bytes();
  }

  private EncryptionKey encryptionKey(SignedStatement signed, String owner, byte[] key, long now) {
    EncryptionKeyStatement type = EncryptionKeyStatement.getDefaultInstance();
    EncryptionKeyStatement statement = Statements.open("ek", type, signed, key);
    boolean bound = Bytes.equal(statement.getVerifyingKeyDigest(), Bytes.sha256(key));
    require(bound, "CREDENTIAL_INVALID", "the encryption key names another verifying key");
    byte[] encryptionKey = statement.getEncryptionKey().toByteArray();
    boolean fits =
        statement.getKem() == Hpke.KEM_ID && Bytes.equal(statement.getKeyId(), Hpke.keyIdOf(encryptionKey));
    require(fits, "CREDENTIAL_INVALID", "the encryption key is not of its key id and KEM");
    Hpke.requireEncryptionKey(encryptionKey);
    require(statement.getIdentity().equals(owner), "IDENTITY_MISMATCH", "the encryption key is somebody else's");
    requireValid(statement.getNotBefore(), statement.getNotAfter(), now);
    lists.requireKeyGood(statement.getKeyId());
    return new EncryptionKey(owner, statement.getKeyId().toByteArray(), encryptionKey, signed);
  }

  /** Which of these roles an identity is of. */
  static Role roleOf(String identity, List<Role> roles) {
    return roles.stream()
        .filter(role -> identity.startsWith(PREFIXES.get(role)))
        .findFirst()
        .orElseThrow(() -> new Refusal("CREDENTIAL_INVALID", "the identity is not of a role that may send this"));
  }

  private static void requireAgreement(KeyStatement statement, Credential credential, Role role) {
    boolean ofRole = statement.getRole() == role && credential.getRole() == role;
    require(ofRole, "CREDENTIAL_INVALID", "the credential is for another role");
    boolean own = statement.getIdentity().equals(credential.getIdentity());
    require(own, "CREDENTIAL_INVALID", "the credential is another identity's");
    boolean bound = Bytes.equal(credential.getVerifyingKeyDigest(), Bytes.sha256(statement.getVerifyingKey()));
    require(bound, "CREDENTIAL_INVALID", "the credential is for another key");
    boolean named = statement.getIdentity().startsWith(PREFIXES.get(role));
    require(named, "CREDENTIAL_INVALID", "the identity is not of this role");
  }

  /** Requires validity; what was stated just now by a clock that is ahead within sigma is valid. */
  private static void requireValid(long notBefore, long notAfter, long now) {
    boolean valid = Freshness.hasBegun(notBefore, now) && !Freshness.hasEnded(notAfter, now);
    require(valid, "CREDENTIAL_EXPIRED", "outside its validity");
  }
}
