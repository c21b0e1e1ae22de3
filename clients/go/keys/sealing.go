package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	purpose        = "sealing"
	generation     = 1 // a client's key has no other
	generationSize = 2
	saltSize       = 32
)

// AtRest seals what a party keeps (docs/protocol.md, section 1): a key of a store, of this purpose alone, gives a fresh key for
// each seal, by one call whatever its size, and what is sealed never crosses to the token.
type AtRest struct{ key curve.Agreeing }

// SealingBy gives what the key of a store seals. The key meets no peer's point.
func SealingBy(key curve.Agreeing) AtRest { return AtRest{key} }

// Seal gives u16be(generation) || salt (32 bytes) || AES-256-GCM under the key of that salt, with a zero nonce. Context is bound,
// not kept.
func (a AtRest) Seal(plaintext, context []byte) ([]byte, error) {
	head := append(binary.BigEndian.AppendUint16(nil, generation), random(saltSize)...)
	aead, err := a.under(head)
	if err != nil {
		return nil, err
	}
	return aead.Seal(head, make([]byte, aead.NonceSize()), plaintext, context), nil
}

// Open gives back what Seal made. Refuses with SEAL_INVALID, and with TOKEN_UNAVAILABLE, which says nothing of the seal.
func (a AtRest) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < generationSize+saltSize || binary.BigEndian.Uint16(sealed) != generation {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed is too short, or under another key")
	}
	head, ciphertext := sealed[:generationSize+saltSize], sealed[generationSize+saltSize:]
	aead, err := a.under(head)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, make([]byte, aead.NonceSize()), ciphertext, context)
	if err != nil {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed does not open")
	}
	return plaintext, nil
}

// under gives AES-256-GCM under PRF(T("seal", purpose, generation, salt)), PRF(m) = agree(d, Q(m), m).
func (a AtRest) under(head []byte) (cipher.AEAD, error) {
	fields := [][]byte{transcript.Text(purpose), head[:generationSize], head[generationSize:]}
	key, err := curve.Agree(a.key, curve.HashToCurve(transcript.T("seal", fields...)), "seal", fields...)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return gcm(key), nil
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // keys here have 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM takes
	}
	return aead
}
