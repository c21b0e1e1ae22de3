package protocol

import (
	"crypto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

// Party is a registered party's own side: who it is and the keys that it acts with.
type Party struct {
	*VerifiedParty
	Signer             crypto.Signer            // PRK_X
	RegistrationSecret group.RegistrationSecret // S_X
	Keyring            keys.Keyring
	EncryptionKey      *pb.SignedStatement // its newest EK_X
	Certificate        []byte              // a doctor's Cert_D, else nothing
}

// ownKey gives the decryption key that the party's newest EK_X names: a pending session holds its key, so that the answer opens even
// if the epoch ends meanwhile.
func (p *Party) ownKey() (*keys.DecryptionKey, error) {
	statement := &pb.EncryptionKeyStatement{}
	if err := Peek(statement, p.EncryptionKey); err != nil {
		return nil, err
	}
	return p.Keyring.Find(statement.GetKeyId())
}

// Pending is a state that a message leads to once its replay key is kept (B2): durable, and failing closed.
type Pending[S any] struct {
	// ReplayKey is to be inserted where it is absent, 32 bytes, and kept until KeepUntil.
	ReplayKey []byte
	KeepUntil Instant
	next      S
}

// Admit gives the state if the replay key was new. Refuses with REJECTED (MESSAGE_REPLAYED).
func (p Pending[S]) Admit(inserted bool) (S, error) {
	if !inserted {
		var none S
		return none, refusal.AfterOpening(refusal.New(refusal.MessageReplayed, "this message was taken before"))
	}
	return p.next, nil
}
