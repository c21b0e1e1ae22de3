// Package keys is a party's private keys: what the protocol needs of them, whether they lie in an encrypted file or in a
// PKCS#11 token, whose keys never leave it.
package keys

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/mlkem"
	"encoding/hex"
	"os"
	"strings"

	"medunion.example/clients/go/group"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// KEM is the HPKE identifier of MLKEM768-X25519, in every encryption key statement.
const KEM = 0x647a

const (
	epochPrefix        = "kem-"
	registrationPrefix = "registration-secret-"
)

// Store holds the private keys of one party. Its keys are used through Go's own interfaces: crypto.Signer and ecdh.KeyExchanger.
type Store interface {
	// Signer gives PRK_X, an Ed25519 key: it signs messages, not digests.
	Signer() crypto.Signer
	// GenerateX25519 makes an X25519 key under a new label.
	GenerateX25519(label string) (ecdh.KeyExchanger, error)
	// ImportX25519 takes an X25519 key that was made elsewhere, in the place of one that is there; the caller wipes it. public is its
	// u-coordinate, 32 bytes. Refuses with KEY_INVALID if they don't belong together.
	ImportX25519(label string, private, public []byte) (ecdh.KeyExchanger, error)
	// X25519 opens a key. Refuses with KEY_NOT_FOUND.
	X25519(label string) (ecdh.KeyExchanger, error)
	// Destroy removes an X25519 key for good; none there is no error.
	Destroy(label string) error
	// Seal encrypts what the party keeps, with AES-256-GCM under a key of the store's own; context is bound, not kept.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open gives back what Seal made. Refuses with SEAL_INVALID.
	Open(sealed, context []byte) ([]byte, error)
	// Close forgets the keys, or ends the session with the token.
	Close() error
}

// DecryptionKey is the private key of one epoch.
type DecryptionKey struct {
	private hpke.PrivateKey
	// EncryptionKey is PUK_kem, 1,216 bytes: ML-KEM-768 key || X25519 key.
	EncryptionKey []byte
	// KeyID is the first 16 bytes of SHA-256(PUK_kem).
	KeyID []byte
}

// NewDecryptionKey puts the ML-KEM key of a 64-byte seed (FIPS 203) and an X25519 key, in a token or not, together.
func NewDecryptionKey(seed []byte, half ecdh.KeyExchanger) (*DecryptionKey, error) {
	decapsulation, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "no ML-KEM seed")
	}
	private, err := hpke.NewHybridPrivateKey(decapsulation, half)
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "the halves make no key")
	}
	public := private.PublicKey().Bytes()
	return &DecryptionKey{private, public, KeyID(public)}, nil
}

// Open opens enc || ct (RFC 9180, base mode, single shot). Refuses with SEAL_INVALID, and with TOKEN_UNAVAILABLE, which says nothing of the
// seal.
func (k *DecryptionKey) Open(sealed, info []byte) ([]byte, error) {
	opened, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
	if refusal.Is(err, refusal.TokenUnavailable) {
		return nil, err
	}
	if err != nil {
		return nil, refusal.Because(err, refusal.SealInvalid, "the seal does not open")
	}
	return opened, nil
}

// KeyID names PUK_kem.
func KeyID(encryptionKey []byte) []byte { return transcript.Digest(encryptionKey)[:16] }

