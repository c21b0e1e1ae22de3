package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Consultation;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Grants;
import example.medunion.client.protocol.Handshake;
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
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/** The patient's client: a visit to the doctor of a code, and its diagnosis. */
public final class PatientClient {
  /** How long a doctor has to answer P1: the message is stale after 30 seconds, and clocks differ. */
  private static final Duration REPLY = Duration.ofSeconds(45);

  /** A diagnosis may come as long as the consultation lives. */
  private static final Duration DIAGNOSIS = Duration.ofMillis(Consultation.LIFE);

  private final Home home;
  private final Entropy entropy;
  private final Consumer<String> tell;

  public PatientClient(Home home, Entropy entropy, Consumer<String> tell) {
    this.home = home;
    this.entropy = entropy;
    this.tell = tell;
  }

  /** What a visit gave: the diagnosis is a FHIR DiagnosticReport that the doctor signed. */
  public record Visit(String doctorId, ByteString grantId, byte[] diagnosis) {}

  /** Visits the doctor of a code: P1, D1, P2 with a grant on these terms, D5, P6. */
  public Visit visit(DoctorCode code, byte[] biometricPassword, byte[] biosignal, Grants.Terms terms) {
    ManagedChannel channel = home.channel(code.address(), code.hospitalId());
    try {
      Mailbox mailbox = new Mailbox(channel, code.roomId(), Direction.DIRECTION_TO_DOCTOR);
      return visit(mailbox, code, biometricPassword, biosignal, terms);
    } finally {
      channel.shutdownNow();
    }
  }

  private Visit visit(Mailbox mailbox, DoctorCode code, byte[] password, byte[] biosignal, Grants.Terms terms) {
    GetRoomResponse room = mailbox.room();
    if (!Maintenance.refresh(home)) {
      // The relay hands on lists that the cloud signed.
      home.learnFromRelay(room.getRevocationList(), room.getCertificateRevocationList());
    }
    long now = System.currentTimeMillis();
    Handshake.Peer doctor = PatientSide.checkRoom(room, code.digest(), home.verifier(now), now);
    Handshake.AwaitingReply<PatientSide.Established> awaiting = PatientSide.begin(home.party(now), doctor, password, now, entropy);
    mailbox.put(RelayFrame.newBuilder().setOpening(awaiting.opening()).build());
    PatientSide.Established established = await(mailbox, awaiting.sessionId(), REPLY, frame -> reply(awaiting, frame));
    long then = System.currentTimeMillis();
    SignedStatement grant = Grants.make(established.session().own(), doctor, terms, then, entropy);
    PatientSide.AwaitingDiagnosis waiting = established.deliver(biosignal, grant, System.currentTimeMillis());
    waiting.frames().forEach(frame -> mailbox.put(RelayFrame.newBuilder().setFrame(frame).build()));
    PatientSide.Diagnosed diagnosed = await(mailbox, awaiting.sessionId(), DIAGNOSIS, diagnoses(waiting));
    acknowledge(mailbox, diagnosed);
    ByteString grantId = Statements.peek(Grant.getDefaultInstance(), grant).getGrantId();
    return new Visit(doctor.identity(), grantId, diagnosed.delivery().getDiagnosis().toByteArray());
  }

  private Optional<PatientSide.Established> reply(Handshake.AwaitingReply<PatientSide.Established> awaiting, RelayFrame frame) {
    if (!frame.hasReply()) {
      return Optional.empty();
    }
    long now = System.currentTimeMillis();
    return Optional.of(awaiting.receive(frame.getReply(), home.verifier(now), now));
  }

  /** How D5 is taken. The doctor may have been revoked meanwhile, so by newer lists; those at hand decide where there are none. */
  private Function<RelayFrame, Optional<PatientSide.Diagnosed>> diagnoses(PatientSide.AwaitingDiagnosis awaiting) {
    CurrentLists lists = new CurrentLists(this::refresh, System::nanoTime);
    long end = System.nanoTime() + DIAGNOSIS.toNanos();
    return frame -> {
      if (!frame.hasFrame()) {
        return Optional.empty();
      }
      lists.need();
      return Optional.of(
          held(
              () -> {
                long now = System.currentTimeMillis();
                return awaiting.receive(frame.getFrame(), home.verifier(now), now);
              },
              lists,
              Duration.ofNanos(end - System.nanoTime())));
    };
  }

  /**
   * Takes a frame, and holds on to it while nothing but the age of the lists at hand speaks against it: it comes once, and the cloud is back
   * some time. Only the doctor's own frame gets as far as that.
   */
  static <T> T held(Supplier<T> take, CurrentLists lists, Duration patience) {
    long end = System.nanoTime() + patience.toNanos();
    for (Duration pause = Calls.FIRST_PAUSE; ; pause = Calls.shorter(pause.multipliedBy(2), Calls.LONGEST_PAUSE)) {
      try {
        return take.get();
      } catch (Refusal refusal) {
        if (!Calls.RUN_OUT.contains(refusal.preciseReason()) || System.nanoTime() > end) {
          throw refusal;
        }
        Calls.pause(pause);
        lists.renew();
      }
    }
  }

  /** What is wrong with the cloud's answer is no reason to lose a diagnosis: the lists at hand decide. */
  private boolean refresh() {
    try {
      return Maintenance.refresh(home);
    } catch (Refusal refusal) {
      tell.accept("The public cloud's answer was not taken: " + refusal.getMessage());
      return false;
    }
  }

  /** Sends P6. It is a courtesy: the room may be gone by now, and the diagnosis holds without it. */
  private void acknowledge(Mailbox mailbox, PatientSide.Diagnosed diagnosed) {
    try {
      SessionFrame receipt = diagnosed.receipt(System.currentTimeMillis());
      mailbox.put(RelayFrame.newBuilder().setFrame(receipt).build());
    } catch (Refusal refusal) {
      tell.accept("The receipt could not be sent: " + refusal.getMessage());
    }
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
                if (refusal.isOwnFault()) {
                  throw refusal;
                }
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
