package example.medunion.client.calls;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.TrustedBundle;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslProvider;
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
  private static final Set<String> PASSING = Set.of("UNAVAILABLE", "LIMIT_REACHED");

  private Calls() {}

  /** A channel to `host:port` that answers to that identity: `H:alpha` is alpha.hospital.medunion.internal (ADR 10). */
  public static ManagedChannel channel(String address, String identity, TrustedBundle bundle) {
    X509Certificate[] roots =
        bundle.content().getTlsCaCertificatesList().stream()
            .map(certificate -> read(certificate.toByteArray()))
            .toArray(X509Certificate[]::new);
    try {
      return NettyChannelBuilder.forTarget(address)
          // The JDK's TLS: with netty's own, its validator refuses Ed25519 certificates.
          .sslContext(GrpcSslContexts.configure(SslContextBuilder.forClient(), SslProvider.JDK).trustManager(roots).build())
          .overrideAuthority(tlsName(identity))
          .maxInboundMessageSize(LARGEST_MESSAGE)
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

  /** A call that may safely be made again: it is, while the server is away or asks for patience, for as long as it asks. */
  static <T> T repeated(Supplier<T> call) {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException error) {
        Refusal refusal = refusalOf(error);
        if (!passes(refusal) || attempt == MOST_ATTEMPTS) {
          throw refusal;
        }
        pause(retryDelay(error).orElse(Duration.ofMillis(200L << attempt)));
      }
    }
  }

  /** Whether a refusal is one that passes: the server is away, or has too much to do. */
  public static boolean passes(Refusal refusal) {
    return PASSING.contains(refusal.reason());
  }

  /** A server's refusal by its ErrorInfo; what has none is the network's. */
  static Refusal refusalOf(StatusRuntimeException error) {
    Optional<ErrorInfo> info = detail(error, ErrorInfo.class);
    if (info.isPresent()) {
      return new Refusal(info.get().getReason(), String.valueOf(error.getStatus().getDescription()));
    }
    Set<Status.Code> passing =
        Set.of(
            Status.Code.UNAVAILABLE, Status.Code.DEADLINE_EXCEEDED, Status.Code.CANCELLED, Status.Code.RESOURCE_EXHAUSTED);
    String reason = passing.contains(error.getStatus().getCode()) ? "UNAVAILABLE" : "INTERNAL";
    Status status = error.getStatus();
    return new Refusal(reason, "the server could not be asked: " + status.getCode() + ", " + status.getDescription(), error);
  }

  static void pause(Duration duration) {
    try {
      Thread.sleep(duration.toMillis());
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(error);
    }
  }

  private static Optional<Duration> retryDelay(StatusRuntimeException error) {
    return detail(error, RetryInfo.class)
        .map(info -> Duration.ofSeconds(info.getRetryDelay().getSeconds(), info.getRetryDelay().getNanos()));
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
