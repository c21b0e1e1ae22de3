package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.CloseRoomRequest;
import example.medunion.federation.v1.Consent;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.GetDutyRequest;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.OpenRoomRequest;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordQuery;
import example.medunion.federation.v1.Revocation;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevokeResponse;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SearchQuery;
import example.medunion.federation.v1.Sensitivity;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.ShownDuty;
import example.medunion.federation.v1.SignedStatement;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/**
 * Every message that a patient or a doctor makes, with the vectors' keys, clock and randomness: made byte for byte up to HPKE's own
 * randomness. Every message that they receive is taken, and every refusal that is theirs has its reason.
 */
class MessagesTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final Revoked REVOKED = Revoked.ofVectors();
  private static final JsonObject ENTROPY = Vectors.load("entropy");
  private static final long NOW = CAST.get("now").getAsLong();
  private static final List<String> FILES = 
      List.of("registration", "consultation", "search", "record", "diagnosis", "calls");
  private static final Set<String> OURS =
      Set.of(
          ("reg2-patient P1 D1 P2-0 P2-1 C H1-read H2-0 H2-1 H2-2 STOACK STOACK-amended STOACK-own D5 P6 D5-amended P6-amended"
                  + " H1-read-on H2-0-on H2-1-on C-own H1-read-own H2-0-own H2-1-own H2-2-own"
                  + " C-log H1-read-log H2-0-log H2-1-log H2-2-log")
              .split(" "));

  private final Map<String, JsonObject> messages = new HashMap<>();
  private final Set<String> tried = new TreeSet<>();
  private int refusals;

  private Verifier verifier;
  private EncryptionKey cloud;
  private Party patient;
  private Party doctor;
  private ShownDuty duty;
  private Consent consent;

  /** How a receiver that has come this far takes a message. */
  private interface Receiver<M> {
    void take(M message, long now, boolean replayed);
  }

  @Test
  void wholeRun() {
    FILES.forEach(file -> Vectors.all(file).forEach(vector -> messages.put(text(vector, "name"), vector)));
    TrustedBundle bundle = null;
    for (JsonElement statement : CAST.getAsJsonArray("trust_bundles")) {
      SignedStatement signed = Vectors.signed(statement);
      bundle = bundle == null ? TrustedBundle.pin(signed) : bundle.follow(signed);
    }
    verifier = new Verifier(bundle, Lists.read(bundle, Vectors.signed(CAST.get("revocation_head")), List.of(crl()), REVOKED));
    JsonObject own = CAST.getAsJsonObject("cloud");
    cloud = verifier.cloudEncryptionKey(Vectors.signed(own.get("encryption_key_statement")), NOW);
    duty = payload(SearchQuery.getDefaultInstance(), "D2").getAccess().getConsent().getDuty();
    patient = register("patient", Role.ROLE_PATIENT);
    doctor = register("doctor", Role.ROLE_DOCTOR);
    assertFalse(Arrays.equals(patient.self().issuer(), doctor.self().issuer()));

    Handshake.AwaitingReply<PatientSide.Established> waiting = beginConsultation();
    Handshake.ReceivedOpening<DoctorSide.AwaitingBiosignal> received = received(doctor, "P1");
    requireTakenUnderFormerEpoch("P1");
    DoctorSide.AwaitingBiosignal replied = received.reply(NOW, entropy("D1"));
    assertEquals(plaintext("D1"), hex(inside(replied.reply().getSealed(), patient.decryptionKey(), "D1")));
    refuse("D1", SealedReply.getDefaultInstance(), (reply, now, again) -> waiting.receive(reply, verifier, now));
    PatientSide.Established established =
        waiting.receive(message(SealedReply.getDefaultInstance(), "D1"), verifier, NOW);
    PatientSide.AwaitingDiagnosis delivered = deliver(established);
    refuse("P2-0", SessionFrame.getDefaultInstance(), (frame, now, again) -> replied.receive(frame, () -> verifier, duty, now));
    assertTrue(replied.receive(frame("P2-0"), () -> verifier, duty, NOW).isEmpty());
    refuse("P2-1", SessionFrame.getDefaultInstance(), (frame, now, again) -> replied.receive(frame, () -> verifier, duty, now));
    Supplier<Verifier> without = () -> revoking(patient.self());
    requireConsentStanding(replied);
    assertEquals("CREDENTIAL_REVOKED", Vectors.outcome(() -> replied.receive(frame("P2-1"), without, duty, NOW)));
    DoctorSide.InConsultation consultation = replied.receive(frame("P2-1"), () -> verifier, duty, NOW).orElseThrow();

    ShownAccess shown = ShownAccess.byConsent(patient.identity(), consent, duty);
    assertEquals(shown, consultation.shown());
    Search.RecordLocation location = search(doctor, shown, "");
    ByteString recordSignature = read(doctor, shown, location, "");
    goOn(shown, location);
    byte[] diagnosis = diagnosis("");
    DoctorSide.AwaitingReceipt first = consultation.diagnose(diagnosis, List.of(recordSignature), NOW);
    PatientSide.AwaitingDiagnosis following = exchange(delivered, first, "");
    byte[] amended = diagnosis("-amended");
    DoctorSide.AwaitingReceipt second = first.amend(amended, List.of(recordSignature), NOW);
    exchange(following, second, "-amended");
    requireAmendmentsEnd(second);
    byte[] room = message(CloseRoomRequest.getDefaultInstance(), "room-close").getRoomId().toByteArray();
    CloseRoomRequest closing = DoctorSide.askToClose(doctor, "H:alpha", room);
    assertEquals(text(messages.get("room-close"), "message"), hex(Statements.serialised(closing)));
    deposit(shown, location, consultation.biosignal(), diagnosis, "");
    deposit(shown, location, consultation.biosignal(), amended, "-amended");

    ShownAccess shownOwn = ShownAccess.own(patient.identity());
    Search.RecordLocation ownLocation = search(patient, shownOwn, "-own");
    read(patient, shownOwn, ownLocation, "-own");
    List<AccessEntry> accesses = answered(patient, shownOwn, "-log").accesses();
    assertEquals(List.of("OK", "GRANT_MISSING"), accesses.stream().map(AccessEntry::getReason).toList());
    read(patient, shownOwn, ownLocation, "-log");
    add(shownOwn, ownLocation);
    requireTakenBack();

    requireBoundedBiosignal(received.reply(NOW, entropy("D1")), established);

    assertEquals(new TreeSet<>(OURS), tried);
    assertTrue(refusals > 100, refusals + " refusals");
  }

  private Party register(String name, Role role) {
    JsonObject own = CAST.getAsJsonObject("parties").getAsJsonObject(name);
    byte[] ticket = text(own, "ticket").isEmpty() ? null : bytes(own, "ticket");
    SigningKey signing = Vectors.signingKey(own);
    Hpke.DecryptionKey decryption = Vectors.decryptionKey(own);
    SignedStatement statement = Vectors.signed(own.get("encryption_key_statement"));
    Registration.Applicant applicant =
        new Registration.Applicant(
            role, text(own, "identity"), bytes(own, "evidence"), ticket, signing, decryption, statement);
    Registration.AwaitingCredential awaiting =
        Registration.apply(applicant, entropy("reg1-" + name).draw(16), cloud, NOW);
    requireMade("reg1-" + name, awaiting.opening(), Vectors.decryptionKey(CAST.getAsJsonObject("cloud")));
    TrustedBundle bundle = verifier.bundle();
    if (name.equals("patient")) {
      SealedReply type = SealedReply.getDefaultInstance();
      refuse("reg2-patient", type, (reply, now, again) -> awaiting.receive(reply, bundle, List.of(crl()), now));
    }
    SealedReply reply = message(SealedReply.getDefaultInstance(), "reg2-" + name);
    Registration.Registered registered = awaiting.receive(reply, bundle, List.of(crl()), NOW);
    AgreementKey key = AgreementKey.software(registered.registrationSecret());
    RegistrationSecret secret = RegistrationSecret.of(key, registered.party());
    secret.requireConsistent();
    byte[] certificate = own.has("certificate") ? bytes(own, "certificate") : Bytes.EMPTY;
    VerifiedParty self =
        role == Role.ROLE_DOCTOR
            ? verifier.doctor(registered.party().keyStatement(), certificate, NOW)
            : registered.party();
    return new Party(self, signing, secret, decryption, List.of(decryption), statement, certificate);
  }

  private Handshake.AwaitingReply<PatientSide.Established> beginConsultation() {
    GetDutyRequest asking = DoctorSide.askForDuty(doctor, "H:alpha", NOW, entropy("duty-ask"));
    assertEquals(text(messages.get("duty-ask"), "message"), hex(Statements.serialised(asking)));
    OpenRoomRequest request = DoctorSide.askForRoom(doctor, "H:alpha", NOW, entropy("room"));
    assertEquals(text(messages.get("room"), "message"), hex(Statements.serialised(request)));
    GetRoomResponse room =
        GetRoomResponse.newBuilder()
            .setKeyStatement(doctor.self().keyStatement())
            .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
            .setEncryptionKeyStatement(doctor.encryptionKeyStatement())
            .setRevocations(RevocationExcerpt.newBuilder().setHead(Vectors.signed(CAST.get("revocation_head"))))
            .setCertificateRevocationList(crl())
            .setDuty(duty)
            .build();
    Runnable elsewhere = () -> PatientSide.checkRoom(room, new byte[32], verifier, NOW);
    assertEquals("IDENTITY_MISMATCH", Vectors.outcome(elsewhere));
    Handshake.Peer there = PatientSide.checkRoom(room, DoctorSide.codeDigest(doctor), verifier, NOW);
    assertEquals(List.of("cardiology"), PatientSide.checkDuty(room, there, "H:alpha", verifier, NOW).departmentClasses());
    Runnable otherwhere = () -> PatientSide.checkDuty(room, there, "H:beta", verifier, NOW);
    assertEquals("DUTY_INVALID", Vectors.outcome(otherwhere));
    byte[] biometric = bytes(CAST.getAsJsonObject("parties").getAsJsonObject("patient"), "evidence");
    Handshake.AwaitingReply<PatientSide.Established> awaiting = PatientSide.begin(patient, there, biometric, NOW, entropy("P1"));
    requireMade("P1", awaiting.opening(), doctor.decryptionKey());
    refuse(
        "P1",
        SealedOpening.getDefaultInstance(),
        (opening, now, replayed) -> {
          ReplayMemory memory = new ReplayMemory(Map.of());
          var pending = DoctorSide.receiveOpening(doctor, opening, verifier, now);
          if (replayed) {
            memory.insert(pending.replayKey(), now, pending.keepUntil());
          }
          pending.admit(memory.insert(pending.replayKey(), now, pending.keepUntil()));
        });
    return awaiting;
  }

  /** A patient may have been told of an epoch that is no longer the one announced: its key opens as long as it is held. */
  private void requireTakenUnderFormerEpoch(String name) {
    Hpke.DecryptionKey next = patient.decryptionKey();
    Party renewed = holding(next, List.of(doctor.decryptionKey(), next));
    assertEquals(plaintext(name), hex(received(renewed, name).opened().plaintext()));
    Party swept = holding(next, List.of(next));
    assertEquals("UNKNOWN_KEY_ID", Vectors.outcome(() -> received(swept, name)));
  }

  private Handshake.ReceivedOpening<DoctorSide.AwaitingBiosignal> received(Party receiver, String name) {
    SealedOpening opening = message(SealedOpening.getDefaultInstance(), name);
    return DoctorSide.receiveOpening(receiver, opening, verifier, NOW).admit(true);
  }

  private Party holding(Hpke.DecryptionKey announced, List<Hpke.DecryptionKey> opening) {
    return new Party(
        doctor.self(),
        doctor.signingKey(),
        doctor.registrationSecret(),
        announced,
        opening,
        doctor.encryptionKeyStatement(),
        doctor.certificate());
  }

  private PatientSide.AwaitingDiagnosis deliver(PatientSide.Established established) {
    VerifiedParty chen = established.session().peer().party();
    Access.Grantee grantee = new Access.ToDoctor(chen.identity(), chen.authorityId());
    SignedStatement grant =
        AccessStatements.makeGrant(patient, grantee, AccessStatementsTest.WIDE, null, NOW, entropy("grant"));
    consent = Consent.newBuilder().setGrant(grant).setKeyStatement(patient.self().keyStatement()).build();
    int size = (int) payload(BiosignalDelivery.getDefaultInstance(), "P2-1").getBiosignalSizeBytes();
    byte[] biosignal = Arrays.copyOf(bytes(plaintext("P2-0")), size);
    PatientSide.AwaitingDiagnosis delivered = established.deliver(biosignal, ShownAccess.byConsent(patient.identity(), consent, null), NOW);
    requireFrame("P2-0", delivered.frames().get(0));
    requireFrame("P2-1", delivered.frames().get(1));
    return delivered;
  }

  /** A consent that was taken back since P1, by itself or with all that its patient signed, is of no use. */
  private void requireConsentStanding(DoctorSide.AwaitingBiosignal replied) {
    ByteString id = AccessStatements.peekGrant(consent.getGrant()).id();
    Map.of(
            "this grant", REVOKED.with(entry("grant", "P:wang", id), 0),
            "everything", REVOKED.with(sweep("P:wang"), NOW + 1))
        .forEach(
            (name, listed) -> {
              Runnable take = () -> replied.receive(frame("P2-1"), () -> listing(listed), duty, NOW);
              assertEquals("GRANT_REVOKED", Vectors.outcome(take), name);
            });
    Runnable unlisted = () -> replied.receive(frame("P2-1"), () -> listing(Shards.NONE), duty, NOW);
    assertEquals("REVOCATION_SHARD_MISSING", Vectors.outcome(unlisted));
  }

  /** rev, as the vectors have it, and the shards that answer it. */
  private void requireTakenBack() {
    Revoking.Stated grant = Revoking.Stated.grant(consent.getGrant());
    Revoking.Stated older =
        Revoking.Stated.grant(payload(Revocation.getDefaultInstance(), "rev-older").getStatements(0).getStatement());
    requireRevoked("rev", new Revoking.TakenBack("P:wang", List.of(grant), null, null));
    requireRevoked("rev-older", new Revoking.TakenBack("P:wang", List.of(older), null, null));
    requireRevoked("rev-all", new Revoking.TakenBack("P:wang", List.of(), NOW, null));
  }

  private void requireRevoked(String name, Revoking.TakenBack taken) {
    Revoking.AwaitingList awaiting = Revoking.revoke(taken, patient, cloud, NOW, entropy(name));
    requireMade(name, awaiting.opening(), Vectors.decryptionKey(CAST.getAsJsonObject("cloud")));
    ByteString entry =
        taken.before() == null ? entry("grant", "P:wang", taken.statements().get(0).id()) : sweep("P:wang");
    Revoked naming = REVOKED.with(entry, taken.before() == null ? 0 : taken.before());
    List<Integer> there = List.of(Shards.prefixOf(entry.toByteArray()));
    assertEquals("success", Vectors.outcome(() -> awaiting.receive(answer(naming, there), verifier.bundle())));
    Runnable silent = () -> awaiting.receive(answer(REVOKED, there), verifier.bundle());
    assertEquals("ANSWER_MISMATCH", Vectors.outcome(silent));
    Runnable elsewhere = () -> awaiting.receive(answer(naming, List.of(there.get(0) ^ 1)), verifier.bundle());
    assertEquals("ANSWER_MISMATCH", Vectors.outcome(elsewhere));
  }

  private RevokeResponse answer(Revoked listed, List<Integer> prefixes) {
    SignedStatement head = listed.head(verifier.lists().head(), Vectors.signingKey(CAST.getAsJsonObject("cloud")));
    return RevokeResponse.newBuilder().setRevocations(listed.excerpt(head, prefixes)).build();
  }

  private static ByteString entry(String label, String owner, ByteString id) {
    return ByteString.copyFrom(Transcript.of("revoked").add(label).add(owner).add(id).digest());
  }

  private static ByteString sweep(String patient) {
    return ByteString.copyFrom(Transcript.of("sweep").add(patient).digest());
  }

  /** The lists of a moment later: they name a party. */
  private Verifier revoking(VerifiedParty party) {
    byte[] entry = Transcript.of("serial").add(party.serial()).digest();
    return listing(REVOKED.with(ByteString.copyFrom(entry), 0));
  }

  private Verifier listing(Listed listed) {
    SignedStatement head = Vectors.signed(CAST.get("revocation_head"));
    return new Verifier(verifier.bundle(), Lists.read(verifier.bundle(), head, List.of(crl()), listed));
  }

  private void requireBoundedBiosignal(
      DoctorSide.AwaitingBiosignal replied, PatientSide.Established established) {
    int most = 16 * 1024 * 1024;
    Runnable larger = () -> established.deliver(new byte[most + 1], ShownAccess.own("P:wang"), NOW);
    assertEquals("LIMIT_REACHED", Vectors.outcome(larger));
    Direction sending = established.session().sending();
    List<SessionFrame> frames = sending.sealContent("p2", new byte[most + 1], Bytes.EMPTY, NOW);
    int taken = most / (64 * 1024);
    frames.subList(0, taken).forEach(frame -> assertTrue(replied.receive(frame, () -> verifier, duty, NOW).isEmpty()));
    assertEquals("LIMIT_REACHED", Vectors.outcome(() -> replied.receive(frames.get(taken), () -> verifier, duty, NOW)));
  }

  private Search.RecordLocation search(Party asker, ShownAccess shown, String suffix) {
    Search.Answer answer = answered(asker, shown, suffix);
    String department = "H:alpha/" + payload(SearchQuery.getDefaultInstance(), "D2").getDepartmentClass();
    List<String> found = answer.locations().stream().map(Search.RecordLocation::departmentId).toList();
    assertEquals(List.of(department, department, department + ".ward-2"), found);
    assertEquals(suffix.equals("-own"), answer.next().isEmpty());
    return answer.locations().get(0);
  }

  private Search.Answer answered(Party asker, ShownAccess shown, String suffix) {
    SearchQuery asked = payload(SearchQuery.getDefaultInstance(), "D2" + suffix);
    Search.Question question =
        new Search.Question(asked.getDepartmentClass(), asked.getAfter(), asked.getRight(), asked.getKnownSize());
    Search.AwaitingAnswer awaiting = Search.ask(asker, question, shown, cloud, NOW, entropy("D2" + suffix));
    requireMade("D2" + suffix, awaiting.opening(), Vectors.decryptionKey(CAST.getAsJsonObject("cloud")));
    SealedReply type = SealedReply.getDefaultInstance();
    refuse("C" + suffix, type, (reply, now, again) -> awaiting.receive(reply, verifier, now));
    return awaiting.receive(message(type, "C" + suffix), verifier, NOW);
  }

  private ByteString read(Party asker, ShownAccess shown, Search.RecordLocation location, String suffix) {
    RecordQuery asked = payload(RecordQuery.getDefaultInstance(), "D4" + suffix);
    Scope scope = asked.getScope();
    OptionalLong before = asked.hasBefore() ? OptionalLong.of(asked.getBefore()) : OptionalLong.empty();
    RecordSession.LogPlace place = new RecordSession.LogPlace(asked.getKnownSize(), before);
    RecordSession.AwaitingRecord awaiting =
        session(asker, shown, location, "read" + suffix, scope).query(1 << 20, place, NOW);
    requireFrame("D4" + suffix, awaiting.frame());
    SessionFrame type = SessionFrame.getDefaultInstance();
    Receiver<SessionFrame> receiver = (frame, now, again) -> awaiting.receive(frame, () -> verifier, now);
    refuse("H2-0" + suffix, type, receiver);
    awaiting.receive(frame("H2-0" + suffix), () -> verifier, NOW);
    refuse("H2-1" + suffix, type, receiver);
    byte[] content = awaiting.receive(frame("H2-1" + suffix), () -> verifier, NOW).content();
    RecordManifest manifest = awaiting.manifest().orElseThrow();
    if (scope.getPurpose() == Purpose.PURPOSE_LOG) {
      assertEquals(0, manifest.getRecordsCount());
      assertEquals(2, manifest.getAccessesCount());
    } else {
      assertArrayEquals(manifest.getRecords(0).getParts(0).getDigest().toByteArray(), Bytes.sha256(content));
    }
    String end = "H2-2" + suffix;
    refuse(end, type, receiver);
    Supplier<Verifier> without = () -> revoking(location.hospital().party());
    assertEquals("CREDENTIAL_REVOKED", Vectors.outcome(() -> awaiting.receive(frame(end), without, NOW)));
    RecordSession.Whole whole = awaiting.receive(frame(end), () -> verifier, NOW).whole();
    byte[] signed = Bytes.concat(Transcript.field(manifest.toByteArray()), content);
    assertArrayEquals(Bytes.sha256(signed), whole.recordDigest());
    return whole.end().getSignature();
  }

  /** A record of which some came before its session broke; and one of which something else came. */
  private void goOn(ShownAccess shown, Search.RecordLocation location) {
    JsonObject vector = Vectors.all("broken").get(0);
    byte[] content = IncomingRecordTest.content(vector);
    Scope scope = payload(RecordQuery.getDefaultInstance(), "D4-on").getScope();
    RecordSession.Established session = session(doctor, shown, location, "read-on", scope);
    byte[] altered = content.clone();
    altered[vector.get("offset").getAsInt() - 1] ^= 1;
    for (byte[] kept : List.of(altered, content)) {
      IncomingRecord broken = IncomingRecordTest.came(vector, kept).resumable().orElseThrow();
      RecordSession.AwaitingRecord awaiting = session.goOn(broken, NOW);
      requireFrame("D4-on", awaiting.frame());
      SessionFrame type = SessionFrame.getDefaultInstance();
      refuse("H2-0-on", type, (frame, now, again) -> awaiting.receive(frame, () -> verifier, now));
      awaiting.receive(frame("H2-0-on"), () -> verifier, NOW);
      if (kept == altered) {
        assertEquals("SIGNATURE_INVALID", Vectors.outcome(() -> awaiting.receive(frame("H2-1-on"), () -> verifier, NOW)));
        continue;
      }
      refuse("H2-1-on", type, (frame, now, again) -> awaiting.receive(frame, () -> verifier, now));
      assertArrayEquals(Bytes.sha256(content), awaiting.receive(frame("H2-1-on"), () -> verifier, NOW).whole().recordDigest());
    }
  }

  private byte[] diagnosis(String suffix) {
    return payload(DiagnosisDelivery.getDefaultInstance(), "D5" + suffix).getDiagnosis().toByteArray();
  }

  private PatientSide.AwaitingDiagnosis exchange(
      PatientSide.AwaitingDiagnosis waiting, DoctorSide.AwaitingReceipt diagnosed, String suffix) {
    requireFrame("D5" + suffix, diagnosed.frame());
    SessionFrame type = SessionFrame.getDefaultInstance();
    refuse("D5" + suffix, type, (frame, now, again) -> waiting.receive(frame, verifier, now));
    PatientSide.Diagnosed told = waiting.receive(frame("D5" + suffix), verifier, NOW);
    assertArrayEquals(diagnosis(suffix), told.delivery().getDiagnosis().toByteArray());
    PatientSide.Acknowledged acknowledged = told.receipt(NOW);
    requireFrame("P6" + suffix, acknowledged.frame());
    refuse("P6" + suffix, type, (frame, now, again) -> diagnosed.receive(frame, now));
    diagnosed.receive(frame("P6" + suffix), NOW);
    return acknowledged.following();
  }

  private static void requireAmendmentsEnd(DoctorSide.AwaitingReceipt diagnosed) {
    DoctorSide.AwaitingReceipt last = diagnosed;
    for (int amendments = 1; amendments < Consultation.MOST_AMENDMENTS; amendments++) {
      last = last.amend(new byte[1], List.of(), NOW);
    }
    DoctorSide.AwaitingReceipt newest = last;
    assertEquals("LIMIT_REACHED", Vectors.outcome(() -> newest.amend(new byte[1], List.of(), NOW)));
  }

  private void deposit(
      ShownAccess shown, Search.RecordLocation location, byte[] biosignal, byte[] diagnosis, String suffix) {
    Deposit deposit = payload(Deposit.getDefaultInstance(), "STO-1" + suffix);
    RecordSession.Established session = session(doctor, shown, location, "store" + suffix, deposit.getScope());
    RecordSession.AwaitingDepositReceipt awaiting = session.deposit(biosignal, diagnosis, deposit);
    requireFrame("STO-0" + suffix, awaiting.frames().get(0));
    requireFrame("STO-1" + suffix, awaiting.frames().get(1));
    refuse("STOACK" + suffix, SessionFrame.getDefaultInstance(), (frame, now, again) -> awaiting.receive(frame));
    awaiting.receive(frame("STOACK" + suffix));
  }

  private void add(ShownAccess shown, Search.RecordLocation location) {
    byte[] text = "Since Monday, each morning.".getBytes(StandardCharsets.UTF_8);
    OwnDocuments.New note =
        new OwnDocuments.New(
            "Nasenbluten, März", "text/plain; charset=utf-8", text, Sensitivity.SENSITIVITY_RESTRICTED);
    byte[] blind = bytes(ENTROPY, "rho-add");
    OwnDocuments.Signed document =
        OwnDocuments.sign(patient, note, shown, "H:alpha", "cardiology", blind, NOW);
    Scope scope = document.message().getScope();
    RecordSession.AwaitingDepositReceipt awaiting = session(patient, shown, location, "add", scope).add(document);
    requireFrame("OWN-0", awaiting.frames().get(0));
    requireFrame("OWN-1", awaiting.frames().get(1));
    refuse("STOACK-own", SessionFrame.getDefaultInstance(), (frame, now, again) -> awaiting.receive(frame));
    awaiting.receive(frame("STOACK-own"));
  }

  private RecordSession.Established session(
      Party asker, ShownAccess shown, Search.RecordLocation location, String name, Scope scope) {
    RecordSession.Intent intent = new RecordSession.Intent(shown, scope, bytes(ENTROPY, "rho-" + name));
    Handshake.AwaitingReply<RecordSession.Established> awaiting =
        RecordSession.begin(asker, location.hospital(), intent, NOW, entropy("D3-" + name));
    JsonObject own = CAST.getAsJsonObject("parties").getAsJsonObject("hospital");
    requireMade("D3-" + name, awaiting.opening(), Vectors.decryptionKey(own));
    if (name.startsWith("read")) {
      SealedReply type = SealedReply.getDefaultInstance();
      refuse("H1-" + name, type, (reply, now, again) -> awaiting.receive(reply, verifier, now));
    }
    return awaiting.receive(message(SealedReply.getDefaultInstance(), "H1-" + name), verifier, NOW);
  }

  /** Tries every refusal of a message, before the message itself is taken. */
  private <M extends Message> void refuse(String base, M type, Receiver<M> receiver) {
    tried.add(base);
    for (JsonObject vector : Vectors.all("refusals")) {
      if (text(vector, "base").equals(base)) {
        refusals++;
        boolean replayed = vector.has("replayed");
        long now = vector.get("now").getAsLong();
        Refusal refusal = null;
        try {
          receiver.take(bent(type, base, vector), now, replayed);
        } catch (Refusal expected) {
          refusal = expected;
        }
        String name = text(vector, "name");
        assertEquals(text(vector, "expect"), refusal == null ? "success" : refusal.preciseReason(), name);
        assertEquals(text(vector, "wire"), refusal.reason(), name);
      }
    }
  }

  @SuppressWarnings("unchecked")
  private <M extends Message> M bent(M type, String base, JsonObject vector) {
    byte[] encoded = bytes(vector.has("message") ? vector : messages.get(base), "message");
    if (vector.has("flip_bit")) {
      int bit = vector.get("flip_bit").getAsInt();
      encoded[bit / 8] ^= (byte) (1 << bit % 8);
    }
    Message.Builder message = parsed(type, encoded).toBuilder();
    if (vector.has("set")) {
      vector.getAsJsonObject("set").entrySet().forEach(entry -> set(message, entry.getKey(), entry.getValue()));
    }
    return (M) message.build();
  }

  private static void set(Message.Builder message, String name, JsonElement value) {
    FieldDescriptor field = message.getDescriptorForType().findFieldByName(name);
    Object typed =
        switch (field.getJavaType()) {
          case BYTE_STRING -> ByteString.copyFrom(bytes(value.getAsString()));
          case INT -> value.getAsInt();
          case LONG -> value.getAsLong();
          case BOOLEAN -> value.getAsBoolean();
          default -> throw new IllegalStateException(name);
        };
    message.setField(field, typed);
  }

  /** Requires an opening to be the vector's, as far as its maker decides: who can open it compares what is inside. */
  private void requireMade(String name, SealedOpening opening, Hpke.DecryptionKey key) {
    SealedOpening expected = message(SealedOpening.getDefaultInstance(), name);
    assertEquals(plaintext(name), hex(inside(opening.getSealed(), key, name)));
    assertEquals(expected, opening.toBuilder().setSealed(expected.getSealed()).build());
    assertEquals(expected.getSealed().size(), opening.getSealed().size());
  }

  private byte[] inside(ByteString sealed, Hpke.DecryptionKey key, String name) {
    byte[] padded = key.open(sealed.toByteArray(), bytes(messages.get(name).getAsJsonObject("seal"), "info"));
    return Arrays.copyOfRange(padded, 4, 4 + ByteBuffer.wrap(padded).getInt());
  }

  private void requireFrame(String name, SessionFrame frame) {
    assertEquals(text(messages.get(name), "message"), hex(Statements.serialised(frame)), name);
  }

  private SessionFrame frame(String name) {
    return message(SessionFrame.getDefaultInstance(), name);
  }

  private String plaintext(String name) {
    return text(messages.get(name), "plaintext");
  }

  private <M extends Message> M message(M type, String name) {
    return parsed(type, bytes(messages.get(name), "message"));
  }

  private <M extends Message> M payload(M type, String name) {
    return parsed(type, bytes(plaintext(name)));
  }

  @SuppressWarnings("unchecked")
  private static <M extends Message> M parsed(M type, byte[] encoded) {
    try {
      return (M) type.getParserForType().parseFrom(encoded);
    } catch (InvalidProtocolBufferException error) {
      throw new AssertionError(error);
    }
  }

  private static ByteString crl() {
    return ByteString.copyFrom(bytes(CAST.getAsJsonObject("authority"), "crl"));
  }

  private static Entropy entropy(String name) {
    ByteBuffer left = ByteBuffer.wrap(bytes(ENTROPY, name));
    return size -> {
      byte[] taken = new byte[size];
      left.get(taken);
      return taken;
    };
  }
}
