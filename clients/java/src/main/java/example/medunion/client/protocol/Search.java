package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.AccessGround;
import example.medunion.federation.v1.AccessKind;
import example.medunion.federation.v1.IndexDepartment;
import example.medunion.federation.v1.IndexHospital;
import example.medunion.federation.v1.PlacesPage;
import example.medunion.federation.v1.ProvedHead;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SearchAnswer;
import example.medunion.federation.v1.SearchQuery;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;

/** EMR search (eq. 25-32): a doctor, or the patient itself, asks the cloud by D2 where a patient's records are, and C answers. */
public final class Search {
  private Search() {}

  /**
   * What somebody wants to know of a patient: a page of the records of one department class, or of "*"; or of who asked for them, of "*".
   * `after` is the `next` of the page before, and empty for the first; `knownSize` is that of the head of the log that is remembered, 0 where
   * none is.
   */
  public record Question(String departmentClass, ByteString after, Right right, long knownSize) {
    public static Question records(String departmentClass) {
      return new Question(departmentClass, ByteString.EMPTY, Right.RIGHT_INDEX, 0);
    }

    public static Question log() {
      return new Question("*", ByteString.EMPTY, Right.RIGHT_LOG, 0);
    }

    /** The same question for the page behind one. */
    public Question after(Answer page) {
      return new Question(departmentClass, page.next(), right, knownSize);
    }

    /** The same question, proved from a head of this size on. */
    public Question from(long size) {
      return new Question(departmentClass, after, right, size);
    }
  }

  /** Where a record is, at a hospital whose statements held. */
  public record RecordLocation(Handshake.Peer hospital, String address, String departmentId, byte[] handle) {}

  /**
   * What the cloud answered. No record yet is no error: there are no locations. Accesses are the newest first, and proved by nothing yet but
   * `logHead` (ToldLog), of a cloud whose key is `cloudKey`. `next` is empty where there is no further page.
   */
  public record Answer(
      List<RecordLocation> locations,
      List<AccessEntry> accesses,
      Optional<ProvedHead> logHead,
      byte[] cloudKey,
      ByteString next) {}

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
    if (!question.after().isEmpty()) {
      query.setAfter(question.after());
    }
    if (question.knownSize() != 0) {
      query.setKnownSize(question.knownSize());
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
          Refusal.afterOpening(
              () -> answer.getHospitalsList().stream().flatMap(it -> locations(it, verifier, now).stream()).toList());
      Outcome.of(answer.getOutcome()).requireGood("the public cloud");
      Optional<ProvedHead> head = answer.hasLogHead() ? Optional.of(answer.getLogHead()) : Optional.empty();
      byte[] cloudKey = verifier.bundle().cloudKeyAt(answer.getSentAt());
      return new Answer(locations, answer.getAccessesList(), head, cloudKey, answer.getNext());
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
      boolean isLog = query.getRight() == Right.RIGHT_LOG;
      boolean hasLog = answer.getAccessesCount() > 0 || answer.hasLogHead();
      boolean isOther = isLog ? answer.getHospitalsCount() > 0 : hasLog;
      require(!isOther, "ANSWER_MISMATCH", "the answer is to another question");
      requireNamedOnce(answer.getHospitalsList());
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
        .add(query.getAfter())
        .add(query.getNonce())
        .add(cloudId)
        .add(query.getRight() == Right.RIGHT_LOG ? "log" : "index")
        .add(query.hasKnownSize() ? Bytes.u64(query.getKnownSize()) : Bytes.EMPTY)
        .bytes();
  }

  /** What Sig_C covers: eq. 30, bound to the question (C2). */
  private static byte[] answerTranscript(SearchAnswer answer, SearchQuery query, VerifiedParty asker) {
    PlacesPage page =
        PlacesPage.newBuilder()
            .setDepartmentClass(query.getDepartmentClass())
            .setProof(answer.getProof())
            .setRegistrationPoint(ByteString.copyFrom(asker.registrationPoint()))
            .setSerial(ByteString.copyFrom(asker.serial()))
            .setAskerId(query.getAskerId())
            .setQueryDigest(ByteString.copyFrom(Bytes.sha256(query.getSignature())))
            .setSentAt(answer.getSentAt())
            .setNext(answer.getNext())
            .build();
    List<byte[]> places = answer.getHospitalsList().stream().map(Search::placeDigest).toList();
    List<byte[]> entries = answer.getAccessesList().stream().map(Search::entryTranscript).toList();
    return pageTranscript(
        page,
        Outcome.of(answer.getOutcome()).words(),
        query.getPatientId(),
        places,
        Bytes.sha256(Transcript.listing(entries)),
        answer.hasLogHead() ? headTranscript(answer.getLogHead()).digest() : Bytes.EMPTY);
  }

