package curve

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"medunion.example/clients/go/refusal"
)

// SeedSize is how many uniform bytes a scalar is made of.
const SeedSize = 48

// Entropy gives so many fresh, uniform bytes. It is a parameter of every step that needs it.
type Entropy func(size int) []byte

// SystemEntropy draws from the operating system.
func SystemEntropy(size int) []byte {
	drawn := make([]byte, size)
	rand.Read(drawn) // never fails: crypto/rand ends the program if it would
	return drawn
}

// Offer picks an r and gives x(r R), 32 bytes, for the receiver's R_X1, and agree(r, U, label, x(r R)) with the receiver's U_X,
// which only S_X leads to beside r (eq. 11, 16, 33, 38). r serves one base, once, and never B, and no e is it (docs/protocol.md,
// P1): so it lives in this call and nowhere else. It draws 48 bytes. Refuses with INVALID_POINT.
func Offer(entropy Entropy, registrationPoint []byte, publicPoint *ecdh.PublicKey, label string) (point, shared []byte, err error) {
	base, err := PointOver(registrationPoint)
	if err != nil {
		return nil, nil, err
	}
	r, err := ScalarFromSeed(entropy(SeedSize))
	if err != nil {
		return nil, nil, err
	}
	if point, err = r.ECDH(base); err != nil {
		return nil, nil, refusal.Because(err, refusal.InvalidPoint, "no agreement with R_X1")
	}
	shared, err = Agree(SoftwareKey{r}, publicPoint, label, point)
	return point, shared, err
}

// Ephemeral is an e: one of e5 to e8, on which alone forward secrecy rests.
type Ephemeral struct {
	key *ecdh.PrivateKey
	// Point is x(e B), 32 bytes.
	Point []byte
}

// NewEphemeral picks an e. It draws 48 bytes.
func NewEphemeral(entropy Entropy) (*Ephemeral, error) {
	key, err := ScalarFromSeed(entropy(SeedSize))
	if err != nil {
		return nil, err
	}
	return &Ephemeral{key, X(key.PublicKey())}, nil
}

// Shared gives Z = x(e e' B), 32 bytes, of the peer's x(e' B). Refuses with INVALID_POINT.
func (e *Ephemeral) Shared(point []byte) ([]byte, error) {
	peer, err := PointOver(point)
	if err != nil {
		return nil, err
	}
	z, err := e.key.ECDH(peer)
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "no agreement with this point")
	}
	return z, nil
}

// Forget lets go of e.
func (e *Ephemeral) Forget() { e.key = nil }

// ScalarFromSeed gives 1 + (48 uniform bytes, big-endian, mod n - 1), and wipes them (FIPS 186-5, appendix A.4.1).
func ScalarFromSeed(seed []byte) (*ecdh.PrivateKey, error) {
	defer clear(seed)
	if len(seed) != SeedSize {
		return nil, refusal.New(refusal.Internal, "a scalar comes from %d bytes", SeedSize)
	}
	reduced := reduce(seed)
	value, carry := make([]byte, PointSize), uint64(1)
	defer clear(value)
	for i, limb := range reduced {
		limb, carry = bits.Add64(limb, 0, carry)
		binary.BigEndian.PutUint64(value[PointSize-8*(i+1):], limb)
	}
	key, err := ecdh.P256().NewPrivateKey(value)
	if err != nil {
		return nil, refusal.Because(err, refusal.Internal, "a scalar is between 1 and n - 1")
	}
	return key, nil
}

// limbs is a number of 256 bits, the lowest 64 first.
type limbs [4]uint64

// beforeOrder is n - 1.
var beforeOrder = func() (value limbs) {
	for i := range value {
		value[i] = binary.BigEndian.Uint64(order[PointSize-8*(i+1):])
	}
	value[0]-- // n is odd
	return value
}()

// reduce gives a number mod n - 1, in constant time, which math/big is not: bit by bit from the top, subtracting n - 1 where it
// fits.
func reduce(number []byte) (remainder limbs) {
	for _, eight := range number {
		for shift := 7; shift >= 0; shift-- {
			carry := uint64(eight>>shift) & 1
			for i, limb := range remainder {
				remainder[i], carry = limb<<1|carry, limb>>63
			}
			var less limbs
			var borrow uint64
			for i, limb := range remainder {
				less[i], borrow = bits.Sub64(limb, beforeOrder[i], borrow)
			}
			fits := -(carry | (borrow ^ 1)) // all ones or zeros
			for i := range remainder {
				remainder[i] = less[i]&fits | remainder[i]&^fits
			}
		}
	}
	return remainder
}
