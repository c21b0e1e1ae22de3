package protocol

import (
	"bytes"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

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
