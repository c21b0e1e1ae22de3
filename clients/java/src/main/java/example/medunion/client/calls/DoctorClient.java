package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.CloseRoomRequest;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.GetDutyRequest;
import example.medunion.federation.v1.GetDutyResponse;
import example.medunion.federation.v1.OpenRoomRequest;
import example.medunion.federation.v1.OpenRoomResponse;
import example.medunion.federation.v1.RecordServiceGrpc;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.RelayServiceGrpc;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SessionRefusal;
import example.medunion.federation.v1.ShownDuty;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** The doctor's client: a room for a patient, a search, records, a diagnosis, its deposit. Close it. */
public final class DoctorClient implements AutoCloseable {
  private static final Duration ROOM = Duration.ofHours(12);
  private static final Duration REFUSAL_FLOOR = Duration.ofMillis(50);

  /** When D1 leaves, from P1 on: how long a signature took must not tell how long its nonce was. */
  private static final Duration ANSWER_STEP = Duration.ofMillis(20);
  private static final int MOST_SESSIONS = 8;

  /** How many milliseconds a duty has to hold yet to be shown: what it is shown for takes its time. */
  private static final long DUTY_LEFT = 60_000;

  private final Home home;
  private final CurrentLists lists;
  private final Entropy entropy;
  private final String hospitalId;
  private final String departmentClass;
  private final ManagedChannel channel;
  // Who opened the room closes it: hours later no list may be at hand by which it could be checked anew.
  private final Party opener;
  private final DoctorCode code;
  private final Mailbox mailbox;
  private final CurrentDuty duty;
  private final Map<ByteString, DoctorSide.AwaitingBiosignal> sessions = new LinkedHashMap<>();
  // The newest D5 lies in the room, and no P6 has answered that.
  private boolean isNeeded;

