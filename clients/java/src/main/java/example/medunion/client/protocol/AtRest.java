package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * A person's seals at rest: u16be(generation) || salt || AES-256-GCM under agree(d, Q(m), m), m = T("seal", purpose,
 * generation, salt), nonce of zeros, for every salt is a key of its own. d is a key of this purpose alone, and may be in a
 * token: what is sealed never crosses to it.
 */
public final class AtRest {
  private static final byte[] GENERATION = {0, 1};
  private static final int SALT = 32;
  private static final int HEADER = GENERATION.length + SALT;
  private static final int NONCE = 12;
  private static final int TAG_BITS = 128;

  private AtRest() {}

  /** Seals; `place` is bound, not kept. */
  public static byte[] seal(AgreementKey key, String purpose, byte[] place, byte[] plaintext, Entropy entropy) {
    byte[] header = Bytes.concat(GENERATION, entropy.draw(SALT));
    try {
      return Bytes.concat(header, cipher(Cipher.ENCRYPT_MODE, key, purpose, header, place).doFinal(plaintext));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Opens what {@link #seal} made. Refuses with SEAL_BROKEN. */
  public static byte[] open(AgreementKey key, String purpose, byte[] place, byte[] sealed) {
    require(sealed.length >= HEADER + TAG_BITS / 8, "SEAL_BROKEN", "what was sealed is cut short");
    byte[] header = Arrays.copyOf(sealed, HEADER);
    try {
      Cipher cipher = cipher(Cipher.DECRYPT_MODE, key, purpose, header, place);
      return cipher.doFinal(sealed, HEADER, sealed.length - HEADER);
    } catch (AEADBadTagException error) {
      throw new Refusal("SEAL_BROKEN", "what was sealed does not open", error);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Cipher cipher(int mode, AgreementKey key, String purpose, byte[] header, byte[] place)
      throws GeneralSecurityException {
    byte[] named = Bytes.text(purpose);
    byte[] generation = Arrays.copyOf(header, GENERATION.length);
    byte[] salt = Arrays.copyOfRange(header, GENERATION.length, HEADER);
    byte[] message = Transcript.of("seal").add(named).add(generation).add(salt).bytes();
    byte[] made = key.agree(Curve.hashToCurve(message), "seal", named, generation, salt);
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, new SecretKeySpec(made, "AES"), new GCMParameterSpec(TAG_BITS, new byte[NONCE]));
    cipher.updateAAD(place);
    return cipher;
  }
}
