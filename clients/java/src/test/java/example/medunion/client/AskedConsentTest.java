package example.medunion.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import example.medunion.client.calls.DoctorCode;
import example.medunion.client.calls.PatientClient.Offer;
import example.medunion.client.calls.RoomView;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Sensitivity;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a visit consents to, by what is typed, and the sentences that a patient reads of it. */
final class AskedConsentTest {
  private static final byte[] CERTIFICATE =
      Vectors.bytes(Vectors.load("parties").getAsJsonObject("parties").getAsJsonObject("doctor"), "certificate");

  private static RoomView room(String... classes) {
    VerifiedParty chen =
        new VerifiedParty(null, "D:chen", null, null, null, null, null, null, null, null, "M:chamber");
    Access.Validity validity = new Access.Validity(0, 1_790_000_000_000L);
    Access.Duty duty = new Access.Duty(ByteString.EMPTY, "H:alpha", "D:chen", List.of(classes), validity);
    DoctorCode code = new DoctorCode("localhost:1", "H:alpha", new byte[16], new byte[32]);
    return new RoomView(code, new Handshake.Peer(chen, null, CERTIFICATE), duty);
  }

  private static AskedConsent asked(String... options) {
    List<String> words = new ArrayList<>(List.of("patient", "visit", "CODE"));
    words.addAll(List.of(options));
    return AskedConsent.of(new Arguments(words.toArray(String[]::new)));
  }

  private static String words(Offer offer) {
    return String.join("\n", VisitWords.consent(offer, 0));
  }

  @Test
  void nothingButTheVisitIsKeptUnlessMoreIsAsked() {
    Offer offer = asked().offer(room("cardiology", "radiology"));
    assertEquals(new Access.ToDoctor("D:chen", "M:chamber"), offer.grantee());
    assertEquals(List.of(Right.RIGHT_WRITE), offer.terms().rights());
    assertEquals(List.of("H:alpha"), offer.terms().hospitals());
    assertEquals(List.of("cardiology", "radiology"), offer.terms().departmentClasses());
    assertEquals(Sensitivity.SENSITIVITY_NORMAL, offer.terms().highestSensitivity());
    assertEquals(Duration.ofHours(24), offer.terms().life());
    assertEquals(
        """
        For D:chen (certified by M:chamber), until 1970-01-02T00:00:00Z:
          - Keep the record of a visit at H:alpha, in cardiology and radiology.
        All else stays closed. You can take it back at any time.""",
        words(offer));
  }

  @Test
  void nothingIsConsentedToWhereNothingIsKeptOrRead() {
    assertNull(asked("--no-keep").offer(room("cardiology")));
    assertEquals(
        "Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read.", words(null));
  }

  @Test
  void readingIsAskedForPlaceByPlace() {
    Offer offer =
        asked("--read", "here", "--read", "H:beta", "--no-keep", "--restricted", "--hours", "0.5").offer(room());
    assertEquals(List.of(Right.RIGHT_INDEX, Right.RIGHT_READ), offer.terms().rights());
    assertEquals(List.of("H:alpha", "H:beta"), offer.terms().hospitals());
    assertEquals(List.of("*"), offer.terms().departmentClasses());
    assertEquals(
        """
        For D:chen (certified by M:chamber), until 1970-01-01T00:30:00Z:
          - Find and read your records at H:alpha and H:beta, of every department, restricted ones too.
        All else stays closed. You can take it back at any time.""",
        words(offer));
    Offer wide = asked("--read", "everywhere", "--department", "cardiology").offer(room("radiology"));
    assertEquals(List.of("*"), wide.terms().hospitals());
    assertEquals(List.of("cardiology"), wide.terms().departmentClasses());
  }

  @Test
  void departmentAndHospitalLastLonger() {
    Offer department = asked("--for", "department").offer(room("cardiology"));
    assertEquals(new Access.ToDepartment("H:alpha", "cardiology"), department.grantee());
    assertEquals(Duration.ofDays(30), department.terms().life());
    Offer hospital = asked("--for", "hospital").offer(room());
    assertEquals(new Access.ToHospital("H:alpha"), hospital.grantee());
    assertEquals(Duration.ofDays(90), hospital.terms().life());
    Offer named = asked("--for", "department:radiology").offer(room("cardiology", "radiology"));
    assertEquals(new Access.ToDepartment("H:alpha", "radiology"), named.grantee());
  }

  @Test
  void departmentWhereTheDoctorIsNotIsOfNoUse() {
    for (RoomView room : List.of(room(), room("radiology"), room("radiology", "neurology"))) {
      Refusal refusal =
          assertThrows(Refusal.class, () -> asked("--for", "department:cardiology").offer(room));
      assertEquals("DUTY_INVALID", refusal.reason());
    }
    RoomView two = room("cardiology", "radiology");
    assertEquals("DUTY_INVALID", assertThrows(Refusal.class, () -> asked("--for", "department").offer(two)).reason());
  }

  @Test
  void departmentThatTheFederationDoesNotHaveIsRefused() {
    List<String> published = List.of("cardiology");
    asked("--for", "department:cardiology", "--department", "cardiology").requirePublished(published);
    for (AskedConsent asked : List.of(asked("--department", "magic"), asked("--for", "department:magic"))) {
      Refusal refusal = assertThrows(Refusal.class, () -> asked.requirePublished(published));
      assertEquals("FIELD_INVALID", refusal.reason());
    }
  }

  @Test
  void patientReadsWhoIsThere() {
    assertEquals(
        """
        You are about to visit D:chen
          certified by M:chamber
          on duty at H:alpha in cardiology, until 2026-09-21T14:13:20Z""",
        String.join("\n", VisitWords.who(room("cardiology"))));
  }
}
