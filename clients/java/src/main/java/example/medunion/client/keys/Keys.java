package example.medunion.client.keys;

import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.RegistrationSecret;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.VerifiedParty;
import java.util.List;
import java.util.function.Predicate;

/** The private keys of one party, in a file or in a PKCS#11 token. What changes them gives the keys to use from then on. */
public interface Keys {
  /** PRK_X. */
  SigningKey signingKey();

  /** The keys of all epochs, the newest last. */
  List<Hpke.DecryptionKey> decryptionKeys();

  /** Makes and keeps the key of another epoch: it is the last one then. */
  Keys withNextEpoch(Entropy entropy);

  /** Destroys the keys of the epochs that are not to be kept: what was sealed to them stays sealed (B5). */
  Keys keepingEpochs(Predicate<Hpke.DecryptionKey> kept, Entropy entropy);

  /** S_X of a credential. Refuses with NOT_REGISTERED where there is none. */
  RegistrationSecret registrationSecret(VerifiedParty self);

  /**
   * Keeps S_X (32 bytes), once it is known to be that of the credential where it then lies, and wipes the caller's copy
   * whatever happens. Refuses with CREDENTIAL_MISMATCH; then nothing is kept.
   */
  Keys withRegistrationSecret(byte[] secret, VerifiedParty self, Entropy entropy);

  /** Seals what is kept beside the keys. */
  byte[] seal(byte[] plaintext, Entropy entropy);

  /** Opens what {@link #seal} gave. */
  byte[] unseal(byte[] sealed);

  /** The keys as they now lie there: another process of this party may have put others in place. */
  Keys reread();
}
