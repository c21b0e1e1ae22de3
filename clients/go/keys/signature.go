package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	signatureSize = 64
	numberSize    = 32 // of r and of s
)

var (
	order     = elliptic.P256().Params().N
	halfOrder = new(big.Int).Rsh(order, 1)
)

// dsaSignature is Ecdsa-Sig-Value (RFC 3279, section 2.2.3): what crypto.Signer gives and X.509 has.
type dsaSignature struct{ R, S *big.Int }

// VerifyingKey gives PUK_X, 33 bytes, of a key on P-256.
func VerifyingKey(signer crypto.Signer) ([]byte, error) {
	public, isECDSA := signer.Public().(*ecdsa.PublicKey)
	if !isECDSA {
		return nil, refusal.New(refusal.KeyInvalid, "PRK_X is no ECDSA key")
	}
	return curve.EncodeVerifyingKey(public)
}

// Sign gives S_PRK_X(m): r || s, 64 bytes, with s at most n/2, over T("sig", PUK_X, m), for ECDSA does not bind its key. It
// verifies before the signature is released: a faulty one can give the key away.
func Sign(signer crypto.Signer, message []byte) ([]byte, error) {
	verifyingKey, err := VerifyingKey(signer)
	if err != nil {
		return nil, err
	}
	encoded, err := signer.Sign(rand.Reader, digestOf(verifyingKey, message), crypto.SHA256)
	if err != nil {
		return nil, refusal.Because(err, refusal.TokenUnavailable, "the key did not sign")
	}
	var made dsaSignature
	if rest, err := asn1.Unmarshal(encoded, &made); err != nil || len(rest) > 0 || made.R.BitLen() > 256 || made.S.BitLen() > 256 {
		return nil, refusal.New(refusal.TokenUnavailable, "the key gave no signature")
	}
	if made.S.Cmp(halfOrder) > 0 {
		made.S.Sub(order, made.S)
	}
	signature := append(made.R.FillBytes(make([]byte, numberSize)), made.S.FillBytes(make([]byte, numberSize))...)
	if !Verify(verifyingKey, message, signature) {
		return nil, refusal.New(refusal.TokenUnavailable, "the key gave a wrong signature: withheld")
	}
	return signature, nil
}

// Verify says whether a signature is S_PRK_X(m) of that PUK_X, and the one of the two that Sign gives.
func Verify(verifyingKey, message, signature []byte) bool {
	public, err := curve.VerifyingKey(verifyingKey)
	if err != nil || len(signature) != signatureSize {
		return false
	}
	claimed := dsaSignature{new(big.Int).SetBytes(signature[:numberSize]), new(big.Int).SetBytes(signature[numberSize:])}
	if claimed.S.Cmp(halfOrder) > 0 {
		return false
	}
	encoded, err := asn1.Marshal(claimed)
	return err == nil && ecdsa.VerifyASN1(public, digestOf(verifyingKey, message), encoded)
}

// VerifyText says whether a signature of a note is this key's (C2SP signed-note, type 0x02): DER in its one form, over the text
// itself, with s at most n/2.
func VerifyText(verifyingKey, text, signature []byte) bool {
	public, err := curve.VerifyingKey(verifyingKey)
	if err != nil {
		return false
	}
	var claimed dsaSignature
	if rest, err := asn1.Unmarshal(signature, &claimed); err != nil || len(rest) > 0 || claimed.S.Cmp(halfOrder) > 0 {
		return false
	}
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(public, digest[:], signature)
}

func digestOf(verifyingKey, message []byte) []byte {
	digest := sha256.Sum256(transcript.T("sig", verifyingKey, message))
	return digest[:]
}
