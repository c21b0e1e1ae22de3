package protocol

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// brokenVector is a record whose session broke, and behind how much of it another one goes on.
type brokenVector struct {
	Name           string
	Manifest, Fill hexBytes
	SizeBytes      int `json:"size_bytes"`
	Came           []int
	Offset         uint64
	ManifestDigest hexBytes `json:"manifest_digest"`
}

// content gives M_EMR.
func (v brokenVector) content() []byte {
	return append(transcript.Frame(v.Manifest), bytes.Repeat(v.Fill, v.SizeBytes)...)
}

// came gives a reader to whom so much of that content came.
func (v brokenVector) came(t *testing.T, content []byte, isAsked func(*pb.RecordManifest) error) *AwaitingRecord {
	t.Helper()
	waiting, left := &AwaitingRecord{content: newRecordContent(mostRecord, isAsked)}, withZeros(content)
	for _, size := range v.Came {
		if _, err := waiting.content.add(left[:size]); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		left = left[size:]
	}
	return waiting
}

func TestRecordThatBrokeGoesOnBehindWhatCame(t *testing.T) {
	for _, vector := range vectors.Read[brokenVector](t, "broken.json") {
		waiting := vector.came(t, vector.content(), asked)
		if waiting.Resumable() != vector.Offset {
			t.Errorf("%s: behind %d, not %d", vector.Name, waiting.Resumable(), vector.Offset)
		}
		if vector.Offset == 0 {
			continue
		}
		broken, err := waiting.Broken(bytes.NewReader(vector.content()))
		if err != nil || broken.Offset() != vector.Offset || broken.Size() != uint64(len(vector.content())) {
			t.Errorf("%s: %d of %d bytes: %v", vector.Name, broken.Offset(), broken.Size(), err)
		}
		equal(t, vector.Name, broken.content.named, vector.ManifestDigest)
	}
}

func TestRecordGoesOnBehindNoPartOfItsManifest(t *testing.T) {
	manifest := &pb.RecordManifest{}
	head := manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, slices.Repeat([]uint64{1 << 20}, 256)...)
	if err := rules.Parse(head[4:], manifest); err != nil {
		t.Fatal(err)
	}
	manifest.Records = slices.Repeat(manifest.GetRecords(), 40)
	encoded, err := rules.Marshal(manifest)
	if err != nil || len(encoded) < resumedBytes {
		t.Fatalf("a manifest of %d bytes: %v", len(encoded), err)
	}
	whole := append(transcript.Frame(encoded), make([]byte, 2*resumedBytes-4-len(encoded))...)
	for size, offset := range map[int]uint64{4 + len(encoded): 0, 2*resumedBytes - 1: 0, 2 * resumedBytes: 2 * resumedBytes} {
		content := newRecordContent(1<<40, asked)
		if _, err := content.add(whole[:size]); err != nil || content.resumable() != offset {
			t.Errorf("%d bytes came, it goes on behind %d, not %d: %v", size, content.resumable(), offset, err)
		}
	}
}

// goOn is D3, H1, D4, H2 of a record of which some came before its session broke; and of one that is not what came.
func goOn(t *testing.T, w *world, shown Shown, location RecordLocation) {
	t.Helper()
	vector := vectors.Read[brokenVector](t, "broken.json")[0]
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_READ.Enum(), DepartmentClass: proto.String(class), Handles: [][]byte{location.Handle}}
	intent := Intent{Shown: shown, Scope: scope, Blind: w.draws("rho-read-on")(32)}
	session := establish(t, w, w.party["doctor"], location.Hospital, intent, "-read-on")
	altered := vector.content()
	altered[vector.Offset-1] ^= 1
	for _, kept := range [][]byte{altered, vector.content()} {
		broken, err := vector.came(t, kept, session.requireAsked).Broken(bytes.NewReader(kept))
		if err != nil {
			t.Fatal(err)
		}
		awaiting, frame, err := session.GoOn(broken, w.Now)
		if err != nil {
			t.Fatal(err)
		}
		made(t, w, "D4-on", frame)
		step := func(frame *pb.SessionFrame, now Instant, _ bool) ([]byte, error) {
			slice, _, err := awaiting.Receive(frame, w.verifier, now)
			return slice, err
		}
		rest := receive(t, w, "H2-0-on", step)
		equal(t, "what was left", rest, vector.content()[vector.Offset:])
		if &kept[0] == &altered[0] {
			last := &pb.SessionFrame{}
			if err := rules.Parse(w.messages["H2-1-on"].Message, last); err != nil {
				t.Fatal(err)
			}
			if _, _, err := awaiting.Receive(last, w.verifier, w.Now); refusal.Precise(err) != refusal.SignatureInvalid {
				t.Errorf("what came was altered: %v", err)
			}
			continue
		}
		receive(t, w, "H2-1-on", step)
		equal(t, "H(M_EMR)", awaiting.RecordDigest(), transcript.Digest(vector.content()))
	}
}
