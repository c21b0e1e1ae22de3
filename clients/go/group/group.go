// Package group is edwards25519 as the protocol uses it: base point B, prime order L, points compressed to 32 bytes
// (RFC 8032, section 5.1.2), scalars 32 bytes little-endian and below L. The arithmetic on secrets is filippo.io/edwards25519's
// and crypto/ecdh's, in constant time.
package group

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"

	"filippo.io/edwards25519"

	"medunion.example/clients/go/refusal"
)

// PointSize is the size of a compressed point.
const PointSize = 32

var (
	neutral  = edwards25519.NewIdentityPoint()
	base     = edwards25519.NewGeneratorPoint()
	negated  = new(edwards25519.Point).Negate(base)
	minusOne = new(edwards25519.Scalar).Negate(scalarOne())
)

// BasePoint gives B.
func BasePoint() []byte { return base.Bytes() }

// RequireReceived refuses with INVALID_POINT what no honest peer sends: a point that is not canonical, not on the curve, not in
// the prime-order subgroup (B6), or O, B or -B, with which the full-point recovery divides by zero or can't tell the sign.
func RequireReceived(point []byte) error {
	_, err := received(point)
	return err
}

func received(encoded []byte) (*edwards25519.Point, error) {
	point, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	// (L-1) P = -P exactly where L P = O.
	multiple := new(edwards25519.Point).ScalarMult(minusOne, point)
	if multiple.Add(multiple, point).Equal(neutral) != 1 {
		return nil, refusal.New(refusal.InvalidPoint, "a point outside the prime-order subgroup")
	}
	if point.Equal(neutral)|point.Equal(base)|point.Equal(negated) == 1 {
		return nil, refusal.New(refusal.InvalidPoint, "one of the points O, B, -B")
	}
	return point, nil
}

// decode takes a point in its one canonical spelling; the library alone would take others too.
func decode(encoded []byte) (*edwards25519.Point, error) {
	point, err := new(edwards25519.Point).SetBytes(encoded)
	if err != nil || !bytes.Equal(point.Bytes(), encoded) {
		return nil, refusal.New(refusal.InvalidPoint, "not a canonical point of the curve")
	}
	return point, nil
}

// Scalar is a secret number mod L: one of the paper's r_5 to r_8.
type Scalar struct{ value *edwards25519.Scalar }

// NewScalar reduces 64 uniform bytes to a uniform scalar mod L, and wipes them.
func NewScalar(uniform []byte) (*Scalar, error) {
	value, err := new(edwards25519.Scalar).SetUniformBytes(uniform)
	clear(uniform)
	if err != nil {
		return nil, refusal.Because(err, refusal.Internal, "a scalar comes from 64 bytes")
	}
	return &Scalar{value}, nil
}

// TimesBase gives r B.
func (s *Scalar) TimesBase() []byte { return new(edwards25519.Point).ScalarBaseMult(s.value).Bytes() }

// Times gives r P for a point that may be received. Refuses with INVALID_POINT.
func (s *Scalar) Times(point []byte) ([]byte, error) {
	factor, err := received(point)
	if err != nil {
		return nil, err
	}
	product := new(edwards25519.Point).ScalarMult(s.value, factor)
	if product.Equal(neutral) == 1 {
		return nil, refusal.New(refusal.InvalidPoint, "the product is the neutral element")
	}
	return product.Bytes(), nil
}

// Wipe overwrites the scalar.
func (s *Scalar) Wipe() { s.value.Set(edwards25519.NewScalar()) }

// Add gives the sum of two points. Refuses with INVALID_POINT.
func Add(left, right []byte) ([]byte, error) {
	a, err := decode(left)
	if err != nil {
		return nil, err
	}
	b, err := decode(right)
	if err != nil {
		return nil, err
	}
	return a.Add(a, b).Bytes(), nil
}

// U gives the Montgomery u-coordinate, 32 bytes little-endian (RFC 7748, section 4.1). Refuses with INVALID_POINT.
func U(point []byte) ([]byte, error) {
	decoded, err := decode(point)
	if err != nil {
		return nil, err
	}
	return decoded.BytesMontgomery(), nil
}

// Challenge gives h = SHA-512(R || PK || message) mod L, 32 bytes, as Ed25519 computes it (RFC 8032, section 5.1.7).
func Challenge(registrationPoint, issuer, message []byte) []byte {
	return challenge(registrationPoint, issuer, message).Bytes()
}

func challenge(registrationPoint, issuer, message []byte) *edwards25519.Scalar {
	hash := sha512.New()
	hash.Write(registrationPoint)
	hash.Write(issuer)
	hash.Write(message)
	h, err := new(edwards25519.Scalar).SetUniformBytes(hash.Sum(nil))
	if err != nil {
		panic(err) // SHA-512 gives the 64 bytes that are asked for
	}
	return h
}

// PublicPoint gives U_X = R_X1 + h PK = S_X B, which anyone can compute (right side of eq. 4, 7, 10). Refuses with
// INVALID_POINT, O among them.
func PublicPoint(registrationPoint, issuer, message []byte) ([]byte, error) {
	point, err := received(registrationPoint)
	if err != nil {
		return nil, err
	}
	key, err := received(issuer)
	if err != nil {
		return nil, err
	}
	product := new(edwards25519.Point).ScalarMult(challenge(registrationPoint, issuer, message), key)
	if point.Add(point, product).Equal(neutral) == 1 {
		return nil, refusal.New(refusal.InvalidPoint, "U_X is the neutral element")
	}
	return point.Bytes(), nil
}

func scalarOne() *edwards25519.Scalar {
	one, err := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err) // 1 is below L
	}
	return one
}

// Entropy gives so many fresh, uniform bytes. It is a parameter of every step that needs it.
type Entropy func(size int) []byte

// SystemEntropy draws from the operating system.
func SystemEntropy(size int) []byte {
	drawn := make([]byte, size)
	rand.Read(drawn) // never fails: crypto/rand ends the program if it would
	return drawn
}
