package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.federation.v1.EncryptionKeyRenewal;
import example.medunion.federation.v1.KeyStatement;
import example.medunion.federation.v1.PutEncryptionKeyResponse;
import example.medunion.federation.v1.RenewalReceipt;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SignedStatement;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** ekput, made byte for byte up to HPKE's own randomness, and ekack; the vectors' sender is the hospital. */
class RenewalTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final JsonObject CLOUD = CAST.getAsJsonObject("cloud");
  private static final JsonObject HOSPITAL = CAST.getAsJsonObject("parties").getAsJsonObject("hospital");
  private static final long NOW = CAST.get("now").getAsLong();

  private final JsonObject ekput = vector("calls", "ekput");
  private final SignedStatement ekack = Vectors.signed(vector("statements", "ekack"));
  private final SignedStatement kept = Vectors.signed(vector("statements", "ks of the hospital"));
  private final Verifier verifier = verifier();
  private final SigningKey cloudSigningKey = Vectors.signingKey(CLOUD);
  private final Renewal.AwaitingReceipt awaiting = put();

  @Test
  void ekputIsTheVectors() throws InvalidProtocolBufferException {
    SealedOpening expected = SealedOpening.parseFrom(bytes(ekput, "message"));
    SealedOpening made = awaiting.opening();
    assertEquals(expected, made.toBuilder().setSealed(expected.getSealed()).build());
    assertEquals(expected.getSealed().size(), made.getSealed().size());
    byte[] info = bytes(ekput.getAsJsonObject("seal"), "info");
    byte[] padded = Vectors.decryptionKey(CLOUD).open(made.getSealed().toByteArray(), info);
    byte[] plaintext = Arrays.copyOfRange(padded, 4, 4 + ByteBuffer.wrap(padded).getInt());
    assertEquals(text(ekput, "plaintext"), hex(plaintext));
    JsonObject signed = ekput.getAsJsonObject("signed");
    ByteString signature = EncryptionKeyRenewal.parseFrom(plaintext).getSignature();
    assertEquals(text(signed, "signature"), hex(signature.toByteArray()));
    Statements.verifySignature(bytes(signed, "verifying_key"), signature, bytes(signed, "transcript"));
  }

  @Test
  void ekackIsTaken() {
    Renewal.Renewed renewed = awaiting.receive(answer(ekack), kept, verifier, NOW);
    assertEquals(NOW, renewed.receipt().getDoneAt());
    assertEquals(Optional.empty(), renewed.keyStatement());
    assertEquals(Optional.empty(), awaiting.receive(answer(ekack, kept), kept, verifier, NOW).keyStatement());
  }

  @Test
  void keyStatementSignedAnewIsTaken() {
    SignedStatement anew = restated(kept, NOW + 1, cloudSigningKey);
    assertEquals(Optional.of(anew), awaiting.receive(answer(ekack, anew), kept, verifier, NOW + 1).keyStatement());
  }

  @Test
  void falseAnswersAreRefused() {
    assertRefused("MISSING_FIELD", PutEncryptionKeyResponse.getDefaultInstance());
    RenewalReceipt other =
        RenewalReceipt.newBuilder().setKeyId(ByteString.copyFrom(new byte[16])).setDoneAt(NOW).build();
    assertRefused("ANSWER_MISMATCH", answer(Statements.sign("ekack", other, cloudSigningKey)));
    assertRefused("SIGNATURE_INVALID", answer(Statements.sign("puback", receipt(), cloudSigningKey)));
    SigningKey stranger = Vectors.signingKey(HOSPITAL);
    assertRefused("SIGNATURE_INVALID", answer(Statements.sign("ekack", receipt(), stranger)));
    RenewalReceipt beforeRotation = receipt().toBuilder().setDoneAt(0).build();
    assertRefused("SIGNATURE_INVALID", answer(Statements.sign("ekack", beforeRotation, cloudSigningKey)));
  }

  @Test
  void keyStatementsThatSayAnythingElseAreRefused() {
    SignedStatement doctors = Vectors.signed(vector("statements", "ks of the doctor"));
    assertRefused("CREDENTIAL_INVALID", answer(ekack, doctors));
    KeyStatement longer = read(kept).toBuilder().setNotAfter(read(kept).getNotAfter() + 1).build();
    assertRefused("CREDENTIAL_INVALID", answer(ekack, Statements.sign("ks", longer, cloudSigningKey)));
    SigningKey stranger = Vectors.signingKey(HOSPITAL);
    assertRefused("SIGNATURE_INVALID", answer(ekack, restated(kept, NOW, stranger)));
    SignedStatement later = restated(kept, NOW + Freshness.SKEW + 1, cloudSigningKey);
    assertRefused("CREDENTIAL_EXPIRED", answer(ekack, later));
  }

  @Test
  void everyFlippedBitOfEkackIsRefused() {
    byte[] encoded = ekack.toByteArray();
    for (int bit = 0; bit < 8 * encoded.length; bit++) {
      byte[] bent = encoded.clone();
      bent[bit / 8] ^= (byte) (1 << bit % 8);
      SignedStatement parsed;
      try {
        parsed = SignedStatement.parseFrom(bent);
      } catch (InvalidProtocolBufferException unreadable) {
        continue;
      }
      PutEncryptionKeyResponse answer = answer(parsed);
      String outcome = Vectors.outcome(() -> awaiting.receive(answer, kept, verifier, NOW));
      assertTrue(!outcome.equals("success"), "bit " + bit);
    }
  }

  /** All refusals of ekput are the cloud's to make. */
  @Test
  void refusalsOfVectorsAreTheCloudsAlone() {
    assertTrue(Vectors.all("refusals").stream().noneMatch(vector -> text(vector, "base").equals("ekack")));
  }

  private void assertRefused(String reason, PutEncryptionKeyResponse answer) {
    assertEquals(reason, Vectors.outcome(() -> awaiting.receive(answer, kept, verifier, NOW)));
  }

  private Renewal.AwaitingReceipt put() {
    try {
      EncryptionKeyRenewal payload = EncryptionKeyRenewal.parseFrom(bytes(ekput, "plaintext"));
      SignedStatement epoch = Vectors.signed(HOSPITAL.get("encryption_key_statement"));
      EncryptionKey key = verifier.cloudEncryptionKey(Vectors.signed(CLOUD.get("encryption_key_statement")), NOW);
      SigningKey signing = Vectors.signingKey(HOSPITAL);
      return Renewal.put(epoch, payload.getAddress(), signing, key, NOW);
    } catch (InvalidProtocolBufferException error) {
      throw new AssertionError(error);
    }
  }

  private RenewalReceipt receipt() {
    return Statements.peek(RenewalReceipt.getDefaultInstance(), ekack);
  }

  private static SignedStatement restated(SignedStatement statement, long statedAt, SigningKey key) {
    return Statements.sign("ks", read(statement).toBuilder().setStatedAt(statedAt).build(), key);
  }

  private static KeyStatement read(SignedStatement statement) {
    return Statements.peek(KeyStatement.getDefaultInstance(), statement);
  }

  private static PutEncryptionKeyResponse answer(SignedStatement receipt) {
    return PutEncryptionKeyResponse.newBuilder().setReceipt(receipt).build();
  }

  private static PutEncryptionKeyResponse answer(SignedStatement receipt, SignedStatement keyStatement) {
    return answer(receipt).toBuilder().setKeyStatement(keyStatement).build();
  }

  private static JsonObject vector(String file, String name) {
    return Vectors.all(file).stream().filter(vector -> text(vector, "name").equals(name)).findFirst().orElseThrow();
  }

  private static Verifier verifier() {
    TrustedBundle bundle = null;
    for (JsonElement statement : CAST.getAsJsonArray("trust_bundles")) {
      SignedStatement signed = Vectors.signed(statement);
      bundle = bundle == null ? TrustedBundle.pin(signed) : bundle.follow(signed);
    }
    return new Verifier(bundle, Lists.read(bundle, Vectors.signed(CAST.get("revocation_head")), List.of(), Revoked.ofVectors()));
  }
}
