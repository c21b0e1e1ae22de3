package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Context;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Opened;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Revoked;
import example.medunion.client.protocol.Revoking;
import example.medunion.client.protocol.Sealing;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.Shards;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.Credential;
import example.medunion.federation.v1.DirectoryServiceGrpc;
import example.medunion.federation.v1.GetDirectoryRequest;
import example.medunion.federation.v1.GetDirectoryResponse;
import example.medunion.federation.v1.GetRevocationShardsRequest;
import example.medunion.federation.v1.GetRevocationShardsResponse;
import example.medunion.federation.v1.GetTrustBundlesRequest;
import example.medunion.federation.v1.GetTrustBundlesResponse;
import example.medunion.federation.v1.OpenRegistrationRequest;
import example.medunion.federation.v1.OpenRegistrationResponse;
import example.medunion.federation.v1.RegisterRequest;
import example.medunion.federation.v1.RegisterResponse;
import example.medunion.federation.v1.RegistrationAnswer;
import example.medunion.federation.v1.RegistrationRequest;
import example.medunion.federation.v1.RegistrationServiceGrpc;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.RevocationServiceGrpc;
import example.medunion.federation.v1.RevokeRequest;
import example.medunion.federation.v1.RevokeResponse;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.StatementKind;
import example.medunion.federation.v1.TrustBundle;
import io.grpc.Deadline;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import org.bouncycastle.util.BigIntegers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A cloud that gives the vectors' answers, with the vectors' clock: a registration that is cut short, a directory that changes.
 * Signatures are random, so it signs reg2 anew for the reg1 that came.
 */
