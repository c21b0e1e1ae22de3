package protocol

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
)

// TestGrace holds how long a head counts that is over, and for what, to known answers.
func TestGrace(t *testing.T) {
	type vector struct {
		Name, Expect     string
		Now, Grace, Seen Instant
		ThisUpdate       Instant `json:"this_update"`
		NextUpdate       Instant `json:"next_update"`
		StatedAt         Instant `json:"stated_at"`
	}
	for _, vector := range vectors.Read[vector](t, "grace.json") {
		head := &pb.RevocationHead{ThisUpdate: proto.Uint64(vector.ThisUpdate), NextUpdate: proto.Uint64(vector.NextUpdate)}
		lists, grace := Lists{head: head}, Grace{vector.Grace, vector.Seen}
		err := lists.requireCurrent(DefaultFreshness, grace, vector.Now)
		if err == nil {
			err = lists.requireStood(vector.StatedAt, grace, vector.Now)
		}
		if !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v", vector.Name, err)
		}
	}
}
