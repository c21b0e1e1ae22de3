package example.medunion.client.calls;

import example.medunion.client.protocol.Refusal;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

/** Beside how a call failed, where it was dialled: where nobody answers, it is what somebody has to look at. */
record Dialled(String address) implements ClientInterceptor {
  /** The cause of a failed call's status. */
  static final class Failure extends Exception {
    private static final long serialVersionUID = 1;

    private final String address;

    Failure(String address, Throwable cause) {
      super(address, cause);
      this.address = address;
    }

    String address() {
      return address;
    }
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        super.start(
            new SimpleForwardingClientCallListener<>(listener) {
              @Override
              public void onClose(Status status, Metadata trailers) {
                super.onClose(beside(status), trailers);
              }
            },
            headers);
      }
    };
  }

  /** The status with the address; as it is where the call did not fail, or this side refused to dial. */
  Status beside(Status status) {
    boolean stays = status.isOk() || status.getCause() instanceof Refusal;
    return stays ? status : status.withCause(new Failure(address, status.getCause()));
  }
}
