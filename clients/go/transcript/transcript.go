// Package transcript is the encoding T (docs/protocol.md, section 1): the one form in which anything is signed, hashed,
// or bound to a seal. It is only ever produced; nothing parses it.
package transcript

import (
	"crypto/sha256"
	"encoding/binary"
)

const prefix = "medunion/v1\x00"

// T gives T(label, fields): "medunion/v1" || 0x00 || F(label) || F(f1) || ... || F(fn). The number of fields is fixed
// for each label.
func T(label string, fields ...[]byte) []byte {
	encoded := append([]byte(prefix), Frame([]byte(label))...)
	return appendFrames(encoded, fields)
}

// Frame gives F(x) = u32be(len x) || x, so that no two lists of fields meet in one string.
func Frame(field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(field))), field...)
}

// U64 gives an integer, or a time in milliseconds, as 8 bytes, big-endian.
func U64(value uint64) []byte { return binary.BigEndian.AppendUint64(nil, value) }

// Text gives text that the field rules hold to ASCII.
func Text(value string) []byte { return []byte(value) }

// List gives a list as one field: u32be(n) || F(e1) || ... || F(en).
func List(elements ...[]byte) []byte {
	return appendFrames(binary.BigEndian.AppendUint32(nil, uint32(len(elements))), elements)
}

// Digest gives H(x) = SHA-256(x), 32 bytes.
func Digest(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// StatementDigest gives H of a statement, 32 bytes: SHA-256(T(name, its exact bytes)), without its signature.
func StatementDigest(label string, statement []byte) []byte { return Digest(T(label, statement)) }

func appendFrames(to []byte, fields [][]byte) []byte {
	for _, field := range fields {
		to = binary.BigEndian.AppendUint32(to, uint32(len(field)))
		to = append(to, field...)
	}
	return to
}
