//go:build cgo

package token

import (
	"bytes"
	"strings"

	"github.com/miekg/pkcs11"
)

// PKCS#11 3.0, section 6.3; the library's tables end before.
const (
	ckkEdwards           = 0x40
	ckkMontgomery        = 0x41
	ckmEdwardsKeyPair    = 0x1055
	ckmMontgomeryKeyPair = 0x1056
	ckmEdDSA             = 0x1057
)

var (
	ed25519OID    = []byte{6, 3, 0x2b, 0x65, 0x70}
	x25519OID     = []byte{6, 3, 0x2b, 0x65, 0x6e}
	octetString32 = []byte{4, 32}
)

// quirks is what a vendor calls X25519 keys: CKK_EC_MONTGOMERY by the standard, CKK_EC_EDWARDS at SoftHSM 2 (docs/tokens.md).
type quirks struct{ x25519Type, x25519Generation uint }

func quirksOf(info pkcs11.TokenInfo) quirks {
	if strings.Contains(info.ManufacturerID, "SoftHSM") {
		return quirks{ckkEdwards, ckmEdwardsKeyPair}
	}
	return quirks{ckkMontgomery, ckmMontgomeryKeyPair}
}

// pointOf reads CKA_EC_POINT, which is DER round the 32 bytes at some tokens and raw at others.
func pointOf(attribute []byte) []byte {
	if len(attribute) == 34 {
		return bytes.TrimPrefix(attribute, octetString32)
	}
	return attribute
}

// The attributes of every private or secret key, but for its names, its kind and its usages: it stays in the token and can't be read,
// changed or copied.
func guarded(usages ...uint) []*pkcs11.Attribute {
	attributes := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false),
	}
	for _, usage := range usages {
		attributes = append(attributes, pkcs11.NewAttribute(usage, true))
	}
	return attributes
}

func public(usages ...uint) []*pkcs11.Attribute {
	attributes := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false)}
	for _, usage := range usages {
		attributes = append(attributes, pkcs11.NewAttribute(usage, true))
	}
	return attributes
}

func named(label string, id []byte) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
}
