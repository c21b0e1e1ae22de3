package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import example.medunion.client.protocol.Refusal;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a server refuses with, as gRPC tells it. */
final class CallsTest {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final byte[] READABLE =
      Status.newBuilder()
          .setCode(io.grpc.Status.Code.UNAVAILABLE.value())
          .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("TOKEN_LOST").build()))
          .build()
          .toByteArray();

  private static String refused(byte[] details) {
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, details);
    return Calls.refusalOf(new StatusRuntimeException(io.grpc.Status.UNAVAILABLE, trailers)).reason();
  }

  @Test
  void aRefusalsReasonIsThatOfItsDetails() {
    assertEquals("TOKEN_LOST", refused(READABLE));
  }

  @Test
  void detailsThatCantBeReadLeaveTheCode() {
    assertEquals("UNAVAILABLE", refused(Arrays.copyOf(READABLE, 9)));
  }

  @Test
  void whatPassesIsTheCodesToSay() {
    for (Code code : List.of(Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.CANCELLED)) {
      for (String reason : List.of("STORE_UNAVAILABLE", "TOKEN_BUSY", "READER_STALLED", "CALL_OVERDUE")) {
        assertTrue(Calls.passes(Calls.refusalOf(LocalServer.refusal(code, reason))), code + " " + reason);
      }
    }
    assertFalse(Calls.passes(Calls.refusalOf(LocalServer.refusal(Code.PERMISSION_DENIED, "UNAVAILABLE"))));
    assertFalse(Calls.passes(new Refusal("TOKEN_UNAVAILABLE", "this party's own")));
    assertTrue(Calls.passes(new Refusal("REVOCATION_LIST_STALE", "the lists at hand have run out")));
  }

  @Test
  void peersWordsDontMoveTheCursor() {
    String sentence = "\u001b[2Jgone\nnext\u202e" + "x".repeat(600);
    Refusal refusal = Calls.refusalOf(LocalServer.refusal(Code.UNAVAILABLE, "\u001b]0;title", sentence, 0));
    assertEquals("UNAVAILABLE", refusal.reason());
    assertTrue(refusal.getMessage().contains("gone next"));
    assertTrue(refusal.getMessage().length() < 600);
    assertTrue(refusal.getMessage().chars().allMatch(character -> character >= ' ' && character <= '~'));
  }

  @Test
  void serverDoesNotDecideHowLongThisSideHangs() {
    Duration own = Duration.ofSeconds(1);
    assertEquals(own, Calls.pauseAfter(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE", "", -5), own));
    assertEquals(
        Duration.ofSeconds(20), Calls.pauseAfter(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE", "", 20), own));
    assertEquals(
        Duration.ofMinutes(1),
        Calls.pauseAfter(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE", "", 3_600_000), own));
  }

  @Test
  void fractionOfASecondCounts() {
    var asked = com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000);
    Status busy =
        Status.newBuilder()
            .setCode(Code.UNAVAILABLE.value())
            .addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(asked).build()))
            .build();
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, busy.toByteArray());
    StatusRuntimeException error = new StatusRuntimeException(io.grpc.Status.UNAVAILABLE, trailers);
    assertEquals(Duration.ofMillis(1_500), Calls.pauseAfter(error, Duration.ofSeconds(1)));
  }
}
