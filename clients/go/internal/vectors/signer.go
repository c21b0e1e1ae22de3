package vectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"io"
	"testing"
)

// deterministic signs as RFC 6979 says, as the vectors' keys do, whatever randomness it is given.
type deterministic struct{ *ecdsa.PrivateKey }

func (d deterministic) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, options)
}

// Signer gives a signing key of the vectors: a scalar, 32 bytes big-endian.
func Signer(t *testing.T, scalar []byte) crypto.Signer {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	return deterministic{key}
}
