package protocol

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

var (
	reasonCode               = asn1.ObjectIdentifier{2, 5, 29, 21} // of an entry, as the next: revoked is revoked
	invalidityDate           = asn1.ObjectIdentifier{2, 5, 29, 24}
	crlNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
	deltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	issuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// currentCRL gives the authority's newest CRL: of those that its key signed, that are whole and current, and that count beside the pin of the
// revocation list, the one with the highest CRLNumber. Refuses with REVOCATION_LIST_STALE: without one, no.
func (l Lists) currentCRL(authority *x509.Certificate, moment time.Time) (*x509.RevocationList, error) {
	pin := l.pinOf(authority)
	if pin == nil {
		return nil, refusal.New(refusal.RevocationListStale, "the revocation list names no CRL of the medical authority")
	}
	var newest *x509.RevocationList
	for _, crl := range l.crls {
		if isSignedBy(crl, authority) && isWhole(crl) && counts(crl, pin) &&
			!moment.Before(crl.ThisUpdate) && moment.Before(crl.NextUpdate) &&
			(newest == nil || crl.Number.Cmp(newest.Number) > 0) {
			newest = crl
		}
	}
	if newest == nil {
		return nil, refusal.New(refusal.RevocationListStale, "no current CRL of the medical authority is at hand")
	}
	return newest, nil
}

func (l Lists) pinOf(authority *x509.Certificate) *pb.CrlPin {
	digest := transcript.Digest(authority.Raw)
	for _, pin := range l.revocations.GetCrls() {
		if bytes.Equal(pin.GetCertificateDigest(), digest) {
			return pin
		}
	}
	return nil
}

func isSignedBy(crl *x509.RevocationList, authority *x509.Certificate) bool {
	return bytes.Equal(crl.RawIssuer, authority.RawSubject) && crl.SignatureAlgorithm == x509.PureEd25519 &&
		authority.CheckSignature(crl.SignatureAlgorithm, crl.RawTBSRevocationList, crl.Signature) == nil
}

// isWhole says whether a CRL speaks of all certificates of its authority, in words that are understood here (RFC 5280, section 5.2).
func isWhole(crl *x509.RevocationList) bool {
	if crl.Number == nil || hasExtension(crl.Extensions, deltaCRLIndicator) || hasExtension(crl.Extensions, issuingDistributionPoint) ||
		hasUnknownCritical(crl.Extensions, []asn1.ObjectIdentifier{authorityKeyIdentifier, crlNumber}) {
		return false
	}
	for _, entry := range crl.RevokedCertificateEntries {
		if hasUnknownCritical(entry.Extensions, []asn1.ObjectIdentifier{reasonCode, invalidityDate}) {
			return false
		}
	}
	return true
}

// counts says whether a CRL is the pinned one, or a later one.
func counts(crl *x509.RevocationList, pin *pb.CrlPin) bool {
	switch crl.Number.Cmp(new(big.Int).SetBytes(pin.GetNumber())) {
	case -1:
		return false
	case 0:
		return bytes.Equal(transcript.Digest(crl.Raw), pin.GetDigest())
	default:
		return true
	}
}
