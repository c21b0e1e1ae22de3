package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Revoked;
import example.medunion.client.protocol.Shards;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Vectors;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a home asks for of the revocation list, whom, and what it takes. */
final class CurrentShardsTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final SigningKey CLOUD_KEY = Vectors.signingKey(CAST.getAsJsonObject("cloud"));
  private static final long NOW = CAST.get("now").getAsLong();
  private static final SignedStatement HEAD = Vectors.signed(CAST.get("revocation_head"));
  private static final Revoked LISTED = Revoked.ofVectors();
  private static final byte[] ENTRY = Bytes.sha256(Bytes.text("an entry"));
  private static final int PREFIX = Shards.prefixOf(ENTRY);

  @TempDir Path root;
  private final List<Integer> asked = new ArrayList<>();
  private Home home;

  @BeforeEach
  void createHome() throws IOException {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text("a PIN of this test"));
    JsonArray bundles = CAST.getAsJsonArray("trust_bundles");
    SignedStatement newest = Vectors.signed(bundles.get(bundles.size() - 1));
    Map<String, String> trust =
        Map.of("statement", base64(newest.getStatement()), "signature", base64(newest.getSignature()));
    Path file = root.resolve("trust.json");
    Files.writeString(file, new Gson().toJson(trust));
    home = Home.create(root.resolve("home"), "P:wang", file, root.resolve("pin"), null, Entropy.system(), NOW);
    home.learn(home.bundle(), HEAD, List.of());
    home.shards().askCloud(prefix -> excerpt(prefix, LISTED, HEAD));
  }

  @Test
  void shardIsAskedForOnceByTheBitsOfWhatIsLookedUp() {
    assertEquals(OptionalLong.empty(), home.shards().find(ENTRY));
    assertEquals(OptionalLong.empty(), home.shards().find(ENTRY));
    assertEquals(List.of(PREFIX), asked);
  }

  @Test
  void hospitalsAreAskedWhereTheCloudGivesNone() {
    home.shards().askCloud(CurrentShardsTest::away);
    Refusal missing = refusal(ENTRY);
    assertEquals("REVOCATION_SHARD_MISSING", missing.reason());
    assertTrue(Calls.passes(missing));
    home.shards().dealWith("H:alpha", prefix -> excerpt(prefix ^ 1, LISTED, HEAD));
    assertEquals("REVOCATION_SHARD_MISSING", refusal(ENTRY).reason()); // another than was asked for
    home.shards().dealWith("H:alpha", prefix -> excerpt(prefix, LISTED.with(ByteString.copyFrom(ENTRY), 0), HEAD));
    assertEquals("REVOCATION_SHARD_INVALID", ((Refusal) refusal(ENTRY).getCause()).reason());
    home.shards().dealWith("H:alpha", prefix -> excerpt(prefix, LISTED, HEAD));
    home.shards().dealWith("H:beta", CurrentShardsTest::away);
    assertEquals(OptionalLong.empty(), home.shards().find(ENTRY));
  }

  @Test
  void newerListOfAHospitalIsTaken() {
    home.shards().dealWith("H:alpha", prefix -> excerpt(prefix, LISTED, headOf(LISTED, 1)));
    home.shards().dealWith("H:beta", CurrentShardsTest::away);
    home.shards().hearBeside();
    assertEquals(sequence() + 1, home.verifier(NOW).lists().head().getSequence());
  }

  @Test
  void hospitalsAreAskedForNewerListsAtOnce() {
    CountDownLatch both = new CountDownLatch(2);
    for (String hospital : List.of("H:alpha", "H:beta")) {
      home.shards()
          .dealWith(
              hospital,
              prefix -> {
                both.countDown();
                awaited(both);
                throw new Refusal("UNAVAILABLE", "away");
              });
    }
    home.shards().hearBeside();
    assertEquals(0, both.getCount());
  }

  /** Each waits for the other: one after the other would never end. */
  private static void awaited(CountDownLatch both) {
    try {
      both.await();
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @Test
  void newerHeadThatComesWithShardsIsTaken() {
    assertEquals(OptionalLong.empty(), home.shards().find(ENTRY));
    Revoked later = LISTED.with(ByteString.copyFrom(ENTRY), 0);
    home.learn(excerpt(PREFIX, later, headOf(later, 1)));
    assertEquals(OptionalLong.of(0), home.shards().find(ENTRY));
    assertEquals(sequence() + 1, home.verifier(NOW).lists().head().getSequence());
    byte[] other = ENTRY.clone();
    other[0] ^= 1;
    home.shards().askCloud(prefix -> excerpt(prefix, later, headOf(later, 1)));
    assertEquals(OptionalLong.empty(), home.shards().find(other)); // of before, nothing is at hand
  }

  @Test
  void shardsOfAnOlderHeadAreRefusedUnlessTheRootIsTheSame() {
    Revoked later = LISTED.with(ByteString.copyFrom(ENTRY), 7);
    SignedStatement newest = headOf(later, 2);
    home.learn(home.bundle(), newest, List.of());
    assertEquals("REVOCATION_HEAD_OLDER", Vectors.outcome(() -> home.learn(excerpt(PREFIX, LISTED, HEAD))));
    assertEquals("REVOCATION_HEAD_OLDER", Vectors.outcome(() -> home.learn(excerpt(PREFIX, LISTED, headOf(LISTED, 2)))));
    assertEquals("REVOCATION_SHARD_MISSING", refusal(ENTRY).reason()); // the cloud of this test has not heard
    home.learn(excerpt(PREFIX, later, headOf(later, 1)));
    assertEquals(OptionalLong.of(7), home.shards().find(ENTRY));
    assertEquals(sequence() + 2, home.verifier(NOW).lists().head().getSequence());
  }

  @Test
  void headThatTheCloudDidNotSignProvesNothing() {
    SigningKey other = Vectors.signingKey(CAST.getAsJsonObject("parties").getAsJsonObject("patient"));
    SignedStatement forged = LISTED.head(head(), other);
    assertEquals("SIGNATURE_INVALID", Vectors.outcome(() -> home.learn(excerpt(PREFIX, LISTED, forged))));
  }

  private RevocationExcerpt excerpt(int prefix, Revoked listed, SignedStatement head) {
    asked.add(prefix);
    return listed.excerpt(head, List.of(prefix));
  }

  private static RevocationExcerpt away(int prefix) {
    throw Refusal.passing("UNAVAILABLE", "nobody gives the shard " + prefix, null);
  }

  private Refusal refusal(byte[] entry) {
    return assertThrows(Refusal.class, () -> home.shards().find(entry));
  }

  private static SignedStatement headOf(Revoked listed, long after) {
    return listed.head(head().toBuilder().setSequence(sequence() + after).build(), CLOUD_KEY);
  }

  private static RevocationHead head() {
    return Statements.peek(RevocationHead.getDefaultInstance(), HEAD);
  }

  private static long sequence() {
    return head().getSequence();
  }

  private static String base64(ByteString data) {
    return Base64.getEncoder().encodeToString(data.toByteArray());
  }
}
