package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.AccessGround;
import example.medunion.federation.v1.AccessKind;
import example.medunion.federation.v1.IndexRow;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SearchAnswer;
import example.medunion.federation.v1.SearchQuery;
import java.util.List;

/** EMR search (eq. 25-32): a doctor, or the patient itself, asks the cloud by D2 where a patient's records are, and C answers. */
public final class Search {
  private Search() {}

  /** What somebody wants to know of a patient: a page of the records of one department class, or of "*"; or of who asked for them, of "*". */
  public record Question(String departmentClass, int page, Right right) {
    public static Question records(String departmentClass, int page) {
      return new Question(departmentClass, page, Right.RIGHT_INDEX);
    }

    public static Question log(int page) {
      return new Question("*", page, Right.RIGHT_LOG);
    }
  }

  /** Where a record is: an index row whose hospital's statements held. */
  public record RecordLocation(Handshake.Peer hospital, String address, String departmentId, byte[] handle) {}

  /** What the cloud answered. No record yet is no error: there are no locations. Accesses are the newest first. */
  public record Answer(List<RecordLocation> locations, List<AccessEntry> accesses, int pages) {}

  /** Sends D2 (eq. 25, 26). */
  public static AwaitingAnswer ask(
      Party asker, Question question, ShownAccess shown, EncryptionKey cloud, long now, Entropy entropy) {
    byte[] sessionId = entropy.draw(16);
    SearchQuery.Builder query =
        SearchQuery.newBuilder()
            .setPatientId(shown.patientId())
            .setSentAt(now)
            .setAskerId(asker.identity())
            .setDepartmentClass(question.departmentClass())
            .setPage(question.page())
            .setRight(question.right())
            .setNonce(ByteString.copyFrom(entropy.draw(16)))
            .setKeyStatement(asker.self().keyStatement())
            .setEncryptionKeyStatement(asker.encryptionKeyStatement());
    if (asker.certificate().length > 0) {
      query.setDoctorCertificate(ByteString.copyFrom(asker.certificate()));
    }
    if (shown.access() != null) {
      query.setAccess(shown.access());
    }
    byte[] shared = asker.registrationSecret().sharedKey(asker.identity(), asker.self().serial());
    query.setProof(ByteString.copyFrom(queryProof(shared, query)));
    byte[] signed = queryTranscript(query, shown, asker.self(), cloud.owner());
    query.setSignature(ByteString.copyFrom(asker.signingKey().sign(signed)));
    Context context = new Context("d2", Context.UNNAMED, cloud.owner(), cloud.keyId(), sessionId, now);
    SealedOpening opening = Sealing.seal(query.build(), cloud.encryptionKey(), context).opening();
    return new AwaitingAnswer(asker, query.build(), sessionId, shared, cloud.owner(), opening);
  }

  /** D2 is made: send it. */
  public static final class AwaitingAnswer {
    private final Party asker;
    private final SearchQuery query;
    private final byte[] sessionId;
    private final byte[] shared;
    private final String cloudId;
    private final SealedOpening opening;

    private AwaitingAnswer(
        Party asker, SearchQuery query, byte[] sessionId, byte[] shared, String cloudId, SealedOpening opening) {
      this.asker = asker;
      this.query = query;
      this.sessionId = sessionId;
      this.shared = shared;
      this.cloudId = cloudId;
      this.opening = opening;
    }

    public SealedOpening opening() {
      return opening;
    }

    /** Takes C (eq. 31, 32). Refuses with what the cloud says is wrong with the access, or REJECTED for a false answer. */
    public Answer receive(SealedReply reply, Verifier verifier, long now) {
      Handshake.requireReply(reply, sessionId, now);
      SearchAnswer answer = Refusal.afterOpening(() -> accept(reply, verifier));
      List<RecordLocation> locations =
          Refusal.afterOpening(() -> answer.getRowsList().stream().map(row -> location(row, verifier, now)).toList());
      Outcome.of(answer.getOutcome()).requireGood("the public cloud");
      return new Answer(locations, answer.getAccessesList(), answer.getPages());
    }

    private SearchAnswer accept(SealedReply reply, Verifier verifier) {
      Hpke.DecryptionKey key = asker.decryptionKey();
      Context context =
          new Context("c", cloudId, asker.identity(), key.keyId(), sessionId, reply.getSentAt());
      SearchAnswer type = SearchAnswer.getDefaultInstance();
      SearchAnswer answer = Sealing.open(type, reply.getSealed(), key, context).payload();
      boolean proved = Bytes.equal(answer.getProof(), answerProof(shared, answer.getSentAt(), query));
      require(proved, "PROOF_INVALID", "the answer is not from the cloud that shares K_A, or to another question");
      byte[] signed = answerTranscript(answer, query, asker.self());
      Statements.verifySignature(verifier.bundle().cloudKeyAt(answer.getSentAt()), answer.getSignature(), signed);
      require(answer.getPage() == query.getPage(), "ANSWER_MISMATCH", "the answer is of another page");
      boolean isLog = query.getRight() == Right.RIGHT_LOG;
      int others = isLog ? answer.getRowsCount() : answer.getAccessesCount();
      require(others == 0, "ANSWER_MISMATCH", "the answer is to another question");
      return answer;
    }
  }

