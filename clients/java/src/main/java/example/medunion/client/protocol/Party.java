package example.medunion.client.protocol;

import example.medunion.federation.v1.SignedStatement;

/**
 * A party's own side: who it is and the keys that it acts with, which may be in a token. `encryptionKeyStatement` is the newest EK_X, of
 * `decryptionKey`; `certificate` a doctor's Cert_D, else empty.
 */
public record Party(
    VerifiedParty self,
    SigningKey signingKey,
    RegistrationSecret registrationSecret,
    Hpke.DecryptionKey decryptionKey,
    SignedStatement encryptionKeyStatement,
    byte[] certificate) {
  public String identity() {
    return self.identity();
  }
}
