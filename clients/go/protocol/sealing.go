package protocol

import (
	"crypto"
	"encoding/binary"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
func OpenStatement(label string, into proto.Message, signed *pb.SignedStatement, key []byte) error {
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

func verifySignature(key []byte, signature, signed []byte) error {
	if !keys.Verify(key, signed, signature) {
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

// digestOf gives H(statement), or nothing for an absent one: the field of a transcript.
func digestOf(label string, signed *pb.SignedStatement) []byte {
	if signed == nil {
		return nil
	}
	return transcript.StatementDigest(label, signed.GetStatement())
}

// certificateDigest gives H(Cert_D), or nothing where there is none: the field of a transcript.
func certificateDigest(certificate []byte) []byte {
	if len(certificate) == 0 {
		return nil
	}
	return transcript.Digest(certificate)
}

// Version of the protocol, in every session opener.
const Version = 1

const (
	unnamed     = "" // the sender of a seal whose receiver can't know it yet
	paddingStep = 256
)

// sealContext is what a seal is bound to beside its content.
type sealContext struct {
	name, sender, receiver string
	keyID, sessionID       []byte
	sentAt                 Instant
}

// info gives HPKE's info: T("hpke", name, sender, receiver, key id, session id, T in clear).
func (c sealContext) info() []byte {
	return transcript.T("hpke", transcript.Text(c.name), transcript.Text(c.sender), transcript.Text(c.receiver),
		c.keyID, c.sessionID, transcript.U64(c.sentAt))
}

// payload is a message that travels under a seal: each has its own T, equal to the one in clear.
type payload interface {
	proto.Message
	GetSentAt() uint64
}

// pad gives F(message) || zeros: to the fixed size of its definition, or to the next multiple of 256 bytes.
func pad(described protoreflect.MessageDescriptor, encoded []byte) ([]byte, error) {
	framed := transcript.Frame(encoded)
	size := int(rules.PayloadRule(described).GetPaddedSize())
	if size == 0 {
		size = (len(framed) + paddingStep - 1) / paddingStep * paddingStep
	}
	if len(framed) > size {
		return nil, refusal.New(refusal.MessageTooLarge, "%s has %d bytes of %d", described.Name(), len(framed), size)
	}
	return append(framed, make([]byte, size-len(framed))...), nil
}

// unpad gives the message out of F(message) || zeros. Refuses with PADDING_INVALID.
func unpad(described protoreflect.MessageDescriptor, padded []byte) ([]byte, error) {
	fixed := int(rules.PayloadRule(described).GetPaddedSize())
	if len(padded)%paddingStep != 0 || fixed != 0 && len(padded) != fixed {
		return nil, refusal.New(refusal.PaddingInvalid, "the sealed plaintext has not the size of its definition")
	}
	encoded, padding, err := unframe(padded)
	if err != nil {
		return nil, err
	}
	if fixed == 0 && len(padding) >= paddingStep {
		return nil, refusal.New(refusal.PaddingInvalid, "the padding goes beyond the next step")
	}
	return encoded, requireAllZero(padding)
}

// unframe takes F(message) || padding apart. Refuses with PADDING_INVALID.
func unframe(padded []byte) (encoded, padding []byte, err error) {
	if len(padded) < 4 {
		return nil, nil, refusal.New(refusal.PaddingInvalid, "the plaintext is shorter than a length")
	}
	size, rest := uint64(binary.BigEndian.Uint32(padded)), padded[4:]
	if size > uint64(len(rest)) {
		return nil, nil, refusal.New(refusal.PaddingInvalid, "the plaintext is shorter than its message")
	}
	return rest[:size], rest[size:], nil
}

func requireAllZero(padding []byte) error {
	for _, zero := range padding {
		if zero != 0 {
			return refusal.New(refusal.PaddingInvalid, "the padding is not zeros")
		}
	}
	return nil
}

// sealOpening seals a payload's exact bytes as a SealedOpening.
func sealOpening(message payload, encoded []byte, receiver *EncryptionKey, context sealContext) (*pb.SealedOpening, error) {
	sealed, err := sealPayload(message, encoded, receiver, context)
	if err != nil {
		return nil, err
	}
	return &pb.SealedOpening{
		Version:   proto.Uint32(Version),
		SessionId: context.sessionID,
		KeyId:     context.keyID,
		Sealed:    sealed,
		SentAt:    proto.Uint64(context.sentAt),
	}, nil
}

func sealReply(message payload, encoded []byte, receiver *EncryptionKey, context sealContext) (*pb.SealedReply, error) {
	sealed, err := sealPayload(message, encoded, receiver, context)
	if err != nil {
		return nil, err
	}
	return &pb.SealedReply{SessionId: context.sessionID, Sealed: sealed, SentAt: proto.Uint64(context.sentAt)}, nil
}

func sealPayload(message payload, encoded []byte, receiver *EncryptionKey, context sealContext) ([]byte, error) {
	padded, err := pad(message.ProtoReflect().Descriptor(), encoded)
	if err != nil {
		return nil, err
	}
	return keys.Seal(receiver.Key, padded, context.info())
}

// findKey decides what the clear fields of an opening decide, precisely: rules, version, T, key id, session id.
func findKey(opening *pb.SealedOpening, keyring keys.Keyring, freshness Freshness, now Instant) (*keys.DecryptionKey, error) {
	if err := rules.Check(opening); err != nil {
		return nil, err
	}
	if opening.GetVersion() != Version {
		return nil, refusal.New(refusal.UnsupportedVersion, "version %d is not spoken here, %d is", opening.GetVersion(), Version)
	}
	if err := freshness.Require(opening.GetSentAt(), now); err != nil {
		return nil, err
	}
	key, err := keyring.Find(opening.GetKeyId())
	if err != nil {
		return nil, err
	}
	if len(opening.GetSessionId()) != 16 {
		return nil, refusal.New(refusal.FieldInvalid, "the session id has %d bytes, not 16", len(opening.GetSessionId()))
	}
	return key, nil
}

// openPayload opens and parses into an empty message, requires the T inside to be the T outside (B2), and gives the exact bytes.
func openPayload(into payload, sealed []byte, key *keys.DecryptionKey, context sealContext) ([]byte, error) {
	padded, err := key.Open(sealed, context.info())
	if err != nil {
		return nil, err
	}
	encoded, err := unpad(into.ProtoReflect().Descriptor(), padded)
	if err != nil {
		return nil, err
	}
	if err := rules.Parse(encoded, into); err != nil {
		return nil, err
	}
	return encoded, requireSameTime(into.GetSentAt(), context.sentAt)
}
