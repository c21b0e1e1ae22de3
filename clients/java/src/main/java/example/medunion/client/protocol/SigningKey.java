package example.medunion.client.protocol;

import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Security;
import java.security.Signature;
import org.bouncycastle.math.ec.ECPoint;

/** PRK_X, where it may be in a token: ECDSA on P-256 with SHA-256 (FIPS 186-5). */
public interface SigningKey {
  /** PUK_X, 33 bytes. */
  byte[] verifyingKey();

  /** ECDSA over data as they are, r || s, 64 bytes, s in either half: how certificate requests are signed. */
  byte[] ecdsa(byte[] data);

  /** S_PRK_X(m): ECDSA over T("sig", PUK_X, m), s the smaller of s and n - s. */
  default byte[] sign(byte[] message) {
    return Signatures.lowered(ecdsa(Signatures.signed(verifyingKey(), message)));
  }

  /** A key in software, of its 32-byte scalar. */
  static SigningKey software(byte[] scalar) {
    return of(Curve.timesBasePoint(scalar), Curve.privateKey(scalar), Security.getProvider("SunEC"));
  }

  /** A key that a provider uses. A signature is verified before it is released: a faulty one can give the key away. */
  static SigningKey of(ECPoint point, PrivateKey key, Provider provider) {
    byte[] verifyingKey = point.getEncoded(true);
    return new SigningKey() {
      @Override
      public byte[] verifyingKey() {
        return verifyingKey.clone();
      }

      @Override
      public byte[] ecdsa(byte[] data) {
        byte[] signature;
        try {
          Signature signing = Signature.getInstance(Signatures.ALGORITHM, provider);
          signing.initSign(key);
          signing.update(data);
          signature = signing.sign();
        } catch (GeneralSecurityException | ProviderException error) {
          throw new Refusal("TOKEN_UNAVAILABLE", "the key did not sign", error);
        }
        boolean holds = Signatures.isEcdsa(verifyingKey, signature, data);
        Refusal.require(holds, "TOKEN_UNAVAILABLE", "the key gave a wrong signature: withheld");
        return signature;
      }
    };
  }
}
