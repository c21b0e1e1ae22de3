package protocol

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// manifestOf gives F(manifest) of one record, whose parts have these sizes.
func manifestOf(t *testing.T, kind pb.PartKind, partSizes ...uint64) []byte {
	t.Helper()
	entry := &pb.RecordEntry{
		Handle: make([]byte, 16), Version: proto.Uint64(1), DepartmentId: proto.String("H:alpha/cardiology"), StoredAt: proto.Uint64(1),
	}
	for _, size := range partSizes {
		entry.Parts = append(entry.Parts, &pb.RecordPart{
			Kind: kind.Enum(), Name: proto.String("part"), MediaType: proto.String("application/dicom"),
			SizeBytes: proto.Uint64(size), Digest: make([]byte, 32),
		})
	}
	manifest := &pb.RecordManifest{
		PatientId: proto.String("P:wang"), HospitalId: proto.String("H:alpha"), Records: []*pb.RecordEntry{entry},
	}
	encoded, err := rules.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return transcript.Frame(encoded)
}

func asked(*pb.RecordManifest) error { return nil }

func TestContentIsWhatItsManifestSays(t *testing.T) {
	whole := append(manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, 3000, 500), bytes.Repeat([]byte{7}, 3500)...)
	padding := make([]byte, padded(uint64(len(whole)))-uint64(len(whole)))
	sent := slices.Concat(whole, padding)
	for name, bent := range map[string]struct {
		sent   []byte
		reason refusal.Reason
	}{
		"as it is":                 {sent, ""},
		"one byte of padding less": {sent[:len(sent)-1], refusal.PaddingInvalid},
		"one byte of padding more": {append(bytes.Clone(sent), 0), refusal.PaddingInvalid},
		"padding that says much":   {append(sent[:len(sent)-1:len(sent)-1], 1), refusal.PaddingInvalid},
		"without its padding":      {whole, refusal.PaddingInvalid},
		"cut short":                {whole[:len(whole)-1], refusal.RecordCutShort},
		"cut in its manifest":      {whole[:20], refusal.RecordCutShort},
		"nothing":                  {nil, refusal.RecordCutShort},
		"a huge manifest":          {[]byte{0, 0x10, 0, 1}, refusal.MessageTooLarge},
		"a manifest that is none":  {[]byte{0, 0, 0, 1, 0xff}, refusal.MalformedMessage},
	} {
		for _, size := range []int{1, 100, len(bent.sent) + 1} {
			content, taken := newRecordContent(1<<20, asked), []byte{}
			err := error(nil)
			for slice := range slices.Chunk(bent.sent, size) {
				var piece []byte
				if piece, err = content.add(slice); err != nil {
					break
				}
				taken = append(taken, piece...)
			}
			if err == nil {
				err = content.end()
			}
			if refusal.Outer(err) != bent.reason {
				t.Errorf("%s in slices of %d: %v, not %s", name, size, err, bent.reason)
			}
			if digest := sha256.Sum256(whole); err == nil && (!bytes.Equal(taken, whole) || !bytes.Equal(content.digest.Sum(nil), digest[:])) {
				t.Errorf("%s in slices of %d: other content", name, size)
			}
		}
	}
}

