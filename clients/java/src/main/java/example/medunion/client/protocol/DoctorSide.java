package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.CloseRoomRequest;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.KeptPlaces;
import example.medunion.federation.v1.DiagnosisReceipt;
import example.medunion.federation.v1.GetDutyRequest;
import example.medunion.federation.v1.OpenRoomRequest;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.ShownDuty;
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

  /** Asks a hospital for the duty that it states of this doctor now. */
  public static GetDutyRequest askForDuty(Party doctor, String hospitalId, long now, Entropy entropy) {
    ByteString nonce = ByteString.copyFrom(entropy.draw(16));
    byte[] signed =
        Transcript.of("duty-ask").add(doctor.identity()).add(hospitalId).add(nonce).add(now).bytes();
    return Rules.check(
        GetDutyRequest.newBuilder()
            .setKeyStatement(doctor.self().keyStatement())
            .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
            .setNonce(nonce)
            .setSentAt(now)
            .setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)))
            .build());
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

  /** Takes P1. The patient is present only once P2 confirms the key. */
  public static Handshake.Pending<Handshake.ReceivedOpening<AwaitingBiosignal>> receiveOpening(
      Party doctor, SealedOpening opening, Verifier verifier, long now) {
    return Handshake.receiveOpening(Consultation.KIND, doctor, opening, verifier, AwaitingBiosignal::new, now);
  }

  /** D1 is made: send it; slices of M_SD come in. */
  public static final class AwaitingBiosignal {
    private final Handshake.Session session;
    private final Direction receiving;
    private final SealedReply reply;
    private final ByteArrayOutputStream biosignal = new ByteArrayOutputStream();
    private int slices;
    private long heardAt = -1;

    private AwaitingBiosignal(Handshake.Replied replied) {
      this.session = replied.session();
      this.receiving = session.receiving();
      this.reply = replied.reply();
    }

    public SealedReply reply() {
      return reply;
    }

    /**
     * Takes one frame of P2 (eq. 24), and gives the consultation with the last. Opening the first confirms the key: only now is the
     * patient present (B2). With the last one everything is decided anew: the patient may have been revoked since P1. `duty` is the
     * doctor's own.
     */
    public Optional<InConsultation> receive(
        SessionFrame frame, Supplier<Verifier> verifier, ShownDuty duty, long now) {
      Rules.check(frame);
      long heard = heardAt < 0 ? now : heardAt;
      Freshness.requireFreshSince(frame.getSentAt(), heard, now);
      return Refusal.afterOpening(
          () -> {
            byte[] plaintext = receiving.open("p2", frame);
            Optional<InConsultation> present = Optional.empty();
            if (frame.getLast()) {
              Verifier current = verifier.get();
              session.peer().requireStillGood(current, now);
              BiosignalDelivery p2 = Rules.parse(BiosignalDelivery.getDefaultInstance(), plaintext);
              InConsultation complete = complete(p2, frame, duty);
              requireConsent(complete.shown(), current, now);
              present = Optional.of(complete);
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

    private InConsultation complete(BiosignalDelivery p2, SessionFrame frame, ShownDuty duty) {
      VerifiedParty patient = session.peer().party();
      Freshness.requireSameTime(p2.getSentAt(), frame.getSentAt());
      boolean own = p2.getPatientId().equals(patient.identity()) || p2.getConsent().hasDeputyship();
      require(own, "IDENTITY_MISMATCH", "P2 names another patient, and no deputyship for it"); // P2.8
      byte[] content = Padding.content(biosignal.toByteArray(), p2.getBiosignalSizeBytes());
      byte[] digest = Bytes.sha256(content);
      boolean whole = Bytes.equal(p2.getBiosignalDigest(), digest);
      require(whole, "RECORD_DIGEST_MISMATCH", "the biosignal is not the one that was signed");
      Party doctor = session.own();
      ShownAccess shown = ShownAccess.byConsent(p2.getPatientId(), p2.hasConsent() ? p2.getConsent() : null, duty);
      byte[] signed =
          Consultation.biosignalTranscript(
              session.transcriptHash(), doctor.identity(), doctor.certificate(), shown, digest, p2.getSentAt());
      Statements.verifySignature(patient.verifyingKey(), p2.getSignature(), signed);
      return new InConsultation(session, receiving, content, p2, shown);
    }

    /** Requires that a consent is this patient's, for this doctor: it is of use now. */
    private void requireConsent(ShownAccess shown, Verifier verifier, long now) {
      if (shown.consent().isPresent()) {
        SignedStatement came = session.peer().party().keyStatement();
        boolean same = shown.consent().get().getKeyStatement().equals(came);
        require(same, "IDENTITY_MISMATCH", "the consent is of another patient than the one who came"); // P2.12
        shown.requireOfUse(session.own().self(), verifier, now); // P2.13
      }
    }
  }

  /** The patient, or its deputy, is present, its biosignal and consent are here: `shown` is what the doctor can show elsewhere. */
  public record InConsultation(
      Handshake.Session session, Direction receiving, byte[] biosignal, BiosignalDelivery delivery, ShownAccess shown) {
    /** ID_P, whose visit it is: of who came, or of whom that one stands for. */
    public String patientId() {
      return shown.patientId();
    }

    /** Where the patient says that its records are, for where the public cloud does not answer; nothing of it is verified yet. */
    public Optional<KeptPlaces> places() {
      return delivery.hasPlaces() ? Optional.of(delivery.getPlaces()) : Optional.empty();
    }

    /** Whether the consent gives a right; servers decide this for themselves. */
    public boolean allows(Right right) {
      return shown.claimedGrant().filter(grant -> grant.rights().contains(right)).isPresent();
    }

    /** What the doctor can show elsewhere, with its duty of now. */
    public ShownAccess shown(ShownDuty duty) {
      return ShownAccess.byConsent(patientId(), shown.consent().orElse(null), duty);
    }

    /**
     * Signs D5 (eq. 49) over the biosignal's and the records' signatures (Sig_HPC2) that it rests on. Once: its nonce is used, and a further
     * one amends it.
     */
    public AwaitingReceipt diagnose(byte[] diagnosis, List<ByteString> recordSignatures, long now) {
      return deliver(diagnosis, recordSignatures, ByteString.EMPTY, session.sending(), receiving, now);
    }

    private AwaitingReceipt deliver(
        byte[] diagnosis,
        List<ByteString> recordSignatures,
        ByteString amends,
        Direction sending,
        Direction answers,
        long now) {
      boolean alive = now < session.beganAt() + Consultation.LIFE;
      require(alive, "SESSION_EXPIRED", "the consultation's life is over");
      Party doctor = session.own();
      DiagnosisDelivery.Builder payload =
          DiagnosisDelivery.newBuilder()
              .setDiagnosis(ByteString.copyFrom(diagnosis))
              .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
              .setSentAt(now);
      recordSignatures.forEach(signature -> payload.addBasedOn(ByteString.copyFrom(Bytes.sha256(signature))));
      if (!amends.isEmpty()) {
        payload.setAmends(amends);
      }
      byte[] signed =
          Consultation.diagnosisTranscript(session.transcriptHash(), payload.buildPartial(), delivery.getSignature());
      payload.setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)));
      SessionFrame frame = sending.seal("d5", Statements.serialised(payload.build()), now);
      return new AwaitingReceipt(this, payload.build(), frame, sending, answers);
    }
  }

  /**
   * D5 is made: send its frame; the patient may send a receipt, and the doctor may amend it. `sending` is where a further D5 goes on; `answers`
   * has the number of its own P6, whether earlier ones came or not.
   */
  public record AwaitingReceipt(
      InConsultation consultation,
      DiagnosisDelivery diagnosis,
      SessionFrame frame,
      Direction sending,
      Direction answers) {
    /** Signs a further D5, which takes the place of this one and names it by H(Sig_D5). Once. This state still takes its own P6. */
    public AwaitingReceipt amend(byte[] diagnosis, List<ByteString> recordSignatures, long now) {
      boolean allowed = frame.getSequence() < Consultation.MOST_AMENDMENTS;
      require(allowed, "LIMIT_REACHED", "a diagnosis is amended at most " + Consultation.MOST_AMENDMENTS + " times");
      ByteString amends = ByteString.copyFrom(Bytes.sha256(this.diagnosis.getSignature()));
      return consultation.deliver(diagnosis, recordSignatures, amends, sending, answers.after(), now);
    }

    /** Puts STO together: what the patient and the doctor signed. The same again, in another session, gets the same receipt. */
    public Deposit prepareDeposit(RecordSession.Intent intent, long now) {
      BiosignalDelivery delivery = consultation.delivery();
      Deposit.Builder deposit = Deposit.newBuilder();
      if (diagnosis.hasAmends()) {
        deposit.setAmends(diagnosis.getAmends());
      }
      return deposit
          .setPatientId(intent.shown().patientId())
          .setDoctorId(consultation.session().own().identity())
          .setSentAt(now)
          .setBlind(ByteString.copyFrom(intent.blind()))
          .setScope(intent.scope())
          .setAccess(intent.shown().access())
          .setConsultationDigest(ByteString.copyFrom(consultation.session().transcriptHash()))
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
            byte[] plaintext = answers.open("p6", frame);
            require(frame.getLast(), "OUT_OF_ORDER", "a receipt is one frame");
            DiagnosisReceipt type = DiagnosisReceipt.getDefaultInstance();
            DiagnosisReceipt receipt = Rules.parse(type, plaintext);
            Freshness.requireSameTime(receipt.getSentAt(), frame.getSentAt());
            Freshness.requireNotFuture(receipt.getSentAt(), now);
            byte[] digest = Bytes.sha256(diagnosis.getSignature());
            boolean ours = Bytes.equal(receipt.getDiagnosisDigest(), digest);
            require(ours, "SIGNATURE_INVALID", "the receipt is for another diagnosis");
            byte[] signed = Consultation.receiptTranscript(digest, receipt.getSentAt());
            byte[] key = consultation.session().peer().party().verifyingKey();
            Statements.verifySignature(key, receipt.getSignature(), signed);
            return receipt;
          });
    }
  }
}
