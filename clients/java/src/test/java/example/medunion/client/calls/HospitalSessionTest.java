package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Revoked;
import example.medunion.client.protocol.Vectors;
import example.medunion.federation.v1.GetHospitalRequest;
import example.medunion.federation.v1.GetHospitalResponse;
import example.medunion.federation.v1.GetHospitalShardsRequest;
import example.medunion.federation.v1.GetHospitalShardsResponse;
import example.medunion.federation.v1.OpenSessionRequest;
import example.medunion.federation.v1.OpenSessionResponse;
import example.medunion.federation.v1.RecordServiceGrpc;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A session's line, with a hospital that is quicker or slower than this side. */
final class HospitalSessionTest {
  private static final int FRAMES = 64;
  private static final SessionFrame FRAME =
      SessionFrame.newBuilder().setSealed(ByteString.copyFrom(new byte[512 * 1024])).build();

  private final AtomicInteger sent = new AtomicInteger();
  private final Queue<StatusRuntimeException> refusals = new ArrayDeque<>();
  private boolean reads = true;
  private boolean ends;
  private LocalServer server;

  @BeforeEach
  void serve() throws IOException {
    server = new LocalServer(new Hospital());
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void hospitalIsAskedForAShardOnce() {
    assertEquals(2748, HospitalSession.shard(server.channel(), 2748, List.of()).getShards(0).getPrefix());
    refusals.add(LocalServer.refusal(Code.UNAVAILABLE, "REVOCATION_LIST_STALE"));
    Refusal refusal = assertThrows(Refusal.class, () -> HospitalSession.shard(server.channel(), 0, List.of()));
    assertEquals("REVOCATION_LIST_STALE", refusal.reason());
    assertTrue(refusals.isEmpty());
  }

  @Test
  void whatIsNotTakenIsNotAskedFor() {
    try (HospitalSession session = new HospitalSession(server.channel())) {
      session.send(FRAME);
      requireHeld(0);
      for (int taken = 0; taken < FRAMES; taken++) {
        assertEquals(FRAME, session.receive());
        if (taken == 3) {
          requireHeld(4);
        }
      }
    }
  }

  /** Whatever this side takes of the stream by itself it has taken before it hears of a later answer on the same connection. */
  private void requireHeld(int taken) {
    for (int answer = 0; answer < 2 * FRAMES; answer++) {
      RecordServiceGrpc.newBlockingStub(server.channel()).getHospital(GetHospitalRequest.getDefaultInstance());
    }
    assertTrue(sent.get() - taken < FRAMES / 4, sent + " frames came unasked");
  }

  @Test
  void hospitalThatDoesNotReadIsGivenUp() {
    reads = false;
    try (HospitalSession session = new HospitalSession(server.channel(), Duration.ofMillis(300))) {
      Refusal refusal = assertThrows(Refusal.class, () -> sendAll(session));
      assertEquals("UNAVAILABLE", refusal.reason());
      assertTrue(Calls.passes(refusal));
    }
  }

  @Test
  void whatEndedInTheMiddleOfAnUploadIsToldByTheNextReceive() {
    ends = true;
    try (HospitalSession session = new HospitalSession(server.channel())) {
      sendAll(session);
      assertEquals("RECORD_CUT_SHORT", assertThrows(Refusal.class, session::receive).reason());
    }
  }

  private static void sendAll(HospitalSession session) {
    for (int frame = 0; frame < FRAMES; frame++) {
      session.send(FRAME);
    }
  }

  /** Sends as fast as the line takes it, once it was asked. */
  private final class Hospital extends RecordServiceGrpc.RecordServiceImplBase {
    @Override
    public void getHospital(GetHospitalRequest request, StreamObserver<GetHospitalResponse> answer) {
      answer.onNext(GetHospitalResponse.getDefaultInstance());
      answer.onCompleted();
    }

    @Override
    public void getHospitalShards(GetHospitalShardsRequest request, StreamObserver<GetHospitalShardsResponse> answer) {
      StatusRuntimeException refusal = refusals.poll();
      if (refusal != null) {
        answer.onError(refusal);
        return;
      }
      SignedStatement head = Vectors.signed(Vectors.load("parties").get("revocation_head"));
      RevocationExcerpt excerpt = Revoked.ofVectors().excerpt(head, request.getPrefixesList());
      answer.onNext(GetHospitalShardsResponse.newBuilder().setRevocations(excerpt).build());
      answer.onCompleted();
    }

    @Override
    public StreamObserver<OpenSessionRequest> openSession(StreamObserver<OpenSessionResponse> answer) {
      ServerCallStreamObserver<OpenSessionResponse> line = (ServerCallStreamObserver<OpenSessionResponse>) answer;
      boolean[] asked = {false};
      Runnable send =
          () -> {
            while (asked[0] && line.isReady() && sent.get() < FRAMES) {
              line.onNext(OpenSessionResponse.newBuilder().setFrame(FRAME).build());
              sent.incrementAndGet();
            }
          };
      line.setOnReadyHandler(send);
      if (!reads) {
        line.disableAutoRequest();
      }
      return new StreamObserver<>() {
        @Override
        public void onNext(OpenSessionRequest request) {
          if (ends) {
            line.onCompleted();
            return;
          }
          asked[0] = true;
          send.run();
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {}
      };
    }
  }
}
