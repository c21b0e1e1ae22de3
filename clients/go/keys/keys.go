// Package keys is a party's private keys: what the protocol needs of them, whether they lie in an encrypted file or in a
// PKCS#11 token, whose keys never leave it.
package keys

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/mlkem"
	"encoding/hex"
	"os"
	"strings"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// KEM is the HPKE identifier of MLKEM768-P256, in every encryption key statement.
const KEM = 0x0050

const (
	epochPrefix        = "kem-"
	registrationPrefix = "registration-secret-"
)

// Store holds the private keys of one party, all of them on P-256.
type Store interface {
	// Signer gives PRK_X, an ECDSA key: Sign and X.509 have it sign SHA-256 digests.
	Signer() crypto.Signer
	// Generate makes a key for agreement under a new label, and gives its public half, which is told here alone.
	Generate(label string) (AgreementKey, *ecdh.PublicKey, error)
	// Import takes such a key that was made elsewhere, 32 bytes big-endian, from 1 to n - 1, in the place of one that is there; the
	// caller wipes it. Its public half is neither asked for nor kept. Refuses with KEY_INVALID.
	Import(label string, scalar []byte) (AgreementKey, error)
	// Agreement opens such a key. Refuses with KEY_NOT_FOUND.
	Agreement(label string) (AgreementKey, error)
	// Destroy removes such a key for good; none there is no error.
	Destroy(label string) error
	// Seal encrypts what the party keeps, under a key of the store's own; context is bound, not kept.
	Seal(plaintext, context []byte) ([]byte, error)
	// Open gives back what Seal made. Refuses with SEAL_INVALID.
	Open(sealed, context []byte) ([]byte, error)
	// Close forgets the keys, or ends the session with the token.
	Close() error
}

// AgreementKey is a secret scalar d.
type AgreementKey interface {
	curve.Agreeing
	// ECDH gives x(d Q), 32 bytes, for a seal of E_PUK; everything else asks for a PRF.
	ECDH(peer *ecdh.PublicKey) ([]byte, error)
}

// DecryptionKey is the private key of one epoch.
type DecryptionKey struct {
	private hpke.PrivateKey
	// EncryptionKey is PUK_kem, 1,249 bytes: ML-KEM-768 key || P-256 key, uncompressed.
	EncryptionKey []byte
	// KeyID is the first 16 bytes of SHA-256(PUK_kem).
	KeyID []byte
}

// half is a key of a store with its public half, as crypto/hpke takes it.
type half struct {
	AgreementKey
	public *ecdh.PublicKey
}

func (h half) PublicKey() *ecdh.PublicKey { return h.public }

func (h half) Curve() ecdh.Curve { return ecdh.P256() }

// NewDecryptionKey puts the ML-KEM key of a 64-byte seed (FIPS 203) and a P-256 key, in a token or not, together.
func NewDecryptionKey(seed []byte, key AgreementKey, public *ecdh.PublicKey) (*DecryptionKey, error) {
	decapsulation, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "no ML-KEM seed")
	}
	private, err := hpke.NewHybridPrivateKey(decapsulation, half{key, public})
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "the halves make no key")
	}
	encryptionKey := private.PublicKey().Bytes()
	return &DecryptionKey{private, encryptionKey, KeyID(encryptionKey)}, nil
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
	public, err := hpke.MLKEM768P256().NewPublicKey(encryptionKey)
	if err != nil {
		return nil, refusal.Because(err, refusal.CredentialInvalid, "nothing can be sealed to the encryption key")
	}
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
	if err != nil {
		return nil, refusal.Because(err, refusal.CredentialInvalid, "nothing can be sealed to the encryption key")
	}
	return sealed, nil
}

// Epoch is what is kept of an epoch's key: the label of its P-256 half in the store, that one's public half, 65 bytes, and its
// ML-KEM seed, sealed at rest, since tokens don't hold ML-KEM yet.
type Epoch struct {
	Label      string `json:"label"`
	PublicHalf []byte `json:"public_half"`
	SealedSeed []byte `json:"sealed_seed"`
}

// NewEpoch makes the encryption key of a new epoch.
func NewEpoch(store Store, entropy curve.Entropy) (*DecryptionKey, Epoch, error) {
	label, seed := epochPrefix+hex.EncodeToString(entropy(16)), entropy(mlkem.SeedSize)
	defer clear(seed)
	half, public, err := store.Generate(label)
	if err != nil {
		return nil, Epoch{}, err
	}
	sealed, err := store.Seal(seed, seedContext(label))
	if err != nil {
		return nil, Epoch{}, err
	}
	key, err := NewDecryptionKey(seed, half, public)
	return key, Epoch{label, public.Bytes(), sealed}, err
}

// OpenEpoch opens the key of an epoch. Refuses with KEY_NOT_FOUND, KEY_INVALID, SEAL_INVALID.
func OpenEpoch(store Store, epoch Epoch) (*DecryptionKey, error) {
	half, err := store.Agreement(epoch.Label)
	if err != nil {
		return nil, err
	}
	public, err := ecdh.P256().NewPublicKey(epoch.PublicHalf)
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "what was kept of an epoch's key is none")
	}
	seed, err := store.Open(epoch.SealedSeed, seedContext(epoch.Label))
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return NewDecryptionKey(seed, half, public)
}

// ImportRegistrationSecret imports S_X of the credential with that R_X1 and U_X, tests it where it now lies, and wipes the
// caller's copy whatever happens. Refuses with CREDENTIAL_MISMATCH, KEY_INVALID; then nothing stays in the store.
func ImportRegistrationSecret(store Store, secret, serial, registrationPoint []byte, publicPoint *ecdh.PublicKey) error {
	defer clear(secret)
	label := registrationPrefix + hex.EncodeToString(serial)
	key, err := store.Import(label, secret)
	if err != nil {
		return err
	}
	imported := curve.RegistrationSecret{Key: key, RegistrationPoint: registrationPoint, PublicPoint: publicPoint}
	if err := imported.RequireConsistent(); err != nil {
		store.Destroy(label)
		return err
	}
	return nil
}

// RegistrationSecret opens S_X of a credential. Refuses with KEY_NOT_FOUND.
func RegistrationSecret(store Store, serial, registrationPoint []byte, publicPoint *ecdh.PublicKey) (curve.RegistrationSecret, error) {
	key, err := store.Agreement(registrationPrefix + hex.EncodeToString(serial))
	return curve.RegistrationSecret{Key: key, RegistrationPoint: registrationPoint, PublicPoint: publicPoint}, err
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
