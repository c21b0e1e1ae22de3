package protocol

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"

	"medunion.example/clients/go/group"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// directionKeys is key (32 bytes) and iv (12 bytes) of one direction of a session.
type directionKeys struct{ key, iv []byte }

// sessionKeys is SEK_1 or SEK_2: opener to answerer, answerer to opener, and kc (32 bytes).
type sessionKeys struct {
	forward, backward directionKeys
	confirmation      []byte
}

// agree gives K = S_own R_peer + r_own U_peer and Z = r_own R_peer, the two inputs of eq. 17 (and 22, 39, 44); the first product is
// the token's. Both sides get the same K: S_D R_P2 + r6 U_P = S_D r5 B + r6 S_P B. Refuses with INVALID_POINT.
func agree(own group.RegistrationSecret, peerEphemeral []byte, scalar *group.Scalar, peer *VerifiedParty) (k, z []byte, err error) {
	product, err := own.Agree(peerEphemeral)
	if err != nil {
		return nil, nil, err
	}
	defer clear(product)
	other, err := scalar.Times(peer.PublicPoint)
	if err != nil {
		return nil, nil, err
	}
	defer clear(other)
	if k, err = group.Add(product, other); err != nil {
		return nil, nil, err
	}
	z, err = scalar.Times(peerEphemeral)
	return k, z, err
}

// deriveKeys derives a session's keys and wipes K and Z. PRK = HKDF-Extract-SHA256(salt = TH, ikm = F(K) || F(Z) || F(kappa_1) ||
// F(kappa_2)); each key = HKDF-Expand(PRK, T("key", name, TH)). roles is the opener's letter and the answerer's: "PD", "DH".
func deriveKeys(k, z, first, second, transcriptHash []byte, roles string) (sessionKeys, error) {
	var material []byte
	for _, part := range [][]byte{k, z, first, second} {
		material = append(material, transcript.Frame(part)...)
	}
	defer func() { clear(material); clear(k); clear(z) }()
	extracted, err := hkdf.Extract(sha256.New, material, transcriptHash)
	if err != nil {
		return sessionKeys{}, err
	}
	defer clear(extracted)
	expand := func(name string, size int) []byte {
		key, expanding := hkdf.Expand(sha256.New, extracted, string(transcript.T("key", transcript.Text(name), transcriptHash)), size)
		if expanding != nil {
			err = expanding
		}
		return key
	}
	opener, answerer := roles[:1], roles[1:]
	forward, backward := opener+">"+answerer, answerer+">"+opener
	derived := sessionKeys{
		forward:      directionKeys{expand("k_"+forward, 32), expand("iv_"+forward, 12)},
		backward:     directionKeys{expand("k_"+backward, 32), expand("iv_"+backward, 12)},
		confirmation: expand("kc_"+answerer, 32),
	}
	return derived, err
}

// wipe overwrites the keys, once the session is over.
func (k sessionKeys) wipe() {
	for _, secret := range [][]byte{k.forward.key, k.forward.iv, k.backward.key, k.backward.iv, k.confirmation} {
		clear(secret)
	}
}

// requireConfirmation compares kc in constant time (eq. 22, 44).
func (k sessionKeys) requireConfirmation(received []byte) error {
	if subtle.ConstantTimeCompare(k.confirmation, received) != 1 {
		return refusal.New(refusal.KeyConfirmationFailed, "the peer does not hold the session key")
	}
	return nil
}
