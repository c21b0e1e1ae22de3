package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.EncryptionKey;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.GetHospitalRequest;
import example.medunion.federation.v1.GetHospitalResponse;
import example.medunion.federation.v1.OpenSessionRequest;
import example.medunion.federation.v1.OpenSessionResponse;
import example.medunion.federation.v1.RecordServiceGrpc;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SessionFrame;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A doctor's session with a hospital: one stream, which *is* the session. A lost one is a new session. */
final class HospitalSession implements AutoCloseable {
  private static final long LONGEST_SECONDS = 3600;
  private static final long SILENCE_SECONDS = 60;

  private final LinkedBlockingQueue<Object> heard = new LinkedBlockingQueue<>();
  private final StreamObserver<OpenSessionRequest> requests;

  private enum Ended {
    COMPLETED
  }

  HospitalSession(ManagedChannel channel) {
    StreamObserver<OpenSessionResponse> responses =
        new StreamObserver<>() {
          @Override
          public void onNext(OpenSessionResponse response) {
            heard.add(response);
          }

          @Override
          public void onError(Throwable error) {
            heard.add(error);
          }

          @Override
          public void onCompleted() {
            heard.add(Ended.COMPLETED);
          }
        };
    requests =
        RecordServiceGrpc.newStub(channel).withDeadlineAfter(LONGEST_SECONDS, TimeUnit.SECONDS).openSession(responses);
  }

  /** Asks a hospital for its own statements, and verifies them. */
  static RecordSession.AddressedHospital address(ManagedChannel channel, String hospitalId, Home home) {
    GetHospitalRequest request = GetHospitalRequest.getDefaultInstance();
    GetHospitalResponse answer =
        Rules.check(Calls.repeated(() -> Calls.timed(RecordServiceGrpc.newBlockingStub(channel)).getHospital(request)));
    long now = System.currentTimeMillis();
    Verifier verifier = home.verifier(now);
    VerifiedParty party = verifier.party(answer.getKeyStatement(), Role.ROLE_HOSPITAL, now);
    boolean addressed = party.identity().equals(hospitalId);
    require(addressed, "IDENTITY_MISMATCH", "another hospital answers than the one addressed");
    EncryptionKey key = verifier.encryptionKey(answer.getEncryptionKeyStatement(), party, now);
    return new RecordSession.AddressedHospital(party, key);
  }

  /** Opens the session: D3, H1. */
  RecordSession.Established open(
      Home home, RecordSession.AddressedHospital hospital, RecordSession.Intent intent, Entropy entropy) {
    long now = System.currentTimeMillis();
    RecordSession.AwaitingReply awaiting = RecordSession.begin(home.party(now), hospital, intent, now, entropy);
    requests.onNext(OpenSessionRequest.newBuilder().setOpening(awaiting.opening()).build());
    OpenSessionResponse response = next();
    require(response.hasReply(), "OUT_OF_ORDER", "the hospital does not begin with its reply");
    long then = System.currentTimeMillis();
    return awaiting.receive(response.getReply(), home.verifier(then), then);
  }

  void send(SessionFrame frame) {
    requests.onNext(OpenSessionRequest.newBuilder().setFrame(frame).build());
  }

  SessionFrame receive() {
    OpenSessionResponse response = next();
    require(response.hasFrame(), "OUT_OF_ORDER", "the hospital sends something else than a frame");
    return response.getFrame();
  }

  @Override
  public void close() {
    requests.onCompleted();
  }

  private OpenSessionResponse next() {
    Object said;
    try {
      said = heard.poll(SILENCE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(error);
    }
    if (said instanceof OpenSessionResponse response) {
      return response;
    }
    if (said instanceof StatusRuntimeException error) {
      throw Calls.refusalOf(error);
    }
    if (said == Ended.COMPLETED) {
      throw new Refusal("RECORD_CUT_SHORT", "the hospital ended the session before its last message");
    }
    throw new Refusal("UNAVAILABLE", "the hospital fell silent in the middle of a session");
  }
}
