package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.all;
import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.List;
import org.bouncycastle.crypto.AsymmetricCipherKeyPair;
import org.bouncycastle.crypto.InvalidCipherTextException;
import org.bouncycastle.crypto.hpke.HPKE;
import org.junit.jupiter.api.Test;

/** E_PUK, by the vectors, and with Bouncy Castle's own HPKE on the other side. */
class HpkeTest {
  private static final byte[] INFO = Bytes.text("info");
  private static final byte[] PLAINTEXT = Bytes.text("plaintext");
  private static final int ENCAPSULATED = 1153;

  @Test
  void vectors() {
    List<JsonObject> vectors = all("hpke");
    for (JsonObject vector : vectors) {
      Hpke.DecryptionKey key = Vectors.decryptionKey(vector);
      byte[] info = bytes(vector, "info");
      String outcome = Vectors.outcome(() -> key.open(bytes(vector, "sealed"), info));
      assertEquals(text(vector, "expect"), outcome, text(vector, "name"));
      if (outcome.equals("success")) {
        assertEquals(text(vector, "encryption_key"), hex(key.encryptionKey()));
        assertEquals(text(vector, "key_id"), hex(key.keyId()));
        assertEquals(text(vector, "plaintext"), hex(key.open(bytes(vector, "sealed"), info)));
        byte[] again = Hpke.seal(key.encryptionKey(), PLAINTEXT, info);
        assertArrayEquals(PLAINTEXT, key.open(again, info));
      }
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void nothingCanBeSealedToWhatIsNoKey() {
    byte[] key = Vectors.decryptionKey(all("hpke").get(0)).encryptionKey();
    byte[] noPoint = key.clone();
    noPoint[key.length - 1] ^= 1;
    byte[] noMlkem = key.clone();
    Arrays.fill(noMlkem, 0, 12, (byte) 0xff);
    for (byte[] other : List.of(noPoint, noMlkem, Arrays.copyOf(key, key.length - 1))) {
      assertEquals("CREDENTIAL_INVALID", Vectors.outcome(() -> Hpke.requireEncryptionKey(other)));
    }
    assertEquals("success", Vectors.outcome(() -> Hpke.requireEncryptionKey(key)));
  }

  @Test
  void bouncyCastleSealsWhatIsOpenedHere() throws InvalidCipherTextException {
    Hpke.DecryptionKey key = Vectors.decryptionKey(all("hpke").get(0));
    HPKE theirs = theirs();
    byte[][] made =
        theirs.seal(theirs.deserializePublicKey(key.encryptionKey()), INFO, Bytes.EMPTY, PLAINTEXT, null, null, null);
    assertArrayEquals(PLAINTEXT, key.open(Bytes.concat(made[1], made[0]), INFO));
  }

  @Test
  void bouncyCastleOpensWhatIsSealedHere() throws InvalidCipherTextException {
    HPKE theirs = theirs();
    AsymmetricCipherKeyPair pair = theirs.generatePrivateKey();
    byte[] sealed = Hpke.seal(theirs.serializePublicKey(pair.getPublic()), PLAINTEXT, INFO);
    byte[] encapsulated = Arrays.copyOf(sealed, ENCAPSULATED);
    byte[] ciphertext = Arrays.copyOfRange(sealed, ENCAPSULATED, sealed.length);
    assertArrayEquals(PLAINTEXT, theirs.open(encapsulated, pair, INFO, Bytes.EMPTY, ciphertext, null, null, null));
  }

  private static HPKE theirs() {
    return new HPKE(HPKE.mode_base, HPKE.kem_MLKEM768_P256, HPKE.kdf_HKDF_SHA256, HPKE.aead_AES_GCM256);
  }
}
