package example.medunion.client.calls;

import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.Words;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** What a server refuses with, as gRPC tells it. */
final class CallsTest {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final byte[] READABLE =
      Status.newBuilder()
          .setCode(io.grpc.Status.Code.UNAVAILABLE.value())
          .addDetails(Any.pack(ErrorInfo.newBuilder().setDomain("medunion").setReason("CALL_OVERDUE").build()))
          .build()
          .toByteArray();

  private static String refused(byte[] details) {
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, details);
    return Calls.refusalOf(new StatusRuntimeException(io.grpc.Status.UNAVAILABLE, trailers)).reason();
  }

  @Test
  void aRefusalsReasonIsThatOfItsDetails() {
    assertEquals("CALL_OVERDUE", refused(READABLE));
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
    assertTrue(Calls.passes(new Refusal("REVOCATION_SHARD_MISSING", "nobody gives it now")));
    assertFalse(Calls.passes(new Refusal("REVOCATION_SHARD_INVALID", "it is not the cloud's")));
  }

  @TestFactory
  List<DynamicTest> whatAPersonReads() {
    return Vectors.all("plain").stream()
        .map(vector -> DynamicTest.dynamicTest(text(vector, "name"), () -> read(vector)))
        .toList();
  }

  private static void read(JsonObject vector) {
    boolean own = text(vector, "kind").equals("own");
    Refusal refusal =
        own ? new Refusal(text(vector, "reason"), text(vector, "sentence")) : Calls.refusalOf(ended(vector));
    assertEquals(text(vector, "expect"), refusal.reason());
    assertEquals(text(vector, "said"), refusal.plain());
  }

  /** How gRPC gives a call that has failed. */
  private static StatusRuntimeException ended(JsonObject vector) {
    io.grpc.Status ended = Code.valueOf(text(vector, "code")).toStatus();
    Status.Builder status = Status.newBuilder().setCode(ended.getCode().value());
    Metadata trailers = new Metadata();
    if (vector.has("message")) {
      ended = ended.withDescription(text(vector, "message"));
    }
    if (vector.has("domain")) {
      String reason = text(vector, "reason");
      status.addDetails(Any.pack(ErrorInfo.newBuilder().setDomain(text(vector, "domain")).setReason(reason).build()));
    }
    if (vector.has("retry_after")) {
      var delay = com.google.protobuf.Duration.newBuilder().setSeconds(vector.get("retry_after").getAsLong());
      status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()));
    }
    if (vector.has("request_id")) {
      Metadata.Key<String> id = Metadata.Key.of("medunion-request-id", Metadata.ASCII_STRING_MARSHALLER);
      trailers.put(id, text(vector, "request_id"));
    }
    trailers.put(DETAILS, status.build().toByteArray());
    return new StatusRuntimeException(new Dialled(text(vector, "address")).beside(ended), trailers);
  }

  @Test
  void everyReasonOfTheVocabularyHasItsWords() throws IOException {
    Matcher reasons =
        Pattern.compile("^\\| `([A-Z_]+)` \\| [A-Z]", Pattern.MULTILINE)
            .matcher(Files.readString(Path.of("..", "..", "docs", "errors.md")));
    List<String> missing =
        reasons.results().map(found -> found.group(1)).filter(reason -> Words.of(reason).filter(Words::isTold).isEmpty()).toList();
    assertEquals(List.of(), missing);
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
    Refusal refusal = Calls.refusalOf(LocalServer.refusal(Code.UNAVAILABLE, "UNAVAILABLE", "", 20));
    assertEquals(Duration.ofSeconds(20), Calls.pauseAfter(refusal, own));
    assertEquals(own, Calls.pauseAfter(new Refusal("RECORD_CUT_SHORT", "the line died"), own));
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
