package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

type signed struct {
	Name, Expect       string
	PrivateKey         vectors.Bytes `json:"private_key"`
	VerifyingKey       vectors.Bytes `json:"verifying_key"`
	Message, Signature vectors.Bytes
}

func TestSignatures(t *testing.T) {
	for _, vector := range vectors.Read[signed](t, "signatures.json") {
		if keys.Verify(vector.VerifyingKey, vector.Message, vector.Signature) != (vector.Expect == "success") {
			t.Errorf("%s: not %s", vector.Name, vector.Expect)
		}
		if vector.PrivateKey == nil {
			continue
		}
		made, err := keys.Sign(vectors.Signer(t, vector.PrivateKey), vector.Message)
		if err != nil || !bytes.Equal(made, vector.Signature) {
			t.Errorf("%s: made %x: %v", vector.Name, made, err)
		}
	}
}

// faulty is a signer that gives a signature of something else, or none.
type faulty struct {
	*ecdsa.PrivateKey
	sign func(*ecdsa.PrivateKey) ([]byte, error)
}

func (f faulty) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return f.sign(f.PrivateKey)
}

func TestWrongSignatureIsWithheld(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := sha256.Sum256(transcript.T("sig", nil, nil))
	for name, sign := range map[string]func(*ecdsa.PrivateKey) ([]byte, error){
		"of another message": func(k *ecdsa.PrivateKey) ([]byte, error) { return k.Sign(rand.Reader, other[:], crypto.SHA256) },
		"that is none":       func(*ecdsa.PrivateKey) ([]byte, error) { return []byte("none"), nil },
		"of negative r":      func(*ecdsa.PrivateKey) ([]byte, error) { return []byte{48, 6, 2, 1, 0x80, 2, 1, 1}, nil },
		"too long": func(*ecdsa.PrivateKey) ([]byte, error) {
			return append([]byte{48, 38, 2, 33, 1}, make([]byte, 35)...), nil
		},
		"not given": func(*ecdsa.PrivateKey) ([]byte, error) { return nil, errors.New("no") },
	} {
		if signature, err := keys.Sign(faulty{key, sign}, []byte("message")); !refusal.Is(err, refusal.TokenUnavailable) {
			t.Errorf("a signature %s: %x, %v", name, signature, err)
		}
	}
}

func TestKeyOfAnotherCurveSignsNothing(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Sign(key, []byte("message")); !refusal.Is(err, refusal.KeyInvalid) {
		t.Errorf("got %v", err)
	}
}
