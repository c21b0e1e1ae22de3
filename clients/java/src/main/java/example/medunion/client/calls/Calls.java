package example.medunion.client.calls;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import example.medunion.client.protocol.Addresses;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.Words;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Calls to the federation's servers: authenticated by who the server is (its TLS name), typed refusals in place of gRPC's. */
public final class Calls {
  /** How long a call may take that states nothing else. */
  static final long CALL_SECONDS = 15;

  private static final int LARGEST_MESSAGE = 2 * 1024 * 1024;
  private static final int MOST_ATTEMPTS = 6;
  private static final long KEEPALIVE_SECONDS = 30;
  private static final long KEEPALIVE_TIMEOUT_SECONDS = 40;
  private static final Duration LONGEST_ASKED = Duration.ofSeconds(60);
  private static final String DOMAIN = "medunion";
  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("medunion-request-id", Metadata.ASCII_STRING_MARSHALLER);
  private static final Set<Status.Code> PASSING_CODES =
      Set.of(Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED, Status.Code.DEADLINE_EXCEEDED, Status.Code.CANCELLED);
  // Of lists and bundles at hand: the cloud, once it answers, has newer ones.
  static final Set<String> RUN_OUT =
      Set.of("REVOCATION_LIST_STALE", "REVOCATION_SHARD_MISSING", "REVOCATION_HEAD_OLDER", "BUNDLE_STALE");

  /** Between two tries while somebody is awaited: it doubles from the one to the other. */
  static final Duration FIRST_PAUSE = Duration.ofMillis(200);

