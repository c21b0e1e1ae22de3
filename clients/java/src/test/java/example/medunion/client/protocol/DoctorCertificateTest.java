package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.federation.v1.CrlPin;
import example.medunion.federation.v1.MedicalAuthority;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.CRLNumber;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v2CRLBuilder;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.junit.jupiter.api.Test;

/** Cert_D, its authority and the authority's CRLs, made here: what counts, and what does not. */
class DoctorCertificateTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final long NOW = CAST.get("now").getAsLong() / 1000 * 1000;
  private static final long DAY = Duration.ofDays(1).toMillis();
  private static final X500Name NAME = new X500Name("CN=Board");
  private static final BigInteger SERIAL = BigInteger.valueOf(77);

  private final KeyPair board = keys();
  private final KeyPair chen = keys();
  private final byte[] authority = authority(NOW - DAY, NOW + DAY);
  private final byte[] certificate = certificate();
  private final byte[] current = crl(5);

  private interface Change {
    void to(X509v2CRLBuilder builder) throws Exception;
  }

  private static KeyPair keys() {
    return keys("secp256r1");
  }

  private static KeyPair keys(String curve) {
    try {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(new ECGenParameterSpec(curve));
      return generator.generateKeyPair();
    } catch (GeneralSecurityException error) {
      throw new AssertionError(error);
    }
  }

  private byte[] authority(long from, long to) {
    return authority(board, from, to);
  }

  private static byte[] authority(KeyPair board, long from, long to) {
    try {
      return certificateBuilder(board, NAME, from, to)
          .addExtension(Extension.basicConstraints, true, new BasicConstraints(true))
          .build(new JcaContentSignerBuilder("SHA256withECDSA").build(board.getPrivate()))
          .getEncoded();
    } catch (Exception error) {
      throw new AssertionError(error);
    }
  }

  private byte[] certificate() {
    return certificate(board, "SHA256withECDSA");
  }

  private byte[] certificate(KeyPair board, String algorithm) {
    GeneralName name = new GeneralName(GeneralName.uniformResourceIdentifier, "urn:medunion:D:chen");
    try {
      return certificateBuilder(chen, new X500Name("CN=D:chen"), NOW - DAY, NOW + DAY)
          .addExtension(Extension.basicConstraints, true, new BasicConstraints(false))
          .addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature))
          .addExtension(Extension.subjectAlternativeName, false, new GeneralNames(name))
          .build(new JcaContentSignerBuilder(algorithm).build(board.getPrivate()))
          .getEncoded();
    } catch (Exception error) {
      throw new AssertionError(error);
    }
  }

  private static X509v3CertificateBuilder certificateBuilder(KeyPair owner, X500Name subject, long from, long to) {
    SubjectPublicKeyInfo key = SubjectPublicKeyInfo.getInstance(owner.getPublic().getEncoded());
    return new X509v3CertificateBuilder(NAME, SERIAL, new Date(from), new Date(to), subject, key);
  }

  private byte[] crl(long number) {
    return crl(board, number);
  }

  private static byte[] crl(KeyPair board, long number) {
    return crl(board, builder -> builder.addExtension(Extension.cRLNumber, false, new CRLNumber(BigInteger.valueOf(number))));
  }

  private byte[] crl(Change change) {
    return crl(board, change);
  }

  private static byte[] crl(KeyPair board, Change change) {
    try {
      X509v2CRLBuilder builder = new X509v2CRLBuilder(NAME, new Date(NOW - 1000));
      builder.setNextUpdate(new Date(NOW + DAY));
      change.to(builder);
      return builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(board.getPrivate())).getEncoded();
    } catch (Exception error) {
      throw new AssertionError(error);
    }
  }

  private static CrlPin pin(byte[] authority, long number, byte[] crl) {
    byte[] octets = number == 0 ? Bytes.EMPTY : BigInteger.valueOf(number).toByteArray();
    return CrlPin.newBuilder()
        .setCertificateDigest(ByteString.copyFrom(Bytes.sha256(authority)))
        .setNumber(ByteString.copyFrom(octets))
        .setDigest(ByteString.copyFrom(Bytes.sha256(crl)))
        .build();
  }

  private String outcome(byte[] certificate, byte[] authority, List<CrlPin> pins, byte[]... crls) {
    byte[] key = Curve.pointOf((ECPublicKey) chen.getPublic()).getEncoded(true);
    VerifiedParty owner = new VerifiedParty(Role.ROLE_DOCTOR, "D:chen", null, null, null, null, null, key, null, null, null);
    List<MedicalAuthority> authorities = List.of(stated(authority, List.of("D:*")));
    return Vectors.outcome(() -> DoctorCertificate.verify(certificate, authorities, lists(pins, crls), owner, NOW));
  }

  private static MedicalAuthority stated(byte[] certificate, List<String> scope) {
    return MedicalAuthority.newBuilder()
        .setAuthorityId("M:board")
        .setCertificate(ByteString.copyFrom(certificate))
        .addAllDoctorIds(scope)
        .build();
  }

  /** The vectors' head, with these pins, signed anew. */
  private static Lists lists(List<CrlPin> pins, byte[]... crls) {
    SignedStatement kept = Vectors.signed(CAST.get("revocation_head"));
    RevocationHead head =
        Statements.peek(RevocationHead.getDefaultInstance(), kept).toBuilder().clearCrls().addAllCrls(pins).build();
    SigningKey cloud = Vectors.signingKey(CAST.getAsJsonObject("cloud"));
    List<ByteString> served = Arrays.stream(crls).map(ByteString::copyFrom).toList();
    return Lists.read(bundle(), Statements.sign("rl", head, cloud), served, Shards.NONE);
  }

  private String withCrls(CrlPin pin, byte[]... crls) {
    return outcome(certificate, authority, List.of(pin), crls);
  }

  private static TrustedBundle bundle() {
    TrustedBundle bundle = null;
    for (JsonElement statement : CAST.getAsJsonArray("trust_bundles")) {
      SignedStatement signed = Vectors.signed(statement);
      bundle = bundle == null ? TrustedBundle.pin(signed) : bundle.follow(signed);
    }
    return bundle;
  }

  @Test
  void vectors() {
    List<JsonObject> vectors = Vectors.all("certificates");
    for (JsonObject vector : vectors) {
      List<CrlPin> pins =
          vector.getAsJsonArray("pins").asList().stream().map(pin -> pin(pin.getAsJsonObject())).toList();
      List<String> scope = vector.getAsJsonArray("doctor_ids").asList().stream().map(JsonElement::getAsString).toList();
      byte[][] crls = Vectors.list(vector.getAsJsonArray("crls")).toArray(byte[][]::new);
      byte[] key = Vectors.bytes(vector, "verifying_key");
      String doctorId = Vectors.text(vector, "doctor_id");
      VerifiedParty owner = new VerifiedParty(Role.ROLE_DOCTOR, doctorId, null, null, null, null, null, key, null, null, null);
      MedicalAuthority authority = stated(Vectors.bytes(vector, "authority_certificate"), scope);
      byte[] certificate = Vectors.bytes(vector, "certificate");
      long now = vector.get("now").getAsLong();
      Runnable verify = () -> DoctorCertificate.verify(certificate, List.of(authority), lists(pins, crls), owner, now);
      assertEquals(Vectors.text(vector, "expect"), Vectors.outcome(verify), Vectors.text(vector, "name"));
    }
    assertTrue(vectors.size() > 40);
  }

  private static CrlPin pin(JsonObject pin) {
    return CrlPin.newBuilder()
        .setCertificateDigest(ByteString.copyFrom(Vectors.bytes(pin, "certificate_digest")))
        .setNumber(ByteString.copyFrom(Vectors.bytes(pin, "number")))
        .setDigest(ByteString.copyFrom(Vectors.bytes(pin, "digest")))
        .build();
  }

  @Test
  void crlOfAnOddNumberCountsForNothing() {
    CrlPin pin = pin(authority, 0, current);
    Change negative = builder -> builder.addExtension(Extension.cRLNumber, false, new ASN1Integer(-1));
    assertEquals("REVOCATION_LIST_STALE", withCrls(pin, crl(negative)));
    Change none = builder -> builder.addExtension(Extension.cRLNumber, false, DERNull.INSTANCE);
    assertEquals("REVOCATION_LIST_STALE", withCrls(pin, crl(none)));
    BigInteger large = BigInteger.ONE.shiftLeft(150);
    Change number = builder -> builder.addExtension(Extension.cRLNumber, false, new CRLNumber(large));
    assertEquals("success", withCrls(pin, crl(number)));
  }

  @Test
  void authorityOutsideItsValidityCertifiesNobody() {
    for (byte[] other : List.of(authority(NOW - 2 * DAY, NOW), authority(NOW + 1000, NOW + DAY))) {
      List<CrlPin> pins = List.of(pin(other, 5, current));
      assertEquals("CERTIFICATE_EXPIRED", outcome(certificate, other, pins, current));
    }
  }

  @Test
  void everySignatureIsEcdsaOnP256WithSha256() {
    List<CrlPin> pins = List.of(pin(authority, 5, current));
    assertEquals("success", outcome(certificate(board, "SHA256withECDSA"), authority, pins, current));
    assertEquals("CERTIFICATE_ILLEGAL", outcome(certificate(board, "SHA384withECDSA"), authority, pins, current));
    KeyPair larger = keys("secp384r1");
    byte[] other = authority(larger, NOW - DAY, NOW + DAY);
    assertEquals("CERTIFICATE_ILLEGAL", outcome(certificate(larger, "SHA256withECDSA"), other, pins, current));
  }

  @Test
  void certificateIsDerAndNothingElse() {
    List<CrlPin> pins = List.of(pin(authority, 5, current));
    String body = Base64.getMimeEncoder().encodeToString(certificate);
    byte[] pem = Bytes.text("-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n");
    for (byte[] other : List.of(pem, Bytes.concat(certificate, new byte[1]), Arrays.copyOf(certificate, 90), Bytes.EMPTY)) {
      assertEquals("CERTIFICATE_ILLEGAL", outcome(other, authority, pins, current));
    }
  }

  @Test
  void whatIsNoCrlStopsNoOther() {
    CrlPin pin = pin(authority, 5, current);
    for (byte[] other : List.of(certificate, Bytes.concat(current, new byte[1]), Arrays.copyOf(current, 90), Bytes.EMPTY)) {
      assertEquals("REVOCATION_LIST_STALE", withCrls(pin, other));
      assertEquals("success", withCrls(pin, other, current));
    }
  }

  @Test
  void relaysCrlLeavesThoseOfOtherAuthoritiesAtHandAndAMadeUpOneDisplacesNone() {
    KeyPair elsewhere = keys();
    byte[] another = authority(elsewhere, NOW - DAY, NOW + DAY);
    byte[] others = crl(elsewhere, 5);
    List<MedicalAuthority> authorities = List.of(stated(authority, List.of("D:*")), stated(another, List.of("D:*")));
    List<CrlPin> pins = List.of(pin(authority, 5, current), pin(another, 5, others));
    Lists kept = lists(pins, current, others);
    byte[] later = crl(6);
    List<ByteString> newest = lists(pins, later).crlsBeside(kept, authorities);
    assertEquals(List.of(ByteString.copyFrom(later), ByteString.copyFrom(others)), newest);
    List<ByteString> same = lists(pins, crl(keys(), 9)).crlsBeside(kept, authorities);
    assertEquals(List.of(ByteString.copyFrom(current), ByteString.copyFrom(others)), same);
  }
}
