package example.medunion.client.protocol;

import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import javax.crypto.KeyAgreement;
import org.bouncycastle.math.ec.ECPoint;

/** A secret scalar d of P-256 that may be in a token: S_X, an epoch's KEM half, r and e. */
public interface AgreementKey {
  /** x(d Q), 32 bytes, leading zeros kept. Q was decompressed and checked: no token is asked about another. */
  byte[] exchange(ECPoint peer);

  /** agree(d, Q, label, f1..fn), 32 bytes: HMAC-SHA256 of T(label, f1..fn) under X9.63-KDF-SHA256 of x(d Q) (SEC 1, 3.6.1). */
  default byte[] agree(ECPoint peer, String label, byte[]... fields) {
    Transcript message = Transcript.of(label);
    for (byte[] field : fields) {
      message.add(field);
    }
    return Bytes.hmac(Bytes.x963(exchange(peer), Bytes.text("medunion/v1")), message.bytes());
  }

  /** A scalar in software, of 32 bytes. */
  static AgreementKey software(byte[] scalar) {
    return software(Curve.privateKey(scalar));
  }

  /** A key in software: the JDK's ECDH, which works in constant time. */
  static AgreementKey software(PrivateKey key) {
    return peer -> {
      try {
        KeyAgreement agreement = KeyAgreement.getInstance("ECDH");
        agreement.init(key);
        agreement.doPhase(Curve.publicKey(peer), true);
        return agreement.generateSecret();
      } catch (GeneralSecurityException error) {
        throw new IllegalStateException(error);
      }
    };
  }
}
