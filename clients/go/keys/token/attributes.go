//go:build cgo

package token

import (
	"bytes"
	"slices"

	"github.com/miekg/pkcs11"
)

var (
	p256OID       = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7} // RFC 5480, section 2.1.1.1
	octetString65 = []byte{4, 65}
)

// pointOf reads CKA_EC_POINT, which is DER round the 65 bytes at some tokens and raw at others.
func pointOf(attribute []byte) []byte {
	if len(attribute) == 67 {
		return bytes.TrimPrefix(attribute, octetString65)
	}
	return attribute
}

// guarded gives the attributes of every private key, but for its names: it stays in the token and can't be read, changed or
// copied, and has one use.
func guarded(usage uint) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, usage == pkcs11.CKA_SIGN),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, usage == pkcs11.CKA_DERIVE),
	}
}

// public gives the attributes of a public half: kept beside a key that signs; of one that agrees only told when it is made, and
// gone with the session.
func public(usage uint) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256OID),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, usage == pkcs11.CKA_SIGN),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, usage == pkcs11.CKA_SIGN),
	}
}

func named(label string, id []byte, attributes []*pkcs11.Attribute) []*pkcs11.Attribute {
	names := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
	return slices.Concat(names, attributes)
}
