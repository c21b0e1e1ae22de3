package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PublicKey;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import org.bouncycastle.asn1.x9.X9ECParameters;
import org.bouncycastle.crypto.ec.CustomNamedCurves;
import org.bouncycastle.crypto.hash2curve.HashToCurveProfile;
import org.bouncycastle.crypto.hash2curve.HashToEllipticCurve;
import org.bouncycastle.math.ec.ECAlgorithms;
import org.bouncycastle.math.ec.ECPoint;
import org.bouncycastle.math.ec.FixedPointCombMultiplier;
import org.bouncycastle.util.BigIntegers;

/**
 * P-256 (SEC 2, secp256r1) as the paper's group: base point B (its P), prime order n, field prime p. A point of key agreement
 * travels as its x-coordinate, 32 bytes, and stands for either point over it; a verifying key travels compressed, 33 bytes.
 * Points here are Bouncy Castle's, and public: what a secret multiplies, but for the making of a public key, is the JDK's ECDH,
 * in constant time.
 */
public final class Curve {
  public static final int POINT_BYTES = 32;
  public static final int VERIFYING_KEY_BYTES = 33;
  public static final int SCALAR_BYTES = 32;
  public static final int SCALAR_SEED_BYTES = 48;

  private static final int UNCOMPRESSED_BYTES = 65;
  private static final byte UNCOMPRESSED = 4;
  private static final byte[] EVEN_Y = {2};
  private static final X9ECParameters PARAMETERS = CustomNamedCurves.getByName("secp256r1");
  private static final ECParameterSpec JDK_PARAMETERS = jdkParameters();
  private static final HashToEllipticCurve HASHING =
      HashToEllipticCurve.getInstance(HashToCurveProfile.P256_XMD_SHA_256, "medunion/v1 P256_XMD:SHA-256_SSWU_RO_");

  /** The order n of the group. */
  public static final BigInteger ORDER = PARAMETERS.getN();

  /** The base point B. */
  public static final ECPoint BASE_POINT = PARAMETERS.getG();

  private Curve() {}

  /**
   * The point with even y over a received x-coordinate. Refuses one that is not below p, and one over which no point lies (B6).
   */
  public static ECPoint pointOver(byte[] x) {
    require(x.length == POINT_BYTES, "INVALID_POINT", "an x-coordinate has 32 bytes");
    return decoded(Bytes.concat(EVEN_Y, x));
  }

  /** The point over R_X1 = rho, which is the first half of a signature: at least 1 and below n, too. */
  public static ECPoint registrationPointOver(byte[] rho) {
    ECPoint point = pointOver(rho);
    require(isScalar(new BigInteger(1, rho)), "INVALID_POINT", "R_X1 is not from 1 to n - 1");
    return point;
  }

  /** The point of a verifying key, compressed (SEC 1, 2.3.4). */
  public static ECPoint verifyingKey(byte[] encoded) {
    require(encoded.length == VERIFYING_KEY_BYTES, "INVALID_POINT", "a verifying key has 33 bytes");
    return decoded(encoded);
  }

  /** The point of 65 bytes, as the KEM writes it; the hybrid form of SEC 1 is none. */
  public static ECPoint uncompressed(byte[] encoded) {
    boolean formed = encoded.length == UNCOMPRESSED_BYTES && encoded[0] == UNCOMPRESSED;
    require(formed, "INVALID_POINT", "an uncompressed point has 65 bytes");
    return decoded(encoded);
  }

  /** x(Q), 32 bytes, big-endian. */
  public static byte[] x(ECPoint point) {
    return point.normalize().getAffineXCoord().getEncoded();
  }

  /** Q(m) for a public message: RFC 9380, P256_XMD:SHA-256_SSWU_RO_. */
  public static ECPoint hashToCurve(byte[] message) {
    return HASHING.hashToCurve(message);
  }

