package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	purpose        = "sealing"
	generation     = 1 // a client's key has no other
	generationSize = 2
	batchSize      = 16
	headSize       = generationSize + batchSize + 16 // a salt
)

// AtRest seals what a party keeps (docs/protocol.md, section 1): a key of a store, of this purpose alone, gives a fresh key for
// each seal, by one call whatever its size, and what is sealed never crosses to the token.
type AtRest struct{ key curve.Agreeing }

// SealingBy gives what the key of a store seals. The key meets no peer's point.
func SealingBy(key curve.Agreeing) AtRest { return AtRest{key} }

// Seal gives u16be(generation) || batch || salt (16 bytes each) || AES-256-GCM under the key of both, with a zero nonce. Each seal
// is a batch of its own here. Context is bound, not kept.
func (a AtRest) Seal(plaintext, context []byte) ([]byte, error) {
	head := append(binary.BigEndian.AppendUint16(nil, generation), random(headSize-generationSize)...)
	aead, err := a.under(head)
	if err != nil {
		return nil, err
	}
	return aead.Seal(head, make([]byte, aead.NonceSize()), plaintext, context), nil
}

// Open gives back what Seal made. Refuses with SEAL_INVALID, and with TOKEN_UNAVAILABLE, which says nothing of the seal.
func (a AtRest) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < headSize || binary.BigEndian.Uint16(sealed) != generation {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed is too short, or under another key")
	}
	head, ciphertext := sealed[:headSize], sealed[headSize:]
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

// under gives AES-256-GCM under HMAC(PRF(T("seal-batch", purpose, generation, batch)), T("seal", salt)), PRF(m) = agree(d, Q(m), m).
func (a AtRest) under(head []byte) (cipher.AEAD, error) {
	batch, salt := head[generationSize:generationSize+batchSize], head[generationSize+batchSize:]
	fields := [][]byte{transcript.Text(purpose), head[:generationSize], batch}
	batchKey, err := curve.Agree(a.key, curve.HashToCurve(transcript.T("seal-batch", fields...)), "seal-batch", fields...)
	if err != nil {
		return nil, err
	}
	defer clear(batchKey)
	mac := hmac.New(sha256.New, batchKey)
	mac.Write(transcript.T("seal", salt))
	key := mac.Sum(nil)
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
