//go:build cgo

package token

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"io"

	"filippo.io/edwards25519/field"
	"github.com/miekg/pkcs11"

	"medunion.example/clients/go/refusal"
)

const (
	nonceSize = 12
	tagBits   = 128
)

var (
	basePoint = append([]byte{9}, make([]byte, 31)...) // u = 9 (RFC 7748, section 4.1)
	errDigest = errors.New("an Ed25519 key in a token signs messages, not digests")
	errSecret = errors.New("the token gave no secret")
)

// signer is PRK_X: crypto.Signer by CKM_EDDSA without parameters, which is pure Ed25519.
type signer struct {
	token  *Token
	handle pkcs11.ObjectHandle
	public ed25519.PublicKey
}

func (t *Token) openSigner() (*signer, error) {
	handle, err := t.private(identityLabel)
	if err != nil {
		return nil, err
	}
	halves, err := t.search(identityLabel, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY))
	if err != nil {
		return nil, err
	}
	if len(halves) != 1 {
		return nil, refusal.New(refusal.KeyNotFound, "the token holds %d public keys %q", len(halves), identityLabel)
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	told, err := t.module.GetAttributeValue(t.session, halves[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, unavailable(err)
	}
	return &signer{t, handle, pointOf(told[0].Value)}, nil
}

// Public gives PUK_X.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a message.
func (s *signer) Sign(_ io.Reader, message []byte, options crypto.SignerOpts) ([]byte, error) {
	if options.HashFunc() != 0 {
		return nil, errDigest
	}
	s.token.turn.Lock()
	defer s.token.turn.Unlock()
	if err := s.token.module.SignInit(s.token.session, mechanism(ckmEdDSA), s.handle); err != nil {
		return nil, unavailable(err)
	}
	signature, err := s.token.module.Sign(s.token.session, message)
	if err != nil {
		return nil, unavailable(err)
	}
	return signature, nil
}

// x25519Key is an ecdh.KeyExchanger whose private half is in the token.
type x25519Key struct {
	token  *Token
	handle pkcs11.ObjectHandle
	public *ecdh.PublicKey
}

func (k *x25519Key) PublicKey() *ecdh.PublicKey { return k.public }

func (k *x25519Key) Curve() ecdh.Curve { return ecdh.X25519() }

// ECDH gives the 32-byte secret of RFC 7748, section 6.1. A point of low order is refused by INVALID_POINT.
func (k *x25519Key) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	return k.token.agree(k.handle, peer.Bytes())
}

// agree derives a secret as an object of the session, reads it and destroys it, whatever happens.
func (t *Token) agree(handle pkcs11.ObjectHandle, peer []byte) ([]byte, error) {
	if err := requireOrder(peer); err != nil {
		return nil, err
	}
	// Some tokens refuse a u-coordinate that is not below the prime, where RFC 7748, section 5, takes it: a peer could make them look faulty.
	u, err := new(field.Element).SetBytes(peer)
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "a u-coordinate has 32 bytes")
	}
	parameters := pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, u.Bytes())
	t.turn.Lock()
	defer t.turn.Unlock()
	derived, err := t.module.DeriveKey(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, parameters)}, handle,
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
		})
	if err != nil {
		return nil, unavailable(err)
	}
	defer t.module.DestroyObject(t.session, derived)
	told, err := t.module.GetAttributeValue(t.session, derived, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	if err != nil {
		return nil, unavailable(err)
	}
	secret := told[0].Value
	if len(secret) != 32 || bytes.Equal(secret, make([]byte, 32)) {
		return nil, unavailable(errSecret)
	}
	return secret, nil
}

// requireOrder refuses a point of low order before the token sees it, for tokens have no word of their own for it: what fails after that
// is the token's fault. Every X25519 key gives zeros for such a point, and Go's says so.
func requireOrder(peer []byte) error {
	point, err := ecdh.X25519().NewPublicKey(peer)
	if err == nil {
		_, err = anyKey.ECDH(point)
	}
	if err != nil {
		return refusal.Because(err, refusal.InvalidPoint, "the peer's X25519 key is none, or has low order")
	}
	return nil
}

var anyKey = func() *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		panic(err) // any 32 bytes are a key
	}
	return key
}()

// Seal encrypts in the token: nonce (12 random bytes) || ciphertext || tag.
func (t *Token) Seal(plaintext, context []byte) ([]byte, error) {
	nonce := random(nonceSize)
	sealed, err := t.withGCM(nonce, context, func(by []*pkcs11.Mechanism, handle pkcs11.ObjectHandle) ([]byte, error) {
		if err := t.module.EncryptInit(t.session, by, handle); err != nil {
			return nil, err
		}
		return t.module.Encrypt(t.session, plaintext)
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return append(nonce, sealed...), nil
}

// Open opens what Seal made.
func (t *Token) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagBits/8 {
		return nil, refusal.New(refusal.SealInvalid, "what was sealed is too short")
	}
	plain, err := t.withGCM(sealed[:nonceSize], context, func(by []*pkcs11.Mechanism, handle pkcs11.ObjectHandle) ([]byte, error) {
		if err := t.module.DecryptInit(t.session, by, handle); err != nil {
			return nil, err
		}
		return t.module.Decrypt(t.session, sealed[nonceSize:])
	})
	if refusal.Is(err, refusal.TokenUnavailable, refusal.KeyNotFound, refusal.KeyInvalid) { // the key itself can't be had
		return nil, err
	}
	if err != nil { // tokens have different words for a wrong tag, SoftHSM that for a fault of its own
		return nil, refusal.Because(err, refusal.SealInvalid, "what was sealed does not open")
	}
	return plain, nil
}

func (t *Token) withGCM(nonce, context []byte, work func([]*pkcs11.Mechanism, pkcs11.ObjectHandle) ([]byte, error)) ([]byte, error) {
	handle, err := t.private(sealingLabel)
	if err != nil {
		return nil, err
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	parameters := pkcs11.NewGCMParams(nonce, context, tagBits)
	defer parameters.Free()
	return work([]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, parameters)}, handle)
}
