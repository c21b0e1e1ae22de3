package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.all;
import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.bouncycastle.crypto.hash2curve.HashToCurveProfile;
import org.bouncycastle.crypto.hash2curve.HashToEllipticCurve;
import org.bouncycastle.math.ec.ECPoint;
import org.junit.jupiter.api.Test;

/** P-256: points, hashing to the curve, agreement, signatures, issuing; by the vectors, and by what others have published. */
class CurveTest {
  @Test
  void pointsThatMayBeReceivedAndPointsThatMayNot() {
    List<JsonObject> vectors = all("points");
    for (JsonObject vector : vectors) {
      byte[] point = bytes(vector, "point");
      boolean registered = text(vector, "kind").equals("KIND_REGISTRATION_POINT");
      Runnable take = registered ? () -> Curve.registrationPointOver(point) : () -> Curve.pointOver(point);
      assertEquals(text(vector, "expect"), Vectors.outcome(take), text(vector, "name"));
    }
    assertTrue(vectors.size() > 30);
  }

  @Test
  void verifyingKeysThatMayBeReceivedAndKeysThatMayNot() {
    List<JsonObject> vectors = all("verifying_keys");
    for (JsonObject vector : vectors) {
      String outcome = Vectors.outcome(() -> Curve.verifyingKey(bytes(vector, "verifying_key")));
      assertEquals(text(vector, "expect"), outcome, text(vector, "name"));
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void uncompressedPointIsOfOneForm() {
    byte[] point = Curve.BASE_POINT.getEncoded(false);
    assertEquals(Curve.BASE_POINT, Curve.uncompressed(point));
    point[0] = 7; // hybrid: y is odd
    assertEquals("INVALID_POINT", Vectors.outcome(() -> Curve.uncompressed(point)));
    assertEquals("INVALID_POINT", Vectors.outcome(() -> Curve.uncompressed(new byte[1])));
  }

  @Test
  void scalarIsReducedAndNeverZero() {
    BigInteger most = Curve.ORDER.subtract(BigInteger.ONE);
    assertEquals(BigInteger.ONE, new BigInteger(1, Curve.scalar(new byte[48])));
    assertEquals(BigInteger.ONE, new BigInteger(1, Curve.scalar(most.toByteArray())));
    assertEquals(most, new BigInteger(1, Curve.scalar(most.subtract(BigInteger.ONE).toByteArray())));
    for (byte[] none : List.of(new byte[32], Curve.ORDER.toByteArray(), new byte[31])) {
      assertEquals("KEY_INVALID", Vectors.outcome(() -> Curve.privateKey(none)));
    }
  }

  @Test
  void hashingToTheCurve() {
    List<JsonObject> vectors = all("hash_to_curve");
    for (JsonObject vector : vectors) {
      ECPoint point = Curve.hashToCurve(bytes(vector, "message"));
      assertEquals(text(vector, "point"), hex(point.getEncoded(true)), text(vector, "name"));
    }
    assertTrue(vectors.size() > 3);
  }

  /** RFC 9380, J.1.1. */
  @Test
  void hashingToTheCurveIsTheOneOfTheRfc() {
    HashToEllipticCurve hashing =
        HashToEllipticCurve.getInstance(
            HashToCurveProfile.P256_XMD_SHA_256, "QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_");
    String[][] published = {
      {"", "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
          "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415"},
      {"abc", "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
          "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e"},
      {"abcdef0123456789", "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
          "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3"},
      {"q128_" + "q".repeat(128), "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d",
          "98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e"},
      {"a512_" + "a".repeat(512), "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5",
          "ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc"},
    };
    for (String[] one : published) {
      ECPoint point = hashing.hashToCurve(Bytes.text(one[0])).normalize();
      assertEquals(one[1], hex(Curve.x(point)));
      assertEquals(one[2], hex(point.getAffineYCoord().getEncoded()));
    }
  }

  @Test
  void agreement() {
    List<JsonObject> vectors = all("agreement");
    for (JsonObject vector : vectors) {
      AgreementKey key = AgreementKey.software(bytes(vector, "private_key"));
      ECPoint peer = Curve.pointOver(bytes(vector, "point"));
      for (ECPoint either : List.of(peer, peer.negate())) {
        assertEquals(text(vector, "shared"), hex(key.exchange(either)), text(vector, "name"));
        byte[][] fields = Vectors.list(vector.getAsJsonArray("fields")).toArray(byte[][]::new);
        assertEquals(text(vector, "value"), hex(key.agree(either, text(vector, "label"), fields)));
      }
      assertEquals(text(vector, "key"), hex(Bytes.x963(bytes(vector, "shared"), Bytes.text("medunion/v1"))));
    }
    assertTrue(vectors.size() > 5);
  }

  /** RFC 5903, 8.1. */
  @Test
  void agreementIsTheOneOfTheRfc() {
    byte[] i = bytes("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433");
    byte[] r = bytes("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53");
    String agreed = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de";
    ECPoint gi = Curve.timesBasePoint(i);
    assertEquals("dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180", hex(Curve.x(gi)));
    assertEquals("5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3", hex(gi.getAffineYCoord().getEncoded()));
    assertEquals(agreed, hex(AgreementKey.software(r).exchange(gi)));
    assertEquals(agreed, hex(AgreementKey.software(i).exchange(Curve.timesBasePoint(r))));
  }

  @Test
  void signatures() {
    List<JsonObject> vectors = all("signatures");
    for (JsonObject vector : vectors) {
      byte[] key = bytes(vector, "verifying_key");
      byte[] message = bytes(vector, "message");
      boolean holds = Signatures.isSignature(key, bytes(vector, "signature"), message);
      assertEquals(text(vector, "expect").equals("success"), holds, text(vector, "name"));
      if (vector.has("private_key")) {
        assertEquals(text(vector, "signature"), hex(Vectors.signingKey(bytes(vector, "private_key")).sign(message)));
        SigningKey own = SigningKey.software(bytes(vector, "private_key"));
        assertArrayEquals(key, own.verifyingKey());
        assertTrue(Signatures.isSignature(key, own.sign(message), message));
      }
    }
    assertTrue(vectors.size() > 20);
  }

  /** RFC 6979, A.2.5: the only published signatures on P-256 that say over which message they are. */
  @Test
  void signaturesAreThoseOfTheRfc() {
    byte[] key = bytes("0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    byte[] signature =
        bytes(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    assertTrue(Signatures.isEcdsa(key, signature, Bytes.text("sample")));
    assertFalse(Signatures.isEcdsa(key, signature, Bytes.text("test")));
    assertTrue(Signatures.isEcdsa(key, Signatures.lowered(signature), Bytes.text("sample")));
  }

  @Test
  void signaturesHaveTheSmallerHalfWhicheverTheKeyGives() {
    SigningKey key = SigningKey.software(Curve.scalar(new byte[48]));
    Set<Boolean> given = new HashSet<>();
    for (int message = 0; message < 64; message++) {
      byte[] data = {(byte) message};
      byte[] signature = key.ecdsa(data);
      given.add(Arrays.equals(signature, Signatures.lowered(signature)));
      assertTrue(Signatures.isSignature(key.verifyingKey(), key.sign(data), data));
    }
    assertEquals(Set.of(true, false), given);
  }

  @Test
  void issuing() {
    List<JsonObject> vectors = all("issuing");
    for (JsonObject vector : vectors) {
      String expected = text(vector, "expect");
      byte[] issuer = bytes(vector, "issuer_public_key");
      byte[] rho = bytes(vector, "registration_point");
      byte[] signed = Verifier.credentialTranscript(issuer, bytes(vector, "credential"));
      if (expected.equals("INVALID_POINT")) {
        assertEquals(expected, Vectors.outcome(() -> Curve.publicPoint(rho, issuer, signed)));
        continue;
      }
      byte[] secret = bytes(vector, "registration_secret");
      boolean holds = Signatures.isEcdsa(issuer, Bytes.concat(rho, secret), signed);
      assertEquals(expected, holds ? "success" : "CREDENTIAL_INVALID", text(vector, "name"));
      if (holds) {
        ECPoint point = Curve.publicPoint(rho, issuer, signed);
        requireIssued(vector, signed, new RegistrationSecret(AgreementKey.software(secret), rho, point));
      }
    }
    assertTrue(vectors.size() > 10);
  }

  private static void requireIssued(JsonObject vector, byte[] signed, RegistrationSecret secret) {
    assertEquals(text(vector, "transcript"), hex(signed));
    assertEquals(text(vector, "public_point"), hex(secret.publicPoint().getEncoded(true)));
    secret.requireConsistent();
    AgreementKey another = AgreementKey.software(Curve.scalar(new byte[48]));
    RegistrationSecret other = new RegistrationSecret(another, secret.registrationPoint(), secret.publicPoint());
    assertEquals("CREDENTIAL_MISMATCH", Vectors.outcome(other::requireConsistent));
    assertEquals(text(vector, "shared_key"), hex(secret.sharedKey(text(vector, "identity"), bytes(vector, "serial"))));
  }
}