  /** What Sig_C covers, of a page as it is kept and the digests of its places. */
  static byte[] pageTranscript(
      PlacesPage page, String outcome, String patientId, List<byte[]> places, byte[] accesses, byte[] head) {
    return Transcript.of("C")
        .add(outcome)
        .add(patientId)
        .add(page.getDepartmentClass())
        .add(page.getProof())
        .add(page.getRegistrationPoint())
        .add(page.getSerial())
        .add(Transcript.listing(places))
        .add(page.getSentAt())
        .add(page.getAskerId())
        .add(page.getQueryDigest())
        .add(page.getNext())
        .add(accesses)
        .add(head)
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
        .add(entry.getLeafIndex())
        .add(entry.getBlind())
        .add(listing(entry.getInclusionList()))
        .bytes();
  }

  private static Transcript headTranscript(ProvedHead head) {
    List<ByteString> statements =
        head.getWitnessKeyStatementsList().stream().map(signed -> signed.getStatement()).toList();
    return Transcript.of("row")
        .add(head.getNote())
        .add(listing(head.getConsistencyList()))
        .add(listing(statements));
  }

  private static byte[] listing(List<ByteString> elements) {
    return Transcript.listing(elements.stream().map(ByteString::toByteArray).toList());
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

  private static byte[] placeDigest(IndexHospital hospital) {
    Transcript statements =
        Transcript.of("row")
            .add(hospital.getKeyStatement().getStatement())
            .add(hospital.getEncryptionKeyStatement().getStatement());
    List<byte[]> departments = hospital.getDepartmentsList().stream().map(Search::departmentDigest).toList();
    return placeDigest(hospital.getHospitalId(), hospital.getAddress(), statements.digest(), departments);
  }

  /** H(place), of the digests of a hospital's statements and of its departments. */
  static byte[] placeDigest(String hospitalId, String address, byte[] statements, List<byte[]> departments) {
    return Transcript.of("row").add(hospitalId).add(address).add(statements).add(Transcript.listing(departments)).digest();
  }

  static byte[] departmentDigest(IndexDepartment department) {
    List<byte[]> handles = department.getHandlesList().stream().map(ByteString::toByteArray).toList();
    return Transcript.of("row").add(department.getDepartmentId()).add(Transcript.listing(handles)).digest();
  }

  /** Requires each hospital, each department of it and each record of that to be there once, and none without a record. */
  private static void requireNamedOnce(List<IndexHospital> hospitals) {
    List<IndexDepartment> departments = hospitals.stream().flatMap(it -> it.getDepartmentsList().stream()).toList();
    boolean isOnce =
        isDistinct(hospitals.stream().map(IndexHospital::getHospitalId).toList())
            && isDistinct(departments.stream().map(IndexDepartment::getDepartmentId).toList())
            && departments.stream().allMatch(it -> isDistinct(it.getHandlesList()));
    require(isOnce, "FIELD_INVALID", "an answer names a hospital, a department or a record twice");
    boolean isFilled =
        hospitals.stream().allMatch(it -> it.getDepartmentsCount() > 0)
            && departments.stream().allMatch(it -> it.getHandlesCount() > 0);
    require(isFilled, "FIELD_INVALID", "an answer names a hospital or a department without a record");
  }

  private static boolean isDistinct(List<?> names) {
    return new HashSet<>(names).size() == names.size();
  }

  private static List<RecordLocation> locations(IndexHospital found, Verifier verifier, long now) {
    VerifiedParty hospital = verifier.party(found.getKeyStatement(), Role.ROLE_HOSPITAL, now);
    boolean named = hospital.identity().equals(found.getHospitalId());
    require(named, "IDENTITY_MISMATCH", "an answer names another hospital than its statement");
    EncryptionKey key = verifier.encryptionKey(found.getEncryptionKeyStatement(), hospital, now);
    Handshake.Peer peer = new Handshake.Peer(hospital, key, Bytes.EMPTY);
    List<RecordLocation> locations = new ArrayList<>();
    for (IndexDepartment department : found.getDepartmentsList()) {
      String id = department.getDepartmentId();
      boolean isOwn = id.startsWith(hospital.identity() + "/");
      require(isOwn, "DEPARTMENT_FOREIGN", "an answer names a department of another hospital");
      department
          .getHandlesList()
          .forEach(handle -> locations.add(new RecordLocation(peer, found.getAddress(), id, handle.toByteArray())));
    }
    return locations;
  }
}
