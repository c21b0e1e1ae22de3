package keys

import (
	"crypto"
	"crypto/ed25519"

	"medunion.example/clients/go/refusal"
)

// PublicKey gives PUK_X, 32 bytes.
func PublicKey(signer crypto.Signer) ed25519.PublicKey { return signer.Public().(ed25519.PublicKey) }

// Sign signs by pure Ed25519 (RFC 8032, section 5.1.6), and verifies before the signature is released: a faulty one can give the
// key away.
func Sign(signer crypto.Signer, message []byte) ([]byte, error) {
	signature, err := signer.Sign(nil, message, crypto.Hash(0))
	if err != nil {
		return nil, refusal.Because(err, refusal.TokenUnavailable, "the key did not sign")
	}
	if !ed25519.Verify(PublicKey(signer), message, signature) {
		return nil, refusal.New(refusal.TokenUnavailable, "the key gave a wrong signature: withheld")
	}
	return signature, nil
}
