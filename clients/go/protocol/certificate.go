package protocol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"time"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
)

// DoctorURN comes before a doctor's identity in the SAN URI of Cert_D.
const DoctorURN = "urn:medunion:"

var (
	basicConstraints       = asn1.ObjectIdentifier{2, 5, 29, 19}
	keyUsage               = asn1.ObjectIdentifier{2, 5, 29, 15}
	subjectAltName         = asn1.ObjectIdentifier{2, 5, 29, 17}
	authorityKeyIdentifier = asn1.ObjectIdentifier{2, 5, 29, 35}
	extendedKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 37}
	documentSigning        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36} // RFC 9336
)

// What Cert_D may mark as critical: a critical extension that is not understood must not be passed over (RFC 5280, section 4.2).
var understood = []asn1.ObjectIdentifier{basicConstraints, keyUsage, subjectAltName, authorityKeyIdentifier, extendedKeyUsage}

// verifyCertificate requires Cert_D to be legal, and gives its authority: one of the federation that may certify this ID_D; valid, not
// revoked, this ID_D's and this key's. Refuses with CERTIFICATE_ILLEGAL, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, CERTIFICATE_FOREIGN,
// CERTIFICATE_OUT_OF_SCOPE, REVOCATION_LIST_STALE.
func verifyCertificate(der []byte, anchors *Anchors, lists Lists, doctorID string, verifyingKey []byte, now Instant) (authority, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, refusal.Because(err, refusal.CertificateIllegal, "Cert_D is no X.509 certificate")
	}
	issuer, err := authorityOf(certificate, anchors)
	if err != nil {
		return authority{}, err
	}
	if !issuer.mayCertify(doctorID) {
		return authority{}, refusal.New(refusal.CertificateOutOfScope, "the authority may not certify this doctor")
	}
	if err := requireEndEntity(certificate); err != nil {
		return authority{}, err
	}
	moment := time.UnixMilli(int64(now))
	if !isValid(certificate, moment) || !isValid(issuer.Certificate, moment) {
		return authority{}, refusal.New(refusal.CertificateExpired, "Cert_D or its authority is outside its validity")
	}
	crl, err := lists.currentCRL(issuer.Certificate, moment)
	if err != nil {
		return authority{}, err
	}
	for _, revoked := range crl.RevokedCertificateEntries {
		if revoked.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
			return authority{}, refusal.New(refusal.CertificateRevoked, "Cert_D is revoked")
		}
	}
	return issuer, requireOwner(certificate, doctorID, verifyingKey)
}

// AuthorityOf gives the name of the authority that certified a doctor, for its own use; nothing where none of these did.
func (a *Anchors) AuthorityOf(der []byte) string {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return ""
	}
	issuer, _ := authorityOf(certificate, a)
	return issuer.id
}

// authorityOf gives the authority whose key signed Cert_D: while it changes keys, it stands twice under its name.
func authorityOf(certificate *x509.Certificate, anchors *Anchors) (authority, error) {
	for _, named := range anchors.authorities {
		if bytes.Equal(named.RawSubject, certificate.RawIssuer) && mayHaveSigned(named.Certificate, certificate.SignatureAlgorithm) &&
			named.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil {
			return named, nil
		}
	}
	return authority{}, refusal.New(refusal.CertificateIllegal, "Cert_D comes from no medical authority of this federation")
}

// mayHaveSigned says whether a certificate's key and an algorithm are the suite's: P-256 and ecdsa-with-SHA256.
func mayHaveSigned(signer *x509.Certificate, algorithm x509.SignatureAlgorithm) bool {
	key, isECDSA := signer.PublicKey.(*ecdsa.PublicKey)
	return isECDSA && key.Curve == elliptic.P256() && algorithm == x509.ECDSAWithSHA256
}

func requireEndEntity(certificate *x509.Certificate) error {
	if !certificate.BasicConstraintsValid || certificate.IsCA || certificate.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refusal.New(refusal.CertificateIllegal, "Cert_D is not a certificate for signatures")
	}
	if hasUnknownCritical(certificate.Extensions, understood) {
		return refusal.New(refusal.CertificateIllegal, "Cert_D has a critical extension that is not understood here")
	}
	if hasExtension(certificate.Extensions, extendedKeyUsage) && !isForDoctors(certificate) {
		return refusal.New(refusal.CertificateIllegal, "Cert_D is for something else by its ExtendedKeyUsage")
	}
	return nil
}

func isForDoctors(certificate *x509.Certificate) bool {
	return slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageAny) ||
		slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageClientAuth) ||
		slices.ContainsFunc(certificate.UnknownExtKeyUsage, documentSigning.Equal)
}

func hasExtension(extensions []pkix.Extension, id asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(extensions, func(one pkix.Extension) bool { return one.Id.Equal(id) })
}

func hasUnknownCritical(extensions []pkix.Extension, known []asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(extensions, func(one pkix.Extension) bool {
		return one.Critical && !slices.ContainsFunc(known, one.Id.Equal)
	})
}

func isValid(certificate *x509.Certificate, moment time.Time) bool {
	return !moment.Before(certificate.NotBefore) && moment.Before(certificate.NotAfter)
}

func requireOwner(certificate *x509.Certificate, doctorID string, verifyingKey []byte) error {
	if len(certificate.URIs) != 1 || certificate.URIs[0].String() != DoctorURN+doctorID {
		return refusal.New(refusal.CertificateForeign, "Cert_D is another doctor's")
	}
	key, isECDSA := certificate.PublicKey.(*ecdsa.PublicKey)
	if !isECDSA {
		return refusal.New(refusal.CertificateForeign, "Cert_D is for a key of another kind")
	}
	if encoded, err := curve.EncodeVerifyingKey(key); err != nil || !bytes.Equal(encoded, verifyingKey) {
		return refusal.New(refusal.CertificateForeign, "Cert_D is for another key")
	}
	return nil
}
