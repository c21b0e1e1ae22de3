package protocol

import (
	"bytes"
	"crypto"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// PutEncryptionKey makes ekput: a party puts an EK_X of its own to the cloud, signed by the same PRK_X. address is where a hospital is
// dialled, nothing for others.
func PutEncryptionKey(signer crypto.Signer, encryptionKey *pb.SignedStatement, address string, cloud *EncryptionKey, now Instant) (*AwaitingKept, *pb.SealedOpening, error) {
	named := &pb.EncryptionKeyStatement{}
	if err := Peek(named, encryptionKey); err != nil {
		return nil, nil, err
	}
	ekput := &pb.EncryptionKeyRenewal{EncryptionKeyStatement: encryptionKey, SentAt: proto.Uint64(now)}
	if address != "" {
		ekput.Address = proto.String(address)
	}
	encoded, err := signMessage(signer, renewalTranscript(ekput, cloud.Owner), ekput)
	if err != nil {
		return nil, nil, err
	}
	noSession := []byte{} // of a single call: present, and empty
	opening, err := sealOpening(ekput, encoded, cloud, sealContext{"ekput", unnamed, cloud.Owner, cloud.KeyID, noSession, now})
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingKept{named.GetKeyId()}, opening, nil
}

// AwaitingKept is a party whose ekput is sent.
type AwaitingKept struct{ keyID []byte }

// Receive takes ekack, by the PUK_C of its own time, and beside it the party's KS, where the cloud hands one over: if a rotated PRK_C has
// signed it anew, that one is given, else own. Refuses with ANSWER_MISMATCH a receipt for another key, with SIGNATURE_INVALID,
// CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED, as rules.Parse, and as Verifier.Restated.
func (w *AwaitingKept) Receive(answer *pb.PutEncryptionKeyResponse, own *pb.SignedStatement, verifier Verifier, now Instant) (*pb.SignedStatement, error) {
	ekack := &pb.RenewalReceipt{}
	if err := verifier.Anchors.open("ekack", ekack, answer.GetReceipt()); err != nil {
		return nil, err
	}
	if !bytes.Equal(ekack.GetKeyId(), w.keyID) {
		return nil, refusal.New(refusal.AnswerMismatch, "the receipt is for another encryption key")
	}
	newest := answer.GetKeyStatement()
	if newest == nil || proto.Equal(newest, own) {
		return own, nil
	}
	return verifier.Restated(newest, own, now)
}

// Restated makes CRED(X) for a party's own KS as a rotated PRK_C has signed it anew, and requires it to say what it said before, at another
// time; one that was stated earlier changes nothing. Refuses with CREDENTIAL_INVALID for another credential or key, else as Party.
func (v Verifier) Restated(signed, own *pb.SignedStatement, now Instant) (*pb.SignedStatement, error) {
	before, after := &pb.KeyStatement{}, &pb.KeyStatement{}
	// It was verified when it was taken, and the PRK_C behind it may have been revoked since.
	if err := Peek(before, own); err != nil {
		return nil, err
	}
	if _, err := v.Party(signed, before.GetRole(), now); err != nil {
		return nil, err
	}
	if err := Peek(after, signed); err != nil {
		return nil, err
	}
	if !saysTheSame(before, after) {
		return nil, refusal.New(refusal.CredentialInvalid, "the key statement signed anew is not of this credential and key")
	}
	if after.GetStatedAt() < before.GetStatedAt() {
		return own, nil
	}
	return signed, nil
}

func saysTheSame(before, after *pb.KeyStatement) bool {
	return before.GetRole() == after.GetRole() && before.GetIdentity() == after.GetIdentity() &&
		bytes.Equal(before.GetCredential(), after.GetCredential()) &&
		bytes.Equal(before.GetRegistrationPoint(), after.GetRegistrationPoint()) &&
		bytes.Equal(before.GetVerifyingKey(), after.GetVerifyingKey())
}

// RestatementDue says whether the PRK_C behind a party's own KS can't be relied on any more: it is tainted or revoked, and has a successor
// that signs the KS anew.
func (a *Anchors) RestatementDue(own *pb.SignedStatement, now Instant) bool {
	statement := &pb.KeyStatement{}
	if Peek(statement, own) != nil {
		return false
	}
	period := a.cloudKeys.at(statement.GetStatedAt())
	return period != nil && (isRevoked(period) || period.TaintedAt != nil && hasBegun(period, now))
}

// renewalTranscript is what ekput's signature covers: T("ekput", EK_X, address or empty, T, ID_C).
func renewalTranscript(ekput *pb.EncryptionKeyRenewal, cloudID string) []byte {
	return transcript.T("ekput",
		ekput.GetEncryptionKeyStatement().GetStatement(),
		transcript.Text(ekput.GetAddress()),
		transcript.U64(ekput.GetSentAt()),
		transcript.Text(cloudID))
}
