package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/crypto/argon2"

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
	path      string
	salt      []byte
	wrapping  cipher.AEAD
	content   fileContent
	signing   ed25519.PrivateKey
	protector cipher.AEAD
}

type fileContent struct {
	SigningSeed []byte            `json:"signing_seed"`
	SealingKey  []byte            `json:"sealing_key"`
	X25519      map[string][]byte `json:"x25519"`
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
	content := fileContent{random(ed25519.SeedSize), random(32), map[string][]byte{}}
	file, err := opened(path, random(16), pin, content)
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

// GenerateX25519 makes an X25519 key.
func (f *File) GenerateX25519(label string) (ecdh.KeyExchanger, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	f.content.X25519[label] = key.Bytes()
	return key, f.save()
}

// ImportX25519 takes an X25519 key that was made elsewhere.
func (f *File) ImportX25519(label string, private, public []byte) (ecdh.KeyExchanger, error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil || subtle.ConstantTimeCompare(key.PublicKey().Bytes(), public) != 1 {
		return nil, refusal.New(refusal.KeyInvalid, "the halves of an X25519 key don't belong together")
	}
	f.content.X25519[label] = key.Bytes()
	return key, f.save()
}

// X25519 opens a key.
func (f *File) X25519(label string) (ecdh.KeyExchanger, error) {
	private, found := f.content.X25519[label]
	if !found {
		return nil, refusal.New(refusal.KeyNotFound, "there is no key %q", label)
	}
	return ecdh.X25519().NewPrivateKey(private)
}

// Destroy removes a key; what a disk keeps of the file before it was written anew is beyond reach.
func (f *File) Destroy(label string) error {
	clear(f.content.X25519[label])
	delete(f.content.X25519, label)
	return f.save()
}

// Seal encrypts under the store's own key.
func (f *File) Seal(plaintext, context []byte) ([]byte, error) {
	return seal(f.protector, plaintext, context), nil
}

// Open opens what Seal made.
func (f *File) Open(sealed, context []byte) ([]byte, error) {
	return open(f.protector, sealed, context)
}

// Close wipes the keys that this object holds.
func (f *File) Close() error {
	clear(f.content.SigningSeed)
	clear(f.content.SealingKey)
	clear(f.signing)
	for _, private := range f.content.X25519 {
		clear(private)
	}
	return nil
}

func opened(path string, salt []byte, pin string, content fileContent) (*File, error) {
	return put(path, salt, gcm(derive(pin, salt)), content)
}

func put(path string, salt []byte, wrapping cipher.AEAD, content fileContent) (*File, error) {
	if len(content.SigningSeed) != ed25519.SeedSize || len(content.SealingKey) != 32 || content.X25519 == nil {
		return nil, refusal.New(refusal.ProfileUnusable, "%s holds no keys", path)
	}
	signing := ed25519.NewKeyFromSeed(content.SigningSeed)
	return &File{path, salt, wrapping, content, signing, gcm(content.SealingKey)}, nil
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
