package protocol

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"unicode/utf8"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

const (
	mostNoteBytes  = 16384
	mostSignatures = 64
	noteKeyIDSize  = 4
)

var noteLine = regexp.MustCompile(`^\x{2014} ([!-*,-~]+) ([A-Za-z0-9+/]+={0,2})\n$`)

// noteSignature is one line under a note (C2SP signed-note): the key's name, the four bytes that say which key, and what it
// signed with.
type noteSignature struct {
	name             string
	keyID, signature []byte
}

// note is one that was taken apart. Its text is nobody's until a signature under it holds.
type note struct {
	text       []byte
	signatures []noteSignature
}

// readNote takes a note apart. Refuses with NOTE_MALFORMED (lh.1).
func readNote(data []byte) (note, error) {
	if err := requirePrintable(data); err != nil {
		return note{}, err
	}
	gap := bytes.LastIndex(data, []byte("\n\n"))
	if gap < 1 || !bytes.HasSuffix(data, []byte("\n")) || gap+2 == len(data) {
		return note{}, noteRefused("a note is a text, an empty line, and signatures")
	}
	lines := bytes.SplitAfter(data[gap+2:], []byte("\n"))
	lines = lines[:len(lines)-1]
	if len(lines) > mostSignatures {
		return note{}, noteRefused("a note has not as many signatures as that")
	}
	found := note{text: data[:gap+1]}
	for _, line := range lines {
		signature, err := readSignature(line)
		if err != nil {
			return note{}, err
		}
		found.signatures = append(found.signatures, signature)
	}
	return found, nil
}

// readNoteLine reads one line of a signature, with its newline. Refuses with NOTE_MALFORMED.
func readNoteLine(data []byte) (noteSignature, error) {
	if err := requirePrintable(data); err != nil {
		return noteSignature{}, err
	}
	return readSignature(data)
}

// requireSigned requires a signature under the note by this key under this name; others' are left alone. Refuses with
// SIGNATURE_INVALID (lh.2).
func (n note) requireSigned(name string, verifyingKey []byte) error {
	spki, err := spkiOf(verifyingKey)
	if err != nil {
		return err
	}
	keyID, signed := sha256.Sum256(spki), false
	for _, line := range n.signatures {
		if line.name != name || !bytes.Equal(line.keyID, keyID[:noteKeyIDSize]) {
			continue
		}
		if !keys.VerifyText(verifyingKey, n.text, line.signature) {
			return refusal.New(refusal.SignatureInvalid, "a signature of a note does not hold")
		}
		signed = true
	}
	if !signed {
		return refusal.New(refusal.SignatureInvalid, "the note is not signed by this key")
	}
	return nil
}

func readSignature(line []byte) (noteSignature, error) {
	found := noteLine.FindSubmatch(line)
	if found == nil {
		return noteSignature{}, noteRefused("a line under a note is a dash, a name and a signature")
	}
	signature, err := readBase64(found[2])
	if err != nil {
		return noteSignature{}, err
	}
	if len(signature) <= noteKeyIDSize {
		return noteSignature{}, noteRefused("a signature of a note is longer than its key id")
	}
	return noteSignature{string(found[1]), signature[:noteKeyIDSize], signature[noteKeyIDSize:]}, nil
}

// readBase64 reads base64 in its one form (RFC 4648, section 4); the caller has seen that it has no newline.
func readBase64(encoded []byte) ([]byte, error) {
	decoded, err := base64.StdEncoding.Strict().DecodeString(string(encoded))
	if err != nil {
		return nil, refusal.Because(err, refusal.NoteMalformed, "this is not base64 in its one form")
	}
	return decoded, nil
}

func requirePrintable(data []byte) error {
	if len(data) > mostNoteBytes {
		return noteRefused("a note is not as long as that")
	}
	if !utf8.Valid(data) {
		return noteRefused("a note is UTF-8")
	}
	if bytes.ContainsFunc(data, func(char rune) bool { return char < ' ' && char != '\n' }) {
		return noteRefused("a note has no control characters")
	}
	return nil
}

func spkiOf(verifyingKey []byte) ([]byte, error) {
	public, err := curve.VerifyingKey(verifyingKey)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}

func noteRefused(sentence string) error { return refusal.New(refusal.NoteMalformed, "%s", sentence) }
