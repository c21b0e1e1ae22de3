package protocol

import (
	"bytes"
	"crypto/x509"
	"slices"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const longestListLife = 3_600_000 // ms

// Lists is the revocation list and the authorities' CRLs as last received. Stale or absent means no.
type Lists struct {
	revocations *pb.RevocationList
	crls        []*x509.RevocationList
}

// ReadLists verifies a list by the PUK_C of its time and parses the CRLs; a CRL is verified where it is used. Refuses with
// SIGNATURE_INVALID, CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED, MALFORMED_MESSAGE.
func ReadLists(anchors *Anchors, signed *pb.SignedStatement, crls [][]byte) (Lists, error) {
	list := &pb.RevocationList{}
	if err := anchors.open("rl", list, signed); err != nil {
		return Lists{}, err
	}
	if list.GetNextUpdate() > list.GetThisUpdate() && list.GetNextUpdate()-list.GetThisUpdate() > longestListLife {
		return Lists{}, refusal.New(refusal.MalformedMessage, "a revocation list may not live longer than an hour")
	}
	lists := Lists{revocations: list}
	for _, der := range crls {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return Lists{}, refusal.Because(err, refusal.MalformedMessage, "an authority's revocation list is none")
		}
		lists.crls = append(lists.crls, crl)
	}
	return lists, nil
}

// Revocations gives the list, verified, whether it is current or not; nil without one.
func (l Lists) Revocations() *pb.RevocationList { return l.revocations }

// Sequence gives the list's number, or 0 without one.
func (l Lists) Sequence() uint64 { return l.revocations.GetSequence() }

func (l Lists) requireCurrent(freshness Freshness, now Instant) error {
	if l.revocations == nil || now >= l.revocations.GetNextUpdate() {
		return refusal.New(refusal.RevocationListStale, "no current revocation list is at hand")
	}
	if !freshness.Begun(l.revocations.GetThisUpdate(), now) {
		return refusal.New(refusal.RevocationListStale, "the revocation list is from the future")
	}
	return nil
}

func (l Lists) requireSerialGood(serial []byte) error {
	if contains(l.revocations.GetSerials(), transcript.Digest(transcript.T("serial", serial))) {
		return refusal.New(refusal.CredentialRevoked, "the credential is revoked")
	}
	return nil
}

func (l Lists) requireKeyGood(keyID []byte) error {
	if contains(l.revocations.GetKeyIds(), keyID) {
		return refusal.New(refusal.CredentialRevoked, "the encryption key is revoked")
	}
	return nil
}

func contains(entries [][]byte, entry []byte) bool {
	return slices.ContainsFunc(entries, func(one []byte) bool { return bytes.Equal(one, entry) })
}
