package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.list;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.ProvedHead;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** What a log tells its patient, held to tests/vectors/told.json. */
class ToldLogTest {
  private static final Verifier VERIFIER = Vectors.verifier();

  @TestFactory
  List<DynamicTest> answers() {
    return Vectors.all("told").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> hold(vector)))
        .toList();
  }

  private static void hold(JsonObject vector) throws InvalidProtocolBufferException {
    ToldLog.Page page = page(vector);
    byte[] known = bytes(vector, "known_note");
    ToldLog.Author author =
        new ToldLog.Author(text(vector, "realm"), text(vector, "party_id"), bytes(vector, "verifying_key"));
    try {
      Optional<byte[]> remembered = known.length == 0 ? Optional.empty() : Optional.of(known);
      String patientId = text(vector, "patient_id");
      ToldLog told;
      if (vector.get("before").isJsonNull()) {
        told = ToldLog.require(page, patientId, author, remembered);
        assertEquals(page.entries(), told.entries());
      } else {
        ToldLog.Page newer = page(vector.getAsJsonObject("before"));
        ToldLog before = ToldLog.require(newer, patientId, author, Optional.empty());
        told = ToldLog.requireFurther(page, patientId, author, before);
        assertEquals(newer.entries().size() + page.entries().size(), told.entries().size());
      }
      assertEquals("success", text(vector, "expect"));
      assertEquals(page.older(), told.older());
      assertEquals(vector.get("untold").getAsLong(), told.untold());
      assertEquals(vector.get("size").getAsLong(), told.head().tree().size());
      assertArrayEquals(bytes(vector, "root"), told.head().tree().root());
      assertEquals(vector.get("begins_anew").getAsBoolean(), told.beginsAnew());
      List<String> cosigners =
          vector.getAsJsonArray("cosigners").asList().stream().map(JsonElement::getAsString).toList();
      long now = vector.get("now").getAsLong();
      ToldLog witnessed = told.witnessed(page.head().orElseThrow(), VERIFIER, now);
      assertEquals(cosigners, witnessed.cosigners());
      assertEquals(vector.get("witnessed").getAsBoolean(), witnessed.isWitnessed());
    } catch (Refusal refusal) {
      assertEquals(text(vector, "expect"), refusal.reason());
    }
  }

  private static ToldLog.Page page(JsonObject said) throws InvalidProtocolBufferException {
    List<AccessEntry> entries = new ArrayList<>();
    for (byte[] encoded : list(said.getAsJsonArray("entries"))) {
      entries.add(AccessEntry.parseFrom(encoded));
    }
    JsonElement older = said.get("older");
    OptionalLong leaf = older.isJsonNull() ? OptionalLong.empty() : OptionalLong.of(older.getAsLong());
    return new ToldLog.Page(entries, Optional.of(ProvedHead.parseFrom(bytes(said, "head"))), leaf);
  }
}
