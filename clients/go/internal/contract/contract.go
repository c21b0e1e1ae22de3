// Package contract is what every keys.Store has to do, tried on the known answers: one suite for the file and for the token.
package contract

import (
	"bytes"
	"crypto/ecdh"
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
	t.Run("makes keys for agreement", func(t *testing.T) { makesKeys(t, store) })
	t.Run("imports S_X", func(t *testing.T) { importsSecret(t, store) })
	t.Run("opens seals", func(t *testing.T) { opensSeals(t, store) })
	t.Run("seals what is kept", func(t *testing.T) { seals(t, store) })
	t.Run("opens what a key sealed", func(t *testing.T) { opensKept(t, store) })
	keepsKeys(t, store, again)
}

func verifyingKey(t *testing.T, store keys.Store) []byte {
	t.Helper()
	key, err := keys.VerifyingKey(store.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signs(t *testing.T, store keys.Store) {
	message := []byte("T(...)")
	for range 8 { // s comes in either half
		signature, err := keys.Sign(store.Signer(), message)
		if err != nil || !keys.Verify(verifyingKey(t, store), message, signature) {
			t.Errorf("signature %x: %v", signature, err)
		}
	}
}

type agreement struct {
	Name          string
	PrivateKey    vectors.Bytes `json:"private_key"`
	Point, Shared vectors.Bytes
	Label         string
	Fields        []vectors.Bytes
	Value         vectors.Bytes
}

// agrees tries the known answers: an x that begins with zeros, the largest and the smallest scalar among them.
func agrees(t *testing.T, store keys.Store) {
	for _, vector := range vectors.Read[agreement](t, "agreement.json") {
		key, err := store.Import("agrees", vector.PrivateKey)
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		peer, err := curve.PointOver(vector.Point)
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		if x, err := key.ECDH(peer); err != nil || !bytes.Equal(x, vector.Shared) {
			t.Errorf("%s: x is %x: %v", vector.Name, x, err)
		}
		var fields [][]byte
		for _, field := range vector.Fields {
			fields = append(fields, field)
		}
		if value, err := curve.Agree(key, peer, vector.Label, fields...); err != nil || !bytes.Equal(value, vector.Value) {
			t.Errorf("%s: agree is %x: %v", vector.Name, value, err)
		}
	}
	for name, scalar := range map[string][]byte{
		"0": make([]byte, 32), "above n": bytes.Repeat([]byte{0xff}, 32), "of 31 bytes": make([]byte, 31),
	} {
		if _, err := store.Import("none", scalar); !refusal.Is(err, refusal.KeyInvalid) {
			t.Errorf("a scalar %s: %v", name, err)
		}
	}
}

func makesKeys(t *testing.T, store keys.Store) {
	key, public, err := store.Generate("kem-made")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := key.ECDH(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := peer.ECDH(public); err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("%x and %x: %v", ours, theirs, err)
	}
	again, err := store.Agreement("kem-made")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := again.ECDH(peer.PublicKey()); err != nil || !bytes.Equal(x, ours) {
		t.Errorf("opened again: %x: %v", x, err)
	}
	if err := store.Destroy("kem-made"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Agreement("kem-made"); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("a destroyed key: %v", err)
	}
}

type issued struct {
	Name, Expect, Identity string
	Issuer                 vectors.Bytes `json:"issuer_public_key"`
	Transcript             vectors.Bytes
	RegistrationPoint      vectors.Bytes `json:"registration_point"`
	RegistrationSecret     vectors.Bytes `json:"registration_secret"`
	Serial                 vectors.Bytes
	SharedKey              vectors.Bytes `json:"shared_key"`
}

func (i issued) publicPoint(t *testing.T) *ecdh.PublicKey {
	t.Helper()
	point, err := curve.PublicPoint(i.RegistrationPoint, i.Issuer, i.Transcript)
	if err != nil {
		t.Fatal(err)
	}
	return point
}

func importsSecret(t *testing.T, store keys.Store) {
	all := vectors.Read[issued](t, "issuing.json")
	for _, vector := range all {
		if vector.Expect != "success" {
			continue
		}
		public, scalar := vector.publicPoint(t), vector.RegistrationSecret
		if err := keys.ImportRegistrationSecret(store, scalar, vector.Serial, vector.RegistrationPoint, public); err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		if !bytes.Equal(scalar, make([]byte, 32)) {
			t.Error("S_X was not wiped")
		}
		secret, err := keys.RegistrationSecret(store, vector.Serial, vector.RegistrationPoint, public)
		if err != nil {
			t.Fatal(err)
		}
		if shared, err := secret.SharedKey(vector.Identity, vector.Serial); err != nil || !bytes.Equal(shared, vector.SharedKey) {
			t.Errorf("%s: K_X is %x: %v", vector.Name, shared, err)
		}
	}
	vector, serial := all[0], bytes.Repeat([]byte{99}, 16)
	public, another := vector.publicPoint(t), bytes.Repeat([]byte{2}, 32)
	err := keys.ImportRegistrationSecret(store, another, serial, vector.RegistrationPoint, public)
	if !refusal.Is(err, refusal.SecretMismatch) {
		t.Errorf("another credential's S_X: %v", err)
	}
	if _, err := keys.RegistrationSecret(store, serial, vector.RegistrationPoint, public); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("it stayed in the store: %v", err)
	}
}

type seal struct {
	Name, Expect            string
	MLKEMSeed               vectors.Bytes `json:"mlkem_seed"`
	P256                    vectors.Bytes `json:"p256_private_key"`
	EncryptionKey           vectors.Bytes `json:"encryption_key"`
	Info, Plaintext, Sealed vectors.Bytes
}

func opensSeals(t *testing.T, store keys.Store) {
	for _, vector := range vectors.Read[seal](t, "hpke.json") {
		half, err := store.Import("kem-vector", vector.P256)
		if err != nil {
			t.Fatal(err)
		}
		public, err := ecdh.P256().NewPublicKey(vector.EncryptionKey[len(vector.EncryptionKey)-65:])
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.NewDecryptionKey(vector.MLKEMSeed, half, public)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := key.Open(vector.Sealed, vector.Info)
		if !vectors.Expected(err, vector.Expect) || !bytes.Equal(opened, vector.Plaintext) {
			t.Errorf("%s: opened %x: %v", vector.Name, opened, err)
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

type kept struct {
	Name, Expect, Kind, Purpose string
	Generation                  int
	Key                         vectors.Bytes
	AssociatedData              vectors.Bytes `json:"associated_data"`
	Plaintext, Sealed           vectors.Bytes
}

// opensKept tries the known answers of persons' seals at rest that a client's one key can have made.
func opensKept(t *testing.T, store keys.Store) {
	opened := 0
	for _, vector := range vectors.Read[kept](t, "sealing.json") {
		if vector.Kind != "agree" || vector.Purpose != "sealing" || vector.Generation != 1 {
			continue
		}
		key, err := store.Import("sealing-vector", vector.Key)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := keys.SealingBy(key).Open(vector.Sealed, vector.AssociatedData)
		isGood := vector.Expect == "success"
		if isGood != (err == nil) || !isGood && !refusal.Is(err, refusal.SealInvalid) || !bytes.Equal(plain, vector.Plaintext) {
			t.Errorf("%s: opened %x: %v", vector.Name, plain, err)
		}
		opened++
	}
	if opened == 0 {
		t.Error("nothing was opened")
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
	public := verifyingKey(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := again()
	defer reopened.Close()
	if !bytes.Equal(verifyingKey(t, reopened), public) {
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
