package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import example.medunion.client.protocol.Refusal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** A diagnosis that comes while the lists at hand have run out. */
final class PatientClientTest {
  private int asked;
  private final CurrentLists lists = new CurrentLists(() -> ++asked >= 2, System::nanoTime);

  private String diagnosis(String reason) {
    if (asked < 2) {
      throw Refusal.rejected(new Refusal(reason, "not now"));
    }
    return "diagnosis";
  }

  @Test
  void diagnosisIsHeldUntilThereAreNewerLists() {
    assertEquals(
        "diagnosis",
        PatientClient.held(() -> diagnosis("REVOCATION_LIST_STALE"), lists, Duration.ofMinutes(1)));
    assertEquals(2, asked);
  }

  @Test
  void whatIsRefusedOtherwiseIsNotHeld() {
    Refusal refusal =
        assertThrows(
            Refusal.class,
            () -> PatientClient.held(() -> diagnosis("SEAL_INVALID"), lists, Duration.ofMinutes(1)));
    assertEquals("SEAL_INVALID", refusal.preciseReason());
    assertEquals(0, asked);
  }

  @Test
  void amendmentsAreTakenUntilNoneComesAndNoneWithoutAReceipt() {
    List<String> come = new ArrayList<>(List.of("second", "third"));
    List<String> acknowledged = new ArrayList<>();
    List<String> all =
        PatientClient.acknowledged(
            "first",
            told -> Optional.of(acknowledged.add(told)),
            state -> come.isEmpty() ? Optional.empty() : Optional.of(come.remove(0)));
    assertEquals(List.of("first", "second", "third"), all);
    assertEquals(all, acknowledged);
    assertEquals(List.of("first"), PatientClient.acknowledged("first", told -> Optional.empty(), state -> Optional.of("second")));
  }

  @Test
  void itIsNotHeldForEver() {
    assertThrows(
        Refusal.class,
        () -> PatientClient.held(() -> diagnosis("REVOCATION_LIST_STALE"), lists, Duration.ofMillis(-1)));
  }
}
