package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.Deposit;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.Test;

/** A deposit through lost sessions. */
final class EncounterTest {
  private static final Deposit DEPOSIT = Deposit.newBuilder().setPatientId("P:wang").setSentAt(7).build();

  private final List<Deposit> sent = new ArrayList<>();

  private String deposited(Refusal... refusals) {
    Queue<Refusal> left = new ArrayDeque<>(List.of(refusals));
    return Encounter.repeated(
        DEPOSIT,
        () -> 8,
        deposit -> {
          sent.add(deposit);
          if (!left.isEmpty()) {
            throw left.remove();
          }
          return "receipt";
        });
  }

  @Test
  void lostSessionIsOpenedAgainForTheSameDeposit() {
    Refusal lost = Refusal.passing("STORE_UNAVAILABLE", "away", null);
    assertEquals("receipt", deposited(lost, new Refusal("RECORD_CUT_SHORT", "ended")));
    assertEquals(List.of(DEPOSIT, DEPOSIT, DEPOSIT), sent);
  }

  @Test
  void staleDepositGetsNewTime() {
    assertEquals("receipt", deposited(new Refusal("STALE", "not kept")));
    assertEquals(List.of(DEPOSIT, DEPOSIT.toBuilder().setSentAt(8).build()), sent);
  }

  @Test
  void whatIsRefusedIsNotSentAgain() {
    Refusal refusal = new Refusal("GRANT_SCOPE", "no right to write");
    assertEquals(refusal, assertThrows(Refusal.class, () -> deposited(refusal)));
    assertEquals(1, sent.size());
  }

  @Test
  void hospitalThatStaysAwayEndsIt() {
    Refusal stale = new Refusal("STALE", "not kept");
    assertEquals(stale, assertThrows(Refusal.class, () -> deposited(stale, stale, stale, stale)));
    assertEquals(4, sent.size());
  }
}