  private DoctorClient(Home home, String hospitalId, String address, String departmentClass, Entropy entropy) {
    this.home = home;
    this.lists = new CurrentLists(() -> Maintenance.refresh(home), System::nanoTime);
    this.entropy = entropy;
    this.hospitalId = hospitalId;
    this.departmentClass = departmentClass;
    lists.need();
    List<String> published = home.bundle().content().getDepartmentClassesList();
    Refusal.require(
        published.contains(departmentClass), "FIELD_INVALID", "the federation has the departments " + String.join(", ", published));
    this.channel = home.hospitalChannel(address, hospitalId);
    long now = System.currentTimeMillis();
    if (!home.holdsCurrentList(now)) {
      home.shards().hearBeside();
    }
    this.opener = home.party(now);
    OpenRoomRequest request = DoctorSide.askForRoom(opener, hospitalId, now, entropy);
    OpenRoomResponse room =
        Rules.checkOuter(Calls.call(() -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).openRoom(request)));
    byte[] roomId = room.getRoomId().toByteArray();
    this.code = new DoctorCode(address, hospitalId, roomId, DoctorSide.codeDigest(opener));
    this.mailbox = new Mailbox(channel, roomId, Direction.DIRECTION_TO_PATIENT);
    home.hear(room.getRevocations());
    this.duty = new CurrentDuty(checked(room.getDuty()), this::holds, this::askForDuty);
  }

  /** Opens a room at the relay of the doctor's hospital, in whose department of that class the encounter is kept. Without the cloud the kept lists do, as long as they are current. */
  public static DoctorClient open(
      Home home, String hospitalId, String address, String departmentClass, Entropy entropy) {
    return new DoctorClient(home, hospitalId, address, departmentClass, entropy);
  }

  /** The code, for the patient. */
  public DoctorCode code() {
    return code;
  }

  /** Where the doctor is on duty, as the patient is shown. */
  public Access.Duty duty() {
    return AccessStatements.peekDuty(duty.get());
  }

  /** Answers who asks in the room until one patient is present: P1, D1, P2. Who is refused hears that, and nothing else. */
  public DoctorSide.InConsultation awaitPatient(Consumer<String> refused) {
    return mailbox
        .<DoctorSide.InConsultation>follow(
            ROOM,
            frame -> {
              long began = System.nanoTime();
              try {
                if (frame.hasOpening()) {
                  answer(frame.getOpening());
                }
                return frame.hasFrame() ? take(frame.getFrame()) : Optional.empty();
              } catch (Refusal refusal) {
                if (refusal.isOwnFault()) {
                  throw refusal; // whoever asks next fares no better
                }
                refused.accept(refusal.preciseReason());
                ByteString session = frame.hasOpening() ? frame.getOpening().getSessionId() : frame.getFrame().getSessionId();
                refuse(session, began);
                return Optional.empty();
              }
            })
        .orElseThrow(() -> new Refusal("NO_ANSWER", "no patient came to the room in time"));
  }

  /**
   * Asks the public cloud where the patient's records are, in all classes that the access covers; it has to allow INDEX. Where it does not
   * answer, and only then, what the patient brought takes its place, and that is told.
   */
  public List<Search.RecordLocation> search(DoctorSide.InConsultation consultation, Consumer<String> tell) {
    Access.Grant grant = consultation.shown().claimedGrant().orElseThrow();
    List<String> classes = grant.departmentClasses();
    List<Search.RecordLocation> locations = new ArrayList<>();
    try (Cloud cloud = new Cloud(home)) {
      for (String name : classes.contains("*") ? List.of("*") : classes) {
        locations.addAll(cloud.search(home, name, consultation.shown(duty.get()), entropy, tell));
      }
      return locations;
    } catch (Refusal refusal) {
      if (!refusal.reason().equals("UNAVAILABLE") || consultation.places().isEmpty()) {
        throw refusal;
      }
    }
    return new Brought(home, grant, tell).locations(consultation.places().get(), consultation.patientId());
  }

  /** Fetches what these locations hold, all together of at most so many bytes. What can't be had stops nothing else. */
  public List<FetchedRecord> fetch(
      DoctorSide.InConsultation consultation,
      List<Search.RecordLocation> locations,
      long mostBytes,
      RecordFetcher.Fetching fetching) {
    return new RecordFetcher(home, this::verifier, entropy)
        .fetch(() -> consultation.shown(duty.get()), locations, mostBytes, fetching);
  }

  /** Signs and sends the diagnosis, which rests on these records: D5. */
  public DoctorSide.AwaitingReceipt diagnose(
      DoctorSide.InConsultation consultation, byte[] report, List<FetchedRecord> records) {
    return sent(consultation.diagnose(report, signatures(records), System.currentTimeMillis()));
  }

  /** Signs and sends what takes the place of a diagnosis, the newest of its consultation: a further D5. */
  public DoctorSide.AwaitingReceipt amend(
      DoctorSide.AwaitingReceipt diagnosed, byte[] report, List<FetchedRecord> records) {
    return sent(diagnosed.amend(report, signatures(records), System.currentTimeMillis()));
  }

  private static List<ByteString> signatures(List<FetchedRecord> records) {
    return records.stream().map(record -> record.end().getSignature()).toList();
  }

  private DoctorSide.AwaitingReceipt sent(DoctorSide.AwaitingReceipt awaiting) {
    isNeeded = true;
    mailbox.put(RelayFrame.newBuilder().setFrame(awaiting.frame()).build());
    return awaiting;
  }

  /** Waits so long for the patient's receipt, P6: it is the patient's to give. */
  public boolean awaitReceipt(DoctorSide.AwaitingReceipt awaiting, Duration patience) {
    return mailbox
        .<Boolean>follow(
            patience,
            frame -> {
              try {
                if (frame.hasFrame()) {
                  awaiting.receive(frame.getFrame(), System.currentTimeMillis());
                  isNeeded = false;
                  return Optional.of(true);
                }
              } catch (Refusal refusal) {
                return Optional.empty(); // not the patient's: anybody with the code may put frames
              }
              return Optional.empty();
            })
        .orElse(false);
  }

  /** Deposits the encounter at the doctor's own hospital: STO, STOACK. Gives the handle that the hospital signed for. */
  public ByteString deposit(DoctorSide.AwaitingReceipt diagnosed) {
    return new Encounter(diagnosed, duty.get(), departmentClass, System.currentTimeMillis(), entropy)
        .deposit(home, channel, hospitalId, entropy);
  }

  /**
   * Closes the room, unless a diagnosis lies in it that the patient has not signed for: that one goes by itself, hours later, as does a room
   * whose relay does not answer now.
   */
  @Override
  public void close() {
    try {
      if (!isNeeded) {
        closeRoom();
      }
    } catch (Refusal refusal) {
      // The room goes by itself, and nothing that was done depends on it.
    } finally {
      channel.shutdownNow();
    }
  }

  private void closeRoom() {
    CloseRoomRequest request = DoctorSide.askToClose(opener, hospitalId, code.roomId());
    Calls.call(() -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).closeRoom(request));
  }

  private void answer(SealedOpening opening) {
    if (sessions.containsKey(opening.getSessionId())) {
      return;
    }
    long heard = System.nanoTime();
    lists.need();
    long now = System.currentTimeMillis();
    Handshake.Pending<Handshake.ReceivedOpening<DoctorSide.AwaitingBiosignal>> pending =
        DoctorSide.receiveOpening(home.party(now), opening, home.verifier(now), now);
    boolean inserted = home.admit(pending.replayKey(), now, pending.keepUntil());
    DoctorSide.AwaitingBiosignal awaiting = pending.admit(inserted).reply(System.currentTimeMillis(), entropy);
    if (sessions.size() >= MOST_SESSIONS) {
      sessions.remove(sessions.keySet().iterator().next());
    }
    sessions.put(opening.getSessionId(), awaiting);
    Calls.pause(untilNext(ANSWER_STEP, heard));
    mailbox.put(RelayFrame.newBuilder().setReply(awaiting.reply()).build());
  }

  private boolean holds(Access.Duty stated) {
    long now = System.currentTimeMillis();
    boolean revoked = home.verifier(now).lists().isRevoked("duty", stated.hospitalId(), stated.id());
    return !revoked && now + DUTY_LEFT < stated.validity().notAfter();
  }

  private ShownDuty askForDuty() {
    long now = System.currentTimeMillis();
    GetDutyRequest request = DoctorSide.askForDuty(home.party(now), hospitalId, now, entropy);
    GetDutyResponse answer =
        Rules.checkOuter(Calls.call(() -> Calls.timed(RecordServiceGrpc.newBlockingStub(channel)).getDuty(request)));
    home.hear(answer.getRevocations());
    return checked(answer.getDuty());
  }

  /** What the hospital states, if it is this doctor's duty there. */
  private ShownDuty checked(ShownDuty stated) {
    long now = System.currentTimeMillis();
    ShownAccess.requireOnDuty(stated, opener.self(), hospitalId, home.verifier(now), now);
    return stated;
  }

  /** By the lists of now: rooms are open, and records on their way, for long. */
  private Verifier verifier() {
    lists.need();
    return home.verifier(System.currentTimeMillis());
  }

  /** Takes a frame of P2; the last one makes the patient present. One that does not open is somebody else's: passed over. */
  private Optional<DoctorSide.InConsultation> take(SessionFrame frame) {
    DoctorSide.AwaitingBiosignal session = sessions.get(frame.getSessionId());
    if (session == null) {
      return Optional.empty();
    }
    try {
      return session.receive(frame, this::verifier, duty.get(), System.currentTimeMillis());
    } catch (Refusal refusal) {
      if (List.of("SEAL_INVALID", "OUT_OF_ORDER").contains(refusal.preciseReason())) {
        return Optional.empty();
      }
      sessions.remove(frame.getSessionId());
      throw refusal;
    }
  }

  private static Duration untilNext(Duration step, long began) {
    return step.minusNanos((System.nanoTime() - began) % step.toNanos());
  }

  /** Says no, not before a fixed floor, nor between its multiples (B9): how long it took tells what was found. */
  private void refuse(ByteString sessionId, long began) {
    if (sessionId.size() == 16) {
      Calls.pause(untilNext(REFUSAL_FLOOR, began));
      SessionRefusal refusal =
          SessionRefusal.newBuilder().setSessionId(sessionId).setSentAt(System.currentTimeMillis()).build();
      mailbox.put(RelayFrame.newBuilder().setRefusal(refusal).build());
    }
  }
}
