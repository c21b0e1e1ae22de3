package protocol

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// TrustedBundle is a trust bundle that was pinned, or followed one that was. Only Pin and Follow make it.
type TrustedBundle struct {
	Signed  *pb.SignedStatement
	Content *pb.TrustBundle
	Anchors *Anchors
}

// Pin takes a bundle that was handed over: whoever did so vouches for it. Refuses with BUNDLE_SIGNER_UNKNOWN, BUNDLE_INVALID, and as
// rules.Parse.
func Pin(signed *pb.SignedStatement) (*TrustedBundle, error) {
	content := &pb.TrustBundle{}
	if err := Peek(content, signed); err != nil {
		return nil, err
	}
	anchors, err := readAnchors(content)
	if err != nil {
		return nil, err
	}
	if len(content.GetTlsCaCertificates()) == 0 || content.GetSequence() == 0 {
		return nil, refusal.New(refusal.BundleInvalid, "the trust bundle has no TLS CA, or no number")
	}
	// The moment before: a key that is retired by this very bundle may sign it.
	if err := requireSigner(signed, anchors.cloudKeys.signers(max(content.GetIssuedAt(), 1)-1)); err != nil {
		return nil, err
	}
	return &TrustedBundle{signed, content, anchors}, nil
}

// Digest gives H(tb), 32 bytes: what is read aloud or printed beside the file that is handed over.
func (b *TrustedBundle) Digest() []byte {
	return transcript.StatementDigest("tb", b.Signed.GetStatement())
}

// Follow takes the next bundle. Nothing in it is read before a key that its predecessor lets sign vouches for it
// (BUNDLE_SIGNER_UNKNOWN); then it has to be of the same federation (BUNDLE_FOREIGN), the next number (BUNDLE_OUT_OF_SEQUENCE), not
// older (BUNDLE_BACKDATED), and history may only grow (BUNDLE_REWRITES_HISTORY).
func (b *TrustedBundle) Follow(signed *pb.SignedStatement) (*TrustedBundle, error) {
	before := b.Content
	if err := requireSigner(signed, b.Anchors.cloudKeys.signers(before.GetIssuedAt())); err != nil {
		return nil, err
	}
	following, err := Pin(signed)
	if err != nil {
		return nil, err
	}
	after := following.Content
	if after.GetRealm() != before.GetRealm() || after.GetCloudId() != before.GetCloudId() {
		return nil, refusal.New(refusal.BundleForeign, "the trust bundle is another federation's")
	}
	if after.GetSequence() != before.GetSequence()+1 {
		return nil, refusal.New(refusal.BundleOutOfSequence, "trust bundle %d doesn't follow %d", after.GetSequence(), before.GetSequence())
	}
	if after.GetIssuedAt() < before.GetIssuedAt() {
		return nil, refusal.New(refusal.BundleBackdated, "the trust bundle was made before the one that it follows")
	}
	if err := requireContinued(b.Anchors.issuers, following.Anchors.issuers, before.GetIssuedAt()); err != nil {
		return nil, err
	}
	if err := requireContinued(b.Anchors.cloudKeys, following.Anchors.cloudKeys, before.GetIssuedAt()); err != nil {
		return nil, err
	}
	return following, requirePolicyHistory(before.GetWitnessPolicies(), after.GetWitnessPolicies(), before.GetIssuedAt())
}

// RequireUsable refuses with BUNDLE_STALE a bundle whose grace has passed since it was made, or since the newest list, verified, that
// named no newer one. The list's own time counts: an old list played again confirms nothing anew.
func (b *TrustedBundle) RequireUsable(list *pb.RevocationHead, now Instant) error {
	confirmed := b.Content.GetIssuedAt()
	if list != nil && list.GetBundleSequence() <= b.Content.GetSequence() {
		confirmed = max(confirmed, list.GetThisUpdate())
	}
	if now >= confirmed+1000*uint64(b.Content.GetOfflineGraceSeconds()) {
		return refusal.New(refusal.BundleStale, "no list has named this trust bundle as the newest for longer than its grace")
	}
	return nil
}

// TLSRoots gives the federation's TLS CAs: a leaf under any of them is good. Refuses with BUNDLE_INVALID.
func (b *TrustedBundle) TLSRoots() (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	for _, der := range b.Content.GetTlsCaCertificates() {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refusal.Because(err, refusal.BundleInvalid, "a TLS CA certificate of the trust bundle is none")
		}
		roots.AddCert(certificate)
	}
	return roots, nil
}

