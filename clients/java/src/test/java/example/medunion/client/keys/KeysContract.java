package example.medunion.client.keys;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Signatures;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.Vectors;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.federation.v1.Role;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What keys have to do wherever they lie, in a file and in a token. */
abstract class KeysContract {
  static final Entropy ENTROPY = Entropy.system();
  private static final byte[] MESSAGE = Bytes.text("T(...)");

  @TempDir Path root;

  /** Makes keys, in a place of their own. */
  abstract Keys create(Path root);

  /** Opens them anew, as the next program does. */
  abstract Keys open(Path root);

  /** All in one: to make a token is slow. */
  @Test
  void keysAreUsedAndKept() {
    Keys keys = create(root);
    byte[] identity = keys.signingKey().verifyingKey();
    assertTrue(Signatures.isSignature(identity, keys.signingKey().sign(MESSAGE), MESSAGE));
    assertArrayEquals(identity, open(root).signingKey().verifyingKey());
    requireKept(keys);
    keys = requireEpochs(keys);
    requireRegistrationSecret(keys);
    assertArrayEquals(identity, open(root).signingKey().verifyingKey());
  }

  private void requireKept(Keys keys) {
    byte[] sealed = keys.seal(MESSAGE, ENTROPY);
    assertNotEquals(ByteString.copyFrom(sealed), ByteString.copyFrom(keys.seal(MESSAGE, ENTROPY)));
    assertArrayEquals(MESSAGE, open(root).unseal(sealed));
    sealed[sealed.length - 1] ^= 1;
    assertNotEquals("success", Vectors.outcome(() -> keys.unseal(sealed)));
  }

  private Keys requireEpochs(Keys keys) {
    Keys other = open(root);
    ByteString first = keyId(keys.decryptionKeys().get(0));
    byte[] sealed = Hpke.seal(keys.decryptionKeys().get(0).encryptionKey(), MESSAGE, Bytes.EMPTY);
    Keys renewed = keys.withNextEpoch(ENTROPY);
    ByteString second = keyId(renewed.decryptionKeys().get(1));
    assertEquals(List.of(first, second), keyIds(renewed));
    assertEquals(List.of(first, second), keyIds(open(root)));
    assertEquals(List.of(first, second), keyIds(other.reread()));
    assertSame(renewed, renewed.reread());
    assertArrayEquals(MESSAGE, open(root).decryptionKeys().get(0).open(sealed, Bytes.EMPTY));
    byte[] next = Hpke.seal(renewed.decryptionKeys().get(1).encryptionKey(), MESSAGE, Bytes.EMPTY);
    assertArrayEquals(MESSAGE, open(root).decryptionKeys().get(1).open(next, Bytes.EMPTY));
    assertEquals("SEAL_INVALID", Vectors.outcome(() -> open(root).decryptionKeys().get(1).open(sealed, Bytes.EMPTY)));
    assertSame(renewed, renewed.keepingEpochs(key -> true, ENTROPY));
    Keys swept = renewed.keepingEpochs(key -> keyId(key).equals(second), ENTROPY);
    assertEquals(List.of(second), keyIds(swept));
    assertEquals(List.of(second), keyIds(open(root)));
    return swept;
  }

  private void requireRegistrationSecret(Keys keys) {
    JsonObject issued = Vectors.all("issuing").get(0);
    VerifiedParty self = self(issued);
    assertNotEquals("success", Vectors.outcome(() -> keys.registrationSecret(self)));
    byte[] another = Vectors.bytes(Vectors.all("issuing").get(1), "registration_secret");
    Runnable install = () -> keys.withRegistrationSecret(another, self, ENTROPY);
    assertEquals("CREDENTIAL_MISMATCH", Vectors.outcome(install));
    assertArrayEquals(new byte[32], another);
    assertNotEquals("success", Vectors.outcome(() -> open(root).registrationSecret(self)));
    for (int times = 0; times < 2; times++) { // the second is in the place of the first
      byte[] secret = Vectors.bytes(issued, "registration_secret");
      keys.reread().withRegistrationSecret(secret, self, ENTROPY);
      assertArrayEquals(new byte[32], secret);
    }
    byte[] shared = open(root).registrationSecret(self).sharedKey(self.identity(), self.serial());
    assertArrayEquals(Vectors.bytes(issued, "shared_key"), shared);
  }

  /** The party of a credential. */
  static VerifiedParty self(JsonObject issued) {
    byte[] issuer = Vectors.bytes(issued, "issuer_public_key");
    byte[] credential = Vectors.bytes(issued, "credential");
    byte[] rho = Vectors.bytes(issued, "registration_point");
    byte[] signed = Transcript.of("cred").add(issuer).add(credential).bytes();
    return new VerifiedParty(
        Role.ROLE_PATIENT,
        Vectors.text(issued, "identity"),
        Vectors.bytes(issued, "serial"),
        null,
        credential,
        rho,
        Curve.publicPoint(rho, issuer, signed),
        null,
        issuer,
        null,
        null);
  }

  private static List<ByteString> keyIds(Keys keys) {
    return keys.decryptionKeys().stream().map(KeysContract::keyId).toList();
  }

  private static ByteString keyId(Hpke.DecryptionKey key) {
    return ByteString.copyFrom(key.keyId());
  }
}
