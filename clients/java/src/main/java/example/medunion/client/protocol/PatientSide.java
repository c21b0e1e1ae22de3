package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.ConsultationOpening;
import example.medunion.federation.v1.ConsultationReply;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.DiagnosisReceipt;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;

/** The patient's side of a consultation: P1, D1, P2, D5, P6 (eq. 11-13, 20-23, 50). */
public final class PatientSide {
  private PatientSide() {}

  /** The doctor of the code that the patient scanned, verified. */
  public record AddressedDoctor(VerifiedParty party, byte[] certificate, EncryptionKey encryptionKey) {}

  /** Checks what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). */
  public static AddressedDoctor checkRoom(GetRoomResponse room, byte[] code, Verifier verifier, long now) {
    Rules.checkOuter(room);
    SignedStatement statement = room.getKeyStatement();
    byte[] certificate = room.getDoctorCertificate().toByteArray();
    byte[] served = Consultation.codeDigest(statement.getStatement(), statement.getSignature(), certificate);
    require(Bytes.equal(served, code), "IDENTITY_MISMATCH", "the relay serves another doctor than the code names");
    VerifiedParty party = verifier.doctor(statement, certificate, now);
    EncryptionKey key = verifier.encryptionKey(room.getEncryptionKeyStatement(), party, now);
    return new AddressedDoctor(party, certificate, key);
  }

  /** Sends P1: picks r5, R_P2 = r5 B (eq. 11), signs it for this doctor (eq. 13) and seals it to it (eq. 12). */
  public static AwaitingReply begin(
      Party patient, AddressedDoctor doctor, byte[] biometricPassword, long now, Entropy entropy) {
    byte[] scalar = Group.scalar(entropy.draw(64));
    byte[] sessionId = entropy.draw(16);
    ConsultationOpening.Builder payload =
        ConsultationOpening.newBuilder()
            .setPatientId(patient.identity())
            .setBiometricPassword(ByteString.copyFrom(biometricPassword))
            .setRegistrationPoint(ByteString.copyFrom(patient.self().registrationPoint()))
            .setEphemeralPoint(ByteString.copyFrom(Group.multiplyBase(scalar)))
            .setSentAt(now)
            .setContribution(ByteString.copyFrom(entropy.draw(32)))
            .setKeyStatement(patient.self().keyStatement())
            .setEncryptionKeyStatement(patient.encryptionKeyStatement());
    String receiver = doctor.party().identity();
    byte[] keyId = doctor.encryptionKey().keyId();
    byte[] issuer = patient.self().issuer();
    byte[] signed = Consultation.openingTranscript(payload.buildPartial(), issuer, receiver, keyId, sessionId);
    payload.setSignature(ByteString.copyFrom(patient.signingKey().sign(signed)));
    Context context = new Context("p1", Context.UNNAMED, receiver, keyId, sessionId, now);
    Sealing.Sent sent = Sealing.seal(payload.build(), doctor.encryptionKey().encryptionKey(), context);
    return new AwaitingReply(patient, doctor, sessionId, scalar, payload.build(), sent);
  }

  /** P1 is sent. r5 lives here and nowhere else. */
  public static final class AwaitingReply {
    private final Party patient;
    private final AddressedDoctor doctor;
    private final byte[] sessionId;
    private final byte[] scalar;
    private final ConsultationOpening p1;
    private final Sealing.Sent sent;

    private AwaitingReply(
        Party patient,
        AddressedDoctor doctor,
        byte[] sessionId,
        byte[] scalar,
        ConsultationOpening p1,
        Sealing.Sent sent) {
      this.patient = patient;
      this.doctor = doctor;
      this.sessionId = sessionId;
      this.scalar = scalar;
      this.p1 = p1;
      this.sent = sent;
    }

    public SealedOpening opening() {
      return sent.opening();
    }

    public byte[] sessionId() {
      return sessionId.clone();
    }

    /** Takes D1 (eq. 20-22). */
    public Established receive(SealedReply reply, Verifier verifier, long now) {
      Rules.check(reply);
      boolean own = Bytes.equal(reply.getSessionId(), sessionId);
      require(own, "SESSION_UNKNOWN", "the answer belongs to another session");
      Freshness.requireFresh(reply.getSentAt(), now);
      return Refusal.afterOpening(() -> accept(reply, verifier, now));
    }

    private Established accept(SealedReply reply, Verifier verifier, long now) {
      String addressed = doctor.party().identity();
      Hpke.DecryptionKey key = patient.decryptionKey();
      Context context =
          new Context("d1", addressed, patient.identity(), key.keyId(), sessionId, reply.getSentAt());
      ConsultationReply type = ConsultationReply.getDefaultInstance();
      ConsultationReply d1 =
          Sealing.open(type, reply.getSealed(), key, context).payload();
      require(d1.getDoctorId().equals(addressed), "IDENTITY_MISMATCH", "another doctor answers than the one addressed");
      boolean checked = Bytes.equal(d1.getDoctorCertificate(), doctor.certificate());
      require(checked, "CERTIFICATE_FOREIGN", "Cert_D is not the one that was checked");
      VerifiedParty replying = verifier.doctor(d1.getKeyStatement(), doctor.certificate(), now);
      boolean same =
          replying.identity().equals(addressed)
              && Bytes.equal(d1.getRegistrationPoint(), replying.registrationPoint());
      require(same, "IDENTITY_MISMATCH", "the key statement is not of the doctor who answers");
      byte[] ephemeral = d1.getEphemeralPoint().toByteArray();
      byte[] hash =
          Consultation.transcriptHash(
              sent.plaintext(), replying, doctor.certificate(), ephemeral, d1.getSentAt(), sessionId);
      SessionKeys.Shared shared =
          SessionKeys.Shared.agree(patient.registrationSecret(), ephemeral, scalar, replying);
      byte[] own = p1.getContribution().toByteArray();
      SessionKeys keys = SessionKeys.derive(shared, own, d1.getContribution().toByteArray(), hash, "PD");
      boolean confirmed = Bytes.equal(d1.getKeyConfirmation(), keys.keyConfirmation());
      require(confirmed, "KEY_CONFIRMATION_FAILED", "the doctor does not hold the session key");
      byte[] signed = Consultation.replyTranscript(d1, replying.issuer(), hash);
      Statements.verifySignature(replying.verifyingKey(), d1.getSignature(), signed);
      return new Established(patient, doctor, sessionId, hash, keys, p1.getSentAt());
    }
  }

