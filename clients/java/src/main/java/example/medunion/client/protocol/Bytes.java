package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import java.math.BigInteger;
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

  public static byte[] sha512(byte[]... parts) {
    return digest("SHA-512", concat(parts));
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

  /** HKDF with SHA-256 (RFC 5869), without salt. */
  public static byte[] hkdf(byte[] material, byte[] info, int size) {
    return expand(hmac(new byte[32], material), info, size);
  }

  /** A little-endian number. */
  public static BigInteger littleEndian(byte[] data) {
    return new BigInteger(1, reversed(data));
  }

  /** A number as 32 bytes, little-endian. */
  public static byte[] littleEndian(BigInteger value) {
    byte[] bigEndian = value.toByteArray();
    byte[] encoded = new byte[32];
    for (int index = 0; index < Math.min(32, bigEndian.length); index++) {
      encoded[index] = bigEndian[bigEndian.length - 1 - index];
    }
    return encoded;
  }

  private static byte[] reversed(byte[] data) {
    byte[] turned = new byte[data.length];
    for (int index = 0; index < data.length; index++) {
      turned[index] = data[data.length - 1 - index];
    }
    return turned;
  }
}
