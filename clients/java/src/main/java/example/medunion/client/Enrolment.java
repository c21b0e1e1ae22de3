package example.medunion.client;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.SigningKey;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.X500NameBuilder;
import org.bouncycastle.asn1.x500.style.BCStyle;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.ExtensionsGenerator;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;
import org.bouncycastle.crypto.signers.StandardDSAEncoding;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;

/** What a registration needs beside keys: a patient's ticket, a doctor's certificate request. */
final class Enrolment {
  private static final String LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  private static final int CHECK_BITS = 12;
  private static final Pattern PEM =
      Pattern.compile("^-----BEGIN CERTIFICATE-----\\s*$([^-]*)^-----END CERTIFICATE-----", Pattern.MULTILINE);
  private static final AlgorithmIdentifier ECDSA = new AlgorithmIdentifier(X9ObjectIdentifiers.ecdsa_with_SHA256);

  private Enrolment() {}

  /**
   * Reads a ticket: 16 bytes and the first 12 bits of their SHA-256 in base32 (RFC 4648, 6); case, white space and dashes are no part of it.
   */
  static byte[] parseTicket(String written) {
    String letters = written.toUpperCase(Locale.ROOT).replaceAll("[\\s-]", "");
    require(letters.matches("[A-Z2-7]{28}"), "TICKET_INVALID", "a ticket has 28 letters and digits, in groups of four");
    BigInteger value = BigInteger.ZERO;
    for (char letter : letters.toCharArray()) {
      value = value.shiftLeft(5).or(BigInteger.valueOf(LETTERS.indexOf(letter)));
    }
    byte[] ticket = new byte[16];
    byte[] bigEndian = value.shiftRight(CHECK_BITS).toByteArray();
    for (int index = 0; index < Math.min(16, bigEndian.length); index++) {
      ticket[15 - index] = bigEndian[bigEndian.length - 1 - index];
    }
    byte[] hash = Bytes.sha256(ticket);
    int check = (Byte.toUnsignedInt(hash[0]) << 8 | Byte.toUnsignedInt(hash[1])) >> 16 - CHECK_BITS;
    boolean holds = value.and(BigInteger.ONE.shiftLeft(CHECK_BITS).subtract(BigInteger.ONE)).intValue() == check;
    require(holds, "TICKET_INVALID", "this ticket is mistyped: look at it again, all 28 letters and digits");
    return ticket;
  }

  /** Cert_D of a file, in DER or PEM: text before BEGIN is passed over, and what follows the first certificate. */
  static byte[] certificate(byte[] file) {
    Matcher pem = PEM.matcher(new String(file, StandardCharsets.ISO_8859_1));
    if (!pem.find()) {
      return file;
    }
    try {
      return Base64.getDecoder().decode(pem.group(1).replaceAll("\\s", ""));
    } catch (IllegalArgumentException error) {
      throw new Refusal("CERTIFICATE_ILLEGAL", "the certificate is damaged", error);
    }
  }

  /** A certificate request (PKCS#10, RFC 2986) for Cert_D: ECDSA on P-256 with SHA-256 (RFC 5758), common name ID_D, SAN URI. */
  static byte[] certificateRequest(String identity, SigningKey key) {
    X500Name subject = new X500NameBuilder().addRDN(BCStyle.CN, identity).build();
    GeneralName name = new GeneralName(GeneralName.uniformResourceIdentifier, "urn:medunion:" + identity);
    try {
      ExtensionsGenerator extensions = new ExtensionsGenerator();
      extensions.addExtension(Extension.subjectAlternativeName, false, new GeneralNames(name));
      byte[] owner = Curve.publicKey(Curve.verifyingKey(key.verifyingKey())).getEncoded();
      return new PKCS10CertificationRequestBuilder(subject, SubjectPublicKeyInfo.getInstance(owner))
          .addAttribute(PKCSObjectIdentifiers.pkcs_9_at_extensionRequest, extensions.generate())
          .build(signer(key))
          .getEncoded();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static ContentSigner signer(SigningKey key) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    return new ContentSigner() {
      @Override
      public AlgorithmIdentifier getAlgorithmIdentifier() {
        return ECDSA;
      }

      @Override
      public OutputStream getOutputStream() {
        return content;
      }

      @Override
      public byte[] getSignature() {
        byte[] signature = key.ecdsa(content.toByteArray());
        BigInteger r = new BigInteger(1, Arrays.copyOf(signature, 32));
        BigInteger s = new BigInteger(1, Arrays.copyOfRange(signature, 32, 64));
        try {
          return StandardDSAEncoding.INSTANCE.encode(Curve.ORDER, r, s); // RFC 3279, 2.2.3
        } catch (IOException error) {
          throw new UncheckedIOException(error);
        }
      }
    };
  }
}
