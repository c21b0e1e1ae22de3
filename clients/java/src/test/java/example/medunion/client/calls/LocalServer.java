package example.medunion.client.calls;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.BindableService;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A server of these services on this machine, without TLS, and a channel to it. */
final class LocalServer implements AutoCloseable {
  private final Server server;
  private final ManagedChannel channel;

  LocalServer(BindableService... services) throws IOException {
    NettyServerBuilder builder = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0));
    for (BindableService service : services) {
      builder.addService(service);
    }
    server = builder.build().start();
    channel = connect();
    awaitConnection();
  }

  /** No deadline of a call has to wait for the first connection of a busy machine. */
  private void awaitConnection() {
    CountDownLatch ready = new CountDownLatch(1);
    channel.notifyWhenStateChanged(channel.getState(true), new Runnable() {
      @Override
      public void run() {
        ConnectivityState state = channel.getState(true);
        if (state == ConnectivityState.READY) {
          ready.countDown();
        } else {
          channel.notifyWhenStateChanged(state, this);
        }
      }
    });
    Calls.uninterrupted(() -> ready.await(10, TimeUnit.MINUTES));
  }

  /** Another channel, to be closed by whoever asks. */
  ManagedChannel connect() {
    return NettyChannelBuilder.forAddress("127.0.0.1", server.getPort()).usePlaintext().build();
  }

  int port() {
    return server.getPort();
  }

  ManagedChannel channel() {
    return channel;
  }

  /** What a server of the federation refuses with. */
  static StatusRuntimeException refusal(Code code, String reason, String sentence, long retrySeconds) {
    RetryInfo retry =
        RetryInfo.newBuilder().setRetryDelay(Duration.newBuilder().setSeconds(retrySeconds)).build();
    Status status =
        Status.newBuilder()
            .setCode(code.value())
            .setMessage(sentence)
            .addDetails(Any.pack(ErrorInfo.newBuilder().setDomain("medunion").setReason(reason).build()))
            .addDetails(Any.pack(retry))
            .build();
    return StatusProto.toStatusRuntimeException(status);
  }

  static StatusRuntimeException refusal(Code code, String reason) {
    return refusal(code, reason, "told by the server", 0);
  }

  @Override
  public void close() {
    channel.shutdownNow();
    server.shutdownNow();
  }
}
