package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DepositEnd;
import example.medunion.federation.v1.DepositReceipt;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordOpening;
import example.medunion.federation.v1.RecordQuery;
import example.medunion.federation.v1.RecordReply;
import example.medunion.federation.v1.Resumption;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SessionOutcome;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Supplier;

/** The session of a doctor, or of a patient in its place, with a hospital: D3, D4 or STO, and the checks of H1, H2, STOACK (eq. 33-35, 42-45, 48). */
public final class RecordSession {
  /** The handshake of who asks with a hospital: D3 and H1 (eq. 33-44), which give SEK_2. */
  static final Handshake.Kind<RecordOpening, RecordReply> KIND =
      new Handshake.Kind<>(
          "D3",
          "H1",
          RecordOpening.getDefaultInstance(),
          RecordReply.getDefaultInstance(),
          List.of(Role.ROLE_DOCTOR, Role.ROLE_PATIENT),
          Role.ROLE_HOSPITAL,
          "DH",
          RecordOpening::getAskerId,
          RecordReply::getHospitalId,
          hospital -> RecordReply.newBuilder().setHospitalId(hospital.identity()).buildPartial(),
          RecordSession::openingTranscript,
          RecordSession::transcriptHash,
          RecordSession::replyTranscript,
          (opening, asker) -> {});

  private static final Map<Purpose, String> PURPOSES =
      Map.of(
          Purpose.PURPOSE_READ, "read",
          Purpose.PURPOSE_STORE, "store",
          Purpose.PURPOSE_LOG, "log",
          Purpose.PURPOSE_ADD, "add");

  private RecordSession() {}

  /** What the session is for: c_P commits to it. `blind` is rho, 32 bytes; keep the intent to repeat a deposit. */
  public record Intent(ShownAccess shown, Scope scope, byte[] blind) {
    /** c_P = H(T("cp", ID_P, H(access), H(scope), rho)). */
    public byte[] commitment() {
      byte[] handles = Transcript.listing(scope.getHandlesList().stream().map(ByteString::toByteArray).toList());
      String purpose = PURPOSES.get(scope.getPurpose());
      Transcript encoded = Transcript.of("scope").add(purpose).add(scope.getDepartmentClass()).add(handles);
      return Transcript.of("cp")
          .add(shown.patientId())
          .add(shown.digest())
          .add(encoded.digest())
          .add(blind)
          .digest();
    }
  }

  /**
   * What is asked for of a log: entries before a leaf, or the newest, proved from a head of this size on; 0 where none is remembered. A further
   * page is below that head.
   */
  public record LogPlace(long knownSize, OptionalLong before) {
    /** Of what is no log. */
    public static final LogPlace NONE = new LogPlace(0, OptionalLong.empty());
  }

  /** Makes D3: commits to the patient, for this hospital. */
  public static Handshake.AwaitingReply<Established> begin(
      Party asker, Handshake.Peer hospital, Intent intent, long now, Entropy entropy) {
    RecordOpening.Builder opening =
        RecordOpening.newBuilder()
            .setAskerId(asker.identity())
            .setPatientCommitment(ByteString.copyFrom(intent.commitment()));
    if (asker.certificate().length > 0) {
      opening.setDoctorCertificate(ByteString.copyFrom(asker.certificate()));
    }
    return Handshake.begin(
        KIND, asker, hospital, opening, session -> new Established(session, intent), now, entropy);
  }

  /** The hospital has proved itself and the key. */
  public record Established(Handshake.Session session, Intent intent) {
    /** Makes D4 (eq. 45): opens c_P and shows why it may. Of the parts of a record at most so many bytes are taken. */
    public AwaitingRecord query(long mostBytes, long now) {
      return query(mostBytes, LogPlace.NONE, now);
    }

    /** The same; of a log, what is before a place, proved from a head on. */
    public AwaitingRecord query(long mostBytes, LogPlace place, long now) {
      return query(IncomingRecord.begin(mostBytes), place, now);
    }

    /** Makes D4 of a record of which this came before its session broke: the hospital sends what follows, and signs the whole. */
    public AwaitingRecord goOn(IncomingRecord broken, long now) {
      return query(broken, LogPlace.NONE, now);
    }

    private AwaitingRecord query(IncomingRecord incoming, LogPlace place, long now) {
      ShownAccess shown = intent.shown();
      Party asker = session.own();
      RecordQuery.Builder payload =
          RecordQuery.newBuilder()
              .setPatientId(shown.patientId())
              .setAskerId(asker.identity())
              .setSentAt(now)
              .setBlind(ByteString.copyFrom(intent.blind()))
              .setScope(intent.scope());
      if (asker.certificate().length > 0) {
        payload.setDoctorCertificateDigest(ByteString.copyFrom(Bytes.sha256(asker.certificate())));
      }
      if (shown.access() != null) {
        payload.setAccess(shown.access());
      }
      if (place.knownSize() != 0) {
        payload.setKnownSize(place.knownSize());
      }
      place.before().ifPresent(payload::setBefore);
      if (incoming.came() > 0) {
        payload.setResumption(
            Resumption.newBuilder().setManifestDigest(ByteString.copyFrom(incoming.manifestDigest())).setOffset(incoming.came()));
      }
      SessionFrame frame = session.sending().seal("d4", Statements.serialised(payload.build()), now);
      return new AwaitingRecord(this, frame, incoming);
    }

