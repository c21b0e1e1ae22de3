package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements;
import example.medunion.client.protocol.Consultation;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.PatientSide;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.client.protocol.ToldLog;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.Consent;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.GetRoomResponse;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/** The patient's client: a look at the doctor of a code, a visit and its diagnosis; one's own records. */
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

  /** What a visit consents to: for whom, and on which terms. */
  public record Offer(Access.Grantee grantee, AccessStatements.Terms terms) {}

  /** Looks at the doctor of a code, and where that doctor is on duty. Nothing of the patient goes out. */
  public RoomView look(DoctorCode code) {
    return inRoom(code, mailbox -> view(mailbox, code));
  }

  /**
   * Visits the doctor who was looked at: P1, D1, P2 with this consent, null for none, D5, P6. Gives the diagnosis, a FHIR DiagnosticReport
   * that the doctor signed; after it, what amended it while the patient stayed so long, the newest last. The consent is kept before anybody
   * has it, so it stands even if nothing comes of the visit.
   */
  public List<byte[]> visit(
      RoomView view, byte[] biometricPassword, byte[] biosignal, Offer offer, Duration stay) {
    return inRoom(view.code(), mailbox -> visit(mailbox, view, biometricPassword, biosignal, offer, stay));
  }

  /** Asks the public cloud where one's own records are. */
  public List<Search.RecordLocation> findRecords() {
    try (Cloud cloud = new Cloud(home)) {
      return cloud.search(home, Access.ANY, ShownAccess.own(home.identity()), entropy, tell);
    }
  }

  /** Fetches one's own records, all together of at most so many bytes. What can't be had stops nothing else. */
  public List<FetchedRecord> fetchRecords(
      List<Search.RecordLocation> locations, long mostBytes, RecordFetcher.Fetching fetching) {
    return fetcher().fetch(() -> ShownAccess.own(home.identity()), locations, mostBytes, fetching);
  }

  /** Asks the public cloud who asked for one's own records: the newest first. */
  public ToldLog accessesAtCloud() {
    try (Cloud cloud = new Cloud(home)) {
      return cloud.log(home, ShownAccess.own(home.identity()), entropy, tell);
    }
  }

  /** Asks a hospital that has records the same, every page. */
  public ToldLog accessesAt(Search.RecordLocation location) {
    return fetcher().log(ShownAccess.own(home.identity()), location, tell);
  }

  private RecordFetcher fetcher() {
    CurrentLists lists = new CurrentLists(this::refresh, System::nanoTime);
    Supplier<Verifier> verifier =
        () -> {
          lists.need();
          return home.verifier(System.currentTimeMillis());
        };
    return new RecordFetcher(home, verifier, entropy);
  }

  private <T> T inRoom(DoctorCode code, Function<Mailbox, T> step) {
    ManagedChannel channel = home.hospitalChannel(code.address(), code.hospitalId());
    try {
      return step.apply(new Mailbox(channel, code.roomId(), Direction.DIRECTION_TO_DOCTOR));
    } finally {
      channel.shutdownNow();
    }
  }

  private RoomView view(Mailbox mailbox, DoctorCode code) {
    GetRoomResponse room = mailbox.room();
    Maintenance.refresh(home);
    // The relay hands on what the cloud signed, and that of one authority.
    home.hear(room.getRevocations().toBuilder().addCertificateRevocationLists(room.getCertificateRevocationList()).build());
    long now = System.currentTimeMillis();
    Verifier verifier = home.verifier(now);
    Handshake.Peer doctor = PatientSide.checkRoom(room, code.digest(), verifier, now);
    return new RoomView(code, doctor, PatientSide.checkDuty(room, doctor, code.hospitalId(), verifier, now));
  }

  private List<byte[]> visit(
      Mailbox mailbox, RoomView shown, byte[] password, byte[] biosignal, Offer offer, Duration stay) {
    RoomView view = view(mailbox, shown.code());
    view.requireSame(shown);
    long now = System.currentTimeMillis();
    Handshake.Peer doctor = view.doctor();
    Handshake.AwaitingReply<PatientSide.Established> awaiting = PatientSide.begin(home.party(now), doctor, password, now, entropy);
    mailbox.put(RelayFrame.newBuilder().setOpening(awaiting.opening()).build());
    PatientSide.Established established = await(mailbox, awaiting.sessionId(), REPLY, frame -> reply(awaiting, frame));
    ShownAccess consent = consent(established.session().own(), offer);
    PatientSide.AwaitingDiagnosis waiting = established.deliver(biosignal, consent, System.currentTimeMillis());
    waiting.frames().forEach(frame -> mailbox.put(RelayFrame.newBuilder().setFrame(frame).build()));
    PatientSide.Diagnosed diagnosed = await(mailbox, awaiting.sessionId(), DIAGNOSIS, diagnoses(waiting));
    List<PatientSide.Diagnosed> all =
        acknowledged(
            diagnosed,
            told -> acknowledge(mailbox, told),
            state -> stay.isZero() ? Optional.empty() : amendment(mailbox, awaiting.sessionId(), state, stay));
    return all.stream().map(told -> told.delivery().getDiagnosis().toByteArray()).toList();
  }

  /** Answers a diagnosis, and each that amends the one before it as long as there is one. None has to come. */
  static <D, S> List<D> acknowledged(
      D first, Function<D, Optional<S>> acknowledge, Function<S, Optional<D>> next) {
    List<D> all = new ArrayList<>();
    Optional<D> diagnosed = Optional.of(first);
    while (diagnosed.isPresent()) {
      all.add(diagnosed.get());
      diagnosed = acknowledge.apply(diagnosed.get()).flatMap(next);
    }
    return all;
  }

  private Optional<PatientSide.Diagnosed> amendment(
      Mailbox mailbox, byte[] sessionId, PatientSide.AwaitingDiagnosis state, Duration stay) {
    try {
      return Optional.of(await(mailbox, sessionId, stay, diagnoses(state)));
    } catch (Refusal refusal) {
      if (!List.of("NO_ANSWER", "NO_SUCH_ROOM").contains(refusal.preciseReason())) {
        tell.accept("What may have amended the diagnosis was not taken: " + refusal.plain());
      }
      return Optional.empty();
    }
  }

  private ShownAccess consent(Party patient, Offer offer) {
    if (offer == null) {
      return ShownAccess.byConsent(patient.identity(), null, null);
    }
    long now = System.currentTimeMillis();
    SignedStatement grant =
        AccessStatements.makeGrant(patient, offer.grantee(), offer.terms(), null, now, entropy);
    home.keepGrant(grant);
    Consent consent =
        Consent.newBuilder().setGrant(grant).setKeyStatement(patient.self().keyStatement()).build();
    return ShownAccess.byConsent(patient.identity(), consent, null);
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
      tell.accept("The public cloud's answer was not taken: " + refusal.plain());
      return false;
    }
  }

  /**
   * Sends P6, and gives the state that takes an amendment; none if P6 could not be made. It is a courtesy: the room may be gone by now, and the
   * diagnosis holds without it.
   */
  private Optional<PatientSide.AwaitingDiagnosis> acknowledge(Mailbox mailbox, PatientSide.Diagnosed diagnosed) {
    Optional<PatientSide.AwaitingDiagnosis> following = Optional.empty();
    try {
      PatientSide.Acknowledged acknowledged = diagnosed.receipt(System.currentTimeMillis());
      following = Optional.of(acknowledged.following());
      mailbox.put(RelayFrame.newBuilder().setFrame(acknowledged.frame()).build());
    } catch (Refusal refusal) {
      tell.accept("The receipt could not be sent: " + refusal.plain());
    }
    return following;
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
