package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.ShownDuty;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.function.Function;
import java.util.function.LongSupplier;

/**
 * An encounter on its way to the doctor's own hospital: STO, STOACK. It is put together once: a session that is lost is opened again, and the
 * same deposit gets the same receipt, where another would be a second record (X11).
 */
final class Encounter {
  private static final int ATTEMPTS = 4;
  private static final Duration PAUSE = Duration.ofSeconds(1);

  private final RecordSession.Intent intent;
  private final byte[] biosignal;
  private final byte[] diagnosis;
  private final Deposit deposit;

  Encounter(
      DoctorSide.AwaitingReceipt diagnosed, ShownDuty duty, String departmentClass, long now, Entropy entropy) {
    DoctorSide.InConsultation consultation = diagnosed.consultation();
    Scope scope = Scope.newBuilder().setPurpose(Purpose.PURPOSE_STORE).setDepartmentClass(departmentClass).build();
    ShownAccess shown = consultation.shown(duty);
    Refusal.require(shown.access() != null, "GRANT_MISSING", "the patient gave no consent to keep this encounter");
    this.intent = new RecordSession.Intent(shown, scope, entropy.draw(32));
    this.biosignal = consultation.biosignal();
    this.diagnosis = diagnosed.diagnosis().getDiagnosis().toByteArray();
    this.deposit = diagnosed.prepareDeposit(intent, now);
  }

  /** Deposits it. Gives the handle that the hospital signed for. */
  ByteString deposit(Home home, ManagedChannel channel, String hospitalId, Entropy entropy) {
    return repeated(
        deposit,
        System::currentTimeMillis,
        prepared -> {
          channel.resetConnectBackoff();
          Handshake.Peer hospital = HospitalSession.address(channel, hospitalId, home);
          try (HospitalSession stream = new HospitalSession(channel)) {
            RecordSession.AwaitingDepositReceipt awaiting =
                stream.open(home, hospital, intent, entropy).deposit(biosignal, diagnosis, prepared);
            awaiting.frames().forEach(stream::send);
            return awaiting.receive(stream.receive()).getHandle();
          }
        });
  }

  /** Tries the same deposit until there is a receipt. One that the hospital did not keep and that has grown stale gets a new T. */
  static <T> T repeated(Deposit prepared, LongSupplier clock, Function<Deposit, T> attempt) {
    Deposit deposit = prepared;
    for (int made = 1; ; made++) {
      try {
        return attempt.apply(deposit);
      } catch (Refusal refusal) {
        boolean stale = refusal.reason().equals("STALE");
        boolean lost = RecordFetcher.isLost(refusal);
        if (!(lost || stale) || made == ATTEMPTS) {
          throw refusal;
        }
        if (stale) {
          deposit = deposit.toBuilder().setSentAt(clock.getAsLong()).build();
        } else {
          Calls.pause(Calls.pauseAfter(refusal, PAUSE.multipliedBy(made)));
        }
      }
    }
  }
}
