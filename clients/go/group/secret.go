package group

import (
	"crypto/ecdh"
	"crypto/subtle"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"

	"medunion.example/clients/go/refusal"
)

// eightTimesOrder is 8 L, little-endian.
var eightTimesOrder = func() []byte {
	product := make([]byte, 32)
	timesEight(product, minusOne.Bytes())
	carry := uint16(8)
	for i := range product {
		carry += uint16(product[i])
		product[i], carry = byte(carry), carry>>8
	}
	return product
}()

var inverseOfEight = func() *edwards25519.Scalar {
	eight, err := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{8}, make([]byte, 31)...))
	if err != nil {
		panic(err) // 8 is below L
	}
	return eight.Invert(eight)
}()

// TokenForm gives k with k = +-S_X (mod L), k = 0 (mod 8) and 2^254 <= k < 2^255, 32 bytes little-endian: the form that an X25519
// private key keeps under clamping. The sign does not matter, for the recovered point is compared with U_X. Refuses with
// SCALAR_WITHOUT_TOKEN_FORM the about 2^-127 of all S_X that have no such form. The caller wipes both.
func TokenForm(secret []byte) ([]byte, error) {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(secret)
	if err != nil {
		return nil, refusal.New(refusal.CredentialInvalid, "S_X is not a scalar below L")
	}
	defer s.Set(edwards25519.NewScalar())
	eighth := s.Multiply(s, inverseOfEight).Bytes()
	defer clear(eighth)
	form, other := make([]byte, 32), make([]byte, 32)
	defer clear(other)
	timesEight(form, eighth)
	subtract(other, eightTimesOrder, form)
	subtle.ConstantTimeCopy(1-hasTopBits(form), form, other)
	if hasTopBits(form) != 1 {
		clear(form)
		return nil, refusal.New(refusal.ScalarWithoutForm, "this S_X has no form that an X25519 key can hold")
	}
	return form, nil
}

// hasTopBits says whether 2^254 <= k < 2^255.
func hasTopBits(k []byte) int { return subtle.ConstantTimeByteEq(k[31]>>6, 1) }

func timesEight(to, from []byte) {
	carry := byte(0)
	for i, value := range from {
		to[i] = value<<3 | carry
		carry = value >> 5
	}
}

func subtract(to, left, right []byte) {
	borrow := int16(0)
	for i := range to {
		difference := int16(left[i]) - int16(right[i]) - borrow
		borrow = difference >> 15 & 1
		to[i] = byte(difference)
	}
}

// RegistrationSecret is S_X: an X25519 key in a file or a token that never gives it out, and the public U_X = S_X B.
type RegistrationSecret struct {
	// Key multiplies u-coordinates by the token form of S_X.
	Key ecdh.KeyExchanger
	// PublicPoint is U_X, 32 bytes.
	PublicPoint []byte
}

// Agree gives the full point S_X R for a received R (eq. 17, 22, 39, 44). A token gives u-coordinates alone, so the point is
// recovered: u1 = u(S_X R), u2 = u(S_X (R + B)), and of the two points over u1 the right one is the T with u(T + U_X) = u2. Both
// are always built and compared in constant time. Refuses with INVALID_POINT.
func (s RegistrationSecret) Agree(point []byte) ([]byte, error) {
	if err := RequireReceived(point); err != nil {
		return nil, err
	}
	shifted, err := Add(point, BasePoint())
	if err != nil {
		return nil, err
	}
	first, err := s.TimesU(point)
	if err != nil {
		return nil, err
	}
	second, err := s.TimesU(shifted)
	if err != nil {
		return nil, err
	}
	return FullPoint(first, second, s.PublicPoint)
}

// TimesU gives u(S_X P), 32 bytes. Refuses with INVALID_POINT, and with TOKEN_UNAVAILABLE, which says nothing of the point.
func (s RegistrationSecret) TimesU(point []byte) ([]byte, error) {
	u, err := U(point)
	if err != nil {
		return nil, err
	}
	peer, err := ecdh.X25519().NewPublicKey(u)
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "no u-coordinate")
	}
	product, err := s.Key.ECDH(peer)
	if refusal.Is(err, refusal.TokenUnavailable) {
		return nil, err
	}
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "the key refused the point")
	}
	return product, nil
}

// RequireConsistent is the test that follows an import: u(k B) = u(U_X), and a probe r B multiplies to r U_X. Refuses with
// CREDENTIAL_MISMATCH.
func (s RegistrationSecret) RequireConsistent(probe *Scalar) error {
	product, err := s.TimesU(BasePoint())
	if err != nil {
		return err
	}
	expected, err := U(s.PublicPoint)
	if err != nil {
		return err
	}
	agreed, err := s.Agree(probe.TimesBase())
	if err != nil {
		return err
	}
	other, err := probe.Times(s.PublicPoint)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(product, expected)&subtle.ConstantTimeCompare(agreed, other) != 1 {
		return refusal.New(refusal.SecretMismatch, "the key is not the registration secret of this credential")
	}
	return nil
}

// FullPoint recovers S_X R from u1 = u(S_X R), u2 = u(S_X (R + B)) and U_X. Refuses with INVALID_POINT where neither point over u1
// fits, or both do.
func FullPoint(first, second, publicPoint []byte) ([]byte, error) {
	even, odd, err := pointsOver(first)
	if err != nil {
		return nil, err
	}
	evenFits, err := fits(even, second, publicPoint)
	if err != nil {
		return nil, err
	}
	oddFits, err := fits(odd, second, publicPoint)
	if err != nil {
		return nil, err
	}
	if evenFits == oddFits {
		return nil, refusal.New(refusal.InvalidPoint, "the key's answer is not a multiple of this point")
	}
	subtle.ConstantTimeCopy(oddFits, even, odd)
	return even, nil
}

func fits(candidate, second, publicPoint []byte) (int, error) {
	sum, err := Add(candidate, publicPoint)
	if err != nil {
		return 0, err
	}
	u, err := U(sum)
	return subtle.ConstantTimeCompare(u, second), err
}

// pointsOver gives both points with that u-coordinate: y = (u - 1) / (u + 1), and either sign of x (RFC 7748, section 4.1).
func pointsOver(encoded []byte) (even, odd []byte, err error) {
	u, err := new(field.Element).SetBytes(encoded)
	if err != nil {
		return nil, nil, refusal.Because(err, refusal.InvalidPoint, "a u-coordinate has 32 bytes")
	}
	one := new(field.Element).One()
	numerator, denominator := new(field.Element).Subtract(u, one), new(field.Element).Add(u, one)
	even = numerator.Multiply(numerator, denominator.Invert(denominator)).Bytes()
	odd = append([]byte(nil), even...)
	odd[31] |= 0x80
	return even, odd, nil
}
