package example.medunion.client.protocol;

import example.medunion.federation.v1.SignedStatement;
import java.util.List;

/**
 * A party's own side: who it is and the keys that it acts with, which may be in a token. `encryptionKeyStatement` is the EK_X that it
 * announces, of `decryptionKey`; `openingKeys` are those of all epochs that still open, that one among them; `certificate` a doctor's
 * Cert_D, else empty.
 */
public record Party(
    VerifiedParty self,
    SigningKey signingKey,
    RegistrationSecret registrationSecret,
    Hpke.DecryptionKey decryptionKey,
    List<Hpke.DecryptionKey> openingKeys,
    SignedStatement encryptionKeyStatement,
    byte[] certificate) {
  public String identity() {
    return self.identity();
  }

  /** The key of an epoch that this party holds. */
  public Hpke.DecryptionKey decryptionKey(byte[] keyId) {
    return openingKeys.stream()
        .filter(key -> Bytes.equal(key.keyId(), keyId))
        .findFirst()
        .orElseThrow(() -> new Refusal("UNKNOWN_KEY_ID", "sealed to a key that is not held here, or no longer"));
  }
}
