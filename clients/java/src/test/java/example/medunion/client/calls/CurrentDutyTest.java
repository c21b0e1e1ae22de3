package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Statements;
import example.medunion.federation.v1.Duty;
import example.medunion.federation.v1.ShownDuty;
import example.medunion.federation.v1.SignedStatement;
import org.junit.jupiter.api.Test;

/** A doctor's duty through a shift's end. */
final class CurrentDutyTest {
  private long now = 10;
  private int asked;
  private Refusal away;
  private Refusal untold;
  private final CurrentDuty current = new CurrentDuty(until(20), this::holds, this::ask);

  private static ShownDuty until(long notAfter) {
    Duty duty =
        Duty.newBuilder()
            .setDutyId(ByteString.copyFrom(new byte[16]))
            .setHospitalId("H:alpha")
            .setHospitalSerial(ByteString.copyFrom(new byte[16]))
            .setDoctorId("D:chen")
            .setVerifyingKeyDigest(ByteString.copyFrom(new byte[32]))
            .setNotBefore(1)
            .setNotAfter(notAfter)
            .build();
    ByteString stated = ByteString.copyFrom(Statements.serialised(duty));
    return ShownDuty.newBuilder().setDuty(SignedStatement.newBuilder().setStatement(stated)).build();
  }

  private boolean holds(Access.Duty duty) {
    if (untold != null) {
      throw untold;
    }
    return now < duty.validity().notAfter();
  }

  private ShownDuty ask() {
    asked++;
    if (away != null) {
      throw away;
    }
    return until(now + 10);
  }

  @Test
  void dutyIsKeptWhileItHoldsAndThenAskedForAnew() {
    assertEquals(until(20), current.get());
    assertEquals(0, asked);
    now = 25;
    assertEquals(until(35), current.get());
    assertEquals(until(35), current.get());
    assertEquals(1, asked);
  }

  @Test
  void lastDutyIsShownWhereTheHospitalStatesNone() {
    now = 25;
    away = new Refusal("NOT_ON_DUTY", "the shift is over");
    assertEquals(until(20), current.get());
    away = null;
    assertEquals(until(35), current.get());
  }

  @Test
  void lastDutyIsShownWhereNothingTellsWhetherItHolds() {
    untold = new Refusal("REVOCATION_SHARD_MISSING", "nobody gives it now");
    assertEquals(until(20), current.get());
    assertEquals(0, asked);
  }

  @Test
  void ownTokensFaultIsToldAtOnce() {
    now = 25;
    away = new Refusal("TOKEN_UNAVAILABLE", "gone");
    assertEquals(away, assertThrows(Refusal.class, current::get));
  }
}
