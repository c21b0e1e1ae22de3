package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.ReplayMemory;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Transcript;
import example.medunion.federation.v1.BiosignalDelivery;
import example.medunion.federation.v1.CloseRoomRequest;
import example.medunion.federation.v1.Deposit;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.Direction;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.OpenRoomRequest;
import example.medunion.federation.v1.OpenRoomResponse;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RelayFrame;
import example.medunion.federation.v1.RelayServiceGrpc;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SessionRefusal;
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
  private static final int MOST_SESSIONS = 8;

  private final Home home;
  private final CurrentLists lists;
  private final Entropy entropy;
  private final String hospitalId;
  private final String address;
  private final ManagedChannel channel;
  private final DoctorCode code;
  private final Mailbox mailbox;
  // As long as the room lives: a P1 of another room is for another key.
  private final ReplayMemory replay = new ReplayMemory();
  private final Map<ByteString, DoctorSide.AwaitingBiosignal> sessions = new LinkedHashMap<>();
  // A D5 lies in the room that no P6 has answered.
  private boolean isNeeded;

  private DoctorClient(Home home, Entropy entropy, String hospitalId, String address) {
    this.home = home;
    this.lists = new CurrentLists(() -> Upkeep.refresh(home), System::nanoTime);
    this.entropy = entropy;
    this.hospitalId = hospitalId;
    this.address = address;
    lists.need();
    this.channel = Calls.channel(address, hospitalId, home.bundle());
    long now = System.currentTimeMillis();
    Party party = home.party(now);
    OpenRoomRequest request = DoctorSide.askForRoom(party, hospitalId, now, entropy);
    OpenRoomResponse room =
        Rules.check(Calls.call(() -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).openRoom(request)));
    byte[] roomId = room.getRoomId().toByteArray();
    this.code = new DoctorCode(address, hospitalId, roomId, DoctorSide.codeDigest(party));
    this.mailbox = new Mailbox(channel, roomId, Direction.DIRECTION_TO_PATIENT);
  }

  /** Opens a room at the relay of the doctor's hospital. Without the cloud the kept lists do, as long as they are current. */
  public static DoctorClient open(Home home, String hospitalId, String address, Entropy entropy) {
    return new DoctorClient(home, entropy, hospitalId, address);
  }

  /** The code, for the patient. */
  public DoctorCode code() {
    return code;
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
                refused.accept(refusal.preciseReason());
                ByteString session = frame.hasOpening() ? frame.getOpening().getSessionId() : frame.getFrame().getSessionId();
                refuse(session, began);
                return Optional.empty();
              }
            })
        .orElseThrow(() -> new Refusal("NO_ANSWER", "no patient came to the room in time"));
  }

  /** Asks the public cloud where the patient's records are, in all classes that the grant covers. */
  public List<Search.Place> search(DoctorSide.InConsultation consultation) {
    BiosignalDelivery delivery = consultation.delivery();
    if (!delivery.hasGrant()) {
      return List.of();
    }
    Grant grant = Statements.peek(Grant.getDefaultInstance(), delivery.getGrant());
    List<String> classes = grant.getDepartmentClassesList();
    List<Search.Place> places = new ArrayList<>();
    if (grant.getRightsList().contains(Right.RIGHT_INDEX)) {
      String patientId = consultation.asked().patient().identity();
      try (Cloud cloud = new Cloud(home.bundle())) {
        for (String name : classes.contains("*") ? List.of("*") : classes) {
          var statement = consultation.asked().patient().keyStatement();
          places.addAll(cloud.search(home, patientId, name, delivery.getGrant(), statement, entropy));
        }
      }
    }
    return places;
  }

  /** Fetches what these places hold: one session for each record. */
  public List<FetchedRecord> fetch(DoctorSide.InConsultation consultation, List<Search.Place> places) {
    List<FetchedRecord> records = new ArrayList<>();
    for (Search.Place place : places) {
      Scope scope =
          Scope.newBuilder()
              .setPurpose(Purpose.PURPOSE_READ)
              .setDepartmentClass(classOf(place.departmentId()))
              .addHandles(ByteString.copyFrom(place.handle()))
              .build();
      ManagedChannel there = Calls.channel(place.address(), place.hospital().identity(), home.bundle());
      try (HospitalSession stream = new HospitalSession(there)) {
        RecordSession.AddressedHospital hospital =
            new RecordSession.AddressedHospital(place.hospital(), place.encryptionKey());
        records.add(FetchedRecord.fetch(stream, stream.open(home, hospital, intent(consultation, scope), entropy)));
      } finally {
        there.shutdownNow();
      }
    }
    return records;
  }

  /** Signs and sends the diagnosis, which rests on these records: D5. */
  public DoctorSide.AwaitingReceipt diagnose(
      DoctorSide.InConsultation consultation, byte[] report, List<FetchedRecord> records) {
    List<ByteString> signatures = records.stream().map(record -> record.end().getSignature()).toList();
    DoctorSide.AwaitingReceipt awaiting = consultation.diagnose(report, signatures, System.currentTimeMillis());
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
  public ByteString deposit(DoctorSide.AwaitingReceipt diagnosed, String departmentClass) {
    DoctorSide.InConsultation consultation = diagnosed.consultation();
    Scope scope = Scope.newBuilder().setPurpose(Purpose.PURPOSE_STORE).setDepartmentClass(departmentClass).build();
    RecordSession.Intent intent = intent(consultation, scope);
    RecordSession.AddressedHospital hospital = HospitalSession.address(channel, hospitalId, home);
    try (HospitalSession stream = new HospitalSession(channel)) {
      RecordSession.Established session = stream.open(home, hospital, intent, entropy);
      byte[] diagnosis = diagnosed.diagnosis().getDiagnosis().toByteArray();
      RecordSession.AwaitingDeposit awaiting =
          session.deposit(consultation.biosignal(), diagnosis, depositOf(diagnosed, intent));
      awaiting.frames().forEach(stream::send);
      return awaiting.receive(stream.receive()).getHandle();
    }
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
    Party party = home.party(System.currentTimeMillis());
    CloseRoomRequest request = DoctorSide.askToClose(party, hospitalId, code.roomId());
    Calls.call(() -> Calls.timed(RelayServiceGrpc.newBlockingStub(channel)).closeRoom(request));
  }

  private void answer(SealedOpening opening) {
    if (sessions.containsKey(opening.getSessionId())) {
      return;
    }
    lists.need();
    long now = System.currentTimeMillis();
    DoctorSide.Asked asked = DoctorSide.receive(home.party(now), opening, home.verifier(now), now);
    replay.admit(asked.replayKey());
    DoctorSide.AwaitingBiosignal awaiting = asked.reply(System.currentTimeMillis(), entropy);
    if (sessions.size() >= MOST_SESSIONS) {
      sessions.remove(sessions.keySet().iterator().next());
    }
    sessions.put(opening.getSessionId(), awaiting);
    mailbox.put(RelayFrame.newBuilder().setReply(awaiting.reply()).build());
  }

  /** Takes a frame of P2; the last one makes the patient present. One that does not open is somebody else's: passed over. */
  private Optional<DoctorSide.InConsultation> take(SessionFrame frame) {
    DoctorSide.AwaitingBiosignal session = sessions.get(frame.getSessionId());
    if (session == null) {
      return Optional.empty();
    }
    try {
      return session.receive(frame, System.currentTimeMillis());
    } catch (Refusal refusal) {
      if (List.of("SEAL_INVALID", "OUT_OF_ORDER").contains(refusal.preciseReason())) {
        return Optional.empty();
      }
      sessions.remove(frame.getSessionId());
      throw refusal;
    }
  }

  /** Says no, not before a fixed floor (B9). */
  private void refuse(ByteString sessionId, long began) {
    if (sessionId.size() == 16) {
      Duration passed = Duration.ofNanos(System.nanoTime() - began);
      Duration left = REFUSAL_FLOOR.minus(passed);
      Calls.pause(left.isNegative() ? Duration.ZERO : left);
      SessionRefusal refusal =
          SessionRefusal.newBuilder().setSessionId(sessionId).setSentAt(System.currentTimeMillis()).build();
      mailbox.put(RelayFrame.newBuilder().setRefusal(refusal).build());
    }
  }

  private RecordSession.Intent intent(DoctorSide.InConsultation consultation, Scope scope) {
    BiosignalDelivery delivery = consultation.delivery();
    Refusal.require(delivery.hasGrant(), "GRANT_MISSING", "the patient gave no consent");
    var patient = consultation.asked().patient();
    return new RecordSession.Intent(
        patient.identity(), scope, delivery.getGrant(), patient.keyStatement(), entropy.draw(32));
  }

  private static Deposit depositOf(DoctorSide.AwaitingReceipt diagnosed, RecordSession.Intent intent) {
    DoctorSide.InConsultation consultation = diagnosed.consultation();
    BiosignalDelivery delivery = consultation.delivery();
    DiagnosisDelivery diagnosis = diagnosed.diagnosis();
    return Deposit.newBuilder()
        .setPatientId(intent.patientId())
        .setDoctorId(consultation.asked().doctor().identity())
        .setSentAt(System.currentTimeMillis())
        .setBlind(ByteString.copyFrom(intent.blind()))
        .setScope(intent.scope())
        .setGrant(intent.grant())
        .setPatientKeyStatement(intent.patientKeyStatement())
        .setConsultationDigest(ByteString.copyFrom(consultation.transcriptHash()))
        .setBiosignalSizeBytes(consultation.biosignal().length)
        .setBiosignalDigest(delivery.getBiosignalDigest())
        .setBiosignalGrantDigest(ByteString.copyFrom(Transcript.statementDigest("grant", intent.grant())))
        .setBiosignalSentAt(delivery.getSentAt())
        .setBiosignalSignature(delivery.getSignature())
        .setDiagnosisDigest(ByteString.copyFrom(example.medunion.client.protocol.Bytes.sha256(diagnosis.getDiagnosis())))
        .addAllBasedOn(diagnosis.getBasedOnList())
        .setDiagnosisSentAt(diagnosis.getSentAt())
        .setDiagnosisSignature(diagnosis.getSignature())
        .build();
  }

  private static String classOf(String departmentId) {
    String department = departmentId.substring(departmentId.indexOf('/') + 1);
    int local = department.indexOf('.');
    return local < 0 ? department : department.substring(0, local);
  }
}
