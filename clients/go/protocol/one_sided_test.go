package protocol

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
)

type sideVector struct {
	PartyID string `json:"party_id"`
	Entries []vectors.Bytes
}

func (v sideVector) read(t *testing.T) PartyLog {
	t.Helper()
	log := PartyLog{PartyID: v.PartyID}
	for _, encoded := range v.Entries {
		entry := &pb.AccessEntry{}
		if err := proto.Unmarshal(encoded, entry); err != nil {
			t.Fatal(err)
		}
		log.Entries = append(log.Entries, entry)
	}
	return log
}

// TestOneSided holds what is said of accesses that one side alone has to known answers.
func TestOneSided(t *testing.T) {
	type vector struct {
		Name         string
		AskedAt      uint64 `json:"asked_at"`
		Cloud        sideVector
		Hospitals    []sideVector
		Unsearchable []vectors.Bytes
		IsWhole      bool `json:"is_whole"`
		Remarks      []struct {
			Where  string
			Number uint64
			Words  string
		}
	}
	for _, vector := range vectors.Read[vector](t, "one_sided.json") {
		var hospitals []PartyLog
		for _, one := range vector.Hospitals {
			hospitals = append(hospitals, one.read(t))
		}
		var unsearchable [][]byte
		for _, grant := range vector.Unsearchable {
			unsearchable = append(unsearchable, grant)
		}
		var expected []Remark
		for _, one := range vector.Remarks {
			expected = append(expected, Remark{one.Where, one.Number, one.Words})
		}
		found := Remarks(vector.Cloud.read(t), hospitals, unsearchable, vector.AskedAt, vector.IsWhole)
		slices.SortFunc(found, func(a, b Remark) int { return strings.Compare(a.PartyID, b.PartyID) })
		if !slices.Equal(found, expected) {
			t.Errorf("%s: %v", vector.Name, found)
		}
	}
}
