package protocol

import (
	"crypto"
	"crypto/ed25519"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

var roleNames = map[pb.Role]string{pb.Role_ROLE_PATIENT: "patient", pb.Role_ROLE_DOCTOR: "doctor", pb.Role_ROLE_HOSPITAL: "hospital"}

// SignStatement signs a statement over T(label, its bytes).
func SignStatement(label string, message proto.Message, signer crypto.Signer) (*pb.SignedStatement, error) {
	statement, err := rules.Marshal(message)
	if err != nil {
		return nil, err
	}
	signature, err := keys.Sign(signer, transcript.T(label, statement))
	if err != nil {
		return nil, err
	}
	return &pb.SignedStatement{Statement: statement, Signature: signature}, nil
}

// OpenStatement verifies a statement, and parses it only then. Refuses with SIGNATURE_INVALID, and as rules.Parse.
func OpenStatement(label string, into proto.Message, signed *pb.SignedStatement, key ed25519.PublicKey) error {
	if err := verifySignature(key, signed.GetSignature(), transcript.T(label, signed.GetStatement())); err != nil {
		return err
	}
	return rules.Parse(signed.GetStatement(), into)
}

// Peek parses a statement whose signer is named inside, or that was verified before. Nothing in it may be used before its signature
// is verified.
func Peek(into proto.Message, signed *pb.SignedStatement) error {
	return rules.Parse(signed.GetStatement(), into)
}

// signMessage puts the signature over a transcript into a message, and gives the message's exact bytes.
func signMessage(signer crypto.Signer, covered []byte, message proto.Message) ([]byte, error) {
	signature, err := keys.Sign(signer, covered)
	if err != nil {
		return nil, err
	}
	fill(message, fields{"signature": signature})
	return rules.Marshal(message)
}

func verifySignature(key ed25519.PublicKey, signature, signed []byte) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed, signature) {
		return refusal.New(refusal.SignatureInvalid, "a signature does not hold")
	}
	return nil
}

// signedDigest gives Hs(statement) = H(T("signed", name, bytes, signature)), or nothing for an absent one: it covers the signature, too.
func signedDigest(label string, signed *pb.SignedStatement) []byte {
	if signed == nil {
		return nil
	}
	return transcript.Digest(transcript.T("signed", transcript.Text(label), signed.GetStatement(), signed.GetSignature()))
}

// grantDigest gives H(grant), or nothing for an absent one: the field of a transcript.
func grantDigest(grant *pb.SignedStatement) []byte {
	if grant == nil {
		return nil
	}
	return transcript.StatementDigest("grant", grant.GetStatement())
}
