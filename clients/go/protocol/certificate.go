package protocol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"medunion.example/clients/go/refusal"
)

// DoctorURN comes before a doctor's identity in the SAN URI of Cert_D.
const DoctorURN = "urn:medunion:"

// What Cert_D may mark as critical: a critical extension that is not understood must not be passed over (RFC 5280, section 4.2).
var understood = []asn1.ObjectIdentifier{
	{2, 5, 29, 19}, // BasicConstraints
	{2, 5, 29, 15}, // KeyUsage
	{2, 5, 29, 17}, // SubjectAltName
	{2, 5, 29, 35}, // AuthorityKeyIdentifier
}

// verifyCertificate requires Cert_D to be legal: from an authority of the federation, valid, not revoked, this ID_D's and this
// key's. Refuses with CERTIFICATE_ILLEGAL, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, CERTIFICATE_FOREIGN, REVOCATION_LIST_STALE.
func verifyCertificate(der []byte, anchors *Anchors, lists Lists, doctorID string, verifyingKey []byte, now Instant) error {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return refusal.Because(err, refusal.CertificateIllegal, "Cert_D is no X.509 certificate")
	}
	authority, err := authorityOf(certificate, anchors)
	if err != nil {
		return err
	}
	if err := requireEndEntity(certificate); err != nil {
		return err
	}
	moment := time.UnixMilli(int64(now))
	if !isValid(certificate, moment) || !isValid(authority, moment) {
		return refusal.New(refusal.CertificateExpired, "Cert_D or its authority is outside its validity")
	}
	crl, err := currentCRL(authority, lists, moment)
	if err != nil {
		return err
	}
	for _, revoked := range crl.RevokedCertificateEntries {
		if revoked.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
			return refusal.New(refusal.CertificateRevoked, "Cert_D is revoked")
		}
	}
	return requireOwner(certificate, doctorID, verifyingKey)
}

// authorityOf gives the authority's certificate whose key signed Cert_D: while it changes keys, it stands twice under its name.
func authorityOf(certificate *x509.Certificate, anchors *Anchors) (*x509.Certificate, error) {
	for _, authority := range anchors.authorities {
		if bytes.Equal(authority.RawSubject, certificate.RawIssuer) &&
			authority.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil {
			return authority, nil
		}
	}
	return nil, refusal.New(refusal.CertificateIllegal, "Cert_D comes from no medical authority of this federation")
}

func requireEndEntity(certificate *x509.Certificate) error {
	if !certificate.BasicConstraintsValid || certificate.IsCA || certificate.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refusal.New(refusal.CertificateIllegal, "Cert_D is not a certificate for signatures")
	}
	for _, extension := range certificate.Extensions {
		if extension.Critical && !slices.ContainsFunc(understood, extension.Id.Equal) {
			return refusal.New(refusal.CertificateIllegal, "Cert_D has a critical extension that is not understood here")
		}
	}
	return nil
}

func isValid(certificate *x509.Certificate, moment time.Time) bool {
	return !moment.Before(certificate.NotBefore) && moment.Before(certificate.NotAfter)
}

// currentCRL gives the current CRL by the key that certified, its signature checked: without one, no.
func currentCRL(authority *x509.Certificate, lists Lists, moment time.Time) (*x509.RevocationList, error) {
	for _, crl := range lists.crls {
		signed := bytes.Equal(crl.RawIssuer, authority.RawSubject) && crl.SignatureAlgorithm == x509.PureEd25519 &&
			authority.CheckSignature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature) == nil
		if signed && !moment.Before(crl.ThisUpdate) && moment.Before(crl.NextUpdate) {
			return crl, nil
		}
	}
	return nil, refusal.New(refusal.RevocationListStale, "no current CRL of the medical authority is at hand")
}

func requireOwner(certificate *x509.Certificate, doctorID string, verifyingKey []byte) error {
	if len(certificate.URIs) != 1 || certificate.URIs[0].String() != DoctorURN+doctorID {
		return refusal.New(refusal.CertificateForeign, "Cert_D is another doctor's")
	}
	key, isEd25519 := certificate.PublicKey.(ed25519.PublicKey)
	if !isEd25519 || !bytes.Equal(key, verifyingKey) {
		return refusal.New(refusal.CertificateForeign, "Cert_D is for another key")
	}
	return nil
}
