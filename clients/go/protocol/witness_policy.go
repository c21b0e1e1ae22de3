package protocol

import (
	"slices"
	"strings"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

const mostCosignatures = 8 // as many statements of witnesses come with a head that a patient is shown

// WitnessPolicy says whose cosignatures of a log's head count, how many its readers ask for, and since when (docs/protocol.md, 8, wp).
// Of no Hospitals, where EveryHospital is false, none counts; of no CloudID the public cloud doesn't.
type WitnessPolicy struct {
	NotBefore     Instant
	Cosignatures  int
	Hospitals     []string
	EveryHospital bool
	CloudID       string
}

// readPolicies takes what a bundle states. Refuses with BUNDLE_INVALID.
func readPolicies(bundle *pb.TrustBundle) (policies []WitnessPolicy, err error) {
	stated := bundle.GetWitnessPolicies()
	if len(stated) == 0 || stated[0].GetNotBefore() != 0 {
		return nil, refusal.New(refusal.BundleInvalid, "the trust bundle has no witness policy, or none of the beginning") // tb.20
	}
	for i, one := range stated {
		if i > 0 && one.GetNotBefore() <= stated[i-1].GetNotBefore() || one.GetNotBefore() > bundle.GetIssuedAt() {
			return nil, refusal.New(refusal.BundleInvalid, "the witness policies of the trust bundle are not in their order, or lie ahead") // tb.20
		}
		policy, err := readPolicy(one, bundle.GetCloudId())
		if err != nil {
			return nil, err
		}
		policies = append(policies, policy)
	}
	return policies, nil
}

func readPolicy(stated *pb.WitnessPolicy, cloudID string) (WitnessPolicy, error) {
	policy := WitnessPolicy{NotBefore: stated.GetNotBefore(), Cosignatures: int(stated.GetCosignatures())}
	named := slices.Sorted(slices.Values(stated.GetHospitals()))
	policy.EveryHospital = len(named) == 1 && named[0] == "*"
	if len(slices.Compact(slices.Clone(named))) != len(named) || !policy.EveryHospital && slices.Contains(named, "*") {
		return policy, refusal.New(refusal.BundleInvalid, "a witness policy names a hospital twice, or others beside all of them") // tb.21
	}
	counting := mostCosignatures + 1
	if stated.GetPublicCloud() {
		policy.CloudID = cloudID
	}
	if !policy.EveryHospital {
		policy.Hospitals = named
		if counting = len(named); policy.CloudID != "" {
			counting++
		}
	}
	if k := stated.GetCosignatures(); k < 1 || k > mostCosignatures || k >= uint32(counting) {
		return policy, refusal.New(refusal.BundleInvalid, "a witness policy asks for no cosignature, or for more than there can be") // tb.21
	}
	return policy, nil
}

// Counted gives those of a head's cosigners that count, in order, each once, the log's author not at all.
func (p WitnessPolicy) Counted(cosigners []string, authorID string) (counted []string) {
	for _, id := range cosigners {
		isHospital := strings.HasPrefix(id, "H:") && (p.EveryHospital || slices.Contains(p.Hospitals, id))
		if id != authorID && (isHospital || id != "" && id == p.CloudID) {
			counted = append(counted, id)
		}
	}
	slices.Sort(counted)
	return slices.Compact(counted)
}

// RequireBelieved requires that enough of these witnesses have cosigned a head that OpenLogHead took, and gives who counts. A line that does
// not hold counts nothing. Refuses with HEAD_NOT_COSIGNED, and with NOTE_MALFORMED a note that is none.
func (p WitnessPolicy) RequireBelieved(head []byte, lines [][]byte, witnesses []Witness) ([]string, error) {
	read, _, err := PeekLogHead(head)
	if err != nil {
		return nil, err
	}
	counted := p.Counted(heldBy(head, lines, witnesses), logOrigin.FindStringSubmatch(read.Origin)[2])
	if len(counted) < p.Cosignatures {
		return nil, refusal.New(refusal.HeadNotCosigned, "%d of the %d cosignatures that are asked for", len(counted), p.Cosignatures) // wp.1
	}
	return counted, nil
}

// heldBy gives the witnesses whose cosignature of a head holds; lines that don't are passed over, for they are anybody's.
func heldBy(head []byte, lines [][]byte, witnesses []Witness) (names []string) {
	for _, witness := range witnesses {
		for _, line := range lines {
			if _, err := RequireCosigned(head, [][]byte{line}, []Witness{witness}, 1); err == nil {
				names = append(names, witness.ID)
			}
		}
	}
	return names
}

// requirePolicyHistory requires that policies go on from those of the bundle before, which was made then (BUNDLE_REWRITES_HISTORY).
func requirePolicyHistory(before, after []*pb.WitnessPolicy, issuedAt Instant) error {
	for i, policy := range after {
		if i < len(before) && !samePolicy(policy, before[i]) || i >= len(before) && policy.GetNotBefore() < issuedAt {
			return refusal.New(refusal.BundleRewritesHistory, "a witness policy of before is another in the trust bundle") // tb.22
		}
	}
	if len(after) < len(before) {
		return refusal.New(refusal.BundleRewritesHistory, "a witness policy of before is gone from the trust bundle") // tb.22
	}
	return nil
}

func samePolicy(one, other *pb.WitnessPolicy) bool {
	named := func(policy *pb.WitnessPolicy) []string { return slices.Sorted(slices.Values(policy.GetHospitals())) }
	return one.GetNotBefore() == other.GetNotBefore() && one.GetCosignatures() == other.GetCosignatures() &&
		one.GetPublicCloud() == other.GetPublicCloud() && slices.Equal(named(one), named(other))
}
