package example.medunion.client.protocol;

import org.bouncycastle.math.ec.rfc7748.X25519;

/** An X25519 key that may be in a token: an epoch's KEM half, and S_X in its token form. */
public interface X25519Key {
  /** The public key, 32 bytes. */
  byte[] publicKey();

  /** The shared secret, 32 bytes (RFC 7748, 6.1). Refuses a peer of low order. */
  byte[] exchange(byte[] peer);

  /** A key in software, of 32 bytes. */
  static X25519Key software(byte[] privateKey) {
    byte[] publicKey = new byte[X25519.POINT_SIZE];
    X25519.generatePublicKey(privateKey, 0, publicKey, 0);
    return new X25519Key() {
      @Override
      public byte[] publicKey() {
        return publicKey.clone();
      }

      @Override
      public byte[] exchange(byte[] peer) {
        Refusal.require(peer.length == X25519.POINT_SIZE, "SEAL_INVALID", "an X25519 key has 32 bytes");
        byte[] secret = new byte[X25519.POINT_SIZE];
        boolean agreed = X25519.calculateAgreement(privateKey, 0, peer, 0, secret, 0);
        Refusal.require(agreed, "SEAL_INVALID", "an X25519 key of low order");
        return secret;
      }
    };
  }
}
