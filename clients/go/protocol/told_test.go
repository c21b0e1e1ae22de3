package protocol

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/refusal"
)

type toldPage struct {
	Entries []vectors.Bytes
	Head    vectors.Bytes
	Older   *uint64
}

func (p toldPage) read(t *testing.T) (entries []*pb.AccessEntry, head *pb.ProvedHead) {
	t.Helper()
	head = &pb.ProvedHead{}
	if err := proto.Unmarshal(p.Head, head); err != nil {
		t.Fatal(err)
	}
	for _, encoded := range p.Entries {
		entry := &pb.AccessEntry{}
		if err := proto.Unmarshal(encoded, entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries, head
}

type toldVector struct {
	Name         string
	Expect       string
	Now          uint64
	Realm        string
	PartyID      string        `json:"party_id"`
	PatientID    string        `json:"patient_id"`
	VerifyingKey vectors.Bytes `json:"verifying_key"`
	KnownNote    vectors.Bytes `json:"known_note"`
	toldPage
	Before     *toldPage
	Size       uint64
	Root       vectors.Bytes
	Cosigners  []string
	Witnessed  bool
	BeginsAnew bool `json:"begins_anew"`
	Untold     uint64
}

// TestToldLogs holds what a log tells its patient to known answers.
func TestToldLogs(t *testing.T) {
	verifier := newWorld(t).verifier
	for _, vector := range vectors.Read[toldVector](t, "told.json") {
		entries, head := vector.read(t)
		author := LogAuthor{vector.Realm, vector.PartyID, vector.VerifyingKey}
		told, err := vector.told(t, author)
		if vector.Expect != "success" {
			if string(refusal.Precise(err)) != vector.Expect {
				t.Errorf("%s: %v", vector.Name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", vector.Name, err)
			continue
		}
		equal(t, vector.Name, told.Head.Root, vector.Root)
		told.Cosigners, told.Cosignatures = verifier.Witnessed(head, vector.Now)
		if vector.Before != nil && len(told.Entries) != len(entries)+len(vector.Before.Entries) {
			t.Errorf("%s: %d entries", vector.Name, len(told.Entries))
		}
		if told.Head.Size != vector.Size || told.BeginsAnew != vector.BeginsAnew || told.Untold() != vector.Untold || !slices.Equal(told.Cosigners, vector.Cosigners) || told.IsWitnessed() != vector.Witnessed {
			t.Errorf("%s: %d leaves, cosigned by %v", vector.Name, told.Head.Size, told.Cosigners)
		}
	}
}

// told takes the page before, where there is one, and then this one.
func (v toldVector) told(t *testing.T, author LogAuthor) (*ToldLog, error) {
	t.Helper()
	entries, head := v.read(t)
	if v.Before == nil {
		return RequireTold(entries, head, v.PatientID, author, v.KnownNote, v.Older)
	}
	newer, shown := v.Before.read(t)
	before, err := RequireTold(newer, shown, v.PatientID, author, nil, v.Before.Older)
	if err != nil {
		t.Fatal(err)
	}
	return RequireFurther(entries, head, v.PatientID, author, before, v.Older)
}
