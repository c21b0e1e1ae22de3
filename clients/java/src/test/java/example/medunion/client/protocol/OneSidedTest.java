package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.list;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.federation.v1.AccessEntry;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** What is said of accesses that one side alone has, held to tests/vectors/one_sided.json. */
class OneSidedTest {
  @TestFactory
  List<DynamicTest> remarks() {
    return Vectors.all("one_sided").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> hold(vector)))
        .toList();
  }

  private static void hold(JsonObject vector) throws InvalidProtocolBufferException {
    List<OneSided.Log> hospitals = new ArrayList<>();
    for (JsonElement hospital : vector.getAsJsonArray("hospitals")) {
      hospitals.add(log(hospital.getAsJsonObject()));
    }
    Set<ByteString> unsearchable = new HashSet<>();
    list(vector.getAsJsonArray("unsearchable")).forEach(grant -> unsearchable.add(ByteString.copyFrom(grant)));
    boolean isWhole = vector.get("is_whole").getAsBoolean();
    OneSided.Circumstances circumstances =
        new OneSided.Circumstances(vector.get("asked_at").getAsLong(), unsearchable, isWhole);
    Set<OneSided.Remark> expected = new HashSet<>();
    for (JsonElement element : vector.getAsJsonArray("remarks")) {
      JsonObject remark = element.getAsJsonObject();
      long number = remark.get("number").getAsLong();
      expected.add(new OneSided.Remark(text(remark, "where"), number, text(remark, "words")));
    }
    List<OneSided.Remark> found = OneSided.remarks(log(vector.getAsJsonObject("cloud")), hospitals, circumstances);
    assertEquals(expected, Set.copyOf(found));
    assertEquals(expected.size(), found.size());
  }

  private static OneSided.Log log(JsonObject side) throws InvalidProtocolBufferException {
    List<AccessEntry> entries = new ArrayList<>();
    for (byte[] encoded : list(side.getAsJsonArray("entries"))) {
      entries.add(AccessEntry.parseFrom(encoded));
    }
    return new OneSided.Log(text(side, "party_id"), entries);
  }
}
