package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DepositEnd;
import example.medunion.federation.v1.DepositReceipt;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordOpening;
import example.medunion.federation.v1.RecordQuery;
import example.medunion.federation.v1.RecordReply;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SessionOutcome;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/** A doctor's session with a hospital: D3, D4 or STO, and the checks of H1, H2, STOACK (eq. 33-35, 42-45, 48). */
public final class RecordSession {
  private static final String PREFIX = "SESSION_OUTCOME_";

  private RecordSession() {}

  /** The hospital that the doctor addresses, verified. */
  public record AddressedHospital(VerifiedParty party, EncryptionKey encryptionKey) {}

  /** What the session is for: c_P commits to it. `blind` is rho, 32 bytes; keep the intent to repeat a deposit. */
  public record Intent(
      String patientId,
      Scope scope,
      SignedStatement grant,
      SignedStatement patientKeyStatement,
      byte[] blind) {
    /** c_P = H(T("cp", ID_P, H(grant), H(scope), rho)). */
    public byte[] commitment() {
      byte[] handles = Transcript.listing(scope.getHandlesList().stream().map(ByteString::toByteArray).toList());
      String purpose = scope.getPurpose() == Purpose.PURPOSE_READ ? "read" : "store";
      Transcript encoded = Transcript.of("scope").add(purpose).add(scope.getDepartmentClass()).add(handles);
      return Transcript.of("cp")
          .add(patientId)
          .add(Transcript.statementDigest("grant", grant))
          .add(encoded.digest())
          .add(blind)
          .digest();
    }
  }

  /** Sends D3: picks r7, R_D3 = r7 B (eq. 33), commits to the patient, signs for this hospital (eq. 35), seals (eq. 34). */
  public static AwaitingReply begin(
      Party doctor, AddressedHospital hospital, Intent intent, long now, Entropy entropy) {
    byte[] scalar = Group.scalar(entropy.draw(64));
    byte[] sessionId = entropy.draw(16);
    RecordOpening.Builder payload =
        RecordOpening.newBuilder()
            .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
            .setSentAt(now)
            .setDoctorId(doctor.identity())
            .setEphemeralPoint(ByteString.copyFrom(Group.multiplyBase(scalar)))
            .setRegistrationPoint(ByteString.copyFrom(doctor.self().registrationPoint()))
            .setPatientCommitment(ByteString.copyFrom(intent.commitment()))
            .setContribution(ByteString.copyFrom(entropy.draw(32)))
            .setKeyStatement(doctor.self().keyStatement())
            .setEncryptionKeyStatement(doctor.encryptionKeyStatement());
    String receiver = hospital.party().identity();
    byte[] keyId = hospital.encryptionKey().keyId();
    byte[] signed = openingTranscript(payload, doctor.self().issuer(), receiver, keyId, sessionId);
    payload.setSignature(ByteString.copyFrom(doctor.signingKey().sign(signed)));
    Context context = new Context("d3", Context.UNNAMED, receiver, keyId, sessionId, now);
    Sealing.Sent sent = Sealing.seal(payload.build(), hospital.encryptionKey().encryptionKey(), context);
    return new AwaitingReply(doctor, receiver, intent, sessionId, scalar, payload.build(), sent);
  }

  /** D3 is made: send it. r7 lives here and nowhere else. */
  public static final class AwaitingReply {
    private final Party doctor;
    private final String addressed;
    private final Intent intent;
    private final byte[] sessionId;
    private final byte[] scalar;
    private final RecordOpening d3;
    private final Sealing.Sent sent;

    private AwaitingReply(
        Party doctor,
        String addressed,
        Intent intent,
        byte[] sessionId,
        byte[] scalar,
        RecordOpening d3,
        Sealing.Sent sent) {
      this.doctor = doctor;
      this.addressed = addressed;
      this.intent = intent;
      this.sessionId = sessionId;
      this.scalar = scalar;
      this.d3 = d3;
      this.sent = sent;
    }

    public SealedOpening opening() {
      return sent.opening();
    }

    /** Takes H1 (eq. 42-44). */
    public Established receive(SealedReply reply, Verifier verifier, long now) {
      Rules.check(reply);
      boolean own = Bytes.equal(reply.getSessionId(), sessionId);
      require(own, "SESSION_UNKNOWN", "the answer belongs to another session");
      Freshness.requireFresh(reply.getSentAt(), now);
      return Refusal.afterOpening(() -> accept(reply, verifier, now));
    }

