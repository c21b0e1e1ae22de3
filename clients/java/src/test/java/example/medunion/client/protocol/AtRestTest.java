package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Seals at rest of persons; those of servers are under another PRF. */
class AtRestTest {
  @Test
  void vectors() {
    List<JsonObject> vectors =
        Vectors.all("sealing").stream().filter(vector -> text(vector, "name").startsWith("agree: ")).toList();
    for (JsonObject vector : vectors) {
      AgreementKey key = AgreementKey.software(bytes(vector, "key"));
      byte[] place = bytes(vector, "associated_data");
      String purpose = text(vector, "purpose");
      String outcome = Vectors.outcome(() -> AtRest.open(key, purpose, place, bytes(vector, "sealed")));
      assertEquals(text(vector, "expect"), outcome, text(vector, "name"));
      if (outcome.equals("success")) {
        assertArrayEquals(bytes(vector, "plaintext"), AtRest.open(key, purpose, place, bytes(vector, "sealed")));
      }
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void sealIsTheVectors() {
    JsonObject vector =
        Vectors.all("sealing").stream().filter(one -> text(one, "name").equals("agree: a seal")).findFirst().orElseThrow();
    AgreementKey key = AgreementKey.software(bytes(vector, "key"));
    Entropy fresh = size -> Bytes.concat(bytes(vector, "batch"), bytes(vector, "salt"));
    byte[] sealed =
        AtRest.seal(key, text(vector, "purpose"), bytes(vector, "associated_data"), bytes(vector, "plaintext"), fresh);
    assertArrayEquals(bytes(vector, "sealed"), sealed);
  }
}
