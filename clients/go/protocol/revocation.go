package protocol

import (
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// Revocation is what is taken back: statements about an owner, or everything that it signed before a moment, its deputies' grants with it.
type Revocation struct {
	OwnerID    string
	Statements []*pb.RevokedStatement // at most 16; none with Before
	Before     Instant                // 0 where statements are named
	Deputyship *pb.Deputyship         // where a deputy takes back: by what
}

var statementNames = map[pb.StatementKind]string{
	pb.StatementKind_STATEMENT_KIND_GRANT:    "grant",
	pb.StatementKind_STATEMENT_KIND_MANDATE:  "mandate",
	pb.StatementKind_STATEMENT_KIND_GUARDIAN: "guardian",
	pb.StatementKind_STATEMENT_KIND_DUTY:     "duty",
}

// Revoke makes rev of a party. It draws 16 bytes for the nonce.
func Revoke(party *Party, taken Revocation, cloud *EncryptionKey, now Instant, entropy curve.Entropy) (*AwaitingRevoked, *pb.SealedOpening, error) {
	rev := &pb.Revocation{
		OwnerId:      proto.String(taken.OwnerID),
		Statements:   taken.Statements,
		Deputyship:   taken.Deputyship,
		KeyStatement: party.KeyStatement,
		Nonce:        entropy(16),
		SentAt:       proto.Uint64(now),
	}
	if taken.Before != 0 {
		rev.Before = proto.Uint64(taken.Before)
	}
	encoded, err := signMessage(party.Signer, revocationTranscript(rev, cloud.Owner), rev)
	if err != nil {
		return nil, nil, err
	}
	noSession := []byte{} // of a single call: present, and empty
	opening, err := sealOpening(rev, encoded, cloud, sealContext{"rev", unnamed, cloud.Owner, cloud.KeyID, noSession, now})
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingRevoked{taken}, opening, nil
}

// AwaitingRevoked is a party whose rev is sent.
type AwaitingRevoked struct{ taken Revocation }

// Receive takes the list in the cloud's answer, and requires it to name what was taken back. Refuses with ANSWER_MISMATCH, as ReadExcerpt,
// and as rules.Parse.
func (w *AwaitingRevoked) Receive(answer *pb.RevokeResponse, anchors *Anchors) error {
	lists, _, err := ReadExcerpt(anchors, answer.GetRevocations(), nil)
	if err != nil {
		return err
	}
	if w.taken.Before != 0 {
		if before, err := lists.sweptBefore(w.taken.OwnerID); err != nil || before < w.taken.Before {
			return refusal.Because(err, refusal.AnswerMismatch, "the revocation list of the answer does not take back everything until then")
		}
	}
	for _, one := range w.taken.Statements {
		id, err := statementID(one)
		if err != nil {
			return err
		}
		if isRevoked, err := lists.isRevoked(statementNames[one.GetKind()], w.taken.OwnerID, id); err != nil || !isRevoked {
			return refusal.Because(err, refusal.AnswerMismatch, "the revocation list of the answer does not name the statement")
		}
	}
	return nil
}

func statementID(one *pb.RevokedStatement) ([]byte, error) {
	switch one.GetKind() {
	case pb.StatementKind_STATEMENT_KIND_GRANT:
		grant := &pb.Grant{}
		err := Peek(grant, one.GetStatement())
		return grant.GetGrantId(), err
	case pb.StatementKind_STATEMENT_KIND_MANDATE:
		mandate := &pb.Mandate{}
		err := Peek(mandate, one.GetStatement())
		return mandate.GetMandateId(), err
	default:
		return nil, refusal.New(refusal.FieldInvalid, "a person takes back grants and mandates")
	}
}

// revocationTranscript is what rev's signature covers: T("rev", ID_O, [T("row", kind, statement)...], before or empty, Hs(deputyship) or
// empty, KS_X, nonce, T, ID_C).
func revocationTranscript(rev *pb.Revocation, cloudID string) []byte {
	var rows [][]byte
	for _, one := range rev.GetStatements() {
		rows = append(rows, transcript.T("row", transcript.Text(statementNames[one.GetKind()]), one.GetStatement().GetStatement()))
	}
	var before []byte
	if rev.Before != nil {
		before = transcript.U64(rev.GetBefore())
	}
	return transcript.T("rev",
		transcript.Text(rev.GetOwnerId()),
		transcript.List(rows...),
		before,
		signedDigest(deputyshipStatement(rev.GetDeputyship())),
		rev.GetKeyStatement().GetStatement(),
		rev.GetNonce(),
		transcript.U64(rev.GetSentAt()),
		transcript.Text(cloudID))
}
