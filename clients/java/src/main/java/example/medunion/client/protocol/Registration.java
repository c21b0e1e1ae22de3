package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.federation.v1.Credential;
import example.medunion.federation.v1.RegistrationAnswer;
import example.medunion.federation.v1.RegistrationRequest;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SignedStatement;
import java.nio.ByteBuffer;
import java.util.List;
import org.bouncycastle.math.ec.ECPoint;

/** Registration, the applicant's side (eq. 2-10; docs/protocol.md, 3): reg1 is sent, reg2 is checked. */
public final class Registration {
  private Registration() {}

  /** Who asks to be registered, and with what: B_P or Cert_D as evidence; a ticket unless a doctor, else null. */
  public record Applicant(
      Role role,
      String identity,
      byte[] evidence,
      byte[] ticket,
      SigningKey signingKey,
      Hpke.DecryptionKey decryptionKey,
      SignedStatement encryptionKeyStatement) {}

  /** reg2 held, eq. 4, 7, 10 among it. Keep S_X (32 bytes) where keys are kept, and wipe this copy. */
  public record Registered(VerifiedParty party, byte[] registrationSecret, Lists lists) {
    @Override
    public String toString() {
      return "Registered[" + party.identity() + "]";
    }
  }

  /** Sends reg1. */
  public static AwaitingCredential apply(Applicant applicant, byte[] challenge, EncryptionKey cloud, long now) {
    RegistrationRequest.Builder request =
        RegistrationRequest.newBuilder()
            .setRole(applicant.role())
            .setIdentity(applicant.identity())
            .setEvidence(ByteString.copyFrom(applicant.evidence()))
            .setVerifyingKey(ByteString.copyFrom(applicant.signingKey().verifyingKey()))
            .setEncryptionKeyStatement(applicant.encryptionKeyStatement())
            .setChallenge(ByteString.copyFrom(challenge))
            .setSentAt(now);
    if (applicant.ticket() != null) {
      request.setTicket(ByteString.copyFrom(applicant.ticket()));
    }
    byte[] signature = applicant.signingKey().sign(requestTranscript(request, cloud.owner()));
    request.setSignature(ByteString.copyFrom(signature));
    Context context = new Context("reg1", Context.UNNAMED, cloud.owner(), cloud.keyId(), challenge, now);
    Sealing.Sent sent = Sealing.seal(request.build(), cloud.encryptionKey(), context);
    return new AwaitingCredential(applicant, request.build(), sent.opening(), Bytes.sha256(sent.plaintext()));
  }

  /** Goes on with what {@link AwaitingCredential#keep} wrote. Refuses with IDENTITY_MISMATCH what was kept of another applicant. */
  public static AwaitingCredential resume(Applicant applicant, byte[] kept) {
    try {
      ByteBuffer left = ByteBuffer.wrap(kept);
      byte[] digest = field(left);
      byte[] attribute = field(left);
      SealedOpening opening = SealedOpening.parseFrom(field(left));
      ByteString evidence = ByteString.copyFrom(applicant.evidence());
      RegistrationRequest request = RegistrationRequest.parseFrom(field(left)).toBuilder().setEvidence(evidence).build();
      boolean same =
          request.getRole() == applicant.role()
              && request.getIdentity().equals(applicant.identity())
              && Bytes.equal(attribute, attributeOf(applicant.role(), applicant.evidence()))
              && Bytes.equal(request.getVerifyingKey(), applicant.signingKey().verifyingKey())
              && request.getEncryptionKeyStatement().equals(applicant.encryptionKeyStatement());
      require(same, "IDENTITY_MISMATCH", "the registration that is under way is another's");
      return new AwaitingCredential(applicant, request, opening, digest);
    } catch (InvalidProtocolBufferException error) {
      throw new Refusal("MALFORMED_MESSAGE", "what was kept of a registration is none", error);
    }
  }

  /** reg1 is sent. */
  public static final class AwaitingCredential {
    private final Applicant applicant;
    private final RegistrationRequest request;
    private final SealedOpening opening;
    private final byte[] requestDigest;

    private AwaitingCredential(
        Applicant applicant, RegistrationRequest request, SealedOpening opening, byte[] requestDigest) {
      this.applicant = applicant;
      this.request = request;
      this.opening = opening;
      this.requestDigest = requestDigest;
    }

    public Applicant applicant() {
      return applicant;
    }

    /** T of reg1. */
    public long sentAt() {
      return request.getSentAt();
    }

    /** reg1. The same again gets the same answer. */
    public SealedOpening opening() {
      return opening;
    }

    /**
     * What an end of the program must not lose. The evidence is left out, for a patient's is never written down: its attribute tells whether
     * the same is given again. The ticket is inside: seal this.
     */
    public byte[] keep() {
      byte[] attribute = attributeOf(request.getRole(), request.getEvidence().toByteArray());
      byte[] rest = request.toBuilder().clearEvidence().build().toByteArray();
      return Bytes.concat(
          Transcript.field(requestDigest),
          Transcript.field(attribute),
          Transcript.field(opening.toByteArray()),
          Transcript.field(rest));
    }

