package example.medunion.client.protocol;

import org.bouncycastle.math.ec.rfc8032.Ed25519;

/** PRK_X, where it may be in a token: signs pure Ed25519 (RFC 8032, 5.1.6). */
public interface SigningKey {
  /** PUK_X, 32 bytes. */
  byte[] publicKey();

  /** A signature, 64 bytes. */
  byte[] sign(byte[] message);

  /** A key in software, of its 32-byte seed. */
  static SigningKey software(byte[] seed) {
    byte[] publicKey = new byte[Ed25519.PUBLIC_KEY_SIZE];
    Ed25519.generatePublicKey(seed, 0, publicKey, 0);
    return new SigningKey() {
      @Override
      public byte[] publicKey() {
        return publicKey.clone();
      }

      @Override
      public byte[] sign(byte[] message) {
        byte[] signature = new byte[Ed25519.SIGNATURE_SIZE];
        Ed25519.sign(seed, 0, message, 0, message.length, signature, 0);
        return signature;
      }
    };
  }
}
