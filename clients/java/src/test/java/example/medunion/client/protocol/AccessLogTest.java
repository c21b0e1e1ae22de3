package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.all;
import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.list;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Merkle.TreeHead;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.AccessGround;
import example.medunion.federation.v1.AccessKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** The log's known answers: leaves, proofs, heads, cosignatures, and what who keeps heads decides. */
class AccessLogTest {
  @Test
  void originsOfLogs() {
    for (JsonObject vector : of("origin")) {
      int number = vector.get("number").getAsInt();
      assertEquals(
          text(vector, "origin"), AccessLog.origin(text(vector, "realm"), text(vector, "author_id"), number));
    }
  }

  @Test
  void leavesOfAccesses() {
    each(
        "access leaf",
        vector -> {
          String ground = text(vector, "ground").toUpperCase(Locale.ROOT);
          AccessEntry entry =
              AccessEntry.newBuilder()
                  .setAt(vector.get("at").getAsLong())
                  .setAskerId(text(vector, "asker_id"))
                  .setKind(AccessKind.valueOf("ACCESS_KIND_" + text(vector, "access_kind")))
                  .setDepartmentClass(text(vector, "department_class"))
                  .setGround(AccessGround.valueOf("ACCESS_GROUND_" + ground))
                  .setAuthorization(ByteString.copyFrom(bytes(vector, "authorization")))
                  .setReason(text(vector, "reason"))
                  .setGrantDigest(ByteString.copyFrom(bytes(vector, "grant_digest")))
                  .build();
          byte[] blind = bytes(vector, "blind");
          byte[] data = AccessLog.accessLeaf(entry, text(vector, "patient_id"), text(vector, "where"), blind);
          AccessLog.requireLeaf(data, bytes(vector, "leaf"));
          assertEquals(text(vector, "data"), hex(data));
        });
  }

  @Test
  void leavesOfEvents() {
    each(
        "event leaf",
        vector -> {
          Transcript data = Transcript.of("log-event").add(text(vector, "where")).add(vector.get("at").getAsLong());
          data.add(bytes(vector, "event")).add(bytes(vector, "blind"));
          AccessLog.requireLeaf(data.bytes(), bytes(vector, "leaf"));
        });
  }

  @Test
  void proofsThatTreeHasLeaf() {
    each(
        "inclusion",
        vector -> {
          long index = vector.get("index").getAsLong();
          long size = vector.get("size").getAsLong();
          Merkle.requireIncluded(bytes(vector, "leaf"), index, size, proof(vector), bytes(vector, "root"));
        });
  }

  @Test
  void proofsThatTreeBeginsWithOlderOne() {
    each(
        "consistency",
        vector -> {
          TreeHead before = new TreeHead(vector.get("old_size").getAsLong(), bytes(vector, "old_root"));
          TreeHead after = new TreeHead(vector.get("new_size").getAsLong(), bytes(vector, "new_root"));
          Merkle.requireConsistent(before, after, proof(vector));
        });
  }

  @Test
  void heads() {
    each(
        "head",
        vector -> {
          AccessLog.Head head = opened(vector, "note");
          assertEquals(text(vector, "size"), Long.toString(head.tree().size()));
          assertEquals(text(vector, "root"), hex(head.tree().root()));
        });
  }

  @Test
  void headsThatAreBelieved() {
    each(
        "believed",
        vector -> {
          JsonObject stated = vector.getAsJsonObject("policy");
          Set<String> hospitals = new TreeSet<>(strings(stated, "hospitals"));
          boolean cloud = stated.get("public_cloud").getAsBoolean();
          WitnessPolicy policy =
              new WitnessPolicy(
                  0,
                  stated.get("cosignatures").getAsInt(),
                  hospitals.contains("*") ? Optional.empty() : Optional.of(hospitals),
                  cloud ? Optional.of(text(vector, "cloud_id")) : Optional.empty());
          List<byte[]> lines = list(vector.getAsJsonArray("lines"));
          List<String> counted = policy.requireBelieved(bytes(vector, "note"), lines, witnesses(vector));
          assertEquals(strings(vector, "counted"), counted);
        });
  }

  private static List<String> strings(JsonObject vector, String name) {
    return vector.getAsJsonArray(name).asList().stream().map(JsonElement::getAsString).toList();
  }

  private static List<AccessLog.Witness> witnesses(JsonObject vector) {
    List<AccessLog.Witness> witnesses = new ArrayList<>();
    for (JsonElement witness : vector.getAsJsonArray("witnesses")) {
      JsonObject member = witness.getAsJsonObject();
      witnesses.add(new AccessLog.Witness(text(member, "id"), bytes(member, "verifying_key")));
    }
    return witnesses;
  }

  @Test
  void cosignatures() {
    each(
        "cosigned",
        vector -> {
          List<AccessLog.Witness> witnesses = witnesses(vector);
          List<byte[]> lines = list(vector.getAsJsonArray("lines"));
          int quorum = vector.get("quorum").getAsInt();
          List<AccessLog.Cosignature> by = new ArrayList<>();
          var found = AccessLog.requireCosigned(bytes(vector, "note"), lines, witnesses, quorum);
          for (JsonElement counted : vector.getAsJsonArray("cosigned_by")) {
            JsonObject one = counted.getAsJsonObject();
            by.add(new AccessLog.Cosignature(text(one, "id"), one.get("at").getAsLong()));
          }
          assertEquals(by, found);
        });
  }

  @Test
  void headsThatAreFollowed() {
    each(
        "witness",
        vector -> {
          byte[] note = bytes(vector, "kept");
          Optional<AccessLog.Kept> kept =
              note.length == 0 ? Optional.empty() : Optional.of(new AccessLog.Kept(opened(vector, "kept"), note));
          AccessLog.Shown shown =
              new AccessLog.Shown(bytes(vector, "note"), vector.get("old_size").getAsLong(), proof(vector));
          byte[] key = bytes(vector, "verifying_key");
          String reader = text(vector, "witness_id");
          AccessLog.Kept after = AccessLog.follow(kept, shown, text(vector, "origin"), key, reader);
          assertArrayEquals(shown.note(), after.note());
        });
  }

  @Test
  void logOfNobodyIsNotFollowed() {
    JsonObject vector = of("witness").get(0);
    AccessLog.Shown shown = new AccessLog.Shown(bytes(vector, "note"), 0, List.of());
    byte[] key = bytes(vector, "verifying_key");
    Refusal refusal =
        assertThrows(
            Refusal.class, () -> AccessLog.follow(Optional.empty(), shown, "somewhere", key, "H:beta"));
    assertEquals("NOTE_MALFORMED", refusal.reason());
  }

  private static AccessLog.Head opened(JsonObject vector, String name) {
    return AccessLog.openHead(bytes(vector, name), text(vector, "origin"), bytes(vector, "verifying_key"));
  }

  private static List<byte[]> proof(JsonObject vector) {
    return list(vector.getAsJsonArray("proof"));
  }

  private static List<JsonObject> of(String kind) {
    return all("log").stream().filter(vector -> text(vector, "kind").equals(kind)).toList();
  }

  /** Tries each vector of a kind, and holds it to what it expects: some are taken, and some refused. */
  private static void each(String kind, Consumer<JsonObject> step) {
    int taken = 0;
    List<JsonObject> vectors = of(kind);
    for (JsonObject vector : vectors) {
      String said = Vectors.outcome(() -> step.accept(vector));
      assertEquals(text(vector, "expect"), said, text(vector, "name"));
      taken += said.equals("success") ? 1 : 0;
    }
    assertTrue(taken > 0 && taken < vectors.size(), kind);
  }
}