// Seal seals to PUK_kem and gives enc || ct. Refuses with CREDENTIAL_INVALID for bytes to which nothing can be sealed.
func Seal(encryptionKey, plaintext, info []byte) ([]byte, error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(encryptionKey)
	if err != nil {
		return nil, refusal.Because(err, refusal.CredentialInvalid, "nothing can be sealed to the encryption key")
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
	if err != nil {
		return nil, refusal.Because(err, refusal.CredentialInvalid, "nothing can be sealed to the encryption key")
	}
	return sealed, nil
}

// Epoch is what is kept of an epoch's key: the label of its X25519 half in the store, and its ML-KEM seed sealed under the
// store's own key, since tokens don't hold ML-KEM yet.
type Epoch struct {
	Label      string `json:"label"`
	SealedSeed []byte `json:"sealed_seed"`
}

// NewEpoch makes the encryption key of a new epoch.
func NewEpoch(store Store, entropy group.Entropy) (*DecryptionKey, Epoch, error) {
	label, seed := epochPrefix+hex.EncodeToString(entropy(16)), entropy(mlkem.SeedSize)
	defer clear(seed)
	half, err := store.GenerateX25519(label)
	if err != nil {
		return nil, Epoch{}, err
	}
	sealed, err := store.Seal(seed, seedContext(label))
	if err != nil {
		return nil, Epoch{}, err
	}
	key, err := NewDecryptionKey(seed, half)
	return key, Epoch{label, sealed}, err
}

// OpenEpoch opens the key of an epoch. Refuses with KEY_NOT_FOUND, SEAL_INVALID.
func OpenEpoch(store Store, epoch Epoch) (*DecryptionKey, error) {
	half, err := store.X25519(epoch.Label)
	if err != nil {
		return nil, err
	}
	seed, err := store.Open(epoch.SealedSeed, seedContext(epoch.Label))
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return NewDecryptionKey(seed, half)
}

// ImportRegistrationSecret imports S_X of a credential, tests it where it now lies, and wipes the caller's copy whatever happens.
// Refuses with SCALAR_WITHOUT_TOKEN_FORM, CREDENTIAL_MISMATCH, KEY_INVALID; then nothing stays in the store.
func ImportRegistrationSecret(store Store, secret, serial, publicPoint []byte, entropy group.Entropy) error {
	defer clear(secret)
	form, err := group.TokenForm(secret)
	if err != nil {
		return err
	}
	defer clear(form)
	public, err := group.U(publicPoint)
	if err != nil {
		return err
	}
	label := registrationPrefix + hex.EncodeToString(serial)
	key, err := store.ImportX25519(label, form, public)
	if err != nil {
		return err
	}
	probe, err := group.NewScalar(entropy(64))
	if err == nil {
		err = group.RegistrationSecret{Key: key, PublicPoint: publicPoint}.RequireConsistent(probe)
	}
	if err != nil {
		store.Destroy(label)
	}
	return err
}

// RegistrationSecret opens S_X of a credential. Refuses with KEY_NOT_FOUND.
func RegistrationSecret(store Store, serial, publicPoint []byte) (group.RegistrationSecret, error) {
	key, err := store.X25519(registrationPrefix + hex.EncodeToString(serial))
	return group.RegistrationSecret{Key: key, PublicPoint: publicPoint}, err
}

// Keyring is the decryption keys of a party's epochs.
type Keyring []*DecryptionKey

// Find gives the key of a key id. Refuses with UNKNOWN_KEY_ID.
func (k Keyring) Find(keyID []byte) (*DecryptionKey, error) {
	for _, key := range k {
		if bytes.Equal(key.KeyID, keyID) {
			return key, nil
		}
	}
	return nil, refusal.New(refusal.UnknownKeyID, "sealed to a key that is not held here, or no longer")
}

func seedContext(label string) []byte { return transcript.T("mlkem-seed", []byte(label)) }

// ReadPIN reads the first line of a file that only its owner may read. Refuses with PIN_UNAVAILABLE.
func ReadPIN(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", refusal.Because(err, refusal.PinUnavailable, "the PIN file can't be read")
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil || !status.Mode().IsRegular() || status.Mode().Perm()&0o077 != 0 {
		return "", refusal.New(refusal.PinUnavailable, "the PIN file has to be a plain file of mode 0600")
	}
	lines := bufio.NewScanner(file)
	if !lines.Scan() || strings.TrimSpace(lines.Text()) == "" {
		return "", refusal.New(refusal.PinUnavailable, "the PIN file is empty")
	}
	return strings.TrimSpace(lines.Text()), nil
}

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
