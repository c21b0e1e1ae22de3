package protocol

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const longestListLife = 3_600_000 // ms

// Lists is the head of the revocation list, what is at hand of its set, and the authorities' CRLs as last received. Stale or absent means no.
type Lists struct {
	head   *pb.RevocationHead
	crls   []*x509.RevocationList
	listed Listed
}

// ReadLists verifies a head by the PUK_C of its time and parses the CRLs; a CRL is verified where it is used. listed is what is at hand of the
// head's set. Refuses with SIGNATURE_INVALID, CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED, MALFORMED_MESSAGE.
func ReadLists(anchors *Anchors, signed *pb.SignedStatement, crls [][]byte, listed Listed) (Lists, error) {
	head := &pb.RevocationHead{}
	if err := anchors.open("rl", head, signed); err != nil {
		return Lists{}, err
	}
	if head.GetNextUpdate() > head.GetThisUpdate() && head.GetNextUpdate()-head.GetThisUpdate() > longestListLife {
		return Lists{}, refusal.New(refusal.MalformedMessage, "a head of the revocation list may not live longer than an hour")
	}
	lists := Lists{head: head, listed: listed}
	for _, der := range crls {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return Lists{}, refusal.Because(err, refusal.MalformedMessage, "an authority's revocation list is none")
		}
		lists.crls = append(lists.crls, crl)
	}
	return lists, nil
}

// WithKept gives these lists, which come without the CRLs that were at hand, with those: of each authority the newest that counts, so that a
// CRL that was made up displaces none.
func (l Lists) WithKept(kept Lists, anchors *Anchors) Lists {
	merged, all := Lists{head: l.head, listed: l.listed}, Lists{head: l.head, crls: slices.Concat(l.crls, kept.crls)}
	for _, authority := range anchors.authorities {
		if newest := all.newestCRL(authority.Certificate, func(*x509.RevocationList) bool { return true }); newest != nil {
			merged.crls = append(merged.crls, newest)
		}
	}
	return merged
}

// CRLs gives the CRLs, DER.
func (l Lists) CRLs() (all [][]byte) {
	for _, crl := range l.crls {
		all = append(all, crl.Raw)
	}
	return all
}

// Head gives the head of the revocation list, verified, whether it is current or not; nil without one.
func (l Lists) Head() *pb.RevocationHead { return l.head }

// Sequence gives the head's number, or 0 without one.
func (l Lists) Sequence() uint64 { return l.head.GetSequence() }

// Grace is for how many ms a head counts that is over, and the latest moment at which it was used so; none where it is empty. Seen keeps who
// sets a clock back from stretching it.
type Grace struct {
	Length, Seen Instant
}

func (l Lists) requireCurrent(freshness Freshness, grace Grace, now Instant) error {
	if l.head == nil || now >= l.head.GetNextUpdate()+grace.Length {
		return refusal.New(refusal.RevocationListStale, "no current revocation list is at hand")
	}
	if l.isLate(grace, now) && now+milliseconds(freshness.Skew) < grace.Seen {
		return refusal.New(refusal.RevocationListStale, "the list at hand is over, and this clock has gone back since")
	}
	if !freshness.Begun(l.head.GetThisUpdate(), now) {
		return refusal.New(refusal.RevocationListStale, "the revocation list is from the future")
	}
	return nil
}

func (l Lists) isLate(grace Grace, now Instant) bool {
	return l.head != nil && max(now, grace.Seen) >= l.head.GetNextUpdate()
}

// requireStood refuses with NEWER_THAN_LIST what somebody stated after the head at hand, where that is over.
func (l Lists) requireStood(statedAt Instant, grace Grace, now Instant) error {
	if l.isLate(grace, now) && statedAt > l.head.GetThisUpdate() {
		return refusal.New(refusal.NewerThanList, "what is shown is newer than the revocation list at hand, and that is over")
	}
	return nil
}

// IsLate says whether the head at hand is over, now.
func (l Lists) IsLate(now Instant) bool { return l.isLate(Grace{}, now) }

func (l Lists) find(entry []byte) (Instant, bool, error) {
	if l.listed == nil {
		return Shards{}.Find(entry)
	}
	return l.listed.Find(entry)
}

func (l Lists) requireSerialGood(serial []byte) error {
	return l.requireNotListed(SerialEntry(serial), "the credential is revoked")
}

func (l Lists) requireKeyGood(keyID []byte) error {
	return l.requireNotListed(transcript.Digest(transcript.T("key", keyID)), "the encryption key is revoked")
}

func (l Lists) requireNotListed(entry []byte, why string) error {
	if _, isListed, err := l.find(entry); err != nil {
		return err
	} else if isListed {
		return refusal.New(refusal.CredentialRevoked, "%s", why)
	}
	return nil
}

// SerialEntry gives a credential's entry: H(T("serial", serial)).
func SerialEntry(serial []byte) []byte { return transcript.Digest(transcript.T("serial", serial)) }

