package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.CloseRoomRequest;
import example.medunion.federation.v1.ConsultationOpening;
import example.medunion.federation.v1.ConsultationReply;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.DiagnosisReceipt;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.OpenRoomRequest;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import java.io.ByteArrayOutputStream;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/** The doctor's side of a consultation: room, P1, D1, P2, D5, P6 (eq. 14-19, 24, 49). */
public final class DoctorSide {
  private static final int MOST_SLICES = 1024;

  private DoctorSide() {}

  /** Asks a hospital's relay for a room. */
  public static OpenRoomRequest askForRoom(Party doctor, String hospitalId, long now, Entropy entropy) {
    OpenRoomRequest.Builder request =
        OpenRoomRequest.newBuilder()
            .setKeyStatement(doctor.self().keyStatement())
            .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
            .setEncryptionKeyStatement(doctor.encryptionKeyStatement())
            .setNonce(ByteString.copyFrom(entropy.draw(16)))
            .setSentAt(now);
    byte[] signed =
        Transcript.of("room")
            .add(doctor.identity())
            .add(hospitalId)
            .add(doctor.encryptionKeyStatement().getStatement())
            .add(request.getNonce())
            .add(now)
            .bytes();
    return Rules.check(request.setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed))).build());
  }

  /** Asks the relay to close a room of one's own. No room has this number again, so it needs no time and no nonce. */
  public static CloseRoomRequest askToClose(Party doctor, String hospitalId, byte[] roomId) {
    byte[] signed = Transcript.of("room-close").add(doctor.identity()).add(hospitalId).add(roomId).bytes();
    return Rules.check(
        CloseRoomRequest.newBuilder()
            .setRoomId(ByteString.copyFrom(roomId))
            .setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)))
            .build());
  }

  /** What the room's code shows of the doctor: SHA-256(T("code", KS_D, its signature, Cert_D)). */
  public static byte[] codeDigest(Party doctor) {
    SignedStatement statement = doctor.self().keyStatement();
    return Consultation.codeDigest(statement.getStatement(), statement.getSignature(), doctor.certificate());
  }

  /** Takes P1 (eq. 14, 15). Keep `replayKey` of what it gives, and refuse a P1 that you saw before. */
  public static Asked receive(Party doctor, SealedOpening opening, Verifier verifier, long now) {
    Hpke.DecryptionKey key = Sealing.findKey(opening, doctor, now);
    return Refusal.afterOpening(() -> accept(doctor, key, opening, verifier, now));
  }

  private static Asked accept(
      Party doctor, Hpke.DecryptionKey key, SealedOpening opening, Verifier verifier, long now) {
    byte[] sessionId = opening.getSessionId().toByteArray();
    String own = doctor.identity();
    Context context = new Context("p1", Context.UNNAMED, own, key.keyId(), sessionId, opening.getSentAt());
    ConsultationOpening type = ConsultationOpening.getDefaultInstance();
    Opened<ConsultationOpening> opened =
        Sealing.open(type, opening.getSealed(), key, context);
    ConsultationOpening p1 = opened.payload();
    VerifiedParty patient = verifier.party(p1.getKeyStatement(), Role.ROLE_PATIENT, now);
    boolean same =
        p1.getPatientId().equals(patient.identity())
            && Bytes.equal(p1.getRegistrationPoint(), patient.registrationPoint());
    require(same, "IDENTITY_MISMATCH", "the key statement is another patient's");
    byte[] attribute = Registration.attributeOf(Role.ROLE_PATIENT, p1.getBiometricPassword().toByteArray());
    boolean registered = Bytes.equal(attribute, patient.attribute());
    require(registered, "CREDENTIAL_INVALID", "the biometric password is not the one registered");
    EncryptionKey patientKey = verifier.encryptionKey(p1.getEncryptionKeyStatement(), patient, now);
    byte[] signed = Consultation.openingTranscript(p1, patient.issuer(), own, key.keyId(), sessionId);
    Statements.verifySignature(patient.verifyingKey(), p1.getSignature(), signed);
    return new Asked(doctor, patient, patientKey, sessionId, opened);
  }

  /** P1 held: a patient asks this doctor. It is present only once P2 confirms the key. */
  public record Asked(
      Party doctor,
      VerifiedParty patient,
      EncryptionKey patientKey,
      byte[] sessionId,
      Opened<ConsultationOpening> opened) {
    /** H(T("P1", ID_P, R_P2)). */
    public byte[] replayKey() {
      ConsultationOpening p1 = opened.payload();
      return Transcript.of("P1").add(p1.getPatientId()).add(p1.getEphemeralPoint()).digest();
    }

    /** Until when its replay key is to be kept: this P1 is stale then. */
    public long keepUntil() {
      return opened.payload().getSentAt() + Freshness.WINDOW;
    }

    /** Sends D1: picks r6, R_D2 = r6 B (eq. 16), derives SEK_1 (eq. 17), confirms it (eq. 18, 19). */
    public AwaitingBiosignal reply(long now, Entropy entropy) {
      byte[] scalar = Group.scalar(entropy.draw(64));
      byte[] contribution = entropy.draw(32);
      ConsultationOpening p1 = opened.payload();
      byte[] ephemeral = Group.multiplyBase(scalar);
      byte[] hash =
          Consultation.transcriptHash(
              opened.plaintext(), doctor.self(), doctor.certificate(), ephemeral, now, sessionId);
      byte[] theirs = p1.getEphemeralPoint().toByteArray();
      SessionKeys.Shared shared =
          Refusal.afterOpening(() -> SessionKeys.Shared.agree(doctor.registrationSecret(), theirs, scalar, patient));
      SessionKeys keys = SessionKeys.derive(shared, p1.getContribution().toByteArray(), contribution, hash, "PD");
      ConsultationReply.Builder payload =
          ConsultationReply.newBuilder()
              .setDoctorId(doctor.identity())
              .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
              .setKeyStatement(doctor.self().keyStatement())
              .setRegistrationPoint(ByteString.copyFrom(doctor.self().registrationPoint()))
              .setEphemeralPoint(ByteString.copyFrom(ephemeral))
              .setContribution(ByteString.copyFrom(contribution))
              .setKeyConfirmation(ByteString.copyFrom(keys.keyConfirmation()))
              .setSentAt(now);
      byte[] signed = Consultation.replyTranscript(payload.buildPartial(), doctor.self().issuer(), hash);
      payload.setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)));
      Context context =
          new Context("d1", doctor.identity(), patient.identity(), patientKey.keyId(), sessionId, now);
      SealedReply reply = Sealing.reply(payload.build(), patientKey.encryptionKey(), context);
      return new AwaitingBiosignal(this, hash, keys, reply);
    }
  }

  /** D1 is made: send it; slices of M_SD come in. */
  public static final class AwaitingBiosignal {
    private final Asked asked;
    private final byte[] transcriptHash;
    private final Direction receiving;
    private final Direction sending;
    private final SealedReply reply;
    private final ByteArrayOutputStream biosignal = new ByteArrayOutputStream();
    private int slices;
    private long heardAt = -1;

    private AwaitingBiosignal(Asked asked, byte[] transcriptHash, SessionKeys keys, SealedReply reply) {
      this.asked = asked;
      this.transcriptHash = transcriptHash;
      this.receiving = new Direction(asked.sessionId(), keys.forward());
      this.sending = new Direction(asked.sessionId(), keys.backward());
      this.reply = reply;
    }

    public SealedReply reply() {
      return reply;
    }

    /**
     * Takes one frame of P2 (eq. 24), and gives the consultation with the last. Opening the first confirms the key: only now is the
     * patient present (B2). With the last one everything is decided anew: the patient may have been revoked since P1.
     */
    public Optional<InConsultation> receive(SessionFrame frame, Supplier<Verifier> verifier, long now) {
      Rules.check(frame);
      long heard = heardAt < 0 ? now : heardAt;
      Freshness.requireFreshSince(frame.getSentAt(), heard, now);
      return Refusal.afterOpening(
          () -> {
            byte[] plaintext = receiving.open("p2", frame);
            Optional<InConsultation> present = Optional.empty();
            if (frame.getLast()) {
              verifier.get().party(asked.patient().keyStatement(), Role.ROLE_PATIENT, now);
              BiosignalDelivery type = BiosignalDelivery.getDefaultInstance();
              present = Optional.of(complete(Rules.parse(type, plaintext), frame, now));
            } else {
              keep(plaintext);
            }
            heardAt = heard;
            receiving.advance();
            return present;
          });
    }

    private void keep(byte[] slice) {
      long most = Padding.padded(Consultation.MOST_BIOSIGNAL_BYTES);
      boolean bounded = slices < MOST_SLICES && biosignal.size() + slice.length <= most;
      require(bounded, "LIMIT_REACHED", "a biosignal has at most " + Consultation.MOST_BIOSIGNAL_BYTES + " bytes");
      biosignal.writeBytes(slice);
      slices++;
    }

    private InConsultation complete(BiosignalDelivery p2, SessionFrame frame, long now) {
      VerifiedParty patient = asked.patient();
      Freshness.requireSameTime(p2.getSentAt(), frame.getSentAt());
      boolean own = p2.getPatientId().equals(patient.identity());
      require(own, "IDENTITY_MISMATCH", "P2 names another patient");
      byte[] content = Padding.content(biosignal.toByteArray(), p2.getBiosignalSizeBytes());
      byte[] digest = Bytes.sha256(content);
      boolean whole = Bytes.equal(p2.getBiosignalDigest(), digest);
      require(whole, "RECORD_DIGEST_MISMATCH", "the biosignal is not the one that was signed");
      byte[] grantDigest = p2.hasGrant() ? Transcript.statementDigest("grant", p2.getGrant()) : Bytes.EMPTY;
      Party doctor = asked.doctor();
      byte[] signed =
          Consultation.biosignalTranscript(
              transcriptHash, doctor.identity(), doctor.certificate(), digest, grantDigest, p2.getSentAt());
      Statements.verifySignature(patient.verifyingKey(), p2.getSignature(), signed);
      if (p2.hasGrant()) {
        Grants.openFor(p2.getGrant(), patient, doctor.identity(), doctor.certificate(), now);
      }
      return new InConsultation(asked, transcriptHash, receiving, sending, content, p2);
    }
  }

  /** The patient is present, its biosignal and grant are here. */
  public record InConsultation(
      Asked asked,
      byte[] transcriptHash,
      Direction receiving,
      Direction sending,
      byte[] biosignal,
      BiosignalDelivery delivery) {
    /** Whether the patient's grant holds a right; servers decide this for themselves. */
    public boolean allows(Right right) {
      return delivery.hasGrant()
          && Statements.peek(Grant.getDefaultInstance(), delivery.getGrant()).getRightsList().contains(right);
    }

    /** What a session with a hospital is for, by the patient's grant. `blind` is rho, 32 bytes. */
    public RecordSession.Intent intent(Scope scope, byte[] blind) {
      require(delivery.hasGrant(), "GRANT_MISSING", "the patient gave no consent");
      VerifiedParty patient = asked.patient();
      return new RecordSession.Intent(patient.identity(), scope, delivery.getGrant(), patient.keyStatement(), blind);
    }

    /** Signs D5 (eq. 49) over the biosignal's and the records' signatures (Sig_HPC2) that it rests on. Once: its nonce is used. */
    public AwaitingReceipt diagnose(byte[] diagnosis, List<ByteString> recordSignatures, long now) {
      boolean alive = now < asked.opened().payload().getSentAt() + Consultation.LIFE;
      require(alive, "SESSION_EXPIRED", "the consultation's life is over");
      Party doctor = asked.doctor();
      DiagnosisDelivery.Builder payload =
          DiagnosisDelivery.newBuilder()
              .setDiagnosis(ByteString.copyFrom(diagnosis))
              .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
              .setSentAt(now);
      recordSignatures.forEach(signature -> payload.addBasedOn(ByteString.copyFrom(Bytes.sha256(signature))));
      byte[] signed =
          Consultation.diagnosisTranscript(transcriptHash, payload.buildPartial(), delivery.getSignature());
      payload.setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)));
      SessionFrame frame = sending.seal("d5", Statements.serialised(payload.build()), now);
      return new AwaitingReceipt(this, payload.build(), frame);
    }
  }

  /** D5 is made: send its frame; the patient may send a receipt. */
  public record AwaitingReceipt(InConsultation consultation, DiagnosisDelivery diagnosis, SessionFrame frame) {
    /** Puts STO together: what the patient and the doctor signed. The same again, in another session, gets the same receipt. */
    public Deposit prepareDeposit(RecordSession.Intent intent, long now) {
      BiosignalDelivery delivery = consultation.delivery();
      return Deposit.newBuilder()
          .setPatientId(intent.patientId())
          .setDoctorId(consultation.asked().doctor().identity())
          .setSentAt(now)
          .setBlind(ByteString.copyFrom(intent.blind()))
          .setScope(intent.scope())
          .setGrant(intent.grant())
          .setPatientKeyStatement(intent.patientKeyStatement())
          .setConsultationDigest(ByteString.copyFrom(consultation.transcriptHash()))
          .setBiosignalSizeBytes(consultation.biosignal().length)
          .setBiosignalDigest(delivery.getBiosignalDigest())
          .setBiosignalSentAt(delivery.getSentAt())
          .setBiosignalSignature(delivery.getSignature())
          .setDiagnosisSizeBytes(diagnosis.getDiagnosis().size())
          .setDiagnosisDigest(ByteString.copyFrom(Bytes.sha256(diagnosis.getDiagnosis())))
          .addAllBasedOn(diagnosis.getBasedOnList())
          .setDiagnosisSentAt(diagnosis.getSentAt())
          .setDiagnosisSignature(diagnosis.getSignature())
          .build();
    }

    /** Takes P6: the patient's own receipt for this diagnosis. */
    public DiagnosisReceipt receive(SessionFrame frame, long now) {
      return Refusal.afterOpening(
          () -> {
            byte[] plaintext = consultation.receiving().open("p6", frame);
            require(frame.getLast(), "OUT_OF_ORDER", "a receipt is one frame");
            DiagnosisReceipt type = DiagnosisReceipt.getDefaultInstance();
            DiagnosisReceipt receipt = Rules.parse(type, plaintext);
            Freshness.requireSameTime(receipt.getSentAt(), frame.getSentAt());
            Freshness.requireNotFuture(receipt.getSentAt(), now);
            byte[] digest = Bytes.sha256(diagnosis.getSignature());
            boolean ours = Bytes.equal(receipt.getDiagnosisDigest(), digest);
            require(ours, "SIGNATURE_INVALID", "the receipt is for another diagnosis");
            byte[] signed = Consultation.receiptTranscript(digest, receipt.getSentAt());
            byte[] key = consultation.asked().patient().verifyingKey();
            Statements.verifySignature(key, receipt.getSignature(), signed);
            consultation.receiving().advance();
            return receipt;
          });
    }
  }
}
