package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.FollowFramesRequest;
import example.medunion.federation.v1.FollowFramesResponse;
import example.medunion.federation.v1.PutFrameRequest;
import example.medunion.federation.v1.PutFrameResponse;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.RelayServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A mailbox through what befalls its relay. */
final class MailboxTest {
  private static final RelayFrame FRAME = RelayFrame.getDefaultInstance();
  private static final Duration PATIENCE = Duration.ofMinutes(10);

  private final Queue<StatusRuntimeException> refusals = new ArrayDeque<>();
  private final List<Long> numbers = new ArrayList<>();
  private final List<Long> follows = new ArrayList<>();
  private LocalServer server;
  private Counted channel;
  private Mailbox mailbox;

  @BeforeEach
  void serve() throws IOException {
    server = new LocalServer(new Relay());
    channel = new Counted(server.channel());
    mailbox = new Mailbox(channel, new byte[16], Direction.DIRECTION_TO_PATIENT);
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void numberIsUsedOnceSomethingLiesUnderIt() {
    refusals.add(LocalServer.refusal(Code.INVALID_ARGUMENT, "FIELD_INVALID"));
    assertThrows(Refusal.class, () -> mailbox.put(FRAME));
    mailbox.put(FRAME);
    refusals.add(LocalServer.refusal(Code.ALREADY_EXISTS, "ALREADY_EXISTS"));
    mailbox.put(FRAME);
    mailbox.put(FRAME);
    assertEquals(List.of(0L, 0L, 1L, 2L, 3L), numbers);
  }

  @Test
  void waitOutlastsWhatPasses() {
    refusals.add(LocalServer.refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE"));
    refusals.add(LocalServer.refusal(Code.RESOURCE_EXHAUSTED, "READER_STALLED"));
    assertEquals(Optional.of(FRAME), mailbox.follow(PATIENCE, Optional::of));
    assertEquals(3, follows.size());
    assertEquals(2, channel.resets);
  }

  @Test
  void waitIsAsLongAsTheRelayAsks() {
    refusals.add(LocalServer.refusal(Code.RESOURCE_EXHAUSTED, "LIMIT_REACHED", "later", 2));
    assertEquals(Optional.of(FRAME), mailbox.follow(PATIENCE, Optional::of));
    assertTrue(follows.get(1) - follows.get(0) >= 1_900_000_000L);
  }

  @Test
  void connectionIsTriedAtOnceBeforeFrameIsPutAgain() {
    refusals.add(LocalServer.refusal(Code.UNAVAILABLE, "TOKEN_BUSY"));
    mailbox.put(FRAME);
    assertEquals(List.of(0L, 0L), numbers);
    assertEquals(1, channel.resets);
  }

  @Test
  void roomThatIsGoneEndsTheWait() {
    refusals.add(LocalServer.refusal(Code.NOT_FOUND, "NO_SUCH_ROOM"));
    Refusal refusal = assertThrows(Refusal.class, () -> mailbox.follow(PATIENCE, Optional::of));
    assertEquals("NO_SUCH_ROOM", refusal.reason());
  }

  private final class Relay extends RelayServiceGrpc.RelayServiceImplBase {
    @Override
    public void putFrame(PutFrameRequest request, StreamObserver<PutFrameResponse> answer) {
      numbers.add(request.getNumber());
      answer(PutFrameResponse.getDefaultInstance(), answer);
    }

    @Override
    public void followFrames(FollowFramesRequest request, StreamObserver<FollowFramesResponse> answer) {
      follows.add(System.nanoTime());
      answer(FollowFramesResponse.newBuilder().setNumber(request.getFromNumber()).setFrame(FRAME).build(), answer);
    }

    private <T> void answer(T response, StreamObserver<T> answer) {
      StatusRuntimeException refusal = refusals.poll();
      if (refusal != null) {
        answer.onError(refusal);
        return;
      }
      answer.onNext(response);
      answer.onCompleted();
    }
  }

  /** A channel that counts how often it was told to connect at once. */
  private static final class Counted extends ManagedChannel {
    private final ManagedChannel channel;
    private int resets;

    Counted(ManagedChannel channel) {
      this.channel = channel;
    }

    @Override
    public void resetConnectBackoff() {
      resets++;
      channel.resetConnectBackoff();
    }

    @Override
    public <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> method, CallOptions options) {
      return channel.newCall(method, options);
    }

    @Override
    public String authority() {
      return channel.authority();
    }

    @Override
    public ManagedChannel shutdown() {
      return channel.shutdown();
    }

    @Override
    public ManagedChannel shutdownNow() {
      return channel.shutdownNow();
    }

    @Override
    public boolean isShutdown() {
      return channel.isShutdown();
    }

    @Override
    public boolean isTerminated() {
      return channel.isTerminated();
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) throws InterruptedException {
      return channel.awaitTermination(timeout, unit);
    }
  }
}
