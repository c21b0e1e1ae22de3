package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.cert.CRLException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

/** Cert_D: is it legal, is it this doctor's, does it still hold (B16; RFC 5280). */
public final class DoctorCertificate {
  private static final String BASIC_CONSTRAINTS = "2.5.29.19";
  private static final Set<String> UNDERSTOOD = Set.of(BASIC_CONSTRAINTS, "2.5.29.15", "2.5.29.17", "2.5.29.35");
  private static final int URI = 6;
  private static final byte[] ED25519_PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");

  private DoctorCertificate() {}

  /** Refuses unless Cert_D is legal: from an authority of the federation, valid, not revoked, this doctor's and this key's. */
  public static void verify(byte[] der, List<byte[]> authorities, Lists lists, VerifiedParty owner, long now) {
    X509Certificate certificate = read(der);
    X509Certificate authority = authorityOf(certificate, authorities.stream().map(DoctorCertificate::read).toList());
    requireEndEntity(certificate);
    Date moment = new Date(now);
    requireValid(certificate, moment);
    requireValid(authority, moment);
    X509CRL crl = currentCrl(authority, lists, moment);
    require(crl.getRevokedCertificate(certificate.getSerialNumber()) == null, "CERTIFICATE_REVOKED", "Cert_D is revoked");
    requireOwner(certificate, owner);
  }

  static X509CRL readCrl(ByteString der) {
    try {
      return (X509CRL) factory().generateCRL(new ByteArrayInputStream(der.toByteArray()));
    } catch (CRLException error) {
      throw new Refusal("MALFORMED_MESSAGE", "an authority's revocation list is none", error);
    }
  }

  private static X509Certificate read(byte[] der) {
    try {
      return (X509Certificate) factory().generateCertificate(new ByteArrayInputStream(der));
    } catch (CertificateException error) {
      throw new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is no X.509 certificate", error);
    }
  }

  /** The authority whose key signed Cert_D: while it changes keys, it stands twice under its name. */
  private static X509Certificate authorityOf(X509Certificate certificate, List<X509Certificate> authorities) {
    List<X509Certificate> named =
        authorities.stream()
            .filter(authority -> authority.getSubjectX500Principal().equals(certificate.getIssuerX500Principal()))
            .toList();
    require(!named.isEmpty(), "CERTIFICATE_ILLEGAL", "Cert_D comes from no medical authority of this federation");
    return named.stream()
        .filter(authority -> holds(() -> certificate.verify(authority.getPublicKey())))
        .findFirst()
        .orElseThrow(() -> new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is not signed by the authority that it names"));
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
  }

  private static void requireValid(X509Certificate certificate, Date moment) {
    boolean valid = !moment.before(certificate.getNotBefore()) && moment.before(certificate.getNotAfter());
    require(valid, "CERTIFICATE_EXPIRED", "Cert_D or its authority is outside its validity");
  }

  /** The current CRL by the key that certified, its signature checked: without one, no. */
  private static X509CRL currentCrl(X509Certificate authority, Lists lists, Date moment) {
    return lists.crls().stream()
        .filter(crl -> crl.getIssuerX500Principal().equals(authority.getSubjectX500Principal()))
        .filter(crl -> holds(() -> crl.verify(authority.getPublicKey())))
        .filter(crl -> crl.getNextUpdate() != null)
        .filter(crl -> !moment.before(crl.getThisUpdate()) && moment.before(crl.getNextUpdate()))
        .findFirst()
        .orElseThrow(() -> new Refusal("REVOCATION_LIST_STALE", "no current CRL of the medical authority is at hand"));
  }

  private static void requireOwner(X509Certificate certificate, VerifiedParty owner) {
    boolean named = uris(certificate).equals(List.of("urn:medunion:" + owner.identity()));
    require(named, "CERTIFICATE_FOREIGN", "Cert_D is another doctor's");
    byte[] key = Bytes.concat(ED25519_PREFIX, owner.verifyingKey());
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

  private interface Verification {
    void run() throws GeneralSecurityException;
  }

  private static boolean holds(Verification verification) {
    try {
      verification.run();
      return true;
    } catch (GeneralSecurityException error) {
      return false;
    }
  }

  private static CertificateFactory factory() {
    try {
      return CertificateFactory.getInstance("X.509");
    } catch (CertificateException error) {
      throw new IllegalStateException(error);
    }
  }
}
