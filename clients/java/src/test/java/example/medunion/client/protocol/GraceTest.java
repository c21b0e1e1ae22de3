package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import example.medunion.federation.v1.RevocationHead;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** How long a list counts that is over, and for what, held to tests/vectors/grace.json. */
class GraceTest {
  @TestFactory
  List<DynamicTest> graces() {
    return Vectors.all("grace").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> hold(vector)))
        .toList();
  }

  private static void hold(JsonObject vector) {
    if (text(vector, "expect").equals("success")) {
      look(vector);
      return;
    }
    Refusal refusal = assertThrows(Refusal.class, () -> look(vector));
    assertEquals(text(vector, "expect"), refusal.reason());
  }

  private static void look(JsonObject vector) {
    RevocationHead head =
        RevocationHead.newBuilder()
            .setThisUpdate(vector.get("this_update").getAsLong())
            .setNextUpdate(vector.get("next_update").getAsLong())
            .build();
    Grace grace = new Grace(vector.get("grace").getAsLong(), vector.get("seen").getAsLong());
    long now = vector.get("now").getAsLong();
    grace.requireCurrent(head, now);
    grace.requireStood(head, vector.get("stated_at").getAsLong(), now);
  }
}
