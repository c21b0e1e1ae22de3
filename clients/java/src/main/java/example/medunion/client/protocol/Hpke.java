package example.medunion.client.protocol;

import static example.medunion.client.protocol.Bytes.concat;
import static example.medunion.client.protocol.Bytes.text;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.SecureRandom;
import java.security.interfaces.ECPublicKey;
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
import org.bouncycastle.math.ec.ECPoint;

/**
 * E_PUK: HPKE (RFC 9180), base mode, single shot; KEM MLKEM768-P256 (draft-ietf-hpke-pq, 0x0050), HKDF-SHA256, AES-256-GCM.
 *
 * <p>Bouncy Castle's HPKE has this KEM, but no key of which one half stands in a token, so the combiner and RFC 9180's key
 * schedule stand here over its ML-KEM; tests hold them to it and to tests/vectors/hpke.json.
 */
public final class Hpke {
  public static final int KEM_ID = 0x0050;

  private static final int MLKEM_PUBLIC = 1184;
  private static final int MLKEM_CIPHERTEXT = 1088;
  private static final int P256_PUBLIC = 65;
  private static final int ENCAPSULATED = MLKEM_CIPHERTEXT + P256_PUBLIC;

  /** Bytes of PUK_kem: the ML-KEM encapsulation key and the P-256 key, uncompressed. */
  public static final int ENCRYPTION_KEY_BYTES = MLKEM_PUBLIC + P256_PUBLIC;

  private static final int TAG_BITS = 128;
  private static final byte[] LABEL = text("MLKEM768-P256");
  private static final byte[] VERSION = text("HPKE-v1");
  // KEM, HKDF-SHA256, AES-256-GCM (RFC 9180, 7).
  private static final byte[] SUITE = concat(text("HPKE"), u16(KEM_ID), u16(0x0001), u16(0x0002));
  private static final SecureRandom RANDOM = new SecureRandom();

  private Hpke() {}

  /** The private key of one epoch: an ML-KEM-768 key of a 64-byte seed (FIPS 203), and a P-256 key that may be in a token. */
  public static final class DecryptionKey {
    private final MLKEMPrivateKeyParameters mlkem;
    private final AgreementKey p256;
    private final byte[] publicHalf;
    private final byte[] encryptionKey;

    public DecryptionKey(byte[] seed, AgreementKey p256, ECPoint publicHalf) {
      this.mlkem = new MLKEMPrivateKeyParameters(MLKEMParameters.ml_kem_768, seed);
      this.p256 = p256;
      this.publicHalf = publicHalf.getEncoded(false);
      this.encryptionKey = concat(mlkem.getPublicKey(), this.publicHalf);
    }

    /** A key in software: the ML-KEM seed, and the scalar of the P-256 half. */
    public static DecryptionKey software(byte[] seed, byte[] scalar) {
      return new DecryptionKey(seed, AgreementKey.software(scalar), Curve.timesBasePoint(scalar));
    }

    /** PUK_kem, 1,249 bytes. */
    public byte[] encryptionKey() {
      return encryptionKey.clone();
    }

    /** The first 16 bytes of SHA-256(PUK_kem). */
    public byte[] keyId() {
      return keyIdOf(encryptionKey);
    }

    /**
     * Opens enc || ct. Anybody may have made it, and have cut it: what is too short is no seal, and no fault of the libraries.
     */
    public byte[] open(byte[] sealed, byte[] info) {
      Refusal.require(sealed.length >= ENCAPSULATED + TAG_BITS / 8, "SEAL_INVALID", "the seal is cut short");
      try {
        byte[] peer = Arrays.copyOfRange(sealed, MLKEM_CIPHERTEXT, ENCAPSULATED);
        byte[] fromMlkem = new MLKEMExtractor(mlkem).extractSecret(Arrays.copyOf(sealed, MLKEM_CIPHERTEXT));
        byte[] secret = combine(fromMlkem, p256.exchange(Curve.uncompressed(peer)), peer, publicHalf);
        return cipher(Cipher.DECRYPT_MODE, secret, info).doFinal(sealed, ENCAPSULATED, sealed.length - ENCAPSULATED);
      } catch (GeneralSecurityException | IllegalArgumentException | Refusal error) {
        if (error instanceof Refusal refusal && refusal.isOwnFault()) {
          throw refusal;
        }
        throw new Refusal("SEAL_INVALID", "the seal does not open", error);
      }
    }
  }

  /** The first 16 bytes of SHA-256(PUK_kem). */
  public static byte[] keyIdOf(byte[] encryptionKey) {
    return Arrays.copyOf(Bytes.sha256(encryptionKey), 16);
  }

  /** Seals to PUK_kem (1,249 bytes); gives enc || ct. */
  public static byte[] seal(byte[] encryptionKey, byte[] plaintext, byte[] info) {
    Encapsulation made = encapsulate(encryptionKey);
    try {
      return concat(made.encapsulated(), cipher(Cipher.ENCRYPT_MODE, made.secret(), info).doFinal(plaintext));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Refuses bytes to which nothing can be sealed: no ML-KEM key (FIPS 203, 7.2), or no point of P-256. */
  public static void requireEncryptionKey(byte[] encryptionKey) {
    encapsulate(encryptionKey);
  }

  private record Encapsulation(byte[] secret, byte[] encapsulated) {}

  private static Encapsulation encapsulate(byte[] encryptionKey) {
    try {
      byte[] mlkem = Arrays.copyOf(encryptionKey, MLKEM_PUBLIC);
      MLKEMPublicKeyParameters key = new MLKEMPublicKeyParameters(MLKEMParameters.ml_kem_768, mlkem);
      SecretWithEncapsulation fromMlkem = new MLKEMGenerator(RANDOM).generateEncapsulated(key);
      byte[] peer = Arrays.copyOfRange(encryptionKey, MLKEM_PUBLIC, encryptionKey.length);
      KeyPair own = Curve.keyPair();
      byte[] ephemeral = Curve.pointOf((ECPublicKey) own.getPublic()).getEncoded(false);
      byte[] agreed = AgreementKey.software(own.getPrivate()).exchange(Curve.uncompressed(peer));
      byte[] secret = combine(fromMlkem.getSecret(), agreed, ephemeral, peer);
      return new Encapsulation(secret, concat(fromMlkem.getEncapsulation(), ephemeral));
    } catch (IllegalArgumentException | Refusal error) {
      throw new Refusal("CREDENTIAL_INVALID", "nothing can be sealed to the encryption key", error);
    }
  }

  /** SHA3-256(ss_mlkem || x of ECDH || the ephemeral's 65 bytes || the receiver's 65 || label). */
  private static byte[] combine(byte[] fromMlkem, byte[] fromP256, byte[] ephemeral, byte[] receiver) {
    return Bytes.digest("SHA3-256", concat(fromMlkem, fromP256, ephemeral, receiver, LABEL));
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