func requireSigner(signed *pb.SignedStatement, able keyHistory) error {
	covered := transcript.T("tb", signed.GetStatement())
	for _, period := range able {
		if verifySignature(period.GetVerifyingKey(), signed.GetSignature(), covered) == nil {
			return nil
		}
	}
	return refusal.New(refusal.BundleSignerUnknown, "no cloud key that may sign this trust bundle did")
}

// requireContinued requires what was said of keys that had signed by then: none is dropped, moved in time, or taken back into grace.
func requireContinued(before, after keyHistory, issuedAt Instant) error {
	for _, old := range before {
		if !hasBegun(old, issuedAt) {
			continue
		}
		kept := after.ofKey(old.GetVerifyingKey())
		if kept == nil || !same(kept.NotBefore, old.NotBefore) {
			return refusal.New(refusal.BundleRewritesHistory, "a key that has signed is gone from the trust bundle, or its begin is another")
		}
		if hasEnded(old, issuedAt) && !same(kept.NotAfter, old.NotAfter) {
			return refusal.New(refusal.BundleRewritesHistory, "the end of a retired key is another in the trust bundle")
		}
		if old.TaintedAt != nil && !same(kept.TaintedAt, old.TaintedAt) || old.RevokedAt != nil && !same(kept.RevokedAt, old.RevokedAt) {
			return refusal.New(refusal.BundleRewritesHistory, "a key that was tainted or revoked is no longer in the trust bundle")
		}
	}
	return nil
}

func same(left, right *uint64) bool {
	return (left == nil) == (right == nil) && (left == nil || *left == *right)
}

// Anchors is what a trust bundle says, checked in itself: the roots of every verification (docs/protocol.md, section 2).
type Anchors struct {
	Realm, CloudID    string
	DepartmentClasses []string
	issuers           keyHistory
	cloudKeys         keyHistory
	authorities       []authority
	witnesses         []WitnessPolicy
}

// authority is a medical authority: its name, its certificate, and whom it may certify.
type authority struct {
	id string
	*x509.Certificate
	doctorIDs []string // a doctor's ID, or a prefix of IDs and "*"
}

func (a authority) mayCertify(doctorID string) bool {
	return slices.ContainsFunc(a.doctorIDs, func(named string) bool {
		prefix, isPrefix := strings.CutSuffix(named, "*")
		return named == doctorID || isPrefix && strings.HasPrefix(doctorID, prefix)
	})
}

func readAnchors(bundle *pb.TrustBundle) (*Anchors, error) {
	if err := rules.Check(bundle); err != nil {
		return nil, err
	}
	anchors := &Anchors{Realm: bundle.GetRealm(), CloudID: bundle.GetCloudId(), DepartmentClasses: bundle.GetDepartmentClasses()}
	for _, named := range bundle.GetMedicalAuthorities() {
		certificate, err := x509.ParseCertificate(named.GetCertificate())
		if err != nil {
			return nil, refusal.Because(err, refusal.MalformedMessage, "a medical authority's certificate in the trust bundle is none")
		}
		anchors.authorities = append(anchors.authorities, authority{named.GetAuthorityId(), certificate, named.GetDoctorIds()})
	}
	var err error
	if anchors.issuers, err = readHistory(bundle.GetIssuers()); err != nil {
		return nil, err
	}
	if anchors.cloudKeys, err = readHistory(bundle.GetCloudKeys()); err != nil {
		return nil, err
	}
	anchors.witnesses, err = readPolicies(bundle)
	return anchors, err
}

// WitnessPolicy gives the witness policy of now.
func (a *Anchors) WitnessPolicy() WitnessPolicy { return a.witnesses[len(a.witnesses)-1] }

// Publishes says whether a department class is on the federation's list.
func (a *Anchors) Publishes(class string) bool { return slices.Contains(a.DepartmentClasses, class) }

// issuerAt gives the PK that signed a credential of that begin. Refuses with ISSUER_UNKNOWN, ISSUER_REVOKED.
func (a *Anchors) issuerAt(notBefore Instant) ([]byte, error) {
	period := a.issuers.at(notBefore)
	if period == nil {
		return nil, refusal.New(refusal.IssuerUnknown, "the trust bundle at hand names no PK for the time of the credential")
	}
	if isRevoked(period) {
		return nil, refusal.New(refusal.IssuerRevoked, "the PK of the credential is revoked")
	}
	return period.GetVerifyingKey(), nil
}

// cloudKeyAt gives the PUK_C of what the cloud signed at that moment. Refuses with CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED.
func (a *Anchors) cloudKeyAt(moment Instant) ([]byte, error) {
	return cloudKey(a.cloudKeys.at(moment))
}

