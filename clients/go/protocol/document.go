package protocol

import (
	"iter"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// NewDocument is what a patient, or a deputy, adds to the patient's record. The media type is as its author says.
type NewDocument struct {
	Title, MediaType string
	Content          []byte
	Sensitivity      pb.Sensitivity // SENSITIVITY_NORMAL where it is left out
}

// Document is a patient's own document, as its author signed it for a hospital. The same one may be sent again in a new session, and gets
// the same receipt.
type Document struct {
	Message *pb.OwnDocument
	Content []byte
}

// SignDocument puts OWN together, for this hospital. blind is rho, 32 random bytes. Refuses with LIMIT_REACHED.
func SignDocument(author *Party, written NewDocument, shown Shown, hospitalID, departmentClass string, blind []byte, now Instant) (*Document, error) {
	if len(written.Content) > MostBiosignal {
		return nil, refusal.New(refusal.LimitReached, "the document is too long")
	}
	own := &pb.OwnDocument{
		PatientId:     proto.String(shown.PatientID),
		AuthorId:      proto.String(author.Identity),
		SentAt:        proto.Uint64(now),
		Blind:         blind,
		Scope:         &pb.Scope{Purpose: pb.Purpose_PURPOSE_ADD.Enum(), DepartmentClass: proto.String(departmentClass)},
		Access:        shown.Access,
		Title:         []byte(written.Title),
		MediaType:     proto.String(written.MediaType),
		Sensitivity:   max(written.Sensitivity, pb.Sensitivity_SENSITIVITY_NORMAL).Enum(),
		SizeBytes:     proto.Uint64(uint64(len(written.Content))),
		ContentDigest: transcript.Digest(written.Content),
		WrittenAt:     proto.Uint64(now),
	}
	var err error
	own.Signature, err = keys.Sign(author.Signer, documentTranscript(own, shown, hospitalID))
	return &Document{own, written.Content}, err
}

// Intent gives what the document's session is for.
func (d *Document) Intent() Intent {
	shown := Shown{d.Message.GetPatientId(), d.Message.GetAccess()}
	return Intent{Shown: shown, Scope: d.Message.GetScope(), Blind: d.Message.GetBlind()}
}

// Add makes OWN: the document in slices, then what its author signed. The frames are to be sent once.
func (e *RecordEstablished) Add(document *Document) (*AwaitingDepositReceipt, iter.Seq2[*pb.SessionFrame, error], error) {
	encoded, err := rules.Marshal(document.Message)
	if err != nil {
		return nil, nil, err
	}
	state := &AwaitingDepositReceipt{e.Session, transcript.Digest(encoded)}
	return state, e.sending.sealLong("own", document.Content, encoded, document.Message.GetSentAt()), nil
}

// documentTranscript is what the author of OWN signs.
func documentTranscript(own *pb.OwnDocument, shown Shown, hospitalID string) []byte {
	sensitivities := map[pb.Sensitivity]string{
		pb.Sensitivity_SENSITIVITY_NORMAL: "normal", pb.Sensitivity_SENSITIVITY_RESTRICTED: "restricted", pb.Sensitivity_SENSITIVITY_SECRET: "secret",
	}
	return transcript.T("own",
		transcript.Text(hospitalID),
		transcript.Text(own.GetPatientId()),
		transcript.Text(own.GetAuthorId()),
		transcript.Text(own.GetScope().GetDepartmentClass()),
		shown.digest(),
		own.GetTitle(),
		transcript.Text(own.GetMediaType()),
		transcript.Text(sensitivities[own.GetSensitivity()]),
		transcript.U64(own.GetSizeBytes()),
		own.GetContentDigest(),
		transcript.U64(own.GetWrittenAt()))
}
