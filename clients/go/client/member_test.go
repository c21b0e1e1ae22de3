package client

import (
	"testing"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

func TestMemberFollowsTheTrustBundle(t *testing.T) {
	type bundle struct {
		Name                 string
		Statement, Signature vectors.Bytes
	}
	named := map[string]*pb.SignedStatement{}
	for _, vector := range vectors.Read[bundle](t, "bundles.json") {
		named[vector.Name] = &pb.SignedStatement{Statement: vector.Statement, Signature: vector.Signature}
	}
	pinned, err := protocol.Pin(named["founding"])
	if err != nil {
		t.Fatal(err)
	}
	none := func(uint64) ([]*pb.SignedStatement, error) { return nil, nil }
	between := func(after uint64) ([]*pb.SignedStatement, error) {
		if after != 1 {
			t.Errorf("asked for what follows %d", after)
		}
		return []*pb.SignedStatement{named["prepared"]}, nil
	}
	member := &Member{home: &Home{directory: t.TempDir()}, bundle: pinned}
	for _, step := range []struct {
		name    string
		between func(uint64) ([]*pb.SignedStatement, error)
		reason  refusal.Reason
		holds   uint64
	}{
		{"activated", none, refusal.BundleOutOfSequence, 1},
		{"activated", between, "", 3},
		{"activated", none, "", 3},
		{"founding", none, "", 3}, // an older one changes nothing
		{"the same number again", none, refusal.BundleOutOfSequence, 3},
		{"signed by a stranger", none, refusal.BundleSignerUnknown, 3},
	} {
		err := member.follow(named[step.name], step.between)
		if refusal.Outer(err) != step.reason || member.bundle.Content.GetSequence() != step.holds {
			t.Errorf("%s: %v, and %d holds", step.name, err, member.bundle.Content.GetSequence())
		}
	}
	if member.home.state.TrustBundle == nil {
		t.Error("what was followed is not kept")
	}
}