  /** HMAC(K_A, T("D2-proof", T_D2, ID_P, ID_DE, nonce)): only who asks and the cloud can make it (X7). */
  private static byte[] queryProof(byte[] shared, SearchQuery.Builder query) {
    Transcript proved =
        Transcript.of("D2-proof")
            .add(query.getSentAt())
            .add(query.getPatientId())
            .add(query.getDepartmentClass())
            .add(query.getNonce());
    return Bytes.hmac(shared, proved.bytes());
  }

  /** HMAC(K_A, T("C-proof", T_C, H(Sig_D2))) (X8). */
  private static byte[] answerProof(byte[] shared, long sentAt, SearchQuery query) {
    return Bytes.hmac(shared, Transcript.of("C-proof").add(sentAt).add(Bytes.sha256(query.getSignature())).bytes());
  }

  /** What Sig_D2 covers: eq. 26 with the proof in S_D's slot. */
  private static byte[] queryTranscript(
      SearchQuery.Builder query, ShownAccess shown, VerifiedParty asker, String cloudId) {
    return Transcript.of("D2")
        .add(query.getProof())
        .add(asker.registrationPoint())
        .add(asker.serial())
        .add(query.getSentAt())
        .add(query.getPatientId())
        .add(query.getDepartmentClass())
        .add(query.getAskerId())
        .add(Statements.certificateDigest(query.getDoctorCertificate()))
        .add(shown.signedDigest())
        .add(query.getPage())
        .add(query.getNonce())
        .add(cloudId)
        .add(query.getRight() == Right.RIGHT_LOG ? "log" : "index")
        .bytes();
  }

  /** What Sig_C covers: eq. 30, bound to the question (C2). */
  private static byte[] answerTranscript(SearchAnswer answer, SearchQuery query, VerifiedParty asker) {
    List<byte[]> hospitals = answer.getRowsList().stream().map(row -> Bytes.text(row.getHospitalId())).toList();
    List<byte[]> rows = answer.getRowsList().stream().map(Search::rowTranscript).toList();
    List<byte[]> entries = answer.getAccessesList().stream().map(Search::entryTranscript).toList();
    return Transcript.of("C")
        .add(Outcome.of(answer.getOutcome()).words())
        .add(query.getDepartmentClass())
        .add(answer.getProof())
        .add(asker.registrationPoint())
        .add(asker.serial())
        .add(Transcript.listing(hospitals))
        .add(answer.getSentAt())
        .add(query.getAskerId())
        .add(Bytes.sha256(query.getSignature()))
        .add(Bytes.sha256(Transcript.listing(rows)))
        .add(answer.getPage())
        .add(answer.getPages())
        .add(Bytes.sha256(Transcript.listing(entries)))
        .bytes();
  }

  private static byte[] entryTranscript(AccessEntry entry) {
    return Transcript.of("row")
        .add(entry.getNumber())
        .add(entry.getAt())
        .add(entry.getAskerId())
        .add(kind(entry.getKind()))
        .add(entry.getDepartmentClass())
        .add(ground(entry.getGround()))
        .add(entry.getAuthorization())
        .add(entry.getReason())
        .add(entry.getGrantDigest())
        .bytes();
  }

  private static String kind(AccessKind kind) {
    return switch (kind) {
      case ACCESS_KIND_SEARCH -> "SEARCH";
      case ACCESS_KIND_READ -> "READ";
      case ACCESS_KIND_STORE -> "STORE";
      case ACCESS_KIND_LOG -> "LOG";
      case ACCESS_KIND_ADD -> "ADD";
      case ACCESS_KIND_UNSPECIFIED, UNRECOGNIZED -> "";
    };
  }

  private static String ground(AccessGround ground) {
    return switch (ground) {
      case ACCESS_GROUND_CONSENT -> "consent";
      case ACCESS_GROUND_OWN -> "own";
      case ACCESS_GROUND_EMERGENCY -> "emergency";
      case ACCESS_GROUND_NONE -> "none";
      case ACCESS_GROUND_UNSPECIFIED, UNRECOGNIZED -> "";
    };
  }

  private static byte[] rowTranscript(IndexRow row) {
    return Transcript.of("row")
        .add(row.getHospitalId())
        .add(row.getDepartmentId())
        .add(row.getAddress())
        .add(row.getKeyStatement().getStatement())
        .add(row.getEncryptionKeyStatement().getStatement())
        .add(row.getHandle())
        .bytes();
  }

  private static RecordLocation location(IndexRow row, Verifier verifier, long now) {
    VerifiedParty hospital = verifier.party(row.getKeyStatement(), Role.ROLE_HOSPITAL, now);
    boolean named = hospital.identity().equals(row.getHospitalId());
    require(named, "IDENTITY_MISMATCH", "an index row names another hospital than its statement");
    EncryptionKey key = verifier.encryptionKey(row.getEncryptionKeyStatement(), hospital, now);
    Handshake.Peer peer = new Handshake.Peer(hospital, key, Bytes.EMPTY);
    return new RecordLocation(peer, row.getAddress(), row.getDepartmentId(), row.getHandle().toByteArray());
  }
}
