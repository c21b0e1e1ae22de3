package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.CrlPin;
import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.cert.CRLException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509CRLEntry;
import java.security.cert.X509Certificate;
import java.security.cert.X509Extension;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Date;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1OctetString;

/** Which CRL of a medical authority counts (docs/protocol.md, 7; RFC 5280, 5.2): without one, no Cert_D of that authority. */
final class AuthorityCrl {
  private static final String NUMBER = "2.5.29.20";
  private static final String DELTA_INDICATOR = "2.5.29.27";
  private static final String ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
  private static final Set<String> UNDERSTOOD = Set.of(NUMBER, "2.5.29.35");
  // Reason and invalidity date.
  private static final Set<String> UNDERSTOOD_OF_ENTRIES = Set.of("2.5.29.21", "2.5.29.24");

  private AuthorityCrl() {}

  /** Reads a CRL in DER. What is none, or is damaged, counts for nothing: it stops no other authority's. */
  static Optional<X509CRL> read(ByteString der) {
    try {
      CertificateFactory factory = CertificateFactory.getInstance("X.509");
      X509CRL crl = (X509CRL) factory.generateCRL(new ByteArrayInputStream(der.toByteArray()));
      return Optional.of(crl).filter(read -> Arrays.equals(encoded(read), der.toByteArray()));
    } catch (CertificateException | CRLException | RuntimeException error) {
      return Optional.empty(); // the JDK's parser has errors of its own for what it does not expect
    }
  }

  /**
   * Of the CRLs that the authority's key signed, that are whole, numbered and current, the one with the highest number; not below the one that
   * the cloud's list pins, and where equal that one itself: else a relay could hand out yesterday's.
   */
  static X509CRL current(X509Certificate authority, Lists lists, Date moment) {
    return newest(authority, lists, crl -> isCurrent(crl, moment))
        .orElseThrow(
            () -> new Refusal("REVOCATION_LIST_STALE", "no current CRL of the medical authority is at hand"));
  }

  /** The same of those that are meant, current or not. */
  static Optional<X509CRL> newest(X509Certificate authority, Lists lists, Predicate<X509CRL> isMeant) {
    return pinOf(authority, lists)
        .flatMap(
            pin ->
                lists.crls().stream()
                    .filter(crl -> isSignedBy(crl, authority))
                    .filter(AuthorityCrl::isWhole)
                    .filter(crl -> number(crl).filter(number -> isNotBefore(pin, number, crl)).isPresent())
                    .filter(isMeant)
                    .max(Comparator.comparing(crl -> number(crl).orElseThrow())));
  }

  private static Optional<CrlPin> pinOf(X509Certificate authority, Lists lists) {
    try {
      byte[] digest = Bytes.sha256(authority.getEncoded());
      return lists.head().getCrlsList().stream()
          .filter(pin -> Bytes.equal(pin.getCertificateDigest(), digest))
          .findFirst();
    } catch (CertificateEncodingException error) {
      throw new IllegalStateException(error);
    }
  }

  private static boolean isNotBefore(CrlPin pin, BigInteger number, X509CRL crl) {
    int order = number.compareTo(new BigInteger(1, pin.getNumber().toByteArray()));
    return order > 0 || (order == 0 && isPinned(crl, pin));
  }

  private static boolean isPinned(X509CRL crl, CrlPin pin) {
    return Bytes.equal(pin.getDigest(), Bytes.sha256(encoded(crl)));
  }

  static byte[] encoded(X509CRL crl) {
    try {
      return crl.getEncoded();
    } catch (CRLException error) {
      throw new IllegalStateException(error); // it was parsed out of these bytes
    }
  }

  private static boolean isSignedBy(X509CRL crl, X509Certificate authority) {
    boolean byOurSuite =
        crl.getSigAlgOID().equals(DoctorCertificate.ECDSA_WITH_SHA256) && Curve.isOn(authority.getPublicKey());
    try {
      crl.verify(authority.getPublicKey());
      return byOurSuite && crl.getIssuerX500Principal().equals(authority.getSubjectX500Principal());
    } catch (GeneralSecurityException error) {
      return false;
    }
  }

  /** Whether it lists all that the authority revoked: no delta, no part, nothing critical that is not understood. */
  private static boolean isWhole(X509CRL crl) {
    boolean undivided =
        crl.getExtensionValue(DELTA_INDICATOR) == null && crl.getExtensionValue(ISSUING_DISTRIBUTION_POINT) == null;
    Set<? extends X509CRLEntry> entries = crl.getRevokedCertificates();
    boolean plain = entries == null || entries.stream().allMatch(entry -> isUnderstood(entry, UNDERSTOOD_OF_ENTRIES));
    return undivided && plain && isUnderstood(crl, UNDERSTOOD);
  }

  private static boolean isUnderstood(X509Extension extended, Set<String> understood) {
    Set<String> critical = extended.getCriticalExtensionOIDs();
    return critical == null || understood.containsAll(critical);
  }

  private static boolean isCurrent(X509CRL crl, Date moment) {
    boolean ends = crl.getNextUpdate() != null && moment.before(crl.getNextUpdate());
    return ends && !moment.before(crl.getThisUpdate());
  }

  /** CRLNumber, which no CRL of an authority goes without. */
  private static Optional<BigInteger> number(X509CRL crl) {
    byte[] extension = crl.getExtensionValue(NUMBER);
    if (extension == null) {
      return Optional.empty();
    }
    try {
      byte[] value = ASN1OctetString.getInstance(extension).getOctets();
      return Optional.of(ASN1Integer.getInstance(value).getValue()).filter(number -> number.signum() >= 0);
    } catch (IllegalArgumentException error) {
      return Optional.empty();
    }
  }
}
