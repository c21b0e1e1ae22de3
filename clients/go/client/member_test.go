package client

import (
	"testing"

	"google.golang.org/protobuf/proto"

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

func TestListOfARevokedKeyShutsNoGenuineOneOut(t *testing.T) {
	c := newClinic(t)
	member := c.cloud.member
	_, err := c.cloud.Refresh(t.Context())
	must(t, err)
	forged, err := c.GetDirectory(t.Context(), nil)
	must(t, err)
	list := &pb.RevocationHead{}
	must(t, protocol.Peek(list, forged.GetRevocationHead()))
	list.Sequence, list.ThisUpdate, list.NextUpdate = proto.Uint64(1<<60), proto.Uint64(1), proto.Uint64(1000) // of the key before
	forged.RevocationHead = c.signBy(c.retired, "rl", list)
	must(t, member.takeLists(forged.GetRevocationHead(), forged.GetCertificateRevocationLists()))
	if member.lists.Sequence() != 1<<60 {
		t.Fatalf("the list at hand has the number %d", member.lists.Sequence())
	}
	content := proto.CloneOf(member.bundle.Content)
	content.Sequence, content.IssuedAt = proto.Uint64(content.GetSequence()+1), proto.Uint64(c.now)
	content.CloudKeys[0].TaintedAt, content.CloudKeys[0].RevokedAt = proto.Uint64(c.now), proto.Uint64(c.now)
	signed := c.sign("tb", content)
	c.bundle = kept{signed.GetStatement(), signed.GetSignature()}
	_, err = c.cloud.Refresh(t.Context())
	must(t, err)
	if member.lists.Sequence() != c.now {
		t.Errorf("the list at hand has the number %d", member.lists.Sequence())
	}
}
