package protocol

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"

	"medunion.example/clients/go/transcript"
)

// BiometricPassword gives B_P, 32 bytes: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, enrolment counter)). Both
// secrets have 32 bytes. It authenticates nobody by itself (docs/adr/0005-biometric.md).
func BiometricPassword(fuzzyKey, deviceSecret []byte, realm string, enrolment uint64) []byte {
	secret := append(bytes.Clone(fuzzyKey), deviceSecret...)
	defer clear(secret)
	info := transcript.T("bp-derive", transcript.Text(realm), transcript.U64(enrolment))
	password, err := hkdf.Key(sha256.New, secret, nil, string(info), 32)
	if err != nil {
		panic(err) // 32 bytes are never too long for HKDF-SHA256
	}
	return password
}