final class CloudTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final JsonObject PATIENT = CAST.getAsJsonObject("parties").getAsJsonObject("patient");
  private static final JsonArray BUNDLES = CAST.getAsJsonArray("trust_bundles");
  private static final JsonObject CLOUD = CAST.getAsJsonObject("cloud");
  private static final SigningKey CLOUD_KEY = Vectors.signingKey(CLOUD);
  private static final Hpke.DecryptionKey CLOUD_DECRYPTION_KEY = Vectors.decryptionKey(CLOUD);
  private static final byte[] EVIDENCE = Vectors.bytes(PATIENT, "evidence");
  private static final byte[] TICKET = Vectors.bytes(PATIENT, "ticket");
  private static final long NOW = CAST.get("now").getAsLong();
  private static final long MINUTE = 60_000;
  // Seconds: long enough for a busy machine.
  private static final long BUSY = 300;
  private static final Entropy ENTROPY = Entropy.system();
  private static final Revoked LISTED = Revoked.ofVectors();

  @TempDir Path root;
  private final Queue<StatusRuntimeException> refusals = new ArrayDeque<>();
  private final List<SealedOpening> openings = new ArrayList<>();
  private Revoked named = LISTED; // what rev takes back, too
  private GetDirectoryResponse directory = directory();
  private final List<Integer> sent = new ArrayList<>(); // CRLs with each answer
  private boolean isAway;
  private int directories;
  private int challenges;
  private long now = NOW;
  private LocalServer server;

  @BeforeEach
  void serve() throws IOException {
    server = new LocalServer(new Directory(), new Registration(), new Revocations());
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text("a PIN of this test"));
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void aSearchGoesOnBehindEachPageUntilOneIsTheLastAndNotWithoutEnd() {
    Search.Question first = Search.Question.records("*");
    for (int last : new int[] {1, 3, Cloud.MOST_PAGES, Cloud.MOST_PAGES + 1}) {
      List<ByteString> asked = new ArrayList<>();
      List<Search.Answer> taken = new ArrayList<>();
      boolean isCut =
          Cloud.isCut(
              first,
              question -> {
                asked.add(question.after());
                ByteString next = asked.size() == last ? ByteString.EMPTY : ByteString.copyFromUtf8("" + asked.size());
                return new Search.Answer(List.of(), List.of(), Optional.empty(), new byte[0], next);
              },
              taken::add);
      assertEquals(last > Cloud.MOST_PAGES, isCut);
      assertEquals(Math.min(last, Cloud.MOST_PAGES), taken.size());
      for (int page = 0; page < asked.size(); page++) {
        assertEquals(page == 0 ? "" : "" + page, asked.get(page).toStringUtf8());
      }
    }
  }

  @Test
  void registrationFollowsTheBundleFirst() throws IOException {
    Home home = home(BUNDLES.size() - 2);
    assertArrayEquals(serial(), register(home));
    assertEquals(BUNDLES.size(), home.bundle().sequence());
    assertTrue(open().isRegistered());
    assertEquals(1, challenges);
  }

  @Test
  void registrationWhoseAnswerWasLostGoesOnWithTheSame() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    loseAnswer();
    assertEquals("UNAVAILABLE", assertThrows(Refusal.class, () -> register(home)).reason());
    assertFalse(open().isRegistered());
    now += 9 * MINUTE;
    assertArrayEquals(serial(), register(open()));
    assertEquals(1, challenges);
    assertEquals(1, openings.stream().distinct().count());
    assertTrue(open().isRegistered());
    assertTrue(open().registration().isEmpty());
    assertEquals("PROFILE_UNUSABLE", assertThrows(Refusal.class, () -> register(open())).reason());
  }

  @Test
  void registrationThatNeverArrivedIsMadeAnew() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    loseAnswer();
    assertThrows(Refusal.class, () -> register(home));
    refusals.add(LocalServer.refusal(Code.FAILED_PRECONDITION, "STALE"));
    assertArrayEquals(serial(), register(open()));
    assertEquals(2, challenges);
    assertEquals(2, openings.stream().distinct().count());
  }

  @Test
  void registrationOfLongAgoIsMadeAnew() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    loseAnswer();
    assertThrows(Refusal.class, () -> register(home));
    now += 10 * MINUTE;
    refusals.add(LocalServer.refusal(Code.PERMISSION_DENIED, "REJECTED"));
    assertThrows(Refusal.class, () -> register(open()));
    assertEquals(2, challenges);
    assertTrue(open().registration().isEmpty());
  }

  @Test
  void headThatIsOlderChangesNothing() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    try (Cloud cloud = cloud()) {
      RevocationHead head = Statements.peek(RevocationHead.getDefaultInstance(), directory.getRevocationHead());
      SignedStatement newer =
          Statements.sign("rl", head.toBuilder().setSequence(head.getSequence() + 1).build(), CLOUD_KEY);
      directory = directory.toBuilder().setRevocationHead(newer).build();
      cloud.refresh(home);
      directory = directory();
      cloud.refresh(home);
      assertEquals(head.getSequence() + 1, home.verifier(NOW).lists().head().getSequence());
    }
  }

  @Test
  void otherBundleOfTheSameNumberIsRefused() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    TrustBundle bundle = home.bundle().content();
    SignedStatement other =
        Statements.sign("tb", bundle.toBuilder().setIssuedAt(bundle.getIssuedAt() + 1).build(), CLOUD_KEY);
    directory = directory.toBuilder().setTrustBundle(other).build();
    try (Cloud cloud = cloud()) {
      assertEquals("BUNDLE_OUT_OF_SEQUENCE", assertThrows(Refusal.class, () -> cloud.refresh(home)).reason());
    }
  }

  @Test
  void directoryMayGainFields() throws IOException {
    UnknownFieldSet later =
        UnknownFieldSet.newBuilder().addField(900, UnknownFieldSet.Field.newBuilder().addVarint(1).build()).build();
    directory = directory.toBuilder().setUnknownFields(later).build();
    Home home = home(BUNDLES.size() - 1);
    try (Cloud cloud = cloud()) {
      cloud.refresh(home);
      home.verifier(NOW);
    }
  }

  @Test
  void cloudThatIsAwayIsAskedOnceAndBriefly() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    isAway = true;
    try (Cloud cloud =
        new Cloud(server.connect(), () -> now, new Calls.Patience(3, BUSY), new Calls.Patience(1, BUSY))) {
      assertTrue(Calls.passes(assertThrows(Refusal.class, () -> cloud.refresh(home))));
    }
    assertEquals(1, directories);
    Deadline deadline =
        Calls.Patience.ONCE.timed(DirectoryServiceGrpc.newBlockingStub(server.channel())).getCallOptions().getDeadline();
    assertTrue(deadline.isBefore(Deadline.after(6, TimeUnit.SECONDS)));
    assertEquals(1, Calls.Patience.ONCE.attempts());
  }

  @Test
  void consentIsTakenBackOnceTheListNamesIt() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    register(home);
    ByteString id = ByteString.copyFrom(new byte[16]);
    SignedStatement any = Vectors.signed(PATIENT.get("encryption_key_statement")); // the cloud of this test doesn't look
    Revoking.Stated grant = new Revoking.Stated(StatementKind.STATEMENT_KIND_GRANT, "grant", id, any);
    Revoking.TakenBack taken = new Revoking.TakenBack("P:wang", List.of(grant), null, null);
    openings.clear();
    loseAnswer();
    try (Cloud cloud = new Cloud(server.connect(), () -> now, new Calls.Patience(2, BUSY), new Calls.Patience(1, BUSY))) {
      assertEquals("ANSWER_MISMATCH", assertThrows(Refusal.class, () -> cloud.revoke(home, taken, ENTROPY)).reason());
      assertEquals(2, openings.stream().distinct().count());
      byte[] entry = Transcript.of("revoked").add("grant").add("P:wang").add(id).digest();
      named = named.with(ByteString.copyFrom(entry), 0);
      cloud.revoke(home, taken, ENTROPY);
    }
  }

  private void loseAnswer() {
    refusals.add(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE"));
  }

  private byte[] register(Home home) {
    try (Cloud cloud = cloud()) {
      return cloud.register(home, EVIDENCE, TICKET, ENTROPY);
    }
  }

  @Test
  void shardsBringTheCrlsThatAreNotAtHand() throws IOException {
    Home home = home(BUNDLES.size() - 1);
    GetDirectoryResponse whole = directory;
    directory = directory.toBuilder().clearCertificateRevocationLists().build();
    byte[] entry = Transcript.of("serial").add(ByteString.copyFrom(new byte[16])).digest();
    try (Cloud cloud = cloud()) {
      cloud.refresh(home);
      assertEquals(List.of(), home.crls());
      directory = whole;
      assertTrue(home.shards().find(entry).isEmpty());
      assertEquals(whole.getCertificateRevocationListsList(), open().crls());
      cloud.refresh(home);
      assertEquals(whole.getCertificateRevocationListsList(), open().crls());
    }
    assertEquals(List.of(0, 1, 0), sent);
  }

  @Test
  void lineOfAHomeIsDialledOnceForManyShards() throws IOException {
    Home home = home(BUNDLES.size() - 2);
    List<Cloud> dialled = new ArrayList<>();
    try (ShardLine line =
        new ShardLine(
            home::bundle,
            () -> {
              dialled.add(cloud());
              return dialled.get(dialled.size() - 1);
            })) {
      for (int prefix = 0; prefix < 8; prefix++) {
        assertEquals(prefix, line.shard(prefix, List.of()).getShards(0).getPrefix());
      }
      assertEquals(1, dialled.size());
      isAway = true;
      assertEquals("UNAVAILABLE", assertThrows(Refusal.class, () -> line.shard(0, List.of())).reason());
      isAway = false;
      line.shard(0, List.of());
      assertEquals(2, dialled.size());
      try (Cloud cloud = cloud()) {
        cloud.refresh(home); // the bundle is another one
      }
      line.shard(0, List.of());
      assertEquals(3, dialled.size());
    }
  }

  private Cloud cloud() {
    return new Cloud(server.connect(), () -> now, new Calls.Patience(1, BUSY), new Calls.Patience(1, BUSY));
  }

  private Home open() {
    return Home.open(root.resolve("home"), root.resolve("pin"));
  }

  /** The vectors' patient at home, with the trust bundle of that index. */
  private Home home(int bundle) throws IOException {
    SignedStatement trusted = Vectors.signed(BUNDLES.get(bundle));
    Map<String, String> trust =
        Map.of("statement", base64(trusted.getStatement()), "signature", base64(trusted.getSignature()));
    Files.writeString(root.resolve("trust.json"), new Gson().toJson(trust));
    Queue<byte[]> keys =
        new ArrayDeque<>(
            List.of(
                seedOf(Vectors.bytes(PATIENT, "signing_key")),
                Vectors.bytes(PATIENT, "mlkem_seed"),
                seedOf(Vectors.bytes(PATIENT, "p256_private_key"))));
    Entropy entropy = size -> keys.isEmpty() ? ENTROPY.draw(size) : keys.remove();
    Path place = root.resolve("home");
    Home.create(place, Vectors.text(PATIENT, "identity"), root.resolve("trust.json"), root.resolve("pin"), null, entropy, NOW);
    JsonObject state = JsonParser.parseString(Files.readString(place.resolve("state.json"))).getAsJsonObject();
    SignedStatement epoch = Vectors.signed(PATIENT.get("encryption_key_statement"));
    state.addProperty("encryptionKeyStatement", base64(epoch.toByteString()));
    Files.writeString(place.resolve("state.json"), state.toString());
    return open();
  }

  /** Bytes that become that scalar when they are drawn. */
  private static byte[] seedOf(byte[] scalar) {
    BigInteger before = new BigInteger(1, scalar).subtract(BigInteger.ONE);
    return BigIntegers.asUnsignedByteArray(Curve.SCALAR_SEED_BYTES, before);
  }

  private static String base64(ByteString data) {
    return Base64.getEncoder().encodeToString(data.toByteArray());
  }

  private static GetDirectoryResponse directory() {
    return GetDirectoryResponse.newBuilder()
        .setCloudEncryptionKeyStatement(cloudEncryptionKey())
        .setRevocationHead(Vectors.signed(CAST.get("revocation_head")))
        .addCertificateRevocationLists(
            ByteString.copyFrom(Vectors.bytes(CAST.getAsJsonObject("authority"), "crl")))
        .setTrustBundle(Vectors.signed(BUNDLES.get(BUNDLES.size() - 1)))
        .build();
  }

  private static SignedStatement cloudEncryptionKey() {
    return Vectors.signed(CLOUD.get("encryption_key_statement"));
  }

  private static byte[] serial() throws InvalidProtocolBufferException {
    JsonObject answer = vector("reg2-patient");
    RegistrationAnswer told = RegistrationAnswer.parseFrom(Vectors.bytes(answer, "plaintext"));
    return Credential.parseFrom(told.getCredential()).getSerial().toByteArray();
  }

  private static JsonObject vector(String name) {
    return Vectors.all("registration").stream()
        .filter(vector -> Vectors.text(vector, "name").equals(name))
        .findFirst()
        .orElseThrow();
  }

  private final class Directory extends DirectoryServiceGrpc.DirectoryServiceImplBase {
    @Override
    public void getDirectory(GetDirectoryRequest request, StreamObserver<GetDirectoryResponse> answer) {
      directories++;
      if (isAway) {
        answer.onError(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE"));
        return;
      }
      answer.onNext(
          directory.toBuilder()
              .clearCertificateRevocationLists()
              .addAllCertificateRevocationLists(beside(request.getHeldCrlsList()))
              .build());
      answer.onCompleted();
    }

    private List<ByteString> beside(List<ByteString> held) {
      List<ByteString> crls =
          directory.getCertificateRevocationListsList().stream()
              .filter(crl -> !held.contains(ByteString.copyFrom(Bytes.sha256(crl.toByteArray()))))
              .toList();
      sent.add(crls.size());
      return crls;
    }

    @Override
    public void getRevocationShards(
        GetRevocationShardsRequest request, StreamObserver<GetRevocationShardsResponse> answer) {
      if (isAway) {
        answer.onError(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE"));
        return;
      }
      answer.onNext(
          GetRevocationShardsResponse.newBuilder()
              .setRevocations(
                  LISTED.excerpt(directory.getRevocationHead(), request.getPrefixesList()).toBuilder()
                      .addAllCertificateRevocationLists(beside(request.getHeldCrlsList())))
              .build());
      answer.onCompleted();
    }

    @Override
    public void getTrustBundles(GetTrustBundlesRequest request, StreamObserver<GetTrustBundlesResponse> answer) {
      GetTrustBundlesResponse.Builder response = GetTrustBundlesResponse.newBuilder();
      for (JsonElement bundle : BUNDLES.asList().subList((int) request.getAfterSequence(), BUNDLES.size())) {
        response.addTrustBundles(Vectors.signed(bundle));
      }
      answer.onNext(response.build());
      answer.onCompleted();
    }
  }

  private final class Registration extends RegistrationServiceGrpc.RegistrationServiceImplBase {
    @Override
    public void openRegistration(
        OpenRegistrationRequest request, StreamObserver<OpenRegistrationResponse> answer) {
      challenges++;
      byte[] challenge = Arrays.copyOf(Vectors.bytes(Vectors.load("entropy"), "reg1-patient"), 16);
      answer.onNext(
          OpenRegistrationResponse.newBuilder()
              .setChallenge(ByteString.copyFrom(ByteBuffer.wrap(challenge)))
              .setCloudEncryptionKeyStatement(cloudEncryptionKey())
              .build());
      answer.onCompleted();
    }

    @Override
    public void register(RegisterRequest request, StreamObserver<RegisterResponse> answer) {
      openings.add(request.getOpening());
      StatusRuntimeException refusal = refusals.poll();
      if (refusal != null) {
        answer.onError(refusal);
        return;
      }
      try {
        answer.onNext(RegisterResponse.newBuilder().setReply(reg2(request.getOpening())).build());
        answer.onCompleted();
      } catch (InvalidProtocolBufferException error) {
        answer.onError(error);
      }
    }
  }

  private final class Revocations extends RevocationServiceGrpc.RevocationServiceImplBase {
    @Override
    public void revoke(RevokeRequest request, StreamObserver<RevokeResponse> answer) {
      openings.add(request.getOpening());
      StatusRuntimeException refusal = refusals.poll();
      if (refusal != null) {
        answer.onError(refusal);
        return;
      }
      RevocationHead like = Statements.peek(RevocationHead.getDefaultInstance(), directory.getRevocationHead());
      byte[] entry = Transcript.of("revoked").add("grant").add("P:wang").add(new byte[16]).digest();
      List<Integer> there = List.of(Shards.prefixOf(entry));
      answer.onNext(RevokeResponse.newBuilder().setRevocations(named.excerpt(named.head(like, CLOUD_KEY), there)).build());
      answer.onCompleted();
    }
  }

  /** The vectors' reg2, for this reg1. */
  private static SealedReply reg2(SealedOpening opening) throws InvalidProtocolBufferException {
    byte[] challenge = opening.getSessionId().toByteArray();
    String cloudId = Vectors.text(CLOUD, "identity");
    byte[] cloudKeyId = CLOUD_DECRYPTION_KEY.keyId();
    Context asked = new Context("reg1", Context.UNNAMED, cloudId, cloudKeyId, challenge, opening.getSentAt());
    Opened<RegistrationRequest> reg1 =
        Sealing.open(RegistrationRequest.getDefaultInstance(), opening.getSealed(), CLOUD_DECRYPTION_KEY, asked);
    RegistrationAnswer told = RegistrationAnswer.parseFrom(Vectors.bytes(vector("reg2-patient"), "plaintext"));
    byte[] issuer = Vectors.bytes(Vectors.all("issuing").get(0), "issuer_public_key");
    byte[] credential = Verifier.credentialTranscript(issuer, told.getCredential().toByteArray());
    byte[] signed =
        Transcript.of("reg2")
            .add(Bytes.sha256(reg1.plaintext()))
            .add(told.getCredential())
            .add(told.getRegistrationPoint())
            .add(Curve.x(Curve.publicPoint(told.getRegistrationPoint().toByteArray(), issuer, credential)))
            .add(told.getSentAt())
            .bytes();
    RegistrationAnswer anew = told.toBuilder().setSignature(ByteString.copyFrom(CLOUD_KEY.sign(signed))).build();
    byte[] key = Vectors.decryptionKey(PATIENT).encryptionKey();
    Context answered =
        new Context("reg2", cloudId, Vectors.text(PATIENT, "identity"), Hpke.keyIdOf(key), challenge, told.getSentAt());
    return Sealing.reply(anew, key, answered);
  }
}
