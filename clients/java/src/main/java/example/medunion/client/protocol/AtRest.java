package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * A person's seals at rest: u16be(generation) || batch || salt || AES-256-GCM under HMAC(batch key, T("seal", salt)), batch
 * key = agree(d, Q(m), m), m = T("seal-batch", purpose, generation, batch), nonce of zeros, for every salt is a key of its
 * own, and each seal a batch. d is a key of this purpose alone, and may be in a token: what is sealed never crosses to it.
 */
public final class AtRest {
  private static final byte[] GENERATION = {0, 1};
  private static final int BATCH = 16;
  private static final int SALT = 16;
  private static final int HEADER = GENERATION.length + BATCH + SALT;
  private static final int NONCE = 12;
  private static final int TAG_BITS = 128;
  private static final String HMAC = "HmacSHA256";

  private AtRest() {}

  /** Seals; `place` is bound, not kept. */
  public static byte[] seal(AgreementKey key, String purpose, byte[] place, byte[] plaintext, Entropy entropy) {
    byte[] header = Bytes.concat(GENERATION, entropy.draw(BATCH + SALT));
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
    byte[] batch = Arrays.copyOfRange(header, GENERATION.length, GENERATION.length + BATCH);
    byte[] salt = Arrays.copyOfRange(header, GENERATION.length + BATCH, HEADER);
    byte[] message = Transcript.of("seal-batch").add(named).add(generation).add(batch).bytes();
    byte[] batchKey = key.agree(Curve.hashToCurve(message), "seal-batch", named, generation, batch);
    Mac mac = Mac.getInstance(HMAC);
    mac.init(new SecretKeySpec(batchKey, HMAC));
    byte[] made = mac.doFinal(Transcript.of("seal").add(salt).bytes());
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, new SecretKeySpec(made, "AES"), new GCMParameterSpec(TAG_BITS, new byte[NONCE]));
    cipher.updateAAD(place);
    return cipher;
  }
}
