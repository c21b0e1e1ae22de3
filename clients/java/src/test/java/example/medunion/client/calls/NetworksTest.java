package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.Vectors;
import example.medunion.federation.v1.FollowFramesRequest;
import example.medunion.federation.v1.GetRoomRequest;
import example.medunion.federation.v1.RelayServiceGrpc;
import example.medunion.federation.v1.TrustBundle;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Where this client dials, tried on a port that counts who comes. */
final class NetworksTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final TrustedBundle BUNDLE = bundle();

  private final AtomicInteger came = new AtomicInteger();
  private final CountDownLatch first = new CountDownLatch(1);
  private ServerSocket door;

  @BeforeEach
  void open() throws IOException {
    door = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
    Thread guest = new Thread(this::count);
    guest.setDaemon(true);
    guest.start();
  }

  @AfterEach
  void close() throws IOException {
    door.close();
  }

  /** The vectors' newest bundle, with a certificate in its place for the TLS CA. */
  private static TrustedBundle bundle() {
    JsonArray bundles = CAST.getAsJsonArray("trust_bundles");
    TrustBundle newest =
        Statements.peek(TrustBundle.getDefaultInstance(), Vectors.signed(bundles.get(bundles.size() - 1)));
    byte[] certificate = Vectors.bytes(CAST.getAsJsonObject("authority"), "certificate");
    TrustBundle bundle =
        newest.toBuilder().clearTlsCaCertificates().addTlsCaCertificates(ByteString.copyFrom(certificate)).build();
    return TrustedBundle.pin(Statements.sign("tb", bundle, Vectors.signingKey(CAST.getAsJsonObject("cloud"))));
  }

  private void count() {
    try {
      while (true) {
        try (Socket guest = door.accept()) {
          came.incrementAndGet();
          first.countDown();
        }
      }
    } catch (IOException error) {
      // the door is closed
    }
  }

  private String outcome(String address, Networks networks) {
    ManagedChannel channel = Calls.channel(address, "H:alpha", BUNDLE, networks);
    try {
      RelayServiceGrpc.RelayServiceBlockingStub relay =
          RelayServiceGrpc.newBlockingStub(channel).withDeadlineAfter(5, TimeUnit.MINUTES);
      return assertThrows(
              Refusal.class,
              () ->
                  Calls.repeated(
                      channel, Calls.Patience.ONCE, () -> relay.getRoom(GetRoomRequest.getDefaultInstance())))
          .reason();
    } finally {
      channel.shutdownNow();
    }
  }

  @Test
  void addressOutsideTheNetworksIsNotDialled() {
    for (String host : List.of("127.0.0.1", "localhost")) {
      for (List<String> networks : List.of(List.of("10.0.0.0/8"), List.of("2001:db8::/32", "127.0.0.2/32"))) {
        assertEquals("NETWORK_FORBIDDEN", outcome(host + ":" + door.getLocalPort(), Networks.parse(networks)));
      }
    }
    assertEquals("NETWORK_FORBIDDEN", outcome("[::1]:" + door.getLocalPort(), Networks.parse(List.of("127.0.0.0/8"))));
    assertEquals(0, came.get());
  }

  @Test
  void addressWithinTheNetworksIsDialled() throws InterruptedException {
    String address = "127.0.0.1:" + door.getLocalPort();
    for (Networks networks : List.of(Networks.ANY, Networks.parse(List.of("10.0.0.0/8", "127.0.0.0/31")))) {
      assertEquals("UNAVAILABLE", outcome(address, networks)); // nobody speaks TLS there
    }
    first.await();
    assertTrue(came.get() >= 2);
  }

  @Test
  void whereNobodyAnswersTheAddressIsSaid() {
    // The door is open, and nobody speaks TLS there.
    for (String address : List.of("127.0.0.1:1", "nobody.invalid:443", "127.0.0.1:" + door.getLocalPort())) {
      ManagedChannel channel = Calls.channel(address, "H:alpha", BUNDLE, Networks.ANY);
      try {
        RelayServiceGrpc.RelayServiceBlockingStub relay =
            RelayServiceGrpc.newBlockingStub(channel).withDeadlineAfter(5, TimeUnit.MINUTES);
        RelayServiceGrpc.RelayServiceBlockingStub late = relay.withDeadlineAfter(1, TimeUnit.NANOSECONDS);
        GetRoomRequest room = GetRoomRequest.getDefaultInstance();
        for (Supplier<Object> call :
            List.<Supplier<Object>>of(
                () -> relay.getRoom(room),
                () -> relay.followFrames(FollowFramesRequest.getDefaultInstance()).next(),
                () -> late.getRoom(room))) {
          Refusal refusal = assertThrows(Refusal.class, () -> Calls.call(call));
          assertEquals(List.of("UNAVAILABLE", address), List.of(refusal.reason(), refusal.address()));
        }
      } finally {
        channel.shutdownNow();
      }
    }
  }

  @Test
  void noAddressChoosesAResolver() {
    for (String address : List.of("unix-abstract:evil:1", "unix:/a:1", "vsock:1:1", "xds:///a:1", "127.0.0.1:99999")) {
      assertEquals(
          "FIELD_INVALID",
          assertThrows(Refusal.class, () -> Calls.channel(address, "H:alpha", BUNDLE, Networks.ANY)).reason());
    }
  }

  @Test
  void noProxyIsAsked() throws IOException {
    System.setProperty("https.proxyHost", "127.0.0.1");
    System.setProperty("https.proxyPort", String.valueOf(door.getLocalPort()));
    System.setProperty("http.nonProxyHosts", "");
    try (ServerSocket closed = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
      int port = closed.getLocalPort();
      closed.close();
      assertEquals("UNAVAILABLE", outcome("127.0.0.1:" + port, Networks.ANY));
      assertEquals("UNAVAILABLE", outcome("[::1]:" + port, Networks.ANY));
      assertEquals(0, came.get());
    } finally {
      List.of("https.proxyHost", "https.proxyPort", "http.nonProxyHosts").forEach(System::clearProperty);
    }
  }

  @Test
  void networkIsAPrefixOfAnAddress() {
    Networks.parse(List.of("0.0.0.0/0", "::/0", "192.0.2.1/32", "2001:db8::/32", "::1/128"));
    for (String written :
        List.of("", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "::/129", "2001:db8::1/32", "localhost/8", "10.0.0.0/-1",
            "10.0.0.0/08", "10.0.0.0/8,", "10.0.0.0/8 ", "010.0.0.0/8")) {
      assertEquals("FIELD_INVALID", Vectors.outcome(() -> Networks.parse(List.of(written))), written);
    }
  }
}
