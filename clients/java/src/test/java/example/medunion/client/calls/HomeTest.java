package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import example.medunion.client.keys.KeyFile;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Revoked;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.KeyStatement;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Epochs of a home, on disk: what is kept when, what another process sees, what a crash leaves. */
class HomeTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final long NOW = CAST.get("now").getAsLong();
  private static final long MINUTE = 60_000;
  private static final long DAY = 24 * 60 * MINUTE;
  private static final Entropy ENTROPY = Entropy.system();

  @TempDir Path root;
  private Home home;

  @BeforeEach
  void createHome() throws IOException {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text("a PIN of this test"));
    JsonArray bundles = CAST.getAsJsonArray("trust_bundles");
    JsonObject newest = bundles.get(bundles.size() - 1).getAsJsonObject();
    Map<String, String> trust =
        Map.of("statement", base64(newest, "statement"), "signature", base64(newest, "signature"));
    Files.writeString(root.resolve("trust.json"), new Gson().toJson(trust));
    home = Home.create(root.resolve("home"), "P:wang", root.resolve("trust.json"), root.resolve("pin"), null, ENTROPY, NOW);
    home.shards().askCloud(HomeTest::shard);
  }

  @Test
  void nextEpochIsAnnouncedOnlyOnceItIsAcknowledged() {
    SignedStatement first = home.encryptionKeyStatement();
    SignedStatement next = home.nextEpoch(NOW, ENTROPY);
    assertNotEquals(first, next);
    Home afterCrash = open();
    assertEquals(first, afterCrash.encryptionKeyStatement());
    assertArrayEquals(keyId(first).toByteArray(), afterCrash.decryptionKey().keyId());
    assertEquals(Set.of(keyId(first), keyId(next)), held(afterCrash));
    assertEquals(next, afterCrash.nextEpoch(NOW + MINUTE, ENTROPY));
    afterCrash.announce(next);
    Home renewed = open();
    assertEquals(next, renewed.encryptionKeyStatement());
    assertArrayEquals(keyId(next).toByteArray(), renewed.decryptionKey().keyId());
    assertEquals(Set.of(keyId(first), keyId(next)), held(renewed));
  }

  @Test
  void announcementThatWasMadeAlreadyChangesNothing() {
    SignedStatement next = home.nextEpoch(NOW, ENTROPY);
    Home other = open();
    other.announce(next);
    home.announce(next);
    assertEquals(next, home.encryptionKeyStatement());
    home.sweep(NOW, ENTROPY);
    assertEquals(2, held(open()).size());
  }

  @Test
  void epochIsDueADayBeforeItsEnd() {
    long end = home.epochEnd();
    assertEquals(NOW + 7 * DAY, end);
    assertFalse(home.isEpochDue(end - DAY - 1));
    assertTrue(home.isEpochDue(end - DAY));
  }

  @Test
  void keyIsDestroyedFiveMinutesAfterTheEndOfItsEpoch() {
    ByteString first = keyId(home.encryptionKeyStatement());
    long end = home.epochEnd();
    SignedStatement next = home.nextEpoch(end - DAY, ENTROPY);
    home.announce(next);
    home.sweep(end + 5 * MINUTE - 1, ENTROPY);
    assertEquals(Set.of(first, keyId(next)), held(open()));
    home.sweep(end + 5 * MINUTE, ENTROPY);
    assertEquals(Set.of(keyId(next)), held(open()));
  }

  @Test
  void homeThatWasAwayForLongBeginsAnew() {
    long later = NOW + 30 * DAY;
    home.sweep(later, ENTROPY);
    assertEquals(Set.of(), held(open()));
    assertEquals("CREDENTIAL_EXPIRED", assertThrows(Refusal.class, home::decryptionKey).reason());
    home.beginEpoch(later, ENTROPY);
    home.sweep(later, ENTROPY);
    assertEquals(Set.of(keyId(home.encryptionKeyStatement())), held(open()));
  }

  @Test
  void unacknowledgedEpochThatIsItselfDueGivesWayAndStillOpens() {
    SignedStatement unacknowledged = home.nextEpoch(NOW, ENTROPY);
    SignedStatement next = home.nextEpoch(NOW + 6 * DAY, ENTROPY);
    assertNotEquals(unacknowledged, next);
    home.sweep(NOW + 6 * DAY, ENTROPY);
    assertTrue(held(open()).containsAll(Set.of(keyId(unacknowledged), keyId(next))));
  }

  @Test
  void keyThatACrashLeftWithoutAStatementIsDestroyed() {
    Path path = root.resolve("home").resolve("keys.sealed");
    KeyFile.open(path, root.resolve("pin")).withNextEpoch(ENTROPY);
    assertEquals(2, held(open()).size());
    home.sweep(NOW, ENTROPY);
    assertEquals(Set.of(keyId(home.encryptionKeyStatement())), held(open()));
  }

  @Test
  void homeThatKnewOfOneEpochAloneGoesOn() throws IOException {
    Path path = root.resolve("home").resolve("state.json");
    JsonObject state = JsonParser.parseString(Files.readString(path)).getAsJsonObject();
    state.remove("nextEncryptionKeyStatement");
    state.remove("formerEncryptionKeyStatements");
    Files.writeString(path, state.toString());
    Home before = open();
    SignedStatement next = before.nextEpoch(NOW, ENTROPY);
    before.announce(next);
    assertEquals(next, open().encryptionKeyStatement());
    assertEquals(2, held(open()).size());
  }

  @Test
  void credentialStaysThroughRenewal() {
    VerifiedParty patient = patient();
    byte[] secret = secret();
    home.install(patient, secret, new byte[0], ENTROPY);
    assertArrayEquals(new byte[32], secret);
    byte[] before = home.keys().registrationSecret(patient).key().exchange(Curve.BASE_POINT);
    byte[] identity = home.keys().signingKey().verifyingKey();
    home.announce(home.nextEpoch(NOW, ENTROPY));
    home.sweep(NOW + 7 * DAY + 5 * MINUTE, ENTROPY);
    Home renewed = open();
    assertArrayEquals(before, renewed.keys().registrationSecret(patient).key().exchange(Curve.BASE_POINT));
    assertArrayEquals(identity, renewed.keys().signingKey().verifyingKey());
    assertEquals(patient.keyStatement(), renewed.keyStatement());
  }

  @Test
  void secretOfAnotherCredentialIsNotKept() {
    byte[] secret = Vectors.bytes(Vectors.all("issuing").get(1), "registration_secret");
    Runnable install = () -> home.install(patient(), secret, new byte[0], ENTROPY);
    assertEquals("CREDENTIAL_MISMATCH", Vectors.outcome(install));
    assertArrayEquals(new byte[32], secret);
    assertFalse(open().isRegistered());
    assertEquals("NOT_REGISTERED", Vectors.outcome(() -> open().keys().registrationSecret(patient())));
  }

  @Test
  void keyStatementSignedAnewIsKeptUnlessALaterOneIsHere() {
    SignedStatement first = patient().keyStatement();
    home.install(patient(), secret(), new byte[0], ENTROPY);
    SignedStatement later = statedAfter(first, 2);
    home.restate(later);
    home.restate(statedAfter(first, 1));
    assertEquals(later, open().keyStatement());
  }

  @Test
  void listsThatAnotherProcessTakesLeaveTheEpochAlone() {
    Home other = open();
    SignedStatement first = other.encryptionKeyStatement();
    SignedStatement next = home.nextEpoch(NOW, ENTROPY);
    home.announce(next);
    SignedStatement head = Vectors.signed(CAST.get("revocation_head"));
    assertTrue(other.learn(other.bundle(), head, List.of()));
    assertEquals(first, other.encryptionKeyStatement());
    assertArrayEquals(keyId(first).toByteArray(), other.decryptionKey().keyId());
    Home after = open();
    assertEquals(next, after.encryptionKeyStatement());
    assertEquals(2, held(after).size());
    after.verifier(NOW);
  }

  @Test
  void listThatIsOverCountsForTheGraceAndAClockThatIsSetBackStretchesNothing() {
    SignedStatement patient = patient().keyStatement();
    long end = home.verifier(NOW).lists().head().getNextUpdate();
    long over = end + Home.USUAL_GRACE.toMillis();
    home.verifier(over - 1).party(patient, Role.ROLE_PATIENT, over - 1);
    assertEquals("REVOCATION_LIST_STALE", refusal(home, patient, over));
    home.noteLate(home.verifier(end).lists(), end + MINUTE);
    assertEquals("REVOCATION_LIST_STALE", refusal(home, patient, end));
    assertEquals("REVOCATION_LIST_STALE", refusal(open(), patient, end));
  }

  private static String refusal(Home home, SignedStatement statement, long now) {
    return assertThrows(Refusal.class, () -> home.verifier(now).party(statement, Role.ROLE_PATIENT, now)).reason();
  }

  @Test
  void relaysListsLeaveTheOtherAuthoritiesCrlsAtHand() {
    ByteString crl = ByteString.copyFrom(Vectors.bytes(CAST.getAsJsonObject("authority"), "crl"));
    SignedStatement head = Vectors.signed(CAST.get("revocation_head"));
    assertTrue(home.learn(home.bundle(), head, List.of(crl)));
    assertTrue(home.learn(home.bundle(), head, List.of(ByteString.copyFromUtf8("of another authority"))));
    assertEquals(1, open().verifier(NOW).lists().crls().size());
    assertTrue(home.learn(home.bundle(), head, List.of(crl)));
    assertEquals(1, open().verifier(NOW).lists().crls().size());
  }

  @Test
  void homeThatCouldNotBeMadeIsNotThere() throws IOException {
    Path place = root.resolve("other");
    Files.writeString(root.resolve("public-pin"), "a PIN that others may read");
    Path trust = root.resolve("trust.json");
    Runnable create = () -> Home.create(place, "P:wang", trust, root.resolve("public-pin"), null, ENTROPY, NOW);
    assertEquals("FILE_NOT_PRIVATE", Vectors.outcome(create));
    assertFalse(Home.exists(place));
    assertEquals("FILE_NOT_PRIVATE", Vectors.outcome(create));
    Home.create(place, "P:wang", trust, root.resolve("pin"), null, ENTROPY, NOW);
    assertTrue(Home.exists(place));
    assertEquals("ALREADY_EXISTS", Vectors.outcome(create));
    try (Stream<Path> left = Files.list(root)) {
      assertEquals(Set.of("home", "other", "pin", "public-pin", "trust.json"), names(left));
    }
  }

  private static Set<String> names(Stream<Path> paths) {
    return paths.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
  }

  @Test
  void consentsKeepTheirOrderWhicheverProcessGaveThem() {
    Home other = Home.open(root.resolve("home"), root.resolve("pin"));
    List<SignedStatement> given =
        Stream.of("first", "second", "third")
            .map(name -> SignedStatement.newBuilder().setStatement(ByteString.copyFromUtf8(name)).build())
            .toList();
    home.keepGrant(given.get(0));
    other.keepGrant(given.get(1));
    home.keepGrant(given.get(2));
    assertEquals(given, home.grants());
    assertEquals(given, other.grants());
  }

  @Test
  void replayKeyOutlivesItsProcess() {
    byte[] key = new byte[32];
    assertTrue(home.admit(key, NOW, NOW + MINUTE));
    Handshake.Pending<String> pending = new Handshake.Pending<>(key, NOW + MINUTE, "asked");
    assertEquals("MESSAGE_REPLAYED", Vectors.outcome(() -> pending.admit(open().admit(key, NOW, NOW + MINUTE))));
  }

  private Home open() {
    Home opened = Home.open(root.resolve("home"), root.resolve("pin"));
    opened.shards().askCloud(HomeTest::shard);
    return opened;
  }

  /** As the cloud gives it. */
  private static RevocationExcerpt shard(int prefix) {
    return Revoked.ofVectors().excerpt(Vectors.signed(CAST.get("revocation_head")), List.of(prefix));
  }

  /** Says the same, so many milliseconds later. Whoever keeps it has verified it. */
  private SignedStatement statedAfter(SignedStatement signed, long millis) {
    KeyStatement statement = Statements.peek(KeyStatement.getDefaultInstance(), signed);
    KeyStatement anew = statement.toBuilder().setStatedAt(statement.getStatedAt() + millis).build();
    return Statements.sign("ks", anew, home.keys().signingKey());
  }

  /** The vectors' patient, whose credential and S_X those of issuing.json are. */
  private VerifiedParty patient() {
    home.learn(home.bundle(), Vectors.signed(CAST.get("revocation_head")), List.of());
    return home.verifier(NOW).party(Vectors.signed(statement("ks of the patient")), Role.ROLE_PATIENT, NOW);
  }

  private static byte[] secret() {
    return Vectors.bytes(Vectors.all("issuing").get(0), "registration_secret");
  }

  private static Set<ByteString> held(Home home) {
    return home.keys().decryptionKeys().stream()
        .map(key -> ByteString.copyFrom(key.keyId()))
        .collect(Collectors.toSet());
  }

  private static ByteString keyId(SignedStatement statement) {
    return Statements.peek(EncryptionKeyStatement.getDefaultInstance(), statement).getKeyId();
  }

  private static JsonObject statement(String name) {
    return Vectors.all("statements").stream()
        .filter(vector -> Vectors.text(vector, "name").equals(name))
        .findFirst()
        .orElseThrow();
  }

  private static String base64(JsonObject statement, String name) {
    return Base64.getEncoder().encodeToString(HexFormat.of().parseHex(Vectors.text(statement, name)));
  }
}
