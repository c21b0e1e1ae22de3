package example.medunion.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import example.medunion.client.calls.DoctorCode;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Vectors;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Cert_D as authorities hand it over. */
class EnrolmentTest {
  private static final JsonObject DOCTOR = Vectors.load("parties").getAsJsonObject("parties").getAsJsonObject("doctor");
  private static final byte[] DER = Vectors.bytes(DOCTOR, "certificate");
  private static final String PEM =
      "-----BEGIN CERTIFICATE-----\n"
          + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(DER)
          + "\n-----END CERTIFICATE-----\n";

  private static byte[] read(String file) {
    return Enrolment.certificate(file.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void ticketsAndCodesAsTheyAreTyped() {
    List<JsonObject> vectors = Vectors.all("typed");
    for (JsonObject vector : vectors) {
      String written = Vectors.text(vector, "text");
      String outcome =
          Vectors.outcome(
              () -> {
                if (Vectors.text(vector, "kind").equals("ticket")) {
                  byte[] ticket = Enrolment.parseTicket(written);
                  assertArrayEquals(Vectors.bytes(vector, "ticket"), ticket);
                } else {
                  DoctorCode code = DoctorCode.parse(written);
                  assertEquals(Vectors.text(vector, "address"), code.address());
                  assertEquals(Vectors.text(vector, "hospital_id"), code.hospitalId());
                  assertArrayEquals(Vectors.bytes(vector, "room_id"), code.roomId());
                  assertArrayEquals(Vectors.bytes(vector, "digest"), code.digest());
                  assertEquals(written.strip(), code.written());
                }
              });
      assertEquals(Vectors.text(vector, "expect"), outcome, Vectors.text(vector, "name"));
    }
    assertTrue(vectors.stream().filter(vector -> !Vectors.text(vector, "expect").equals("success")).count() > 20);
  }

  @Test
  void certificateIsDerOrPem() {
    assertArrayEquals(DER, Enrolment.certificate(DER));
    assertArrayEquals(DER, read(PEM));
    assertArrayEquals(DER, read(PEM.replace("\n", "\r\n")));
  }

  @Test
  void textAroundItIsPassedOver() {
    String text = "Certificate:\n    Subject: CN=Dr. Chén -----BEGIN CERTIFICATE-----\n    X509v3 extensions:\n";
    assertArrayEquals(DER, read(text + PEM));
    assertArrayEquals(DER, read("\ufeff\n" + PEM + "and what follows\n" + PEM));
  }

  @Test
  void damagedCertificateIsSaid() {
    assertThrows(Refusal.class, () -> read("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"));
  }
}
