package protocol

import (
	"bytes"
	"crypto"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

// statementVector gives a statement of statements.json by its name.
func statementVector(t *testing.T, name string) *pb.SignedStatement {
	t.Helper()
	for _, vector := range vectors.Read[struct {
		Name string
		statementJSON
	}](t, "statements.json") {
		if vector.Name == name {
			return vector.signed()
		}
	}
	t.Fatalf("there is no statement %s", name)
	return nil
}

// prkC signs as the cloud of the vectors does now.
func prkC(t *testing.T, w *world) crypto.Signer {
	t.Helper()
	signer := w.Cloud.signer(t)
	active, err := w.verifier.Anchors.cloudKeyAt(w.Now)
	if err != nil || !bytes.Equal(active, verifyingKey(t, signer)) {
		t.Fatalf("the cloud's key is not its active key: %v", err)
	}
	return signer
}

func verifyingKey(t *testing.T, signer crypto.Signer) []byte {
	t.Helper()
	key, err := keys.VerifyingKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// checkRenewal makes ekput as the hospital of the vectors does, whose call it is there, and takes ekack.
func checkRenewal(t *testing.T, w *world) {
	t.Helper()
	cast, vector := w.Parties["hospital"], w.messages["ekput"]
	cloud, err := w.verifier.CloudEncryptionKey(w.Cloud.EncryptionKey.signed(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	recorded := &pb.EncryptionKeyRenewal{}
	if err := proto.Unmarshal(vector.Plaintext, recorded); err != nil {
		t.Fatal(err)
	}
	equal(t, "what ekput signs", renewalTranscript(recorded, cloud.Owner), vector.Signed.Transcript)
	awaiting, opening, err := PutEncryptionKey(cast.signer(t), cast.EncryptionKey.signed(), recorded.GetAddress(), cloud, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "ekput", opening)
	own := statementVector(t, "ks of the hospital")
	receipt := statementVector(t, "ekack")
	for name, newest := range map[string]*pb.SignedStatement{"no KS": nil, "the same KS": own} {
		kept, err := awaiting.Receive(&pb.PutEncryptionKeyResponse{Receipt: receipt, KeyStatement: newest}, own, w.verifier, w.Now)
		if err != nil || !proto.Equal(kept, own) {
			t.Errorf("ekack with %s: %v", name, err)
		}
	}
	refuseReceipts(t, w, awaiting, receipt, own)
}

func refuseReceipts(t *testing.T, w *world, awaiting *AwaitingKept, receipt, own *pb.SignedStatement) {
	t.Helper()
	signed := func(label string, bend func(*pb.RenewalReceipt)) *pb.SignedStatement {
		ekack := &pb.RenewalReceipt{}
		if err := proto.Unmarshal(receipt.GetStatement(), ekack); err != nil {
			t.Fatal(err)
		}
		bend(ekack)
		statement, err := proto.Marshal(ekack)
		if err != nil {
			t.Fatal(err)
		}
		again, err := SignStatement(label, ekack, prkC(t, w))
		if err != nil { // what breaks the rules is signed as it is
			return &pb.SignedStatement{Statement: statement, Signature: receipt.GetSignature()}
		}
		return again
	}
	flipped := proto.CloneOf(receipt)
	flipped.Signature[0] ^= 1
	stranger, err := SignStatement("ekack", &pb.RenewalReceipt{KeyId: awaiting.keyID, DoneAt: proto.Uint64(w.Now)}, w.Parties["patient"].signer(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]struct {
		receipt *pb.SignedStatement
		reason  refusal.Reason
	}{
		"a flipped bit":         {flipped, refusal.SignatureInvalid},
		"somebody else's":       {stranger, refusal.SignatureInvalid},
		"another label":         {signed("puback", func(*pb.RenewalReceipt) {}), refusal.SignatureInvalid},
		"for another key":       {signed("ekack", func(e *pb.RenewalReceipt) { e.KeyId[0] ^= 1 }), refusal.AnswerMismatch},
		"for a part of the key": {signed("ekack", func(e *pb.RenewalReceipt) { e.KeyId = e.KeyId[:15] }), refusal.FieldInvalid},
		"for no key":            {signed("ekack", func(e *pb.RenewalReceipt) { e.KeyId = nil }), refusal.MissingField},
		"of an earlier PRK_C":   {signed("ekack", func(e *pb.RenewalReceipt) { e.DoneAt = proto.Uint64(0) }), refusal.SignatureInvalid},
		"an unknown field": {signed("ekack", func(e *pb.RenewalReceipt) {
			e.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 127, protowire.VarintType), 1))
		}), refusal.UnknownField},
		"none": {nil, refusal.MissingField},
	} {
		if _, err := awaiting.Receive(&pb.PutEncryptionKeyResponse{Receipt: refused.receipt}, own, w.verifier, w.Now); refusal.Outer(err) != refused.reason {
			t.Errorf("ekack, %s: %v, not %s", name, err, refused.reason)
		}
	}
}

// TestKeyStatementSignedAnew takes a KS beside ekack if it says what the party's own says, and no other.
func TestKeyStatementSignedAnew(t *testing.T) {
	w := newWorld(t)
	own, before := statementVector(t, "ks of the patient"), &pb.KeyStatement{}
	if err := Peek(before, own); err != nil {
		t.Fatal(err)
	}
	anew := func(signer crypto.Signer, bend func(*pb.KeyStatement)) *pb.SignedStatement {
		statement := proto.CloneOf(before)
		statement.StatedAt = proto.Uint64(w.Now)
		bend(statement)
		signed, err := SignStatement("ks", statement, signer)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	same, other := func(*pb.KeyStatement) {}, &pb.KeyStatement{}
	if err := Peek(other, statementVector(t, "ks of the doctor")); err != nil {
		t.Fatal(err)
	}
	taken := anew(prkC(t, w), same)
	for name, tried := range map[string]struct {
		newest, kept *pb.SignedStatement
		reason       refusal.Reason
	}{
		"signed anew":     {taken, taken, ""},
		"stated earlier":  {anew(prkC(t, w), func(s *pb.KeyStatement) { s.StatedAt = proto.Uint64(before.GetStatedAt() - 1) }), own, ""},
		"by a stranger":   {anew(w.Parties["patient"].signer(t), same), nil, refusal.SignatureInvalid},
		"of another role": {statementVector(t, "ks of the doctor"), nil, refusal.CredentialInvalid},
		"of another R_X1": {anew(prkC(t, w), func(s *pb.KeyStatement) { s.RegistrationPoint = other.GetRegistrationPoint() }), nil, refusal.CredentialInvalid},
		"for another key": {anew(prkC(t, w), func(s *pb.KeyStatement) { s.VerifyingKey = other.GetVerifyingKey() }), nil, refusal.CredentialInvalid},
		"over":            {anew(prkC(t, w), func(s *pb.KeyStatement) { s.NotAfter = proto.Uint64(w.Now) }), nil, refusal.CredentialExpired},
	} {
		kept, err := w.verifier.Restated(tried.newest, own, w.Now)
		if refusal.Outer(err) != tried.reason || !proto.Equal(kept, tried.kept) {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
}

// TestRestatementIsDue asks when the PRK_C behind a KS can't be relied on.
func TestRestatementIsDue(t *testing.T) {
	w := newWorld(t)
	own := statementVector(t, "ks of the patient")
	for name, tried := range map[string]struct {
		period *pb.KeyPeriod
		due    bool
	}{
		"active":  {&pb.KeyPeriod{}, false},
		"retired": {&pb.KeyPeriod{NotAfter: proto.Uint64(w.Now + 1)}, false},
		"tainted": {&pb.KeyPeriod{NotAfter: proto.Uint64(w.Now + 1), TaintedAt: proto.Uint64(w.Now)}, true},
		"revoked": {&pb.KeyPeriod{NotAfter: proto.Uint64(w.Now + 1), RevokedAt: proto.Uint64(w.Now)}, true},
	} {
		tried.period.NotBefore = proto.Uint64(0)
		anchors := &Anchors{cloudKeys: keyHistory{tried.period}}
		if due := anchors.RestatementDue(own, w.Now); due != tried.due {
			t.Errorf("%s: %v", name, due)
		}
	}
}
