package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import example.medunion.federation.v1.GetHospitalResponse;
import example.medunion.federation.v1.SessionFrame;
import example.medunion.federation.v1.SignedStatement;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What anybody may send: seals that are cut, times beyond a signed long, fields of a later day. */
class EdgesTest {
  private static final long NOW = Vectors.load("parties").get("now").getAsLong();

  @Test
  void cutSealIsRefused() {
    Hpke.DecryptionKey key = Hpke.DecryptionKey.software(new byte[64], Curve.scalar(new byte[Curve.SCALAR_SEED_BYTES]));
    for (int size : new int[] {0, 1, 64, 1087, 1088, 1152, 1153, 1168, 1169}) {
      assertEquals("SEAL_INVALID", Vectors.outcome(() -> key.open(new byte[size], Bytes.EMPTY)), size + " bytes");
    }
  }

  @Test
  void cutFrameIsRefused() {
    byte[] session = new byte[16];
    Direction direction = new Direction(session, new SessionKeys.DirectionKeys(new byte[32], new byte[12]));
    for (int size = 0; size <= 16; size++) {
      SessionFrame frame =
          SessionFrame.newBuilder()
              .setSessionId(ByteString.copyFrom(session))
              .setSequence(0)
              .setLast(true)
              .setSealed(ByteString.copyFrom(new byte[size]))
              .setSentAt(NOW)
              .build();
      assertEquals("SEAL_INVALID", Vectors.outcome(() -> direction.open("p2", frame)), size + " bytes");
    }
  }

  @Test
  void timesAreUnsigned() {
    long far = Long.MIN_VALUE + NOW;
    assertEquals("FUTURE_DATED", Vectors.outcome(() -> Freshness.requireFresh(far, NOW)));
    assertEquals("FUTURE_DATED", Vectors.outcome(() -> Freshness.requireFreshSince(-1, NOW, NOW)));
    assertEquals(false, Freshness.hasBegun(far, NOW));
    assertEquals(false, Freshness.hasEnded(far, NOW));
    assertEquals(true, Freshness.hasEnded(NOW, NOW));
    assertEquals("STALE", Vectors.outcome(() -> Freshness.requireFresh(0, NOW)));
  }

  @Test
  void answersMayGainFieldsAndPayloadsMayNot() {
    UnknownFieldSet later =
        UnknownFieldSet.newBuilder()
            .addField(900, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
            .build();
    SignedStatement statement =
        SignedStatement.newBuilder()
            .setStatement(ByteString.copyFrom(new byte[1]))
            .setSignature(ByteString.copyFrom(new byte[64]))
            .build();
    GetHospitalResponse answer =
        GetHospitalResponse.newBuilder()
            .setKeyStatement(statement)
            .setEncryptionKeyStatement(statement.toBuilder().setUnknownFields(later))
            .setUnknownFields(later)
            .build();
    assertEquals("success", Vectors.outcome(() -> Rules.checkOuter(answer)));
    assertEquals("UNKNOWN_FIELD", Vectors.outcome(() -> Rules.check(answer)));
    GetHospitalResponse bare = answer.toBuilder().clearKeyStatement().build();
    assertEquals("MISSING_FIELD", Vectors.outcome(() -> Rules.checkOuter(bare)));
  }

  @Test
  void replayKeyIsForgottenOnceItsMessageIsStale() {
    ReplayMemory memory = new ReplayMemory(Map.of());
    byte[] key = new byte[32];
    assertTrue(memory.insert(key, NOW, NOW + 5));
    Handshake.Pending<String> pending = new Handshake.Pending<>(key, NOW + 5, "asked");
    assertEquals("MESSAGE_REPLAYED", Vectors.outcome(() -> pending.admit(memory.insert(key, NOW + 5, NOW + 5))));
    assertEquals("success", Vectors.outcome(() -> pending.admit(memory.insert(key, NOW + 6, NOW + 6))));
  }
}
