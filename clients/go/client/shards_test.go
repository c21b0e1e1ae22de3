package client

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/revoked"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// A head may come without a CRL that it pins, as a room's does: the answer for the next shard completes it, and nothing is sent twice.
func TestShardsBringTheCRLsThatAreNotAtHand(t *testing.T) {
	c := newClinic(t)
	member, issued := c.cloud.member, c.crls
	c.crls = nil
	_, err := c.cloud.Refresh(t.Context())
	must(t, err)
	if held := member.lists.CRLs(); held != nil {
		t.Fatalf("at hand are %x", held)
	}
	c.crls = issued
	_, _, err = member.Find(protocol.SerialEntry(make([]byte, 16)))
	must(t, err)
	if held := member.lists.CRLs(); len(held) != 1 || !bytes.Equal(held[0], issued[0]) {
		t.Fatalf("at hand are %x", held)
	}
	answer, err := c.cloud.shards(t.Context(), []uint32{0}, member.heldCRLs())
	must(t, err)
	if again := answer.GetCertificateRevocationLists(); again != nil {
		t.Errorf("%x was sent again", again)
	}
	must(t, member.takeShards(answer))
	if len(member.lists.CRLs()) != 1 {
		t.Error("an answer without CRLs took them away")
	}
}

// The list at hand is behind a hospital's, and the cloud does not answer: the newest of those that are dealt with is taken.
func TestNewerListOfAHospitalIsTaken(t *testing.T) {
	c := newClinic(t)
	member, before := c.cloud.member, c.cloud.member.lists.Sequence()
	c.now++
	c.listed = revoked.Of(protocol.SerialEntry(make([]byte, 16)))
	away := func(context.Context, []uint32, [][]byte) (*pb.RevocationExcerpt, error) {
		return nil, refused(codes.Unavailable, "UNAVAILABLE")
	}
	silent := func(ctx context.Context, _ []uint32, _ [][]byte) (*pb.RevocationExcerpt, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	member.askBeside = []beside{
		{"H:silent", silent},
		{"H:alpha", func(_ context.Context, prefixes []uint32, _ [][]byte) (*pb.RevocationExcerpt, error) {
			return c.listed.Excerpt(c.head(), prefixes...), nil
		}},
		{"H:beta", away},
	}
	member.hearBeside(t.Context())
	if member.lists.Sequence() <= before {
		t.Errorf("the list at hand is still number %d", before)
	}
}

// Mallory keeps shards of before a revocation, or has a head of the same number over another set: neither stands beside those at hand.
func TestShardsOfAnotherRootAreTakenUnderANewerHeadAlone(t *testing.T) {
	c := newClinic(t)
	entry := protocol.SerialEntry(make([]byte, 16))
	prefix := protocol.PrefixOf(entry)
	other := slices.Clone(entry)
	other[0] ^= 1
	older := c.listed.Excerpt(c.head(), prefix)
	c.now++
	c.listed = revoked.Of(entry)
	_, err := c.cloud.Refresh(t.Context())
	must(t, err)
	member := c.cloud.member
	find := func(entry []byte) bool {
		t.Helper()
		_, isListed, err := member.Find(entry)
		must(t, err)
		return isListed
	}
	sameNumber := revoked.Set{}.Excerpt(c.headOf(revoked.Set{}), prefix)
	for name, err := range map[string]error{"older": member.takeShards(older), "same number": member.takeShards(sameNumber)} {
		if !refusal.Is(err, refusal.RevocationHeadOlder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(member.shards) != 0 || !find(entry) || find(other) {
		t.Error("shards of another root were taken")
	}
	c.now--
	must(t, member.takeShards(c.listed.Excerpt(c.head(), prefix))) // an older head of the same root
	if !find(entry) || member.lists.Sequence() != c.now+1 {
		t.Errorf("the head at hand has the number %d", member.lists.Sequence())
	}
	c.now += 2
	c.listed = revoked.Of(other)
	must(t, member.takeShards(c.listed.Excerpt(c.head(), prefix)))
	if find(entry) || !find(other) || member.lists.Sequence() != c.now {
		t.Errorf("shards of before are at hand beside those of the head %d", member.lists.Sequence())
	}
}
