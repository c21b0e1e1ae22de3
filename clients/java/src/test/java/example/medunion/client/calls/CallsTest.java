package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.util.Arrays;
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
}