  /** U_X = z B + rho PK with z = SHA-256(T("cred", PK, M_X)) mod n: S_X R_X1, but for its sign (eq. 4, 7, 10). */
  public static ECPoint publicPoint(byte[] registrationPoint, byte[] issuer, byte[] credentialTranscript) {
    BigInteger z = new BigInteger(1, Bytes.sha256(credentialTranscript)).mod(ORDER);
    BigInteger rho = new BigInteger(1, registrationPoint);
    ECPoint point = ECAlgorithms.sumOfTwoMultiplies(BASE_POINT, z, verifyingKey(issuer), rho);
    require(!point.isInfinity(), "INVALID_POINT", "U_X is the neutral element");
    return point.normalize();
  }

  /** A uniform scalar of 48 uniform bytes, 32 bytes: 1 + (seed mod n - 1) (FIPS 186-5, A.4.1). */
  public static byte[] scalar(byte[] seed) {
    BigInteger reduced = new BigInteger(1, seed).mod(ORDER.subtract(BigInteger.ONE));
    return BigIntegers.asUnsignedByteArray(SCALAR_BYTES, reduced.add(BigInteger.ONE));
  }

  /** d B, by Bouncy Castle's comb, whose look-ups don't depend on d. */
  public static ECPoint timesBasePoint(byte[] scalar) {
    return new FixedPointCombMultiplier().multiply(BASE_POINT, new BigInteger(1, scalar)).normalize();
  }

  /** A fresh pair of keys, by the JDK. */
  public static KeyPair keyPair() {
    try {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "SunEC");
      generator.initialize(JDK_PARAMETERS);
      return generator.generateKeyPair();
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Whether a number is from 1 to n - 1. */
  static boolean isScalar(BigInteger number) {
    return number.signum() > 0 && number.compareTo(ORDER) < 0;
  }

  /** A point as the JDK's key. */
  public static ECPublicKey publicKey(ECPoint point) {
    ECPoint affine = point.normalize();
    BigInteger x = affine.getAffineXCoord().toBigInteger();
    BigInteger y = affine.getAffineYCoord().toBigInteger();
    try {
      ECPublicKeySpec key = new ECPublicKeySpec(new java.security.spec.ECPoint(x, y), JDK_PARAMETERS);
      return (ECPublicKey) KeyFactory.getInstance("EC").generatePublic(key);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  /** A verifying key as X.509 has it: its SubjectPublicKeyInfo, DER. */
  static byte[] spki(byte[] verifyingKey) {
    return publicKey(verifyingKey(verifyingKey)).getEncoded();
  }

  /** Whether a key of a certificate is on P-256. */
  static boolean isOn(PublicKey key) {
    return key instanceof ECPublicKey point && point.getParams().getCurve().equals(JDK_PARAMETERS.getCurve());
  }

  /** The point of the JDK's key. */
  public static ECPoint pointOf(ECPublicKey key) {
    return PARAMETERS.getCurve().validatePoint(key.getW().getAffineX(), key.getW().getAffineY());
  }

  /** A scalar as the JDK's key. Refuses with KEY_INVALID one that is not from 1 to n - 1. */
  public static ECPrivateKey privateKey(byte[] scalar) {
    BigInteger number = new BigInteger(1, scalar);
    require(scalar.length == SCALAR_BYTES && isScalar(number), "KEY_INVALID", "a scalar is from 1 to n - 1");
    try {
      return (ECPrivateKey) KeyFactory.getInstance("EC").generatePrivate(new ECPrivateKeySpec(number, JDK_PARAMETERS));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static ECPoint decoded(byte[] encoded) {
    try {
      return PARAMETERS.getCurve().decodePoint(encoded);
    } catch (IllegalArgumentException error) {
      throw new Refusal("INVALID_POINT", "no point of the curve", error);
    }
  }

  private static ECParameterSpec jdkParameters() {
    try {
      AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
      parameters.init(new ECGenParameterSpec("secp256r1"));
      return parameters.getParameterSpec(ECParameterSpec.class);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }
}
