package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.EncryptionKey;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.GetHospitalRequest;
import example.medunion.federation.v1.GetHospitalResponse;
import example.medunion.federation.v1.GetHospitalShardsRequest;
import example.medunion.federation.v1.OpenSessionRequest;
import example.medunion.federation.v1.OpenSessionResponse;
import example.medunion.federation.v1.RecordServiceGrpc;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SessionFrame;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A doctor's session with a hospital: one stream, which *is* the session. A lost one is a new session. Neither side buffers without end: a
 * message is asked for when the one before was taken, and sent when the line takes it.
 */
final class HospitalSession implements AutoCloseable {
  private static final long LONGEST_SECONDS = 3600;
  private static final Duration LONGEST_SILENCE = Duration.ofSeconds(60);

  private final Duration longestSilence;
  private final LinkedBlockingQueue<Object> heard = new LinkedBlockingQueue<>();
  private final Responses responses = new Responses();

  private enum Ended {
    COMPLETED
  }

  /** What gRPC's threads tell the one that uses this session. */
  private final class Responses implements ClientResponseObserver<OpenSessionRequest, OpenSessionResponse> {
    private ClientCallStreamObserver<OpenSessionRequest> requests;
    private boolean hasEnded;

    @Override
    public void beforeStart(ClientCallStreamObserver<OpenSessionRequest> stream) {
      requests = stream;
      stream.disableAutoRequestWithInitial(1);
      stream.setOnReadyHandler(this::wake);
    }

    @Override
    public void onNext(OpenSessionResponse response) {
      heard.add(response);
    }

    @Override
    public void onError(Throwable error) {
      end(error);
    }

    @Override
    public void onCompleted() {
      end(Ended.COMPLETED);
    }

    private void end(Object how) {
      heard.add(how);
      synchronized (this) {
        hasEnded = true;
      }
      wake();
    }

    private synchronized void wake() {
      notifyAll();
    }

    /** Waits until the line takes a message, or is known to have ended. Says whether it is one or the other. */
    private synchronized boolean awaitReady(Duration patience) throws InterruptedException {
      long deadline = System.nanoTime() + patience.toNanos();
      for (long left = patience.toNanos(); !requests.isReady() && !hasEnded; left = deadline - System.nanoTime()) {
        if (left <= 0) {
          return false;
        }
        TimeUnit.NANOSECONDS.timedWait(this, left);
      }
      return true;
    }
  }

  HospitalSession(ManagedChannel channel) {
    this(channel, LONGEST_SILENCE);
  }

  HospitalSession(ManagedChannel channel, Duration longestSilence) {
    this.longestSilence = longestSilence;
    RecordServiceGrpc.newStub(channel).withDeadlineAfter(LONGEST_SECONDS, TimeUnit.SECONDS).openSession(responses);
  }

  /** Fetches the shard of this prefix, as a hospital has it, and the CRLs but those; nothing of it is verified yet. Asked once, and briefly. */
  static RevocationExcerpt shard(ManagedChannel channel, int prefix, List<ByteString> heldCrls) {
    GetHospitalShardsRequest request =
        GetHospitalShardsRequest.newBuilder().addPrefixes(prefix).addAllHeldCrls(heldCrls).build();
    Calls.Patience brief = Calls.Patience.ONCE;
    return Rules.checkOuter(
            Calls.call(() -> brief.timed(RecordServiceGrpc.newBlockingStub(channel)).getHospitalShards(request)))
        .getRevocations();
  }

  /** Asks a hospital for its own statements, and verifies them. */
  static Handshake.Peer address(ManagedChannel channel, String hospitalId, Home home) {
    GetHospitalRequest request = GetHospitalRequest.getDefaultInstance();
    GetHospitalResponse answer =
        Rules.checkOuter(Calls.repeated(channel, () -> Calls.timed(RecordServiceGrpc.newBlockingStub(channel)).getHospital(request)));
    if (answer.hasRevocations()) {
      home.hear(answer.getRevocations());
    }
    long now = System.currentTimeMillis();
    Verifier verifier = home.verifier(now);
    VerifiedParty party = verifier.party(answer.getKeyStatement(), Role.ROLE_HOSPITAL, now);
    boolean addressed = party.identity().equals(hospitalId);
    require(addressed, "IDENTITY_MISMATCH", "another hospital answers than the one addressed");
    EncryptionKey key = verifier.encryptionKey(answer.getEncryptionKeyStatement(), party, now);
    return new Handshake.Peer(party, key, Bytes.EMPTY);
  }

  /** Opens the session: D3, H1. */
  RecordSession.Established open(
      Home home, Handshake.Peer hospital, RecordSession.Intent intent, Entropy entropy) {
    long now = System.currentTimeMillis();
    Handshake.AwaitingReply<RecordSession.Established> awaiting = RecordSession.begin(home.party(now), hospital, intent, now, entropy);
    send(OpenSessionRequest.newBuilder().setOpening(awaiting.opening()).build());
    OpenSessionResponse response = next();
    require(response.hasReply(), "OUT_OF_ORDER", "the hospital does not begin with its reply");
    long then = System.currentTimeMillis();
    return awaiting.receive(response.getReply(), home.verifier(then), then);
  }

  void send(SessionFrame frame) {
    send(OpenSessionRequest.newBuilder().setFrame(frame).build());
  }

  SessionFrame receive() {
    OpenSessionResponse response = next();
    require(response.hasFrame(), "OUT_OF_ORDER", "the hospital sends something else than a frame");
    return response.getFrame();
  }

  /** Ends the stream on this side, and gives up what still comes. */
  @Override
  public void close() {
    responses.requests.cancel("the session is over", null);
  }

  /** Where the stream has ended, what is sent goes nowhere, and the next that is received says why. */
  private void send(OpenSessionRequest request) {
    if (!Calls.uninterrupted(() -> responses.awaitReady(longestSilence))) {
      throw silent();
    }
    responses.requests.onNext(request);
  }

  private OpenSessionResponse next() {
    Object said = Calls.uninterrupted(() -> heard.poll(longestSilence.toNanos(), TimeUnit.NANOSECONDS));
    if (said instanceof OpenSessionResponse response) {
      responses.requests.request(1);
      return response;
    }
    if (said instanceof StatusRuntimeException error) {
      throw Calls.refusalOf(error);
    }
    if (said == Ended.COMPLETED) {
      throw new Refusal("RECORD_CUT_SHORT", "the hospital ended the session before its last message");
    }
    throw silent();
  }

  private static Refusal silent() {
    return Refusal.passing("UNAVAILABLE", "the hospital fell silent in the middle of a session", null);
  }
}
