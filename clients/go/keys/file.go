package keys

import (
	"crypto"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/crypto/argon2"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/internal/files"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	fileFormat = "medunion-keys/1"
	passes     = 3
	memoryKiB  = 64 * 1024
	threads    = 1
)

// File is a Store in one file: every key of it encrypted with AES-256-GCM under Argon2id (RFC 9106) of the PIN, written anew, with
// a fresh nonce, at each change. Whoever has the file and the PIN has the keys: fit for trying out and for devices without a token.
type File struct {
	AtRest
	path     string
	salt     []byte
	wrapping cipher.AEAD
	content  fileContent
	signing  *ecdsa.PrivateKey
}

// fileContent is scalars, 32 bytes each, big-endian.
type fileContent struct {
	SigningKey []byte            `json:"signing_key"`
	SealingKey []byte            `json:"sealing_key"`
	Agreement  map[string][]byte `json:"agreement"`
}

type sealedFile struct {
	Format string `json:"format"`
	Salt   []byte `json:"salt"`
	Sealed []byte `json:"sealed"`
}

// CreateFile makes a party's keys in a file that is not there yet. Refuses with PROFILE_UNUSABLE.
func CreateFile(path, pin string) (*File, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, refusal.New(refusal.ProfileUnusable, "there are keys at %s already", path)
	}
	signing, err := newScalar()
	if err != nil {
		return nil, err
	}
	sealing, err := newScalar()
	if err != nil {
		return nil, err
	}
	salt := random(16)
	file, err := put(path, salt, gcm(derive(pin, salt)), fileContent{signing, sealing, map[string][]byte{}})
	if err != nil {
		return nil, err
	}
	return file, file.save()
}

// OpenFile opens the keys with the PIN. Refuses with PROFILE_UNUSABLE, PIN_INCORRECT.
func OpenFile(path, pin string) (*File, error) {
	encoded, err := os.ReadFile(path)
	if err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "no keys can be read at %s", path)
	}
	var kept sealedFile
	if err := json.Unmarshal(encoded, &kept); err != nil || kept.Format != fileFormat {
		return nil, refusal.New(refusal.ProfileUnusable, "%s holds no keys", path)
	}
	wrapping := gcm(derive(pin, kept.Salt))
	plain, err := open(wrapping, kept.Sealed, fileContext(kept.Salt))
	if err != nil {
		return nil, refusal.New(refusal.PinIncorrect, "the PIN does not open %s", path)
	}
	defer clear(plain)
	var content fileContent
	if err := json.Unmarshal(plain, &content); err != nil {
		return nil, refusal.New(refusal.ProfileUnusable, "%s holds no keys", path)
	}
	return put(path, kept.Salt, wrapping, content)
}

// Signer gives PRK_X.
func (f *File) Signer() crypto.Signer { return f.signing }

// Generate makes a key.
func (f *File) Generate(label string) (AgreementKey, *ecdh.PublicKey, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	f.content.Agreement[label] = key.Bytes()
	return curve.SoftwareKey{PrivateKey: key}, key.PublicKey(), f.save()
}

// Import takes a key that was made elsewhere.
func (f *File) Import(label string, scalar []byte) (AgreementKey, error) {
	key, err := agreementKey(scalar)
	if err != nil {
		return nil, err
	}
	f.content.Agreement[label] = key.Bytes()
	return key, f.save()
}

// Agreement opens a key.
func (f *File) Agreement(label string) (AgreementKey, error) {
	scalar, found := f.content.Agreement[label]
	if !found {
		return nil, refusal.New(refusal.KeyNotFound, "there is no key %q", label)
	}
	return agreementKey(scalar)
}

func agreementKey(scalar []byte) (curve.SoftwareKey, error) {
	key, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		return curve.SoftwareKey{}, refusal.New(refusal.KeyInvalid, "a key of P-256 is 32 bytes, from 1 to n - 1")
	}
	return curve.SoftwareKey{PrivateKey: key}, nil
}

// Destroy removes a key; what a disk keeps of the file before it was written anew is beyond reach.
func (f *File) Destroy(label string) error {
	clear(f.content.Agreement[label])
	delete(f.content.Agreement, label)
	return f.save()
}

// Close wipes the scalars that this object holds; those that the standard library holds are the garbage collector's.
func (f *File) Close() error {
	clear(f.content.SigningKey)
	clear(f.content.SealingKey)
	for _, scalar := range f.content.Agreement {
		clear(scalar)
	}
	return nil
}

func newScalar() ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.Bytes(), nil
}

func put(path string, salt []byte, wrapping cipher.AEAD, content fileContent) (*File, error) {
	signing, signingErr := ecdsa.ParseRawPrivateKey(elliptic.P256(), content.SigningKey)
	sealing, sealingErr := agreementKey(content.SealingKey)
	if signingErr != nil || sealingErr != nil || content.Agreement == nil {
		return nil, refusal.New(refusal.ProfileUnusable, "%s holds no keys", path)
	}
	return &File{SealingBy(sealing), path, salt, wrapping, content, signing}, nil
}

func (f *File) save() error {
	plain, err := json.Marshal(f.content)
	if err != nil {
		return err
	}
	defer clear(plain)
	encoded, err := json.Marshal(sealedFile{fileFormat, f.salt, seal(f.wrapping, plain, fileContext(f.salt))})
	if err != nil {
		return err
	}
	if err := files.Write(f.path, append(encoded, '\n')); err != nil {
		return refusal.Because(err, refusal.ProfileUnusable, "the keys can't be written")
	}
	return nil
}

func derive(pin string, salt []byte) []byte {
	return argon2.IDKey([]byte(pin), salt, passes, memoryKiB, threads, 32)
}

func fileContext(salt []byte) []byte { return transcript.T(fileFormat, salt) }

// seal gives nonce (12 random bytes) || ciphertext || tag.
func seal(aead cipher.AEAD, plaintext, context []byte) []byte {
	nonce := random(aead.NonceSize())
	return aead.Seal(nonce, nonce, plaintext, context)
}

func open(aead cipher.AEAD, sealed, context []byte) ([]byte, error) {
	if len(sealed) < aead.NonceSize() {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed is too short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], context)
	if err != nil {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed does not open")
	}
	return plain, nil
}

func random(size int) []byte {
	drawn := make([]byte, size)
	rand.Read(drawn)
	return drawn
}