// cloudKeyOf gives the PUK_C that EK_C names: begun by now, and not ended when the epoch begins.
func (a *Anchors) cloudKeyOf(statement *pb.EncryptionKeyStatement, now Instant) ([]byte, error) {
	period := a.cloudKeys.ofDigest(statement.GetVerifyingKeyDigest())
	if period != nil && (!hasBegun(period, now) || hasEnded(period, statement.GetNotBefore())) {
		period = nil
	}
	return cloudKey(period)
}

func cloudKey(period *pb.KeyPeriod) ([]byte, error) {
	if period == nil {
		return nil, refusal.New(refusal.CloudKeyUnknown, "the trust bundle at hand names no PUK_C for the time of the statement")
	}
	if isRevoked(period) {
		return nil, refusal.New(refusal.CloudKeyRevoked, "the PUK_C of the statement is revoked")
	}
	return period.GetVerifyingKey(), nil
}

// open verifies a statement by the PRK_C of the time that it states itself, and gives it.
func (a *Anchors) open(label string, into proto.Message, signed *pb.SignedStatement) error {
	if err := Peek(into, signed); err != nil {
		return err
	}
	key, err := a.cloudKeyAt(statedAt(into))
	if err != nil {
		return err
	}
	return OpenStatement(label, into, signed, key)
}

func statedAt(statement proto.Message) Instant {
	switch found := statement.(type) {
	case *pb.KeyStatement:
		return found.GetStatedAt()
	case *pb.RevocationHead:
		return found.GetThisUpdate()
	case *pb.RenewalReceipt:
		return found.GetDoneAt()
	case *pb.PublicationReceipt:
		return found.GetDoneAt()
	default:
		return 0
	}
}

// keyHistory is the generations of s or of PRK_C in the order of their activation, prepared ones last; at most one holds any
// moment (docs/adr/0018-rotation.md).
type keyHistory []*pb.KeyPeriod

func isRevoked(period *pb.KeyPeriod) bool { return period.RevokedAt != nil }

func hasBegun(period *pb.KeyPeriod, moment Instant) bool {
	return period.NotBefore != nil && period.GetNotBefore() <= moment
}

func hasEnded(period *pb.KeyPeriod, moment Instant) bool {
	return period.NotAfter != nil && period.GetNotAfter() <= moment
}

// readHistory takes a bundle's generations. Refuses with BUNDLE_INVALID where they contradict each other.
func readHistory(periods []*pb.KeyPeriod) (keyHistory, error) {
	if len(periods) == 0 {
		return nil, refusal.New(refusal.BundleInvalid, "the trust bundle names no key")
	}
	seen := map[string]bool{}
	for i, period := range periods {
		if seen[string(period.GetVerifyingKey())] {
			return nil, refusal.New(refusal.BundleInvalid, "the trust bundle names a key twice")
		}
		seen[string(period.GetVerifyingKey())] = true
		if period.NotAfter != nil && !hasBegun(period, period.GetNotAfter()) {
			return nil, refusal.New(refusal.BundleInvalid, "a key of the trust bundle ends before it begins")
		}
		if (isRevoked(period) || period.TaintedAt != nil) && period.NotAfter == nil {
			return nil, refusal.New(refusal.BundleInvalid, "a key of the trust bundle is tainted or revoked and has no successor")
		}
		if i > 0 && !precedes(periods[i-1], period) {
			return nil, refusal.New(refusal.BundleInvalid, "the trust bundle names two keys for one time, or in the wrong order")
		}
	}
	return periods, nil
}

func precedes(earlier, later *pb.KeyPeriod) bool {
	return later.NotBefore == nil || earlier.NotAfter != nil && earlier.GetNotAfter() <= later.GetNotBefore()
}

// at gives the generation that signed at that moment, whatever became of it since; nil for none.
func (h keyHistory) at(moment Instant) *pb.KeyPeriod {
	for _, period := range h {
		if hasBegun(period, moment) && !hasEnded(period, moment) {
			return period
		}
	}
	return nil
}

func (h keyHistory) ofKey(verifyingKey []byte) *pb.KeyPeriod {
	for _, period := range h {
		if bytes.Equal(period.GetVerifyingKey(), verifyingKey) {
			return period
		}
	}
	return nil
}

func (h keyHistory) ofDigest(digest []byte) *pb.KeyPeriod {
	for _, period := range h {
		if bytes.Equal(transcript.Digest(period.GetVerifyingKey()), digest) {
			return period
		}
	}
	return nil
}

// signers gives who may sign the bundle that follows one of that moment: the active key, and those that are prepared.
func (h keyHistory) signers(moment Instant) (able keyHistory) {
	for _, period := range h {
		if !hasEnded(period, moment) {
			able = append(able, period)
		}
	}
	return able
}
