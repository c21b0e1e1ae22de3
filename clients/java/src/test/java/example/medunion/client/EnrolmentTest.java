package example.medunion.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Vectors;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
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
