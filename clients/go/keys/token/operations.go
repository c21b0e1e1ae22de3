//go:build cgo

package token

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"

	"github.com/miekg/pkcs11"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
)

var (
	errDigest    = errors.New("an ECDSA key in a token signs SHA-256 digests")
	errSignature = errors.New("the token gave no r and s")
	errSecret    = errors.New("the token gave no x-coordinate of 32 bytes")
)

// signer is PRK_X: crypto.Signer by CKM_ECDSA over a digest that is made here.
type signer struct {
	token  *Token
	handle pkcs11.ObjectHandle
	public *ecdsa.PublicKey
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
	point, err := t.pointOf(halves[0])
	if err != nil {
		return nil, err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "the key %q is not on P-256", identityLabel)
	}
	return &signer{t, handle, public}, nil
}

// pointOf gives a public half, uncompressed; the caller has the turn.
func (t *Token) pointOf(half pkcs11.ObjectHandle) ([]byte, error) {
	told, err := t.module.GetAttributeValue(t.session, half, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, unavailable(err)
	}
	return pointOf(told[0].Value), nil
}

// Public gives PUK_X.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest, and gives what crypto.Signer promises of ECDSA: Ecdsa-Sig-Value (RFC 3279, section 2.2.3) round the
// token's r || s.
func (s *signer) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	if options.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, errDigest
	}
	s.token.turn.Lock()
	defer s.token.turn.Unlock()
	if err := s.token.module.SignInit(s.token.session, mechanism(pkcs11.CKM_ECDSA), s.handle); err != nil {
		return nil, unavailable(err)
	}
	signature, err := s.token.module.Sign(s.token.session, digest)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(signature) != 64 {
		return nil, unavailable(errSignature)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
}

// agreementKey is a keys.AgreementKey in the token.
type agreementKey struct {
	token  *Token
	handle pkcs11.ObjectHandle
}

// PRF takes x out of the token, for one message, and does the rest here: the cards of persons have CKD_NULL alone.
func (k *agreementKey) PRF(peer *ecdh.PublicKey, sharedInfo, message []byte) ([]byte, error) {
	x, err := k.ECDH(peer)
	if err != nil {
		return nil, err
	}
	return curve.PRFOf(x, sharedInfo, message), nil
}

// ECDH derives x(d Q) as an object of the session, reads it and destroys it, whatever happens. The point is one of P-256 by its
// type.
func (k *agreementKey) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	t := k.token
	parameters := pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, peer.Bytes())
	by := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, parameters)}
	t.turn.Lock()
	defer t.turn.Unlock()
	derived, err := t.module.DeriveKey(t.session, by, k.handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, curve.PointSize),
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
	if len(told[0].Value) != curve.PointSize { // some leave out leading zeros, and another secret would come of that
		return nil, unavailable(errSecret)
	}
	return told[0].Value, nil
}