  /** The doctor has proved itself and the key. */
  public record Established(
      Party patient,
      AddressedDoctor doctor,
      byte[] sessionId,
      byte[] transcriptHash,
      SessionKeys keys,
      long beganAt) {
    /** Sends P2 (eq. 23): M_SD in slices, then what signs it and the grant, which may be null. */
    public AwaitingDiagnosis deliver(byte[] biosignal, SignedStatement grant, long now) {
      Consultation.requireBounded(biosignal.length);
      byte[] digest = Bytes.sha256(biosignal);
      byte[] grantDigest = grant == null ? Bytes.EMPTY : Transcript.statementDigest("grant", grant);
      String doctorId = doctor.party().identity();
      byte[] signed =
          Consultation.biosignalTranscript(transcriptHash, doctorId, doctor.certificate(), digest, grantDigest, now);
      BiosignalDelivery.Builder payload =
          BiosignalDelivery.newBuilder()
              .setBiosignalSizeBytes(biosignal.length)
              .setBiosignalDigest(ByteString.copyFrom(digest))
              .setPatientId(patient.identity())
              .setSentAt(now)
              .setSignature(ByteString.copyFrom(patient.signingKey().sign(signed)));
      if (grant != null) {
        payload.setGrant(grant);
      }
      Direction sending = new Direction(sessionId, keys.forward());
      byte[] message = Statements.serialised(payload.build());
      List<SessionFrame> frames = sending.sealContent("p2", biosignal, message, now);
      return new AwaitingDiagnosis(this, sending, frames, payload.getSignature());
    }
  }

  /** P2 is made: send its frames, in order. */
  public static final class AwaitingDiagnosis {
    private final Established session;
    private final Direction sending;
    private final Direction receiving;
    private final List<SessionFrame> frames;
    private final ByteString biosignalSignature;

    private AwaitingDiagnosis(
        Established session, Direction sending, List<SessionFrame> frames, ByteString biosignalSignature) {
      this.session = session;
      this.sending = sending;
      this.receiving = new Direction(session.sessionId(), session.keys().backward());
      this.frames = frames;
      this.biosignalSignature = biosignalSignature;
    }

    public List<SessionFrame> frames() {
      return frames;
    }

    public Established session() {
      return session;
    }

    /** Takes D5 (eq. 50). Its T lies within the consultation's life; the sequence stops a replay (D2 of the findings). */
    public Diagnosed receive(SessionFrame frame, Verifier verifier, long now) {
      return Refusal.afterOpening(() -> accept(frame, verifier, now));
    }

    private Diagnosed accept(SessionFrame frame, Verifier verifier, long now) {
      byte[] plaintext = receiving.open("d5", frame);
      require(frame.getLast(), "OUT_OF_ORDER", "a diagnosis is one frame");
      DiagnosisDelivery type = DiagnosisDelivery.getDefaultInstance();
      DiagnosisDelivery d5 = Rules.parse(type, plaintext);
      Freshness.requireSameTime(d5.getSentAt(), frame.getSentAt());
      Freshness.requireNotFuture(d5.getSentAt(), now);
      boolean begun = session.beganAt() - Freshness.SKEW <= d5.getSentAt();
      boolean alive = begun && d5.getSentAt() < session.beganAt() + Consultation.LIFE;
      require(alive, "SESSION_EXPIRED", "the diagnosis was not made within the consultation's life");
      AddressedDoctor doctor = session.doctor();
      boolean same = Bytes.equal(d5.getDoctorCertificate(), doctor.certificate());
      require(same, "CERTIFICATE_FOREIGN", "Cert_D is not the one of the consultation");
      VerifiedParty party = verifier.doctor(doctor.party().keyStatement(), doctor.certificate(), now);
      byte[] signed = Consultation.diagnosisTranscript(session.transcriptHash(), d5, biosignalSignature);
      Statements.verifySignature(party.verifyingKey(), d5.getSignature(), signed);
      receiving.advance();
      return new Diagnosed(this, d5);
    }
  }

  /** The signed diagnosis is here. */
  public record Diagnosed(AwaitingDiagnosis consultation, DiagnosisDelivery delivery) {
    /** Makes P6, a receipt for the diagnosis. */
    public SessionFrame receipt(long now) {
      byte[] digest = Bytes.sha256(delivery.getSignature());
      SigningKey key = consultation.session.patient().signingKey();
      DiagnosisReceipt payload =
          DiagnosisReceipt.newBuilder()
              .setDiagnosisDigest(ByteString.copyFrom(digest))
              .setSentAt(now)
              .setSignature(ByteString.copyFrom(key.sign(Consultation.receiptTranscript(digest, now))))
              .build();
      return consultation.sending.seal("p6", Statements.serialised(payload), now);
    }
  }
}