// isRevoked says whether a statement of this kind ("grant", "mandate", "guardian", "duty") was taken back by itself: the set has
// H(T("revoked", kind, whose, id)). ID_P's are the grants and mandates about it, ID_HPC's the duties and guardianships that it stated.
func (l Lists) isRevoked(kind, ownerID string, id []byte) (bool, error) {
	entry := transcript.Digest(transcript.T("revoked", transcript.Text(kind), transcript.Text(ownerID), id))
	_, isListed, err := l.find(entry)
	return isListed, err
}

// sweptBefore gives the moment before which all is taken back that a patient, or its deputies, signed, or 0: the set has
// H(T("sweep", ID_P)).
func (l Lists) sweptBefore(patientID string) (Instant, error) {
	before, _, err := l.find(transcript.Digest(transcript.T("sweep", transcript.Text(patientID))))
	return before, err
}

func (l Lists) isTakenBack(kind, patientID string, id []byte, statedAt Instant) (bool, error) {
	if before, err := l.sweptBefore(patientID); err != nil || statedAt < before {
		return true, err
	}
	return l.isRevoked(kind, patientID, id)
}

// HasTakenBack says whether a grant was taken back, by itself or with all that its patient signed. Refuses with REVOCATION_SHARD_MISSING.
func (l Lists) HasTakenBack(grant *access.Grant) (bool, error) {
	return l.isTakenBack("grant", grant.PatientID, grant.ID, grant.StatedAt)
}

func (l Lists) hasEnded(deputyship *access.Deputyship) (bool, error) {
	if deputyship.Kind == access.Mandate {
		return l.isTakenBack("mandate", deputyship.PatientID, deputyship.ID, deputyship.StatedAt)
	}
	// Not under the patient: another hospital could state one of the same id, and take that back.
	return l.isRevoked(deputyship.Kind, deputyship.StatedBy, deputyship.ID)
}

// standingOf says which statements of a consent were taken back. Refuses with REVOCATION_SHARD_MISSING.
func (l Lists) standingOf(consent access.Consent) (access.Standing, error) {
	standing := access.Standing{}
	note := func(what string, isRevoked bool, err error) error {
		if isRevoked {
			standing.Revoked = append(standing.Revoked, what)
		}
		return err
	}
	isRevoked, err := l.HasTakenBack(&consent.Grant)
	if err := note("grant", isRevoked, err); err != nil {
		return standing, err
	}
	if consent.Deputyship != nil {
		isRevoked, err := l.hasEnded(consent.Deputyship)
		if err := note("deputyship", isRevoked, err); err != nil {
			return standing, err
		}
	}
	if duty := consent.Duty; duty != nil {
		isRevoked, err := l.isRevoked("duty", duty.HospitalID, duty.ID)
		return standing, note("duty", isRevoked, err)
	}
	return standing, nil
}

var (
	reasonCode               = asn1.ObjectIdentifier{2, 5, 29, 21} // of an entry, as the next: revoked is revoked
	invalidityDate           = asn1.ObjectIdentifier{2, 5, 29, 24}
	crlNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
	deltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	issuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// currentCRL gives the authority's newest CRL that is current. Refuses with REVOCATION_LIST_STALE: without one, no.
func (l Lists) currentCRL(authority *x509.Certificate, moment time.Time) (*x509.RevocationList, error) {
	isCurrent := func(crl *x509.RevocationList) bool {
		return !moment.Before(crl.ThisUpdate) && moment.Before(crl.NextUpdate)
	}
	newest := l.newestCRL(authority, isCurrent)
	if newest == nil {
		return nil, refusal.New(refusal.RevocationListStale, "no current CRL of the medical authority is at hand")
	}
	return newest, nil
}

// newestCRL gives the CRL of the highest CRLNumber: of those that the authority's key signed, that are whole, that count beside the pin of the
// revocation list, and that are meant; nil for none.
func (l Lists) newestCRL(authority *x509.Certificate, isMeant func(*x509.RevocationList) bool) (newest *x509.RevocationList) {
	pin := l.pinOf(authority)
	if pin == nil {
		return nil
	}
	for _, crl := range l.crls {
		if isSignedBy(crl, authority) && isWhole(crl) && counts(crl, pin) && isMeant(crl) &&
			(newest == nil || crl.Number.Cmp(newest.Number) > 0) {
			newest = crl
		}
	}
	return newest
}

func (l Lists) pinOf(authority *x509.Certificate) *pb.CrlPin {
	digest := transcript.Digest(authority.Raw)
	for _, pin := range l.head.GetCrls() {
		if bytes.Equal(pin.GetCertificateDigest(), digest) {
			return pin
		}
	}
	return nil
}

func isSignedBy(crl *x509.RevocationList, authority *x509.Certificate) bool {
	return bytes.Equal(crl.RawIssuer, authority.RawSubject) && mayHaveSigned(authority, crl.SignatureAlgorithm) &&
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
