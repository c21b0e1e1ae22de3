package example.medunion.client.protocol;

import static example.medunion.client.protocol.Bytes.concat;
import static example.medunion.client.protocol.Bytes.text;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.SecretWithEncapsulation;
import org.bouncycastle.crypto.kems.MLKEMExtractor;
import org.bouncycastle.crypto.kems.MLKEMGenerator;
import org.bouncycastle.crypto.params.MLKEMParameters;
import org.bouncycastle.crypto.params.MLKEMPrivateKeyParameters;
import org.bouncycastle.crypto.params.MLKEMPublicKeyParameters;

/**
 * E_PUK: HPKE (RFC 9180), base mode, single shot; KEM MLKEM768-X25519 (draft-ietf-hpke-pq, also known as X-Wing, 0x647a), HKDF-SHA256,
 * AES-256-GCM.
 *
 * <p>Bouncy Castle's HPKE has no such KEM, and none of which one half stands in a token, so the combiner and RFC 9180's key schedule
 * stand here over its ML-KEM, X25519 and SHA-3; tests/vectors/hpke.json tries them.
 */
public final class Hpke {
  public static final int KEM_ID = 0x647a;

  private static final int MLKEM_PUBLIC = 1184;
  private static final int MLKEM_CIPHERTEXT = 1088;
  private static final int ENCAPSULATED = MLKEM_CIPHERTEXT + 32;
  private static final int TAG_BITS = 128;
  private static final byte[] LABEL = text("\\.//^\\");
  private static final byte[] VERSION = text("HPKE-v1");
  // KEM, HKDF-SHA256, AES-256-GCM (RFC 9180, 7).
  private static final byte[] SUITE = concat(text("HPKE"), u16(KEM_ID), u16(0x0001), u16(0x0002));
  private static final SecureRandom RANDOM = new SecureRandom();

  private Hpke() {}

  /** The private key of one epoch: an ML-KEM-768 key of a 64-byte seed (FIPS 203), and an X25519 key that may be in a token. */
  public static final class DecryptionKey {
    private final MLKEMPrivateKeyParameters mlkem;
    private final X25519Key x25519;
    private final byte[] encryptionKey;

    public DecryptionKey(byte[] seed, X25519Key x25519) {
      this.mlkem = new MLKEMPrivateKeyParameters(MLKEMParameters.ml_kem_768, seed);
      this.x25519 = x25519;
      this.encryptionKey = concat(mlkem.getPublicKey(), x25519.publicKey());
    }

    /** PUK_kem, 1,216 bytes: the ML-KEM encapsulation key and the X25519 key. */
    public byte[] encryptionKey() {
      return encryptionKey.clone();
    }

    /** The first 16 bytes of SHA-256(PUK_kem). */
    public byte[] keyId() {
      return keyIdOf(encryptionKey);
    }

    /** Opens enc || ct. Anybody may have made it, and have cut it: what is too short is no seal, and no fault of the libraries. */
    public byte[] open(byte[] sealed, byte[] info) {
      Refusal.require(sealed.length >= ENCAPSULATED + TAG_BITS / 8, "SEAL_INVALID", "the seal is cut short");
      try {
        byte[] peer = Arrays.copyOfRange(sealed, MLKEM_CIPHERTEXT, ENCAPSULATED);
        byte[] fromMlkem = new MLKEMExtractor(mlkem).extractSecret(Arrays.copyOf(sealed, MLKEM_CIPHERTEXT));
        byte[] secret = combine(fromMlkem, x25519.exchange(peer), peer, x25519.publicKey());
        return cipher(Cipher.DECRYPT_MODE, secret, info).doFinal(sealed, ENCAPSULATED, sealed.length - ENCAPSULATED);
      } catch (GeneralSecurityException | IllegalArgumentException | Refusal error) {
        throw new Refusal("SEAL_INVALID", "the seal does not open", error);
      }
    }
  }

  /** The first 16 bytes of SHA-256(PUK_kem). */
  public static byte[] keyIdOf(byte[] encryptionKey) {
    return Arrays.copyOf(Bytes.sha256(encryptionKey), 16);
  }

  /** Seals to PUK_kem (1,216 bytes); gives enc || ct. */
  public static byte[] seal(byte[] encryptionKey, byte[] plaintext, byte[] info) {
    Encapsulation made = encapsulate(encryptionKey);
    try {
      return concat(made.encapsulated(), cipher(Cipher.ENCRYPT_MODE, made.secret(), info).doFinal(plaintext));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Refuses bytes to which nothing can be sealed: no ML-KEM key (FIPS 203, 7.2), or an X25519 key of low order. */
  public static void requireEncryptionKey(byte[] encryptionKey) {
    encapsulate(encryptionKey);
  }

  private record Encapsulation(byte[] secret, byte[] encapsulated) {}

  private static Encapsulation encapsulate(byte[] encryptionKey) {
    try {
      byte[] mlkem = Arrays.copyOf(encryptionKey, MLKEM_PUBLIC);
      MLKEMPublicKeyParameters key = new MLKEMPublicKeyParameters(MLKEMParameters.ml_kem_768, mlkem);
      SecretWithEncapsulation fromMlkem = new MLKEMGenerator(RANDOM).generateEncapsulated(key);
      byte[] ephemeral = new byte[32];
      RANDOM.nextBytes(ephemeral);
      X25519Key own = X25519Key.software(ephemeral);
      byte[] peer = Arrays.copyOfRange(encryptionKey, MLKEM_PUBLIC, encryptionKey.length);
      byte[] secret = combine(fromMlkem.getSecret(), own.exchange(peer), own.publicKey(), peer);
      return new Encapsulation(secret, concat(fromMlkem.getEncapsulation(), own.publicKey()));
    } catch (IllegalArgumentException | Refusal error) {
      throw new Refusal("CREDENTIAL_INVALID", "nothing can be sealed to the encryption key", error);
    }
  }

  /** SHA3-256(ss_M || ss_X || ct_X || pk_X || label). */
  private static byte[] combine(byte[] fromMlkem, byte[] fromX25519, byte[] ciphertext, byte[] publicKey) {
    return Bytes.digest("SHA3-256", concat(fromMlkem, fromX25519, ciphertext, publicKey, LABEL));
  }

  /** The key schedule of mode base (RFC 9180, 5.1), and the AEAD for the first message. */
  private static Cipher cipher(int mode, byte[] shared, byte[] info) throws GeneralSecurityException {
    byte[] pskId = extract(Bytes.EMPTY, "psk_id_hash", Bytes.EMPTY);
    byte[] context = concat(new byte[] {0}, pskId, extract(Bytes.EMPTY, "info_hash", info));
    byte[] secret = extract(shared, "secret", Bytes.EMPTY);
    SecretKeySpec key = new SecretKeySpec(expand(secret, "key", context, 32), "AES");
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, key, new GCMParameterSpec(TAG_BITS, expand(secret, "base_nonce", context, 12)));
    return cipher;
  }

  /** LabeledExtract (RFC 9180, 4). */
  private static byte[] extract(byte[] salt, String label, byte[] material) {
    byte[] key = salt.length == 0 ? new byte[32] : salt;
    return Bytes.hmac(key, concat(VERSION, SUITE, text(label), material));
  }

  /** LabeledExpand (RFC 9180, 4). */
  private static byte[] expand(byte[] key, String label, byte[] info, int size) {
    return Bytes.expand(key, concat(u16(size), VERSION, SUITE, text(label), info), size);
  }

  private static byte[] u16(int value) {
    return ByteBuffer.allocate(Short.BYTES).putShort((short) value).array();
  }
}
