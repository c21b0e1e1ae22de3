package example.medunion.client.protocol;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.util.Arrays;
import java.util.Optional;
import org.bouncycastle.crypto.signers.PlainDSAEncoding;
import org.bouncycastle.crypto.signers.StandardDSAEncoding;
import org.bouncycastle.util.BigIntegers;

/**
 * S_PRK, the signatures of messages and statements: ECDSA on P-256 with SHA-256 over T("sig", PUK_X, m), 64 bytes, r || s, s at
 * most n/2. ECDSA does not bind its key, and signatures here are evidence: so the key stands in what is signed.
 */
public final class Signatures {
  static final String ALGORITHM = "SHA256withECDSAinP1363Format";

  private static final int BYTES = 64;
  private static final BigInteger HALF = Curve.ORDER.shiftRight(1);

  private Signatures() {}

  /** Whether S_PRK of that key, 33 bytes, signed the message. */
  public static boolean isSignature(byte[] verifyingKey, byte[] signature, byte[] message) {
    return signature.length == BYTES
        && second(signature).compareTo(HALF) <= 0 // the other half is a second signature of one message
        && isEcdsa(verifyingKey, signature, signed(verifyingKey, message));
  }

  /** Whether r || s is an ECDSA signature of data as they are, s in either half: so s signs a credential, and X.509. */
  static boolean isEcdsa(byte[] verifyingKey, byte[] signature, byte[] data) {
    boolean formed =
        signature.length == BYTES && Curve.isScalar(first(signature)) && Curve.isScalar(second(signature));
    if (!formed) {
      return false;
    }
    try {
      Signature verifying = Signature.getInstance(ALGORITHM, "SunEC");
      verifying.initVerify(Curve.publicKey(Curve.verifyingKey(verifyingKey)));
      verifying.update(data);
      return verifying.verify(signature);
    } catch (GeneralSecurityException error) {
      return false;
    }
  }

  /** Verifies a signature of a note (C2SP signed-note, type 0x02): DER in its one form, over the text itself, s at most n/2. */
  static void verifyText(byte[] verifyingKey, byte[] signature, String text) {
    byte[] data = text.getBytes(StandardCharsets.UTF_8);
    boolean holds =
        plain(signature)
            .filter(raw -> second(raw).compareTo(HALF) <= 0 && isEcdsa(verifyingKey, raw, data))
            .isPresent();
    Refusal.require(holds, "SIGNATURE_INVALID", "a signature of a note does not hold");
  }

  /** r || s of Ecdsa-Sig-Value (RFC 3279, 2.2.3), where that is in DER's one form. */
  private static Optional<byte[]> plain(byte[] signature) {
    try {
      BigInteger[] numbers = StandardDSAEncoding.INSTANCE.decode(Curve.ORDER, signature);
      return Optional.of(PlainDSAEncoding.INSTANCE.encode(Curve.ORDER, numbers[0], numbers[1]));
    } catch (IOException | IllegalArgumentException error) {
      return Optional.empty();
    }
  }

  /** T("sig", PUK_X, m). */
  static byte[] signed(byte[] verifyingKey, byte[] message) {
    return Transcript.of("sig").add(verifyingKey).add(message).bytes();
  }

  /** The same signature with the smaller of s and n - s. */
  static byte[] lowered(byte[] signature) {
    BigInteger s = second(signature);
    byte[] low = BigIntegers.asUnsignedByteArray(BYTES / 2, s.min(Curve.ORDER.subtract(s)));
    return Bytes.concat(Arrays.copyOf(signature, BYTES / 2), low);
  }

  private static BigInteger first(byte[] signature) {
    return new BigInteger(1, Arrays.copyOf(signature, BYTES / 2));
  }

  private static BigInteger second(byte[] signature) {
    return new BigInteger(1, Arrays.copyOfRange(signature, BYTES / 2, BYTES));
  }
}
