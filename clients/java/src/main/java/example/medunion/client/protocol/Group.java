package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import cafe.cryptography.curve25519.CompressedEdwardsY;
import cafe.cryptography.curve25519.Constants;
import cafe.cryptography.curve25519.EdwardsPoint;
import cafe.cryptography.curve25519.InvalidEncodingException;
import cafe.cryptography.curve25519.Scalar;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.List;

/**
 * edwards25519 as the paper's group: base point B (its P), prime order L. Points travel compressed, 32 bytes (RFC 8032, 5.1.2);
 * scalars are 32 bytes, little-endian, below L. Arithmetic is curve25519-elisabeth's, in constant time; the few field operations on
 * u-coordinates that a token gave are BigInteger's.
 */
public final class Group {
  private static final BigInteger PRIME = BigInteger.ONE.shiftLeft(255).subtract(BigInteger.valueOf(19));
  private static final BigInteger ORDER =
      BigInteger.ONE.shiftLeft(252).add(new BigInteger("27742317777372353535851937790883648493"));
  private static final EdwardsPoint BASE = Constants.ED25519_BASEPOINT;
  private static final byte[] ZERO = new byte[32];

  /** The base point B, 32 bytes. */
  public static final byte[] BASE_POINT = BASE.compress().toByteArray();

  private Group() {}

  /**
   * Refuses a received point unless it is canonical, in the prime-order subgroup, and none of O, B, -B: with those the full-point
   * recovery of a token would divide by zero or could not tell the sign (B6).
   */
  public static void requireReceivedPoint(byte[] encoded) {
    require(encoded.length == 32, "INVALID_POINT", "a point has 32 bytes");
    EdwardsPoint point = decode(encoded);
    // What is not canonical encodes otherwise than it came.
    require(Arrays.equals(point.compress().toByteArray(), encoded), "INVALID_POINT", "a point that is not canonical");
    boolean primeOrder = Arrays.equals(order(point).compress().toByteArray(), EdwardsPoint.IDENTITY.compress().toByteArray());
    require(primeOrder, "INVALID_POINT", "a point outside the prime-order subgroup");
    for (EdwardsPoint excluded : List.of(EdwardsPoint.IDENTITY, BASE, BASE.negate())) {
      require(!Arrays.equals(excluded.compress().toByteArray(), encoded), "INVALID_POINT", "one of the points O, B, -B");
    }
  }

  /** Reduces 64 uniform bytes to a uniform scalar mod L: the paper's random numbers r5 to r8. */
  public static byte[] scalar(byte[] seed) {
    return Scalar.fromBytesModOrderWide(seed).toByteArray();
  }

  public static byte[] multiplyBase(byte[] scalar) {
    return Constants.ED25519_BASEPOINT_TABLE.multiply(nonZero(scalar)).compress().toByteArray();
  }

  public static byte[] multiply(byte[] scalar, byte[] point) {
    return decode(point).multiply(nonZero(scalar)).compress().toByteArray();
  }

  public static byte[] add(byte[] left, byte[] right) {
    return decode(left).add(decode(right)).compress().toByteArray();
  }

  /** U_X = R_X1 + h PK with h = SHA-512(R_X1 || PK || T("cred", M_X)) mod L: the right side of eq. 4, 7, 10. */
  public static byte[] publicPoint(byte[] registrationPoint, byte[] issuer, byte[] credentialTranscript) {
    Scalar h = Scalar.fromBytesModOrderWide(Bytes.sha512(registrationPoint, issuer, credentialTranscript));
    EdwardsPoint point = decode(registrationPoint).add(decode(issuer).multiply(h));
    byte[] encoded = point.compress().toByteArray();
    boolean neutral = Arrays.equals(encoded, EdwardsPoint.IDENTITY.compress().toByteArray());
    require(!neutral, "INVALID_POINT", "U_X is the neutral element");
    return encoded;
  }

  /** The Montgomery u-coordinate, 32 bytes, little-endian: u = (1 + y) / (1 - y) (RFC 7748, 4.1). */
  public static byte[] uCoordinate(byte[] point) {
    BigInteger y = Bytes.littleEndian(point).clearBit(255);
    BigInteger divisor = BigInteger.ONE.subtract(y).mod(PRIME);
    require(divisor.signum() != 0, "INVALID_POINT", "the neutral element has no u-coordinate");
    return Bytes.littleEndian(BigInteger.ONE.add(y).multiply(divisor.modInverse(PRIME)).mod(PRIME));
  }

  /**
   * The full point S R out of what an X25519 key in a token gives: u1 = u(S R) and u2 = u(S (R + B)), and the public point U = S B. Of
   * both points over u1, the right T has u(T + U) = u2 (tests/vectors/full_point.json).
   */
  public static byte[] recoverPoint(byte[] u1, byte[] u2, byte[] publicPoint) {
    BigInteger u = Bytes.littleEndian(u1);
    BigInteger divisor = u.add(BigInteger.ONE).mod(PRIME);
    require(divisor.signum() != 0, "INVALID_POINT", "the token's answer is no point of the curve");
    BigInteger y = u.subtract(BigInteger.ONE).multiply(divisor.modInverse(PRIME)).mod(PRIME);
    byte[] positive = Bytes.littleEndian(y);
    byte[] negative = Bytes.littleEndian(y.setBit(255));
    boolean positiveFits = Bytes.equal(uCoordinate(add(positive, publicPoint)), u2);
    boolean negativeFits = Bytes.equal(uCoordinate(add(negative, publicPoint)), u2);
    require(positiveFits != negativeFits, "INVALID_POINT", "the token's answer is not a multiple of this point");
    return positiveFits ? positive : negative;
  }

  /**
   * The form of S_X that an X25519 key can hold under clamping: k = +-S (mod L), k = 0 (mod 8), 2^254 <= k < 2^255. The sign does not
   * matter, because the recovered point is compared with U_X.
   */
  public static byte[] tokenForm(byte[] secret) {
    BigInteger eight = BigInteger.valueOf(8);
    BigInteger k = Bytes.littleEndian(secret).multiply(eight.modInverse(ORDER)).mod(ORDER).multiply(eight);
    for (BigInteger form : List.of(k, ORDER.multiply(eight).subtract(k))) {
      if (form.bitLength() == 255) {
        return Bytes.littleEndian(form);
      }
    }
    throw new Refusal("CREDENTIAL_INVALID", "this S_X has no form that an X25519 key can hold");
  }

  private static EdwardsPoint decode(byte[] encoded) {
    try {
      return new CompressedEdwardsY(encoded).decompress();
    } catch (InvalidEncodingException | IllegalArgumentException error) {
      throw new Refusal("INVALID_POINT", "not a point of the curve", error);
    }
  }

  /** L times a point: L - 1 is a scalar, L is none. */
  private static EdwardsPoint order(EdwardsPoint point) {
    Scalar last = Scalar.fromCanonicalBytes(Bytes.littleEndian(ORDER.subtract(BigInteger.ONE)));
    return point.multiply(last).add(point);
  }

  private static Scalar nonZero(byte[] scalar) {
    require(!Arrays.equals(scalar, ZERO), "INVALID_POINT", "the zero scalar");
    return Scalar.fromCanonicalBytes(scalar);
  }
}
