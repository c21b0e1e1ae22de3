package rules_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

func manifest() *pb.RecordManifest {
	return &pb.RecordManifest{
		PatientId:  proto.String("P:wang"),
		HospitalId: proto.String("H:alpha"),
		Records: []*pb.RecordEntry{{
			Handle:       make([]byte, 16),
			Version:      proto.Uint64(1),
			DepartmentId: proto.String("H:alpha/cardiology.ward-3"),
			StoredAt:     proto.Uint64(1),
			Parts: []*pb.RecordPart{{
				Kind:      pb.PartKind_PART_KIND_ATTACHMENT.Enum(),
				Name:      proto.String("scan.dcm"),
				MediaType: proto.String("application/dicom"),
				SizeBytes: proto.Uint64(0),
				Digest:    make([]byte, 32),
			}},
		}},
	}
}

func TestCheck(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 127, protowire.VarintType), 1)
	for name, bent := range map[string]struct {
		bend   func(*pb.RecordManifest)
		reason refusal.Reason
	}{
		"as it is":                        {func(*pb.RecordManifest) {}, ""},
		"an unknown field":                {func(m *pb.RecordManifest) { m.ProtoReflect().SetUnknown(unknown) }, refusal.UnknownField},
		"an unknown field, two deep":      {func(m *pb.RecordManifest) { m.Records[0].Parts[0].ProtoReflect().SetUnknown(unknown) }, refusal.UnknownField},
		"a missing field":                 {func(m *pb.RecordManifest) { m.PatientId = nil }, refusal.MissingField},
		"a missing field, two deep":       {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Digest = nil }, refusal.MissingField},
		"another role's identity":         {func(m *pb.RecordManifest) { m.PatientId = proto.String("D:wang") }, refusal.FieldInvalid},
		"an identity with a line after":   {func(m *pb.RecordManifest) { m.PatientId = proto.String("P:wang\n") }, refusal.FieldInvalid},
		"a label that ends in a hyphen":   {func(m *pb.RecordManifest) { m.HospitalId = proto.String("H:alpha-") }, refusal.FieldInvalid},
		"text beyond ASCII":               {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Name = proto.String("é") }, refusal.FieldInvalid},
		"a name that is too long":         {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Name = proto.String(string(make([]byte, 129))) }, refusal.MessageTooLarge},
		"a digest of 31 bytes":            {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Digest = make([]byte, 31) }, refusal.FieldInvalid},
		"an enumeration's zero":           {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Kind = pb.PartKind(0).Enum() }, refusal.FieldInvalid},
		"a value that it does not define": {func(m *pb.RecordManifest) { m.Records[0].Parts[0].Kind = pb.PartKind(9).Enum() }, refusal.FieldInvalid},
		"65 records":                      {func(m *pb.RecordManifest) { m.Records = make([]*pb.RecordEntry, 65) }, refusal.FieldInvalid},
	} {
		message := manifest()
		bent.bend(message)
		if err := rules.Check(message); refusal.Outer(err) != bent.reason {
			t.Errorf("%s: %v, not %s", name, err, bent.reason)
		}
	}
}

func TestParseAfterMarshalIsTheSame(t *testing.T) {
	encoded, err := rules.Marshal(manifest())
	if err != nil {
		t.Fatal(err)
	}
	parsed := &pb.RecordManifest{}
	if err := rules.Parse(encoded, parsed); err != nil || !proto.Equal(parsed, manifest()) {
		t.Errorf("%v: %v", parsed, err)
	}
	if err := rules.Parse(encoded[:len(encoded)-1], &pb.RecordManifest{}); !refusal.Is(err, refusal.MalformedMessage) {
		t.Errorf("cut short: %v", err)
	}
}

func TestPayloadThatIsTooLargeIsRefusedUnparsed(t *testing.T) {
	if err := rules.Parse(make([]byte, 257), &pb.DiagnosisReceipt{}); !refusal.Is(err, refusal.MessageTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestOuterMessageMayGainFields(t *testing.T) {
	signed := &pb.SignedStatement{Statement: []byte{1}, Signature: make([]byte, 64)}
	duty := &pb.ShownDuty{Duty: signed, KeyStatement: signed}
	listed := &pb.RevocationExcerpt{Head: signed}
	message := &pb.OpenRoomResponse{RoomId: make([]byte, 16), ExpiresAt: proto.Uint64(1), Duty: duty, Revocations: listed}
	message.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 127, protowire.VarintType), 1))
	if err := rules.CheckOuter(message); err != nil {
		t.Error(err)
	}
	message.ExpiresAt = nil
	if err := rules.CheckOuter(message); !refusal.Is(err, refusal.MissingField) {
		t.Errorf("got %v", err)
	}
}

func TestFieldsStandInTheOrderOfTheirNumbers(t *testing.T) {
	message := &pb.RelayFrame{Content: &pb.RelayFrame_Refusal{Refusal: &pb.SessionRefusal{SessionId: make([]byte, 16), SentAt: proto.Uint64(7)}}}
	encoded, err := rules.Marshal(message)
	if err != nil || !bytes.HasPrefix(encoded, []byte{4<<3 | 2}) {
		t.Errorf("%x: %v", encoded, err)
	}
	signed := &pb.SignedStatement{Statement: []byte{1}, Signature: make([]byte, 64)}
	deputyship := &pb.Deputyship{By: &pb.Deputyship_Mandate{Mandate: signed}, KeyStatement: signed}
	encoded, err = rules.Marshal(&pb.OwnAccess{Deputyship: deputyship})
	if inner, _ := protowire.ConsumeBytes(encoded[1:]); err != nil || !bytes.HasPrefix(inner, []byte{1<<3 | 2}) {
		t.Errorf("within another message %x: %v", encoded, err)
	}
	parsed := &pb.OwnAccess{}
	if err := rules.Parse(encoded, parsed); err != nil || !proto.Equal(parsed.GetDeputyship(), deputyship) {
		t.Errorf("%v: %v", parsed, err)
	}
}
