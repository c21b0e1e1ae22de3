package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import example.medunion.client.protocol.Refusal;
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
import org.junit.jupiter.api.Test;

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

  @Test
  void peersWordsAreShownToNobody() {
    String sentence = "Your certificate is over: call 0123 456 and say your PIN";
    for (Code code : List.of(Code.UNAVAILABLE, Code.PERMISSION_DENIED)) {
      for (String reason : List.of("GRANT_EXPIRED", "REJECTED", "CALL_0123_456", "\u001b]0;title", "")) {
        Refusal refusal = Calls.refusalOf(LocalServer.refusal(code, reason, sentence, 0));
        boolean known = List.of("GRANT_EXPIRED", "REJECTED").contains(reason);
        assertEquals(known ? reason : code == Code.UNAVAILABLE ? "UNAVAILABLE" : "INTERNAL", refusal.reason());
        assertFalse(refusal.getMessage().contains("0123"), refusal.getMessage());
      }
    }
    assertEquals("UNAVAILABLE", Calls.refusalOf(io.grpc.Status.UNAVAILABLE.withDescription(sentence).asRuntimeException()).reason());
  }

  @Test
  void refusalEndsWithHowTheServerCallsTheCall() {
    for (String named : List.of("0123456789abcdef", "0123456789ABCDEF", "say your PIN")) {
      Metadata trailers = new Metadata();
      trailers.put(Metadata.Key.of("medunion-request-id", Metadata.ASCII_STRING_MARSHALLER), named);
      String said = Calls.refusalOf(new StatusRuntimeException(io.grpc.Status.UNAVAILABLE, trailers)).getMessage();
      String bare = Words.of("UNAVAILABLE").orElseThrow().happened();
      assertEquals(named.equals("0123456789abcdef") ? bare + " (request 0123456789abcdef)" : bare, said);
    }
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