    /** Makes STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session. */
    public AwaitingDepositReceipt deposit(byte[] biosignal, byte[] diagnosis, Deposit deposit) {
      byte[] message = Statements.serialised(deposit);
      byte[] content = Bytes.concat(biosignal, diagnosis);
      List<SessionFrame> frames = session.sending().sealContent("sto", content, message, deposit.getSentAt());
      return new AwaitingDepositReceipt(session.peer(), session.receiving(), Bytes.sha256(message), frames);
    }

    /** Makes OWN: the document in slices, then what its author signed. The same may be sent again in a new session. */
    public AwaitingDepositReceipt add(OwnDocuments.Signed document) {
      byte[] message = Statements.serialised(document.message());
      long sentAt = document.message().getSentAt();
      List<SessionFrame> frames = session.sending().sealContent("own", document.content(), message, sentAt);
      return new AwaitingDepositReceipt(session.peer(), session.receiving(), Bytes.sha256(message), frames);
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
    private final Established established;
    private final Direction receiving;
    private final SessionFrame frame;
    private IncomingRecord incoming;

    private AwaitingRecord(Established established, SessionFrame frame, IncomingRecord incoming) {
      this.established = established;
      this.frame = frame;
      this.receiving = established.session().receiving();
      this.incoming = incoming;
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
        Outcome.of(progress.whole().end().getOutcome()).requireGood("the hospital");
      }
      receiving.advance();
      return progress;
    }

    /** What the hospital says that it sends, once that is here. It is proved when all is. */
    public Optional<RecordManifest> manifest() {
      return incoming.manifest();
    }

    /** What came, up to where another session may go on, should this one break; nothing where it has to begin at 0. */
    public Optional<IncomingRecord> resumable() {
      return incoming.resumable();
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
      established.session().peer().requireStillGood(verifier.get(), now);
      return new Progress(null, new Whole(end, signedDigest(end)));
    }

    /** H(M_EMR), once Sig_HPC2 = S_PRK_HPC(T("H2", TH2, c_P, H(M_EMR), H(access), version, T_HPC2)) holds (C8). */
    private byte[] signedDigest(RecordEnd end) {
      require(end.hasSignature() && end.hasVersion(), "MISSING_FIELD", "a served record is signed");
      byte[] digest = incoming.wholeDigest();
      Intent intent = established.intent();
      Handshake.Session session = established.session();
      byte[] signed =
          Transcript.of("H2")
              .add(session.transcriptHash())
              .add(intent.commitment())
              .add(digest)
              .add(intent.shown().digest())
              .add(end.getVersion())
              .add(end.getSentAt())
              .bytes();
      Statements.verifySignature(session.peer().party().verifyingKey(), end.getSignature(), signed);
      return digest;
    }
  }

  /** STO is made: send its frames, in order. */
  public record AwaitingDepositReceipt(
      Handshake.Peer hospital, Direction receiving, byte[] depositDigest, List<SessionFrame> frames) {
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
      Outcome.of(end.getOutcome()).requireGood("the hospital");
      DepositReceipt receipt = Refusal.afterOpening(() -> receiptOf(end));
      receiving.advance();
      return receipt;
    }

    private DepositReceipt receiptOf(DepositEnd end) {
      require(end.hasReceipt(), "MISSING_FIELD", "a served deposit has a receipt");
      DepositReceipt type = DepositReceipt.getDefaultInstance();
      byte[] key = hospital.party().verifyingKey();
      DepositReceipt receipt = Statements.open("stoack", type, end.getReceipt(), key);
      boolean ours = Bytes.equal(receipt.getDepositDigest(), depositDigest);
      require(ours, "ANSWER_MISMATCH", "the receipt is for another deposit");
      return receipt;
    }
  }

  /** What Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3). */
  private static byte[] openingTranscript(
      RecordOpening opening, byte[] issuer, String hospitalId, byte[] keyId, byte[] sessionId) {
    return Transcript.of("D3")
        .add(issuer)
        .add(opening.getSentAt())
        .add(opening.getPatientCommitment())
        .add(opening.getAgreementPoint())
        .add(opening.getEphemeralPoint())
        .add(opening.getRegistrationPoint())
        .add(hospitalId)
        .add(opening.getResponderSerial())
        .add(keyId)
        .add(sessionId)
        .add(Bytes.sha256(opening.getContribution()))
        .add(Statements.certificateDigest(opening.getDoctorCertificate()))
        .bytes();
  }

  /** TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, E_HPC, T_HPC1, session id)). */
  private static byte[] transcriptHash(byte[] openingPlaintext, RecordReply h1, byte[] credential, byte[] sessionId) {
    return Transcript.of("th2")
        .add(Bytes.sha256(openingPlaintext))
        .add(h1.getHospitalId())
        .add(credential)
        .add(h1.getRegistrationPoint())
        .add(h1.getAgreementPoint())
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
        .add(h1.getEphemeralPoint())
        .add(h1.getHospitalId())
        .add(h1.getKeyConfirmation())
        .add(hash)
        .bytes();
  }
}