  static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);

  private Calls() {}

  /**
   * A channel to `host:port`, within these networks, that answers to that identity: `H:alpha` is alpha.hospital.medunion.internal (ADR 10). No
   * address chooses a resolver, no DNS record a service configuration, and no environment a proxy.
   */
  @SuppressWarnings("deprecation") // for a resolver of this channel alone there is nothing else
  public static ManagedChannel channel(String address, String identity, TrustedBundle bundle, Networks networks) {
    boolean formed = Addresses.isAddress(address);
    Refusal.require(formed, "FIELD_INVALID", "an address reads host:port, and this one does not");
    X509Certificate[] roots =
        bundle.content().getTlsCaCertificatesList().stream()
            .map(certificate -> read(certificate.toByteArray()))
            .toArray(X509Certificate[]::new);
    try {
      return NettyChannelBuilder.forTarget("dns:///" + address.replace("[", "%5B").replace("]", "%5D"))
          .nameResolverFactory(networks.resolvers())
          .disableServiceConfigLookUp()
          .proxyDetector(place -> null)
          .sslContext(GrpcSslContexts.forClient().trustManager(roots).build())
          .overrideAuthority(tlsName(identity))
          .intercept(new Dialled(address))
          .maxInboundMessageSize(LARGEST_MESSAGE)
          // A line that died without a word is found out; servers allow a ping every 20 seconds.
          .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
          .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
          .build();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** A stub whose call has to end in time. */
  static <S extends AbstractStub<S>> S timed(S stub) {
    return stub.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  /** Makes a call, and says what the peer says is wrong in its own word. */
  static <T> T call(Supplier<T> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException error) {
      throw refusalOf(error);
    }
  }

  /** How often a call is made that may safely be made again, and for how many seconds each time. */
  record Patience(int attempts, long seconds) {
    /** Somebody waits for an answer that has half a minute: what can't be asked at once does without. */
    static final Patience ONCE = new Patience(1, 5);

    static final Patience USUAL = new Patience(MOST_ATTEMPTS, CALL_SECONDS);

    <S extends AbstractStub<S>> S timed(S stub) {
      return stub.withDeadlineAfter(seconds, TimeUnit.SECONDS);
    }
  }

  /** A call that may safely be made again: it is, while the server is away or asks for patience, for as long as it asks. */
  static <T> T repeated(ManagedChannel channel, Supplier<T> call) {
    return repeated(channel, Patience.USUAL, call);
  }

  static <T> T repeated(ManagedChannel channel, Patience patience, Supplier<T> call) {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException error) {
        Refusal refusal = refusalOf(error);
        if (!passes(refusal) || attempt == patience.attempts) {
          throw refusal;
        }
        pause(pauseAfter(error, Duration.ofMillis(200L << attempt)));
        // gRPC's own pauses grow to two minutes, in which a server that is back would go unnoticed.
        channel.resetConnectBackoff();
      }
    }
  }

  /** How long to pause before a further try: as long as the server asks for, if that is longer. */
  static Duration pauseAfter(Refusal refusal, Duration pause) {
    return refusal.getCause() instanceof StatusRuntimeException error ? pauseAfter(error, pause) : pause;
  }

  static Duration pauseAfter(StatusRuntimeException error, Duration pause) {
    Duration asked = retryDelay(error);
    return asked.compareTo(pause) > 0 ? asked : pause;
  }

  static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? one : other;
  }

  /** Whether a refusal is one that passes: the server is away, or has too much to do; or the lists at hand have run out meanwhile. */
  public static boolean passes(Refusal refusal) {
    return refusal.isPassing() || RUN_OUT.contains(refusal.reason());
  }

  /** A server's refusal by its ErrorInfo, in this program's words; what has none is the network's. Whether it passes is the code's to say. */
  static Refusal refusalOf(StatusRuntimeException error) {
    Status status = error.getStatus();
    if (status.getCause() instanceof Refusal own) {
      return own; // this side's, on the way to the server
    }
    boolean passing = PASSING_CODES.contains(status.getCode());
    Optional<String> named =
        detail(error, ErrorInfo.class).filter(info -> info.getDomain().equals(DOMAIN)).map(ErrorInfo::getReason);
    Optional<String> known = named.filter(reason -> Words.of(reason).filter(Words::isTold).isPresent());
    Optional<String> ofCode = Words.reasonOfCode(status.getCode().value());
    String reason = known.or(() -> ofCode).orElse(passing ? "UNAVAILABLE" : "INTERNAL");
    // A reason that is none of the vocabulary is a peer's words, too.
    String unknown = known.isPresent() ? "" : named.map(Calls::readable).orElse("");
    String request = requestOf(error);
    boolean silent = reason.equals("UNAVAILABLE") && request.isEmpty();
    String address = silent && status.getCause() instanceof Dialled.Failure failure ? failure.address() : "";
    return Refusal.ofCall(reason, passing, new Refusal.Circumstances(unknown, address, request), error);
  }

  /** A peer's name of a reason that is not known here, if it has the form of one. */
  private static String readable(String reason) {
    return reason.matches("[A-Z][A-Z0-9_]{0,62}") ? reason : "unreadable";
  }

  /** How the server calls the call: by that its operator finds the cause. Nothing where it says something of another form. */
  private static String requestOf(StatusRuntimeException error) {
    String named = error.getTrailers() == null ? null : error.getTrailers().get(REQUEST_ID);
    return named != null && named.matches("[0-9a-f]{16}") ? named : "";
  }

  /** Waits for something; nobody interrupts these threads. */
  interface Waiting<T> {
    T run() throws InterruptedException;
  }

  static <T> T uninterrupted(Waiting<T> waiting) {
    try {
      return waiting.run();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(error);
    }
  }

  static void pause(Duration duration) {
    uninterrupted(
        () -> {
          TimeUnit.NANOSECONDS.sleep(duration.toNanos());
          return null;
        });
  }

  /** How long the server asks to wait; no server decides how long this side hangs. */
  private static Duration retryDelay(StatusRuntimeException error) {
    com.google.protobuf.Duration asked = detail(error, RetryInfo.class).orElse(RetryInfo.getDefaultInstance()).getRetryDelay();
    long seconds = Math.max(0, Math.min(asked.getSeconds(), LONGEST_ASKED.toSeconds()));
    return shorter(Duration.ofSeconds(seconds, asked.getNanos()), LONGEST_ASKED);
  }

  private static <M extends com.google.protobuf.Message> Optional<M> detail(StatusRuntimeException error, Class<M> type) {
    try {
      com.google.rpc.Status status = StatusProto.fromThrowable(error);
      for (Any entry : status == null ? List.<Any>of() : status.getDetailsList()) {
        if (entry.is(type)) {
          return Optional.of(entry.unpack(type));
        }
      }
    } catch (InvalidProtocolBufferException | IllegalArgumentException unreadable) {
      // Details that can't be read say nothing: the code alone counts.
    }
    return Optional.empty();
  }

  private static String tlsName(String identity) {
    String kind = identity.startsWith("C:") ? "cloud" : "hospital";
    return identity.substring(2) + "." + kind + ".medunion.internal";
  }

  private static X509Certificate read(byte[] der) {
    try {
      CertificateFactory factory = CertificateFactory.getInstance("X.509");
      return (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der));
    } catch (CertificateException error) {
      throw new Refusal("BUNDLE_INVALID", "a TLS CA of the trust bundle is no certificate", error);
    }
  }
}