    /** Takes reg2. */
    public Registered receive(SealedReply reply, TrustedBundle bundle, List<ByteString> crls, long now) {
      Rules.check(reply);
      boolean own = reply.getSessionId().equals(request.getChallenge());
      require(own, "SESSION_UNKNOWN", "the answer belongs to another registration");
      return Refusal.afterOpening(() -> accept(reply, bundle, crls, now));
    }

    private Registered accept(SealedReply reply, TrustedBundle bundle, List<ByteString> crls, long now) {
      Hpke.DecryptionKey key = applicant.decryptionKey();
      byte[] challenge = request.getChallenge().toByteArray();
      String cloud = bundle.content().getCloudId();
      Context context = new Context("reg2", cloud, applicant.identity(), key.keyId(), challenge, reply.getSentAt());
      RegistrationAnswer type = RegistrationAnswer.getDefaultInstance();
      RegistrationAnswer answer =
          Sealing.open(type, reply.getSealed(), key, context).payload();
      Freshness.requireNotFuture(answer.getSentAt(), now);
      byte[] encoded = answer.getCredential().toByteArray();
      Credential credential = Rules.parse(Credential.getDefaultInstance(), encoded);
      requireOwnData(credential);
      ECPoint point = requireEquation(answer, bundle.issuerAt(credential.getNotBefore()));
      byte[] signed = answerTranscript(requestDigest, answer, point);
      Statements.verifySignature(bundle.cloudKeyAt(answer.getSentAt()), answer.getSignature(), signed);
      Lists lists = Lists.read(bundle, answer.getRevocations(), crls);
      VerifiedParty party = new Verifier(bundle, lists).party(answer.getKeyStatement(), applicant.role(), now);
      boolean same =
          Bytes.equal(answer.getCredential(), party.credential())
              && Bytes.equal(answer.getRegistrationPoint(), party.registrationPoint());
      require(same, "IDENTITY_MISMATCH", "the key statement is of another credential");
      return new Registered(party, answer.getRegistrationSecret().toByteArray(), lists);
    }

    private void requireOwnData(Credential credential) {
      byte[] attribute = attributeOf(request.getRole(), request.getEvidence().toByteArray());
      boolean holds =
          credential.getRole() == request.getRole()
              && credential.getIdentity().equals(request.getIdentity())
              && Bytes.equal(credential.getAttribute(), attribute)
              && Bytes.equal(credential.getVerifyingKeyDigest(), Bytes.sha256(request.getVerifyingKey()));
      require(holds, "CREDENTIAL_INVALID", "the credential does not hold what was asked for");
    }
  }

  /** What F wrote. */
  private static byte[] field(ByteBuffer left) {
    boolean there = left.remaining() >= Integer.BYTES && left.getInt(left.position()) <= left.remaining() - Integer.BYTES;
    require(there && left.getInt(left.position()) >= 0, "MALFORMED_MESSAGE", "what was kept of a registration is none");
    byte[] field = new byte[left.getInt()];
    left.get(field);
    return field;
  }

  /** The credential's attribute: H(T("bp", B_P)) of a patient, H(Cert_D) of a doctor. */
  static byte[] attributeOf(Role role, byte[] evidence) {
    return role == Role.ROLE_PATIENT ? Transcript.of("bp").add(evidence).digest() : Bytes.sha256(evidence);
  }

  /** Eq. 4, 7, 10: (R_X1, S_X) is an ECDSA signature of T("cred", PK, M_X) by s, S_X in either half. Gives U_X. */
  private static ECPoint requireEquation(RegistrationAnswer answer, byte[] issuer) {
    byte[] signed = Verifier.credentialTranscript(issuer, answer.getCredential().toByteArray());
    byte[] point = answer.getRegistrationPoint().toByteArray();
    byte[] signature = Bytes.concat(point, answer.getRegistrationSecret().toByteArray());
    boolean holds = Signatures.isEcdsa(issuer, signature, signed);
    require(holds, "CREDENTIAL_INVALID", "(R_X1, S_X) does not satisfy eq. 4, 7, 10");
    return Curve.publicPoint(point, issuer, signed);
  }

  private static byte[] requestTranscript(RegistrationRequest.Builder request, String cloudId) {
    return Transcript.of("reg1")
        .add(request.getRole() == Role.ROLE_PATIENT ? "patient" : "doctor")
        .add(request.getIdentity())
        .add(request.getEvidence())
        .add(request.getVerifyingKey())
        .add(request.getEncryptionKeyStatement().getStatement())
        .add(request.getTicket())
        .add(request.getChallenge())
        .add(request.getSentAt())
        .add(cloudId)
        .bytes();
  }

  private static byte[] answerTranscript(byte[] requestDigest, RegistrationAnswer answer, ECPoint point) {
    return Transcript.of("reg2")
        .add(requestDigest)
        .add(answer.getCredential())
        .add(answer.getRegistrationPoint())
        .add(Curve.x(point))
        .add(answer.getSentAt())
        .bytes();
  }
}
