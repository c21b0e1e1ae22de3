package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.ConsultationOpening;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.DiagnosisReceipt;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;

/** The patient's side of a consultation: P1, D1, P2, D5, P6 (eq. 11-13, 20-23, 50). */
public final class PatientSide {
  private PatientSide() {}

  /** Checks what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). */
  public static Handshake.Peer checkRoom(GetRoomResponse room, byte[] code, Verifier verifier, long now) {
    Rules.checkOuter(room);
    SignedStatement statement = room.getKeyStatement();
    byte[] certificate = room.getDoctorCertificate().toByteArray();
    byte[] served = Consultation.codeDigest(statement.getStatement(), statement.getSignature(), certificate);
    require(Bytes.equal(served, code), "IDENTITY_MISMATCH", "the relay serves another doctor than the code names");
    VerifiedParty party = verifier.doctor(statement, certificate, now);
    EncryptionKey key = verifier.encryptionKey(room.getEncryptionKeyStatement(), party, now);
    return new Handshake.Peer(party, key, certificate);
  }

  /** Checks that the room's doctor is on duty at the relay's hospital, and gives where: what the patient is shown (code.5-7). */
  public static Access.Duty checkDuty(
      GetRoomResponse room, Handshake.Peer doctor, String hospitalId, Verifier verifier, long now) {
    return ShownAccess.requireOnDuty(room.getDuty(), doctor.party(), hospitalId, verifier, now);
  }

  /** Makes P1 for the doctor of the code. */
  public static Handshake.AwaitingReply<Established> begin(
      Party patient, Handshake.Peer doctor, byte[] biometricPassword, long now, Entropy entropy) {
    ConsultationOpening.Builder opening =
        ConsultationOpening.newBuilder()
            .setPatientId(patient.identity())
            .setBiometricPassword(ByteString.copyFrom(biometricPassword));
    return Handshake.begin(Consultation.KIND, patient, doctor, opening, Established::new, now, entropy);
  }

  /** The doctor has proved itself and the key. */
  public record Established(Handshake.Session session) {
    /**
     * Sends P2 (eq. 23): M_SD in slices, then what signs it, and the consent. `shown` is whose visit it is, and the consent, if there
     * is one: signed by this patient, for itself or as a deputy.
     */
    public AwaitingDiagnosis deliver(byte[] biosignal, ShownAccess shown, long now) {
      Consultation.requireBounded(biosignal.length);
      byte[] digest = Bytes.sha256(biosignal);
      Handshake.Peer doctor = session.peer();
      Party patient = session.own();
      byte[] signed =
          Consultation.biosignalTranscript(
              session.transcriptHash(), doctor.identity(), doctor.certificate(), shown, digest, now);
      BiosignalDelivery.Builder payload =
          BiosignalDelivery.newBuilder()
              .setBiosignalSizeBytes(biosignal.length)
              .setBiosignalDigest(ByteString.copyFrom(digest))
              .setPatientId(shown.patientId())
              .setSentAt(now)
              .setSignature(ByteString.copyFrom(patient.signingKey().sign(signed)));
      shown.consent().ifPresent(payload::setConsent);
      Direction sending = session.sending();
      byte[] message = Statements.serialised(payload.build());
      List<SessionFrame> frames = sending.sealContent("p2", biosignal, message, now);
      return new AwaitingDiagnosis(
          session, sending, session.receiving(), frames, payload.getSignature(), ByteString.EMPTY);
    }
  }

  /** P2 is made: send its frames, in order. The first diagnosis may come, or one that amends the newest. */
  public static final class AwaitingDiagnosis {
    private final Handshake.Session session;
    private final Direction sending;
    private final Direction receiving;
    private final List<SessionFrame> frames;
    private final ByteString biosignalSignature;
    // H(Sig_D5) of the diagnosis that came last; empty before the first.
    private final ByteString newest;

    private AwaitingDiagnosis(
        Handshake.Session session,
        Direction sending,
        Direction receiving,
        List<SessionFrame> frames,
        ByteString biosignalSignature,
        ByteString newest) {
      this.session = session;
      this.sending = sending;
      this.receiving = receiving;
      this.frames = frames;
      this.biosignalSignature = biosignalSignature;
      this.newest = newest;
    }

    public List<SessionFrame> frames() {
      return frames;
    }

    /**
     * Takes D5 (eq. 50), the first or one that amends the newest. Its T lies within the consultation's life; the sequence stops a replay (D2 of
     * the findings).
     */
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
      Handshake.Peer doctor = session.peer();
      boolean same = Bytes.equal(d5.getDoctorCertificate(), doctor.certificate());
      require(same, "CERTIFICATE_FOREIGN", "Cert_D is not the one of the consultation");
      doctor.requireStillGood(verifier, now);
      byte[] signed = Consultation.diagnosisTranscript(session.transcriptHash(), d5, biosignalSignature);
      Statements.verifySignature(doctor.party().verifyingKey(), d5.getSignature(), signed);
      boolean allowed = receiving.sequence() <= Consultation.MOST_AMENDMENTS;
      require(allowed, "LIMIT_REACHED", "a diagnosis is amended at most " + Consultation.MOST_AMENDMENTS + " times");
      require(d5.getAmends().equals(newest), "AMENDMENT_MISMATCH", "the diagnosis does not amend the newest before it");
      receiving.advance();
      return new Diagnosed(this, d5);
    }

    private AwaitingDiagnosis after(ByteString diagnosis) {
      return new AwaitingDiagnosis(session, sending, receiving, List.of(), biosignalSignature, diagnosis);
    }
  }

  /** P6 is made: send its frame. What amends the diagnosis is taken by the state that follows. */
  public record Acknowledged(SessionFrame frame, AwaitingDiagnosis following) {}

  /** The signed diagnosis is here. */
  public record Diagnosed(AwaitingDiagnosis consultation, DiagnosisDelivery delivery) {
    /** Makes P6, a receipt for the diagnosis. P6 k answers D5 k under that number, so one that never arrives leaves no gap. */
    public Acknowledged receipt(long now) {
      byte[] digest = Bytes.sha256(delivery.getSignature());
      SigningKey key = consultation.session.own().signingKey();
      DiagnosisReceipt payload =
          DiagnosisReceipt.newBuilder()
              .setDiagnosisDigest(ByteString.copyFrom(digest))
              .setSentAt(now)
              .setSignature(ByteString.copyFrom(key.sign(Consultation.receiptTranscript(digest, now))))
              .build();
      SessionFrame frame = consultation.sending.seal("p6", Statements.serialised(payload), now);
      return new Acknowledged(frame, consultation.after(payload.getDiagnosisDigest()));
    }
  }
}
