package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Grants;
import example.medunion.client.protocol.PatientSide;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Statements;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** The patient's client: a visit to the doctor of a code, and its diagnosis. */
public final class PatientClient {
  /** How long a doctor has to answer P1: the message is stale after 30 seconds, and clocks differ. */
  private static final Duration REPLY = Duration.ofSeconds(45);

  private static final Duration DIAGNOSIS = Duration.ofMinutes(10);

  private final Home home;
  private final Entropy entropy;

  public PatientClient(Home home, Entropy entropy) {
    this.home = home;
    this.entropy = entropy;
  }

  /** What a visit gave: the diagnosis is a FHIR DiagnosticReport that the doctor signed. */
  public record Visit(String doctorId, ByteString grantId, byte[] diagnosis) {}

  /** Visits the doctor of a code: P1, D1, P2 with a grant on these terms, D5, P6. */
  public Visit visit(DoctorCode code, byte[] biometricPassword, byte[] biosignal, Grants.Terms terms) {
    ManagedChannel channel = Calls.channel(code.address(), code.hospitalId(), home.bundle());
    try {
      Mailbox mailbox = new Mailbox(channel, code.roomId(), Direction.DIRECTION_TO_DOCTOR);
      return visit(mailbox, code, biometricPassword, biosignal, terms);
    } finally {
      channel.shutdownNow();
    }
  }

  private Visit visit(Mailbox mailbox, DoctorCode code, byte[] password, byte[] biosignal, Grants.Terms terms) {
    GetRoomResponse room = mailbox.room();
    if (!Upkeep.refresh(home)) {
      // The relay hands on lists that the cloud signed.
      home.learn(home.bundle(), room.getRevocationList(), List.of(room.getCertificateRevocationList()));
    }
    long now = System.currentTimeMillis();
    PatientSide.AddressedDoctor doctor = PatientSide.checkRoom(room, code.digest(), home.verifier(now), now);
    PatientSide.AwaitingReply awaiting = PatientSide.begin(home.party(now), doctor, password, now, entropy);
    mailbox.put(RelayFrame.newBuilder().setOpening(awaiting.opening()).build());
    PatientSide.Established established = await(mailbox, awaiting.sessionId(), REPLY, frame -> reply(awaiting, frame));
    String doctorId = doctor.party().identity();
    long then = System.currentTimeMillis();
    SignedStatement grant = Grants.make(established.patient(), doctorId, doctor.certificate(), terms, then, entropy);
    PatientSide.AwaitingDiagnosis waiting = established.deliver(biosignal, grant, System.currentTimeMillis());
    waiting.frames().forEach(frame -> mailbox.put(RelayFrame.newBuilder().setFrame(frame).build()));
    PatientSide.Diagnosed diagnosed =
        await(mailbox, awaiting.sessionId(), DIAGNOSIS, frame -> diagnosis(waiting, frame));
    SessionFrame receipt = diagnosed.receipt(System.currentTimeMillis());
    mailbox.put(RelayFrame.newBuilder().setFrame(receipt).build());
    ByteString grantId = Statements.peek(Grant.getDefaultInstance(), grant).getGrantId();
    return new Visit(doctorId, grantId, diagnosed.delivery().getDiagnosis().toByteArray());
  }

  private Optional<PatientSide.Established> reply(PatientSide.AwaitingReply awaiting, RelayFrame frame) {
    if (!frame.hasReply()) {
      return Optional.empty();
    }
    long now = System.currentTimeMillis();
    return Optional.of(awaiting.receive(frame.getReply(), home.verifier(now), now));
  }

  private Optional<PatientSide.Diagnosed> diagnosis(PatientSide.AwaitingDiagnosis awaiting, RelayFrame frame) {
    if (!frame.hasFrame()) {
      return Optional.empty();
    }
    Upkeep.refresh(home);
    long now = System.currentTimeMillis();
    return Optional.of(awaiting.receive(frame.getFrame(), home.verifier(now), now));
  }

  /**
   * The first frame of this session that is accepted. What is refused is passed over: anybody with the code may put frames. The doctor's own
   * refusal ends the wait.
   */
  private static <T> T await(
      Mailbox mailbox, byte[] sessionId, Duration patience, Function<RelayFrame, Optional<T>> take) {
    Refusal[] failure = {new Refusal("NO_ANSWER", "the doctor's side did not answer in time")};
    Optional<T> accepted =
        mailbox.follow(
            patience,
            frame -> {
              if (!sessionOf(frame).equals(ByteString.copyFrom(sessionId))) {
                return Optional.empty();
              }
              boolean refused = frame.hasRefusal();
              Refusal.require(!refused, "REFUSED_BY_PEER", "the doctor's side refused, and does not say why");
              try {
                return take.apply(frame);
              } catch (Refusal refusal) {
                failure[0] = refusal;
                return Optional.empty();
              }
            });
    return accepted.orElseThrow(() -> failure[0]);
  }

  private static ByteString sessionOf(RelayFrame frame) {
    return switch (frame.getContentCase()) {
      case OPENING -> frame.getOpening().getSessionId();
      case REPLY -> frame.getReply().getSessionId();
      case FRAME -> frame.getFrame().getSessionId();
      case REFUSAL -> frame.getRefusal().getSessionId();
      case CONTENT_NOT_SET -> ByteString.EMPTY;
    };
  }
}