    private Established accept(SealedReply reply, Verifier verifier, long now) {
      Hpke.DecryptionKey key = doctor.decryptionKey();
      Context context =
          new Context("h1", addressed, doctor.identity(), key.keyId(), sessionId, reply.getSentAt());
      RecordReply type = RecordReply.getDefaultInstance();
      RecordReply h1 = Sealing.open(type, reply.getSealed(), key, context).payload();
      boolean named = h1.getHospitalId().equals(addressed);
      require(named, "IDENTITY_MISMATCH", "another hospital answers than the one addressed");
      VerifiedParty hospital = verifier.party(h1.getKeyStatement(), Role.ROLE_HOSPITAL, now);
      boolean same =
          hospital.identity().equals(addressed)
              && Bytes.equal(h1.getRegistrationPoint(), hospital.registrationPoint());
      require(same, "IDENTITY_MISMATCH", "the key statement is not of the hospital that answers");
      byte[] hash = transcriptHash(sent.plaintext(), h1, hospital.credential(), sessionId);
      byte[] theirs = h1.getEphemeralPoint().toByteArray();
      SessionKeys.Shared shared = SessionKeys.Shared.agree(doctor.registrationSecret(), theirs, scalar, hospital);
      byte[] first = d3.getContribution().toByteArray();
      SessionKeys keys = SessionKeys.derive(shared, first, h1.getContribution().toByteArray(), hash, "DH");
      boolean confirmed = Bytes.equal(h1.getKeyConfirmation(), keys.keyConfirmation());
      require(confirmed, "KEY_CONFIRMATION_FAILED", "the hospital does not hold the session key");
      byte[] signed = replyTranscript(h1, hospital.issuer(), hash);
      Statements.verifySignature(hospital.verifyingKey(), h1.getSignature(), signed);
      return new Established(doctor, hospital, intent, sessionId, hash, keys);
    }
  }

  /** The hospital has proved itself and the key. */
  public record Established(
      Party doctor,
      VerifiedParty hospital,
      Intent intent,
      byte[] sessionId,
      byte[] transcriptHash,
      SessionKeys keys) {
    /** Makes D4 (eq. 45): opens c_P and shows the grant. Of the parts of a record at most so many bytes are taken. */
    public AwaitingRecord query(long mostBytes, long now) {
      RecordQuery payload =
          RecordQuery.newBuilder()
              .setPatientId(intent.patientId())
              .setDoctorId(doctor.identity())
              .setSentAt(now)
              .setDoctorCertificateDigest(ByteString.copyFrom(Bytes.sha256(doctor.certificate())))
              .setBlind(ByteString.copyFrom(intent.blind()))
              .setScope(intent.scope())
              .setGrant(intent.grant())
              .setPatientKeyStatement(intent.patientKeyStatement())
              .build();
      Direction sending = new Direction(sessionId, keys.forward());
      SessionFrame frame = sending.seal("d4", Statements.serialised(payload), now);
      return new AwaitingRecord(this, frame, mostBytes);
    }

    /** Makes STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session. */
    public AwaitingDeposit deposit(byte[] biosignal, byte[] diagnosis, Deposit deposit) {
      byte[] message = Statements.serialised(deposit);
      Direction sending = new Direction(sessionId, keys.forward());
      byte[] content = Bytes.concat(biosignal, diagnosis);
      List<SessionFrame> frames = sending.sealContent("sto", content, message, deposit.getSentAt());
      return new AwaitingDeposit(hospital, new Direction(sessionId, keys.backward()), Bytes.sha256(message), frames);
    }
  }

  /** M_EMR is whole, and signed by the hospital. */
  public record Whole(RecordEnd end, byte[] recordDigest) {}

  /** What one frame of H2 gave: bytes of the parts that are not proved yet (spool them, show nothing), or the end: all is proved. */
  public record Progress(byte[] content, Whole whole) {
    public boolean isWhole() {
      return whole != null;
    }
  }

  /** D4 is made: send its frame; M_EMR comes in. */
  public static final class AwaitingRecord {
    private final Established session;
    private final Direction receiving;
    private final SessionFrame frame;
    private IncomingRecord incoming;

    private AwaitingRecord(Established session, SessionFrame frame, long mostBytes) {
      this.session = session;
      this.frame = frame;
      this.receiving = new Direction(session.sessionId(), session.keys().backward());
      this.incoming = IncomingRecord.begin(mostBytes);
    }

    public SessionFrame frame() {
      return frame;
    }

    /**
     * Takes one frame of H2 (eq. 48). T is checked on the first, and the hospital once more with the last: a large record takes its time, and the
     * hospital may have been revoked since H1.
     */
    public Progress receive(SessionFrame received, Supplier<Verifier> verifier, long now) {
      Rules.check(received);
      if (received.getSequence() == 0) {
        Freshness.requireFresh(received.getSentAt(), now);
      }
      Progress progress = Refusal.afterOpening(() -> open(received, verifier, now));
      if (progress.isWhole()) {
        requireServed(progress.whole().end().getOutcome());
      }
      receiving.advance();
      return progress;
    }

    /** What the hospital says that it sends, once that is here. It is proved when all is. */
    public Optional<RecordManifest> manifest() {
      return incoming.manifest();
    }

