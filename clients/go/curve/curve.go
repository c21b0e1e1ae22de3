// Package curve is P-256 as the protocol uses it (docs/protocol.md, section 1): base point B, prime order n, field prime p. A
// point of key agreement travels as its x-coordinate, 32 bytes big-endian, and stands for either point over it, since ECDH gives
// the same x for Q and -Q. The arithmetic on secrets is crypto/ecdh's, in constant time; points are added and hashed to of public
// values alone.
package curve

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"

	"filippo.io/nistec"
	"github.com/cloudflare/circl/group"

	"medunion.example/clients/go/refusal"
)

const (
	// PointSize is the size of a point of key agreement, its x-coordinate.
	PointSize = 32
	// VerifyingKeySize is the size of a verifying key, compressed (SEC 1, section 2.3.3).
	VerifyingKeySize = 33

	evenY = 2 // how a compressed point with an even y begins
	oddY  = 3

	hashingTag = "medunion/v1 P256_XMD:SHA-256_SSWU_RO_"
)

// order is n.
var order = func() []byte {
	value, err := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	if err != nil {
		panic(err) // it is hex
	}
	return value
}()

// RequirePoint refuses with INVALID_POINT, before a token is asked, what is not below p or has no point over it: the curve's
// twist has small factors, and not every token looks (B6).
func RequirePoint(x []byte) error {
	_, err := decompress(append([]byte{evenY}, x...))
	return err
}

// RequireRegistrationPoint refuses with INVALID_POINT what is no R_X1: a point, at least 1 and below n.
func RequireRegistrationPoint(rho []byte) error {
	if err := RequirePoint(rho); err != nil {
		return err
	}
	if bytes.Equal(rho, make([]byte, PointSize)) || bytes.Compare(rho, order) >= 0 {
		return refusal.New(refusal.InvalidPoint, "R_X1 is not between 1 and n - 1")
	}
	return nil
}

// RequireVerifyingKey refuses with INVALID_POINT what is no compressed point of the curve.
func RequireVerifyingKey(encoded []byte) error {
	_, err := decompress(encoded)
	return err
}

// VerifyingKey gives the key of 33 bytes. Refuses with INVALID_POINT.
func VerifyingKey(encoded []byte) (*ecdsa.PublicKey, error) {
	point, err := decompress(encoded)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point.Bytes())
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "not a key on P-256")
	}
	return key, nil
}

// EncodeVerifyingKey gives a key's 33 bytes. Refuses with KEY_INVALID one of another curve.
func EncodeVerifyingKey(key *ecdsa.PublicKey) ([]byte, error) {
	if key.Curve != elliptic.P256() {
		return nil, refusal.New(refusal.KeyInvalid, "not a key on P-256")
	}
	uncompressed, err := key.Bytes()
	if err != nil {
		return nil, refusal.Because(err, refusal.KeyInvalid, "not a key on P-256")
	}
	sign := evenY | uncompressed[2*PointSize]&1
	return append([]byte{sign}, uncompressed[1:1+PointSize]...), nil
}

// PointOver gives the point over an x-coordinate whose y is even. Refuses with INVALID_POINT.
func PointOver(x []byte) (*ecdh.PublicKey, error) {
	point, err := decompress(append([]byte{evenY}, x...))
	if err != nil {
		return nil, err
	}
	return public(point)
}

// X gives a point's x-coordinate, 32 bytes.
func X(point *ecdh.PublicKey) []byte { return point.Bytes()[1 : 1+PointSize] }

// PublicPoint gives U_X = z B + rho PK, which anyone can compute: z = SHA-256(covered) mod n, covered = T("cred", PK, M_X), rho
// is R_X1 as a number (right side of eq. 4, 7, 10). Refuses with INVALID_POINT, O among them.
func PublicPoint(registrationPoint, issuer, covered []byte) (*ecdh.PublicKey, error) {
	if err := RequireRegistrationPoint(registrationPoint); err != nil {
		return nil, err
	}
	key, err := decompress(issuer)
	if err != nil {
		return nil, err
	}
	z := sha256.Sum256(covered)
	sum, err := nistec.NewP256Point().ScalarBaseMult(z[:]) // it takes z mod n
	if err != nil {
		return nil, refusal.Because(err, refusal.Internal, "a scalar has 32 bytes")
	}
	product, err := nistec.NewP256Point().ScalarMult(key, registrationPoint)
	if err != nil {
		return nil, refusal.Because(err, refusal.Internal, "a scalar has 32 bytes")
	}
	return public(sum.Add(sum, product))
}

// HashToCurve gives Q(m) of a public message: hash_to_curve of RFC 9380, suite P256_XMD:SHA-256_SSWU_RO_, under the federation's
// tag.
func HashToCurve(message []byte) *ecdh.PublicKey { return hashToCurve(message, hashingTag) }

func hashToCurve(message []byte, tag string) *ecdh.PublicKey {
	encoded, err := group.P256.HashToElement(message, []byte(tag)).MarshalBinary()
	if err != nil {
		panic(err) // a point can be written
	}
	point, err := ecdh.P256().NewPublicKey(encoded)
	if err != nil {
		panic(err) // it is O once in 2^256
	}
	return point
}

// decompress reads a point that is not O (SEC 1, section 2.3.4): x below p, on the curve.
func decompress(encoded []byte) (*nistec.P256Point, error) {
	if len(encoded) != VerifyingKeySize || encoded[0] != evenY && encoded[0] != oddY {
		return nil, refusal.New(refusal.InvalidPoint, "not a compressed point of 33 bytes")
	}
	point, err := nistec.NewP256Point().SetBytes(encoded)
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "no point of P-256 has this x-coordinate")
	}
	return point, nil
}

func public(point *nistec.P256Point) (*ecdh.PublicKey, error) {
	key, err := ecdh.P256().NewPublicKey(point.Bytes())
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "the point is the neutral element")
	}
	return key, nil
}
