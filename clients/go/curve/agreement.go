package curve

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"

	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const sharedInfo = "medunion/v1"

// Agreeing is a secret scalar d, in a file or in a token, by the one thing that is done with it.
type Agreeing interface {
	// PRF gives HMAC-SHA256(X9.63-KDF-SHA256(x(d Q), 32 bytes, sharedInfo), message), 32 bytes, for a Q that was checked. Refuses
	// with TOKEN_UNAVAILABLE, which says nothing of Q.
	PRF(peer *ecdh.PublicKey, sharedInfo, message []byte) ([]byte, error)
}

// Agree gives agree(d, Q, label, fields), 32 bytes (docs/protocol.md, section 1).
func Agree(key Agreeing, peer *ecdh.PublicKey, label string, fields ...[]byte) ([]byte, error) {
	return key.PRF(peer, []byte(sharedInfo), transcript.T(label, fields...))
}

// PRFOf is what is left of a PRF once x(d Q) is known, which it wipes.
func PRFOf(x, sharedInfo, message []byte) []byte {
	key := deriveKey(x, sharedInfo)
	defer clear(key)
	clear(x)
	return tag(key, message)
}

// deriveKey is the first block of X9.63's KDF (SEC 1, section 3.6.1), all of it for 32 bytes.
func deriveKey(x, sharedInfo []byte) []byte {
	hash := sha256.New()
	hash.Write(x)
	hash.Write([]byte{0, 0, 0, 1})
	hash.Write(sharedInfo)
	return hash.Sum(nil)
}

func tag(key, message []byte) []byte {
	code := hmac.New(sha256.New, key)
	code.Write(message)
	return code.Sum(nil)
}

// SoftwareKey is a scalar in memory.
type SoftwareKey struct{ *ecdh.PrivateKey }

// PRF is of Agreeing.
func (k SoftwareKey) PRF(peer *ecdh.PublicKey, sharedInfo, message []byte) ([]byte, error) {
	x, err := k.ECDH(peer)
	if err != nil {
		return nil, refusal.Because(err, refusal.InvalidPoint, "no agreement with this point")
	}
	return PRFOf(x, sharedInfo, message), nil
}

// RegistrationSecret is S_X, a key in a file or a token that never gives it out, and what is public of it: R_X1, 32 bytes, and
// U_X, which has the x of S_X R. S_X B is asked for nowhere and stands nowhere.
type RegistrationSecret struct {
	Key               Agreeing
	RegistrationPoint []byte
	PublicPoint       *ecdh.PublicKey
}

// Agree gives agree(S_X, Q, label, fields), for a received point. Refuses with INVALID_POINT, TOKEN_UNAVAILABLE.
func (s RegistrationSecret) Agree(point []byte, label string, fields ...[]byte) ([]byte, error) {
	peer, err := PointOver(point)
	if err != nil {
		return nil, err
	}
	return Agree(s.Key, peer, label, fields...)
}

// SharedKey gives K_X, 32 bytes, that only the holder of S_X and the issuer can derive: agree(S_X, Q(T("shared", ID_X, serial)),
// "shared", ID_X, serial). Q stands where PK might: a token that shows S_X B would give x(S_X PK) to a thief of s.
func (s RegistrationSecret) SharedKey(identity string, serial []byte) ([]byte, error) {
	point := HashToCurve(transcript.T("shared", transcript.Text(identity), serial))
	return Agree(s.Key, point, "shared", transcript.Text(identity), serial)
}

// RequireConsistent is the test that follows an import: S_X R has the x of U_X. Refuses with CREDENTIAL_MISMATCH.
func (s RegistrationSecret) RequireConsistent() error {
	const label = "consistent"
	product, err := s.Agree(s.RegistrationPoint, label)
	if err != nil {
		return err
	}
	expected := PRFOf(X(s.PublicPoint), []byte(sharedInfo), transcript.T(label))
	if subtle.ConstantTimeCompare(product, expected) != 1 {
		return refusal.New(refusal.SecretMismatch, "the key is not the registration secret of this credential")
	}
	return nil
}