    private Progress open(SessionFrame received, Supplier<Verifier> verifier, long now) {
      byte[] plaintext = receiving.open("h2", received);
      if (!received.getLast()) {
        incoming = incoming.take(plaintext);
        return new Progress(incoming.content(), null);
      }
      RecordEnd end = Rules.parse(RecordEnd.getDefaultInstance(), plaintext);
      Freshness.requireSameTime(end.getSentAt(), received.getSentAt());
      if (end.getOutcome() != SessionOutcome.SESSION_OUTCOME_SERVED) {
        return new Progress(null, new Whole(end, Bytes.EMPTY));
      }
      verifier.get().party(session.hospital().keyStatement(), Role.ROLE_HOSPITAL, now);
      return new Progress(null, new Whole(end, signedDigest(end)));
    }

    /** H(M_EMR), once Sig_HPC2 = S_PRK_HPC(T("H2", TH2, c_P, H(M_EMR), grant id, version, T_HPC2)) holds (C8). */
    private byte[] signedDigest(RecordEnd end) {
      require(end.hasSignature() && end.hasVersion(), "MISSING_FIELD", "a served record is signed");
      byte[] digest = incoming.wholeDigest();
      Intent intent = session.intent();
      Grant grant = Statements.peek(Grant.getDefaultInstance(), intent.grant());
      byte[] signed =
          Transcript.of("H2")
              .add(session.transcriptHash())
              .add(intent.commitment())
              .add(digest)
              .add(grant.getGrantId())
              .add(end.getVersion())
              .add(end.getSentAt())
              .bytes();
      Statements.verifySignature(session.hospital().verifyingKey(), end.getSignature(), signed);
      return digest;
    }
  }

  /** STO is made: send its frames, in order. */
  public record AwaitingDeposit(
      VerifiedParty hospital, Direction receiving, byte[] depositDigest, List<SessionFrame> frames) {
    /** Takes STOACK: the hospital's signed receipt. That of a deposit that was made before is as old as that deposit. */
    public DepositReceipt receive(SessionFrame frame) {
      DepositEnd end =
          Refusal.afterOpening(
              () -> {
                byte[] plaintext = receiving.open("stoack", frame);
                require(frame.getLast(), "OUT_OF_ORDER", "a receipt is one frame");
                DepositEnd opened = Rules.parse(DepositEnd.getDefaultInstance(), plaintext);
                Freshness.requireSameTime(opened.getSentAt(), frame.getSentAt());
                return opened;
              });
      requireServed(end.getOutcome());
      DepositReceipt receipt = Refusal.afterOpening(() -> receiptOf(end));
      receiving.advance();
      return receipt;
    }

    private DepositReceipt receiptOf(DepositEnd end) {
      require(end.hasReceipt(), "MISSING_FIELD", "a served deposit has a receipt");
      DepositReceipt type = DepositReceipt.getDefaultInstance();
      byte[] key = hospital.verifyingKey();
      DepositReceipt receipt = Statements.open("stoack", type, end.getReceipt(), key);
      boolean ours = Bytes.equal(receipt.getDepositDigest(), depositDigest);
      require(ours, "ANSWER_MISMATCH", "the receipt is for another deposit");
      return receipt;
    }
  }

  private static void requireServed(SessionOutcome outcome) {
    String reason =
        switch (outcome) {
          case SESSION_OUTCOME_SERVED -> null;
          case SESSION_OUTCOME_NO_RECORD -> "NO_SUCH_RECORD";
          case SESSION_OUTCOME_EMERGENCY_REFUSED -> "EMERGENCY_NOT_SUPPORTED";
          default -> outcome.name().substring(PREFIX.length());
        };
    require(reason == null, reason, "the hospital refuses");
  }

  /** What Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3). */
  private static byte[] openingTranscript(
      RecordOpening.Builder opening, byte[] issuer, String hospitalId, byte[] keyId, byte[] sessionId) {
    return Transcript.of("D3")
        .add(issuer)
        .add(opening.getSentAt())
        .add(opening.getPatientCommitment())
        .add(opening.getEphemeralPoint())
        .add(opening.getRegistrationPoint())
        .add(hospitalId)
        .add(keyId)
        .add(sessionId)
        .add(Bytes.sha256(opening.getContribution()))
        .add(Bytes.sha256(opening.getDoctorCertificate()))
        .bytes();
  }

  /** TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, T_HPC1, session id)). */
  private static byte[] transcriptHash(byte[] openingPlaintext, RecordReply h1, byte[] credential, byte[] sessionId) {
    return Transcript.of("th2")
        .add(Bytes.sha256(openingPlaintext))
        .add(h1.getHospitalId())
        .add(credential)
        .add(h1.getRegistrationPoint())
        .add(h1.getEphemeralPoint())
        .add(h1.getSentAt())
        .add(sessionId)
        .digest();
  }

  /** What Sig_HPC1 covers: eq. 41, and the session (C4). */
  private static byte[] replyTranscript(RecordReply h1, byte[] issuer, byte[] hash) {
    return Transcript.of("H1")
        .add(issuer)
        .add(h1.getSentAt())
        .add(h1.getHospitalId())
        .add(h1.getKeyConfirmation())
        .add(hash)
        .bytes();
  }
}
