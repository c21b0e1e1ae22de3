package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.federation.v1.IndexDepartment;
import example.medunion.federation.v1.KeptPlaces;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Where a patient says that its records are, held to tests/vectors/places.json. */
class PlacesTest {
  @TestFactory
  List<DynamicTest> places() {
    return Vectors.all("places").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> hold(vector)))
        .toList();
  }

  private static void hold(JsonObject vector) throws InvalidProtocolBufferException {
    KeptPlaces kept = KeptPlaces.parseFrom(bytes(vector, "places"));
    long now = vector.get("now").getAsLong();
    String patientId = text(vector, "patient_id");
    if (!text(vector, "expect").equals("success")) {
      Refusal refusal = assertThrows(Refusal.class, () -> Places.read(kept, patientId, Vectors.verifier(), now));
      assertEquals(text(vector, "expect"), refusal.reason());
      return;
    }
    Places found = Places.read(kept, patientId, Vectors.verifier(), now);
    assertEquals(vector.get("as_of").getAsLong(), found.asOf());
    List<Places.Hospital> expected = new ArrayList<>();
    for (JsonElement element : vector.getAsJsonArray("hospitals")) {
      JsonObject hospital = element.getAsJsonObject();
      JsonArray departments = hospital.getAsJsonArray("departments");
      List<IndexDepartment> shown = departments.asList().stream().map(it -> department(it.getAsJsonObject())).toList();
      expected.add(new Places.Hospital(text(hospital, "hospital_id"), text(hospital, "address"), shown));
    }
    assertEquals(expected, found.hospitals());
  }

  private static IndexDepartment department(JsonObject shown) {
    return IndexDepartment.newBuilder()
        .setDepartmentId(text(shown, "department_id"))
        .addAllHandles(Vectors.list(shown.getAsJsonArray("handles")).stream().map(ByteString::copyFrom).toList())
        .build();
  }
}
