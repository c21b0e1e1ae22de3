package protocol

import (
	"crypto/x509"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
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
	return following, requireContinued(b.Anchors.cloudKeys, following.Anchors.cloudKeys, before.GetIssuedAt())
}

// RequireUsable refuses with BUNDLE_STALE a bundle whose grace has passed since it was made, or since the newest list, verified, that
// named no newer one. The list's own time counts: an old list played again confirms nothing anew.
func (b *TrustedBundle) RequireUsable(list *pb.RevocationList, now Instant) error {
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
