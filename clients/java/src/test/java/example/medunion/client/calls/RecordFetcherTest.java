package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Direction;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.SessionKeys.DirectionKeys;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.OpenSessionRequest;
import example.medunion.federation.v1.OpenSessionResponse;
import example.medunion.federation.v1.PartKind;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import example.medunion.federation.v1.RecordQuery;
import example.medunion.federation.v1.RecordServiceGrpc;
import example.medunion.federation.v1.Resumption;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SessionOutcome;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A record whose sessions break, with a hospital of which the session's keys are known. */
final class RecordFetcherTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final long NOW = CAST.get("now").getAsLong();
  private static final Verifier VERIFIER = Vectors.verifier();
  private static final SigningKey HOSPITAL = Vectors.signingKey(CAST.getAsJsonObject("parties").getAsJsonObject("hospital"));
  private static final int STEP = 512 * 1024;
  private static final int SLICE = 64 * 1024;
  private static final byte[] SESSION = new byte[16];
  private static final byte[] HASH = new byte[32];
  private static final DirectionKeys FORWARD = new DirectionKeys(filled(32, 3), filled(12, 3));
  private static final DirectionKeys BACKWARD = new DirectionKeys(filled(32, 4), filled(12, 4));
  private static final ByteString HANDLE = ByteString.copyFrom(filled(16, 2));
  private static final RecordSession.Intent INTENT =
      new RecordSession.Intent(
          ShownAccess.own("P:wang"),
          Scope.newBuilder().setPurpose(Purpose.PURPOSE_READ).setDepartmentClass("cardiology").addHandles(HANDLE).build(),
          new byte[32]);

  /** How one session goes: how much of M_EMR || zeros has gone out in all when it ends, and how it does: null for without a word. */
  private record Play(int until, StatusRuntimeException ends) {
    private static final Play WHOLE = new Play(Integer.MAX_VALUE, null);
  }

  private final Queue<Play> plays = new ArrayDeque<>();
  private final List<RecordQuery> asked = Collections.synchronizedList(new ArrayList<>());
  private final List<String> said = new ArrayList<>();
  private final List<Duration> pauses = new ArrayList<>();
  private byte[] content = record(1);
  /** What the record is after the first session. */
  private byte[] later = content;
  private LocalServer server;

  @BeforeEach
  void serve() throws IOException {
    server = new LocalServer(new Hospital());
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private static byte[] filled(int size, int with) {
    byte[] bytes = new byte[size];
    Arrays.fill(bytes, (byte) with);
    return bytes;
  }

  /** M_EMR of 3 MB, in two parts. */
  private static byte[] record(int with) {
    byte[] parts = filled(3_000_000, with);
    RecordEntry.Builder entry =
        RecordEntry.newBuilder().setHandle(HANDLE).setVersion(1).setDepartmentId("H:alpha/cardiology").setStoredAt(NOW);
    for (int size : new int[] {1_000_000, 2_000_000}) {
      entry.addParts(
          RecordPart.newBuilder()
              .setKind(PartKind.PART_KIND_ATTACHMENT)
              .setName("part")
              .setMediaType("application/octet-stream")
              .setSizeBytes(size)
              .setDigest(ByteString.copyFrom(Bytes.sha256(Arrays.copyOf(parts, size)))));
    }
    RecordManifest manifest =
        RecordManifest.newBuilder().setPatientId("P:wang").setHospitalId("H:alpha").addRecords(entry).build();
    return Bytes.concat(Transcript.field(manifest.toByteArray()), parts);
  }

  private static RecordSession.Established established() {
    JsonObject statement =
        Vectors.all("statements").stream()
            .filter(vector -> Vectors.text(vector, "name").equals("ks of the hospital"))
            .findFirst()
            .orElseThrow();
    VerifiedParty party = VERIFIER.party(Vectors.signed(statement), Role.ROLE_HOSPITAL, NOW);
    VerifiedParty own =
        new VerifiedParty(Role.ROLE_PATIENT, "P:wang", null, null, null, null, null, null, null, null, null);
    Party asker = new Party(own, null, null, null, List.of(), null, Bytes.EMPTY);
    Handshake.Peer peer = new Handshake.Peer(party, null, Bytes.EMPTY);
    Handshake.Session session = new Handshake.Session(asker, peer, SESSION, HASH, FORWARD, BACKWARD, NOW);
    return new RecordSession.Established(session, INTENT);
  }

  private FetchedRecord fetched(Play... sessions) {
    plays.addAll(List.of(sessions));
    return RecordFetcher.inSessions(
        "H:alpha",
        incoming -> {
          try (HospitalSession stream = new HospitalSession(server.channel())) {
            return FetchedRecord.fetch(
                stream, established(), () -> VERIFIER, 1L << 30, RecordSession.LogPlace.NONE, incoming, () -> NOW);
          }
        },
        said::add,
        pauses::add);
  }

  private void requireWhole(byte[] expected, FetchedRecord record) {
    assertArrayEquals(Bytes.sha256(expected), record.digest());
    assertArrayEquals(
        Arrays.copyOfRange(expected, expected.length - 3_000_000, expected.length),
        record.contents().stream().map(FetchedRecord.Content::bytes).reduce(Bytes.EMPTY, Bytes::concat));
  }

  private List<Long> offsets() {
    return asked.stream().map(query -> query.getResumption().getOffset()).toList();
  }

  private static List<Duration> seconds(int... seconds) {
    return IntStream.of(seconds).mapToObj(Duration::ofSeconds).toList();
  }

  @Test
  void recordWhoseSessionIsLostGoesOnBehindWhatCame() {
    for (StatusRuntimeException ends :
        new StatusRuntimeException[] {
          null,
          Code.UNAVAILABLE.toStatus().asRuntimeException(),
          LocalServer.refusal(Code.DEADLINE_EXCEEDED, "CALL_OVERDUE"),
          LocalServer.refusal(Code.RESOURCE_EXHAUSTED, "READER_STALLED"),
        }) {
      asked.clear();
      said.clear();
      pauses.clear();
      requireWhole(content, fetched(new Play(3 * STEP + 1, ends), Play.WHOLE));
      assertEquals(List.of(0L, 3L * STEP), offsets());
      Resumption resumption = asked.get(1).getResumption();
      int head = content.length - 3_000_000;
      assertArrayEquals(Bytes.sha256(Arrays.copyOfRange(content, 4, head)), resumption.getManifestDigest().toByteArray());
      assertEquals(List.of("The record from H:alpha broke off: 1.6 of 3.0 MB came. It goes on behind that in 1 s."), said);
      assertEquals(seconds(1), pauses);
    }
  }

  @Test
  void pausesBeginAnewWheneverMoreCameAndAfterTheLastItIsGivenUp() {
    Play again = new Play(0, null);
    Play[] sessions =
        Stream.concat(
                Stream.of(new Play(STEP, null), again, again, new Play(3 * STEP, null)),
                Collections.nCopies(RecordFetcher.BROKEN_PAUSES.size(), again).stream())
            .toArray(Play[]::new);
    assertEquals("RECORD_CUT_SHORT", assertThrows(Refusal.class, () -> fetched(sessions)).reason());
    assertEquals(seconds(1, 2, 4, 1, 2, 4, 8, 15, 30), pauses);
    assertTrue(plays.isEmpty());
  }

  @Test
  void recordOfWhichNothingCameIsNotGoneOnWith() {
    Refusal refusal = assertThrows(Refusal.class, () -> fetched(new Play(STEP - SLICE, null), Play.WHOLE));
    assertEquals("RECORD_CUT_SHORT", refusal.reason());
    assertEquals(1, plays.size());
  }

  @Test
  void recordThatWasChangedMeanwhileComesFromItsBeginning() {
    later = record(2);
    Play changed = new Play(0, LocalServer.refusal(Code.FAILED_PRECONDITION, "RECORD_CHANGED"));
    requireWhole(later, fetched(new Play(2 * STEP, null), changed, Play.WHOLE));
    assertEquals(List.of(0L, 2L * STEP, 0L), offsets());
    assertTrue(said.get(1).contains("was changed meanwhile"), said.toString());
  }

  @Test
  void refusalEndsARecordThatBroke() {
    Play revoked = new Play(0, LocalServer.refusal(Code.PERMISSION_DENIED, "GRANT_REVOKED"));
    Refusal refusal = assertThrows(Refusal.class, () -> fetched(new Play(2 * STEP, null), revoked, Play.WHOLE));
    assertEquals("GRANT_REVOKED", refusal.reason());
    assertEquals(1, plays.size());
  }

  @Test
  void recordWhoseWholeIsAnothersIsRefused() {
    later = content.clone();
    later[100_000] ^= 1; // before what the second session sends, and signed by it
    Refusal refusal = assertThrows(Refusal.class, () -> fetched(new Play(2 * STEP, null), Play.WHOLE));
    assertEquals("SIGNATURE_INVALID", refusal.preciseReason());
  }

  @Test
  void hospitalThatHasBegunAnotherEpochIsAskedForItsKeyOnce() {
    List<String> opened = new ArrayList<>();
    Supplier<String> asked = () -> "of now";
    String told =
        RecordFetcher.byKeyOfNow(
            "known",
            asked,
            key -> {
              opened.add(key);
              Refusal.require(key.equals("of now"), "UNKNOWN_KEY_ID", "sealed to a key that is not held there");
              return "the record";
            });
    assertEquals("the record", told);
    assertEquals(List.of("known", "of now"), opened);
    for (String reason : List.of("UNKNOWN_KEY_ID", "GRANT_REVOKED")) {
      Supplier<String> none = () -> "none";
      Refusal refusal =
          assertThrows(Refusal.class, () -> RecordFetcher.byKeyOfNow("known", none, key -> { throw new Refusal(reason, "no"); }));
      assertEquals(reason, refusal.reason());
    }
  }

  /** Plays one session after the other. */
  private final class Hospital extends RecordServiceGrpc.RecordServiceImplBase {
    @Override
    public StreamObserver<OpenSessionRequest> openSession(StreamObserver<OpenSessionResponse> line) {
      return new StreamObserver<>() {
        @Override
        public void onNext(OpenSessionRequest request) {
          try {
            play(request.getFrame(), plays.remove(), line);
          } catch (IOException | GeneralSecurityException error) {
            line.onError(error);
          }
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {}
      };
    }

    private void play(SessionFrame d4, Play play, StreamObserver<OpenSessionResponse> line)
        throws IOException, GeneralSecurityException {
      RecordQuery query = RecordQuery.parseFrom(new Direction(SESSION, FORWARD).open("d4", d4));
      asked.add(query);
      // 3 MB are padded to a multiple of 64 KiB.
      byte[] sent = Arrays.copyOf(content, (content.length + SLICE - 1) / SLICE * SLICE);
      byte[] signed = content;
      content = later;
      long sequence = 0;
      for (int offset = (int) query.getResumption().getOffset(); offset < Math.min(play.until(), sent.length); offset += SLICE) {
        line.onNext(sealed(sequence++, Arrays.copyOfRange(sent, offset, offset + SLICE), false));
      }
      if (play == Play.WHOLE) {
        byte[] framed = Transcript.field(end(signed).toByteArray());
        line.onNext(sealed(sequence, Arrays.copyOf(framed, 2048), true));
      }
      if (play.ends() == null) {
        line.onCompleted();
      } else {
        line.onError(play.ends());
      }
    }

    private RecordEnd end(byte[] whole) {
      byte[] covered =
          Transcript.of("H2")
              .add(HASH)
              .add(INTENT.commitment())
              .add(Bytes.sha256(whole))
              .add(Vectors.accessDigest(INTENT.shown()))
              .add(1)
              .add(NOW)
              .bytes();
      return RecordEnd.newBuilder()
          .setOutcome(SessionOutcome.SESSION_OUTCOME_SERVED)
          .setVersion(1)
          .setSentAt(NOW)
          .setSignature(ByteString.copyFrom(HOSPITAL.sign(covered)))
          .build();
    }

    private static OpenSessionResponse sealed(long sequence, byte[] plaintext, boolean last) throws GeneralSecurityException {
      byte[] nonce = BACKWARD.iv().clone();
      for (int index = 0; index < Long.BYTES; index++) {
        nonce[4 + index] ^= (byte) (sequence >>> (56 - 8 * index));
      }
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(BACKWARD.key(), "AES"), new GCMParameterSpec(128, nonce));
      cipher.updateAAD(Transcript.of("h2").add(SESSION).add(sequence).add(NOW).add(last ? 1 : 0).bytes());
      SessionFrame frame =
          SessionFrame.newBuilder()
              .setSessionId(ByteString.copyFrom(SESSION))
              .setSequence(sequence)
              .setLast(last)
              .setSealed(ByteString.copyFrom(cipher.doFinal(plaintext)))
              .setSentAt(NOW)
              .build();
      return OpenSessionResponse.newBuilder().setFrame(frame).build();
    }
  }
}
