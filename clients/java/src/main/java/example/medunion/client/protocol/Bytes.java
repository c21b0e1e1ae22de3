package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Bytes, and what is done with them everywhere. */
public final class Bytes {
  public static final byte[] EMPTY = {};

  private Bytes() {}

  public static byte[] concat(byte[]... parts) {
    int size = 0;
    for (byte[] part : parts) {
      size += part.length;
    }
    ByteBuffer joined = ByteBuffer.allocate(size);
    for (byte[] part : parts) {
      joined.put(part);
    }
    return joined.array();
  }

  /** Compares in time that depends on the lengths alone. */
  public static boolean equal(byte[] left, byte[] right) {
    return MessageDigest.isEqual(left, right);
  }

  public static boolean equal(ByteString left, byte[] right) {
    return MessageDigest.isEqual(left.toByteArray(), right);
  }

  /** An integer as a field's value: 8 bytes, big-endian. */
  public static byte[] u64(long value) {
    return ByteBuffer.allocate(Long.BYTES).putLong(value).array();
  }

  /** Text as a field's value. */
  public static byte[] text(String value) {
    return value.getBytes(StandardCharsets.US_ASCII);
  }

  public static byte[] sha256(byte[] data) {
    return digest("SHA-256", data);
  }

  public static byte[] sha256(ByteString data) {
    return sha256(data.toByteArray());
  }

  public static byte[] digest(String algorithm, byte[] data) {
    try {
      return MessageDigest.getInstance(algorithm).digest(data);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  public static byte[] hmac(byte[] key, byte[] message) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(message);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** HKDF-Expand with SHA-256 (RFC 5869, 2.3). */
  public static byte[] expand(byte[] key, byte[] info, int size) {
    byte[] made = EMPTY;
    byte[] block = EMPTY;
    for (int counter = 1; made.length < size; counter++) {
      block = hmac(key, concat(block, info, new byte[] {(byte) counter}));
      made = concat(made, block);
    }
    return java.util.Arrays.copyOf(made, size);
  }

  /** X9.63-KDF with SHA-256 (SEC 1, 3.6.1), 32 bytes: a single block. */
  static byte[] x963(byte[] secret, byte[] sharedInfo) {
    return sha256(concat(secret, new byte[] {0, 0, 0, 1}, sharedInfo));
  }

  /** HKDF with SHA-256 (RFC 5869), without salt. */
  public static byte[] hkdf(byte[] material, byte[] info, int size) {
    return expand(hmac(new byte[32], material), info, size);
  }
}
