// Package contract is what every keys.Store has to do, tried on the known answers: one suite for the file and for the token.
package contract

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"testing"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

// Try tries a store. again opens it anew, as the next program does.
func Try(t *testing.T, store keys.Store, again func() keys.Store) {
	t.Run("signs", func(t *testing.T) { signs(t, store) })
	t.Run("agrees", func(t *testing.T) { agrees(t, store) })
	t.Run("imports S_X", func(t *testing.T) { importsSecret(t, store) })
	t.Run("opens seals", func(t *testing.T) { opensSeals(t, store) })
	t.Run("seals what is kept", func(t *testing.T) { seals(t, store) })
	keepsKeys(t, store, again)
}

func signs(t *testing.T, store keys.Store) {
	message := []byte("T(...)")
	signature, err := keys.Sign(store.Signer(), message)
	if err != nil || !ed25519.Verify(keys.PublicKey(store.Signer()), message, signature) {
		t.Errorf("signature %x: %v", signature, err)
	}
	if _, err := store.Signer().Sign(nil, make([]byte, 64), crypto.SHA512_224); err == nil {
		t.Error("a digest was signed")
	}
}

func agrees(t *testing.T, store keys.Store) {
	key, err := store.GenerateX25519("kem-agrees")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := key.ECDH(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := peer.ECDH(key.PublicKey())
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("%x and %x: %v", ours, theirs, err)
	}
	neutral, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := key.ECDH(neutral); err == nil {
		t.Errorf("a point of low order gave %x", secret)
	}
	if err := store.Destroy("kem-agrees"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.X25519("kem-agrees"); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("a destroyed key: %v", err)
	}
}

type agreed struct {
	RegistrationSecret vectors.Bytes `json:"registration_secret"`
	PublicPoint        vectors.Bytes `json:"public_point"`
	Point, Result      vectors.Bytes
}

func importsSecret(t *testing.T, store keys.Store) {
	for number, vector := range vectors.Read[agreed](t, "full_point.json") {
		serial := bytes.Repeat([]byte{byte(number)}, 16)
		if err := keys.ImportRegistrationSecret(store, vector.RegistrationSecret, serial, vector.PublicPoint, curve.SystemEntropy); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(vector.RegistrationSecret, make([]byte, 32)) {
			t.Error("S_X was not wiped")
		}
		secret, err := keys.RegistrationSecret(store, serial, vector.PublicPoint)
		if err != nil {
			t.Fatal(err)
		}
		if product, err := secret.Agree(vector.Point); err != nil || !bytes.Equal(product, vector.Result) {
			t.Errorf("S_X R is %x: %v", product, err)
		}
	}
	vector, serial := vectors.Read[agreed](t, "full_point.json")[0], bytes.Repeat([]byte{99}, 16)
	another := append([]byte{2}, make([]byte, 31)...)
	if err := keys.ImportRegistrationSecret(store, another, serial, vector.PublicPoint, curve.SystemEntropy); err == nil {
		t.Error("another credential's S_X was taken")
	}
	if _, err := keys.RegistrationSecret(store, serial, vector.PublicPoint); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("it stayed in the store: %v", err)
	}
}

type seal struct {
	MLKEMSeed               vectors.Bytes `json:"mlkem_seed"`
	X25519                  vectors.Bytes `json:"x25519_private_key"`
	EncryptionKey           vectors.Bytes `json:"encryption_key"`
	Info, Plaintext, Sealed vectors.Bytes
}

func opensSeals(t *testing.T, store keys.Store) {
	for _, vector := range vectors.Read[seal](t, "hpke.json") {
		half, err := store.ImportX25519("kem-vector", vector.X25519, vector.EncryptionKey[1184:])
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.NewDecryptionKey(vector.MLKEMSeed, half)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := key.Open(vector.Sealed, vector.Info); err != nil || !bytes.Equal(opened, vector.Plaintext) {
			t.Errorf("opened %x: %v", opened, err)
		}
		if _, err := key.Open(vector.Sealed, []byte("other info")); !refusal.Is(err, refusal.SealInvalid) {
			t.Errorf("under other info: %v", err)
		}
	}
}

func seals(t *testing.T, store keys.Store) {
	sealed, err := store.Seal([]byte("kept"), []byte("context"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := store.Open(sealed, []byte("context")); err != nil || string(opened) != "kept" {
		t.Errorf("opened %q: %v", opened, err)
	}
	if _, err := store.Open(sealed, []byte("another")); !refusal.Is(err, refusal.SealInvalid) {
		t.Errorf("in another context: %v", err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := store.Open(sealed, []byte("context")); !refusal.Is(err, refusal.SealInvalid) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func keepsKeys(t *testing.T, store keys.Store, again func() keys.Store) {
	key, epoch, err := keys.NewEpoch(store, curve.SystemEntropy)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.Seal(key.EncryptionKey, []byte("plaintext"), nil)
	if err != nil {
		t.Fatal(err)
	}
	public := bytes.Clone(keys.PublicKey(store.Signer()))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := again()
	defer reopened.Close()
	if !bytes.Equal(keys.PublicKey(reopened.Signer()), public) {
		t.Error("another PRK_X")
	}
	opened, err := keys.OpenEpoch(reopened, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := opened.Open(sealed, nil); err != nil || string(plain) != "plaintext" {
		t.Errorf("opened %q: %v", plain, err)
	}
}