func TestHospitalThatSendsMoreThanItsManifestSaysIsCutAtOnce(t *testing.T) {
	content := newRecordContent(1<<40, asked)
	if _, err := content.add(manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := content.add(make([]byte, smallestPadded)); !refusal.Is(err, refusal.PaddingInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestBoundsAreKnownWithTheManifest(t *testing.T) {
	const bundle, attachment = pb.PartKind_PART_KIND_FHIR_BUNDLE, pb.PartKind_PART_KIND_ATTACHMENT
	for name, tried := range map[string]struct {
		head   []byte
		reason refusal.Reason
	}{
		"a bundle":                {manifestOf(t, bundle, 17<<20), ""},
		"a bundle that is larger": {manifestOf(t, bundle, 1, 17<<20+1), refusal.RecordTooLarge},
		"an attachment":           {manifestOf(t, attachment, 1<<29), ""},
		"more than is taken":      {manifestOf(t, attachment, 1<<29, 1<<29), refusal.RecordTooLarge},
		"sizes beyond 64 bits":    {manifestOf(t, attachment, 1<<63, 1<<63, 1<<29), refusal.RecordTooLarge},
	} {
		content := newRecordContent(1<<30, asked)
		if _, err := content.add(tried.head); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

func TestManifestAloneIsBoundedToo(t *testing.T) {
	content := newRecordContent(10, asked)
	if _, err := content.add(manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, 0)); !refusal.Is(err, refusal.RecordTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestRecordThatWasNotAskedForIsRefusedWithItsManifest(t *testing.T) {
	head := manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, 10) // of P:wang at H:alpha, handle 0
	for name, tried := range map[string]struct {
		patientID, hospitalID string
		handle                byte
		reason                refusal.Reason
	}{
		"as it was asked for": {"P:wang", "H:alpha", 0, ""},
		"another patient's":   {"P:other", "H:alpha", 0, refusal.IdentityMismatch},
		"another hospital's":  {"P:wang", "H:beta", 0, refusal.IdentityMismatch},
		"another handle":      {"P:wang", "H:alpha", 1, refusal.AnswerMismatch},
	} {
		scope := &pb.Scope{Handles: [][]byte{append(make([]byte, 15), tried.handle)}}
		hospital := &Peer{VerifiedParty: &VerifiedParty{Identity: tried.hospitalID}}
		session := &RecordEstablished{Session{Peer: hospital}, Intent{Shown: Shown{PatientID: tried.patientID}, Scope: scope}}
		content := newRecordContent(1<<20, session.requireAsked)
		if _, err := content.add(head); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

func TestSliceHasAMebibyteAtMost(t *testing.T) {
	side := direction{make([]byte, 16), directionKeys{make([]byte, 32), make([]byte, 12)}, 0}
	for size, reason := range map[int]refusal.Reason{0: refusal.FieldInvalid, 1: "", mostSlice: "", mostSlice + 1: refusal.MessageTooLarge} {
		_, frame, err := side.seal("h2", make([]byte, size), false, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := side.open("h2", frame); refusal.Outer(err) != reason {
			t.Errorf("%d bytes: %v, not %s", size, err, reason)
		}
	}
}

func TestBiosignalIsBounded(t *testing.T) {
	for name, tried := range map[string]struct {
		slices, size int
		reason       refusal.Reason
	}{
		"the longest":        {16, 1 << 20, ""},
		"a byte more":        {17, 1 << 20, refusal.LimitReached},
		"in the most slices": {mostSlices, 1, ""},
		"in one slice more":  {mostSlices + 1, 1, refusal.LimitReached},
	} {
		waiting, err := AwaitingBiosignal{}, error(nil)
		for range tried.slices {
			if err = waiting.add(make([]byte, tried.size)); err != nil {
				break
			}
		}
		if refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

func TestSliceThatIsRefusedChangesNothing(t *testing.T) {
	head := manifestOf(t, pb.PartKind_PART_KIND_ATTACHMENT, 10)
	content := newRecordContent(1<<20, asked)
	for _, step := range []struct {
		slice  []byte
		reason refusal.Reason
	}{
		{head[:10], ""}, {bytes.Repeat([]byte{0xff}, len(head)), refusal.MalformedMessage}, {head[10:], ""},
		{bytes.Repeat([]byte{7}, 11), refusal.PaddingInvalid}, {bytes.Repeat([]byte{7}, 10), ""},
		{make([]byte, smallestPadded-len(head)-10), ""},
	} {
		if _, err := content.add(step.slice); refusal.Outer(err) != step.reason {
			t.Errorf("%x: %v, not %s", step.slice, err, step.reason)
		}
	}
	digest := sha256.Sum256(append(head, bytes.Repeat([]byte{7}, 10)...))
	if err := content.end(); err != nil || !bytes.Equal(content.digest.Sum(nil), digest[:]) {
		t.Errorf("other content: %v", err)
	}
}
