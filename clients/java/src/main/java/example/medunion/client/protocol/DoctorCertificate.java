package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.MedicalAuthority;
import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Set;

/** Cert_D: is it legal, is it this doctor's, does it still hold (B16; RFC 5280). */
public final class DoctorCertificate {
  private static final String BASIC_CONSTRAINTS = "2.5.29.19";
  private static final Set<String> UNDERSTOOD =
      Set.of(BASIC_CONSTRAINTS, "2.5.29.15", "2.5.29.17", "2.5.29.35", "2.5.29.37");
  // anyExtendedKeyUsage, clientAuth, documentSigning (RFC 9336).
  private static final Set<String> PURPOSES = Set.of("2.5.29.37.0", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.36");
  private static final int URI = 6;

  /** RFC 5758, 3.2: how every certificate and CRL is signed, by a key on P-256. */
  static final String ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";

  private DoctorCertificate() {}

  /**
   * The name of the authority of a Cert_D that is legal: the federation's, valid, not revoked, this doctor's and this key's. Refuses
   * any other.
   */
  public static String verify(byte[] der, List<MedicalAuthority> authorities, Lists lists, VerifiedParty owner, long now) {
    X509Certificate certificate = read(der);
    MedicalAuthority named = authorityOf(certificate, authorities);
    boolean covered = named.getDoctorIdsList().stream().anyMatch(scope -> covers(scope, owner.identity()));
    require(covered, "CERTIFICATE_OUT_OF_SCOPE", "the medical authority may not certify this doctor");
    requireEndEntity(certificate);
    Date moment = new Date(now);
    X509Certificate authority = read(named);
    requireValid(certificate, moment);
    requireValid(authority, moment);
    X509CRL crl = AuthorityCrl.current(authority, lists, moment);
    require(crl.getRevokedCertificate(certificate.getSerialNumber()) == null, "CERTIFICATE_REVOKED", "Cert_D is revoked");
    requireOwner(certificate, owner.identity(), owner.verifyingKey());
    return named.getAuthorityId();
  }

  /** Reads a certificate in DER, and nothing else: a factory takes PEM, too, and what follows. */
  public static X509Certificate read(byte[] der) {
    X509Certificate certificate = parsed(der);
    try {
      require(Arrays.equals(certificate.getEncoded(), der), "CERTIFICATE_ILLEGAL", "Cert_D is no certificate in DER");
      return certificate;
    } catch (CertificateEncodingException error) {
      throw new IllegalStateException(error); // it was parsed out of these bytes
    }
  }

  private static X509Certificate parsed(byte[] der) {
    try {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
    } catch (CertificateException | RuntimeException error) {
      // The JDK's parser has errors of its own for what it does not expect.
      throw new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is no X.509 certificate", error);
    }
  }

  /** Whether a scope names a doctor: that one, or every one whose ID begins as the prefix before `*`. */
  private static boolean covers(String scope, String doctorId) {
    boolean prefix = scope.endsWith("*");
    return prefix ? doctorId.startsWith(scope.substring(0, scope.length() - 1)) : scope.equals(doctorId);
  }

  /** The authority whose key signed Cert_D: while it changes keys, it stands twice under its name. */
  private static MedicalAuthority authorityOf(X509Certificate certificate, List<MedicalAuthority> authorities) {
    List<MedicalAuthority> named =
        authorities.stream()
            .filter(authority -> read(authority).getSubjectX500Principal().equals(certificate.getIssuerX500Principal()))
            .toList();
    require(!named.isEmpty(), "CERTIFICATE_ILLEGAL", "Cert_D comes from no medical authority of this federation");
    return named.stream()
        .filter(authority -> isSignedBy(certificate, read(authority)))
        .findFirst()
        .orElseThrow(() -> new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is not signed by the authority that it names"));
  }

  private static X509Certificate read(MedicalAuthority authority) {
    return read(authority.getCertificate().toByteArray());
  }

  private static boolean isSignedBy(X509Certificate certificate, X509Certificate authority) {
    boolean byOurSuite = certificate.getSigAlgOID().equals(ECDSA_WITH_SHA256) && Curve.isOn(authority.getPublicKey());
    try {
      certificate.verify(authority.getPublicKey());
      return byOurSuite;
    } catch (GeneralSecurityException error) {
      return false;
    }
  }

  private static void requireEndEntity(X509Certificate certificate) {
    boolean[] usage = certificate.getKeyUsage();
    boolean stated = certificate.getExtensionValue(BASIC_CONSTRAINTS) != null && usage != null;
    require(stated, "CERTIFICATE_ILLEGAL", "Cert_D lacks BasicConstraints or KeyUsage");
    boolean signs = certificate.getBasicConstraints() < 0 && usage[0];
    require(signs, "CERTIFICATE_ILLEGAL", "Cert_D is not a certificate for signatures");
    // What is critical and not understood must not be passed over (RFC 5280, 4.2).
    boolean understood = UNDERSTOOD.containsAll(certificate.getCriticalExtensionOIDs());
    require(understood, "CERTIFICATE_ILLEGAL", "Cert_D has a critical extension that is not understood here");
    requirePurpose(certificate);
  }

  /** An ExtendedKeyUsage that is there, critical or not, has to allow what a doctor does with Cert_D. */
  private static void requirePurpose(X509Certificate certificate) {
    try {
      List<String> purposes = certificate.getExtendedKeyUsage();
      boolean allowed = purposes == null || purposes.stream().anyMatch(PURPOSES::contains);
      require(allowed, "CERTIFICATE_ILLEGAL", "Cert_D is a certificate for something else");
    } catch (CertificateParsingException error) {
      throw new Refusal("CERTIFICATE_ILLEGAL", "the ExtendedKeyUsage of Cert_D can't be read", error);
    }
  }

  private static void requireValid(X509Certificate certificate, Date moment) {
    boolean valid = !moment.before(certificate.getNotBefore()) && moment.before(certificate.getNotAfter());
    require(valid, "CERTIFICATE_EXPIRED", "Cert_D or its authority is outside its validity");
  }

  /** Refuses a certificate that is another doctor's, or for another key. */
  public static void requireOwner(X509Certificate certificate, String identity, byte[] verifyingKey) {
    boolean named = uris(certificate).equals(List.of("urn:medunion:" + identity));
    require(named, "CERTIFICATE_FOREIGN", "Cert_D is another doctor's");
    byte[] key = Curve.publicKey(Curve.verifyingKey(verifyingKey)).getEncoded();
    boolean own = Arrays.equals(certificate.getPublicKey().getEncoded(), key);
    require(own, "CERTIFICATE_FOREIGN", "Cert_D is for another key");
  }

  private static List<Object> uris(X509Certificate certificate) {
    try {
      Collection<List<?>> names = certificate.getSubjectAlternativeNames();
      return names == null
          ? List.of()
          : names.stream().filter(name -> name.get(0).equals(URI)).<Object>map(name -> name.get(1)).toList();
    } catch (CertificateParsingException error) {
      throw new Refusal("CERTIFICATE_FOREIGN", "Cert_D names nobody", error);
    }
  }
}
