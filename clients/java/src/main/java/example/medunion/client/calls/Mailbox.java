package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.FollowFramesRequest;
import example.medunion.federation.v1.FollowFramesResponse;
import example.medunion.federation.v1.GetRoomRequest;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.PutFrameRequest;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.RelayServiceGrpc;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** One side of a room at the relay: frames put under the next number, frames followed through lost connections. */
public final class Mailbox {
  private static final long LONGEST_STREAM_MILLIS = 300_000;
  private static final int MOST_NUMBERS_PASSED = 4096;
  // A stream that ended well before its last frame is opened again, too.
  private static final StatusRuntimeException ENDED = Status.UNAVAILABLE.asRuntimeException();

  private final ManagedChannel channel;
  private final ByteString roomId;
  private final Direction puts;
  private final Direction reads;
  private long nextPut;
  private long nextRead;

  public Mailbox(ManagedChannel channel, byte[] roomId, Direction puts) {
    this.channel = channel;
    this.roomId = ByteString.copyFrom(roomId);
    this.puts = puts;
    this.reads = puts == Direction.DIRECTION_TO_DOCTOR ? Direction.DIRECTION_TO_PATIENT : Direction.DIRECTION_TO_DOCTOR;
  }

  /** Fetches whose room it is; nothing of it is verified yet. */
  public GetRoomResponse room() {
    GetRoomRequest request = GetRoomRequest.newBuilder().setRoomId(roomId).build();
    return Calls.repeated(channel, () -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).getRoom(request));
  }

  /** Puts a frame once, however often the connection fails; a number that somebody else's frame has is passed over. */
  public void put(RelayFrame frame) {
    for (int passed = 0; passed < MOST_NUMBERS_PASSED; passed++) {
      PutFrameRequest request =
          PutFrameRequest.newBuilder().setRoomId(roomId).setDirection(puts).setNumber(nextPut).setFrame(frame).build();
      try {
        Calls.repeated(channel, () -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).putFrame(request));
        nextPut++;
        return;
      } catch (Refusal refusal) {
        if (!refusal.reason().equals("ALREADY_EXISTS")) {
          throw refusal; // nothing lies under this number: the next frame gets it
        }
        nextPut++;
      }
    }
    throw new Refusal("LIMIT_REACHED", "the room is full of other messages");
  }

  /**
   * Hands the other side's frames over as they come, until one gives an answer or the time is over. A lost connection is opened again from
   * the next number on.
   */
  public <T> Optional<T> follow(Duration patience, Function<RelayFrame, Optional<T>> take) {
    long deadline = System.nanoTime() + patience.toNanos();
    Duration pause = Calls.FIRST_PAUSE;
    for (long left = patience.toMillis(); left > 0; left = (deadline - System.nanoTime()) / 1_000_000) {
      long read = nextRead;
      StatusRuntimeException lost = ENDED;
      try {
        Optional<T> answer = stream(Math.min(left, LONGEST_STREAM_MILLIS), take);
        if (answer.isPresent()) {
          return answer;
        }
      } catch (StatusRuntimeException error) {
        Refusal refusal = Calls.refusalOf(error);
        if (!Calls.passes(refusal)) {
          throw refusal;
        }
        lost = error;
      }
      pause = nextRead > read ? Calls.FIRST_PAUSE : pause;
      Calls.pause(Calls.shorter(Calls.pauseAfter(lost, pause), Duration.ofNanos(deadline - System.nanoTime())));
      channel.resetConnectBackoff();
      pause = Calls.shorter(pause.multipliedBy(2), Calls.LONGEST_PAUSE);
    }
    return Optional.empty();
  }

  private <T> Optional<T> stream(long millis, Function<RelayFrame, Optional<T>> take) {
    FollowFramesRequest request =
        FollowFramesRequest.newBuilder().setRoomId(roomId).setDirection(reads).setFromNumber(nextRead).build();
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      Iterator<FollowFramesResponse> frames = followed(context, request, millis);
      while (frames.hasNext()) {
        FollowFramesResponse response = frames.next();
        Refusal.require(response.getNumber() == nextRead, "OUT_OF_ORDER", "the relay left a message out");
        nextRead++;
        Optional<T> answer = take.apply(response.getFrame());
        if (answer.isPresent()) {
          return answer;
        }
      }
      return Optional.empty();
    }
  }

  /** Begins the call: it ends with its context. */
  private Iterator<FollowFramesResponse> followed(Context context, FollowFramesRequest request, long millis) {
    Context outer = context.attach();
    try {
      return RelayServiceGrpc.newBlockingStub(channel)
          .withDeadlineAfter(millis, TimeUnit.MILLISECONDS)
          .followFrames(request);
    } finally {
      context.detach(outer);
    }
  }
}
