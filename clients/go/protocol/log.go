package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const (
	cosignatureType = "\xffmedunion/v1 ECDSA-P256-SHA256 cosignature/v1"
	cosignedAtSize  = 8
	second          = 1000 // in milliseconds
)

var (
	headText  = regexp.MustCompile(`^([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n$`)
	logOrigin = regexp.MustCompile(`^([A-Za-z0-9._~%-]{1,192})/([PD]:[A-Za-z0-9._-]{1,64}|[HC]:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)/[1-9][0-9]{0,8}$`)
)

// LogOrigin says which log: the first line of its heads (docs/protocol.md, 8).
func LogOrigin(realm, authorID string, number uint64) string {
	var encoded strings.Builder
	for _, char := range []byte(realm) {
		if 'A' <= char && char <= 'Z' || 'a' <= char && char <= 'z' || '0' <= char && char <= '9' || strings.IndexByte("._~-", char) >= 0 {
			encoded.WriteByte(char)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", char)
		}
	}
	return fmt.Sprintf("%s/%s/%d", encoded.String(), authorID, number)
}

// LogHead is how many leaves a log has, and the root over them.
type LogHead struct {
	Origin string
	TreeHead
}

// OpenLogHead verifies the note of a head, then reads it. Refuses with NOTE_MALFORMED, SIGNATURE_INVALID, IDENTITY_MISMATCH.
func OpenLogHead(data []byte, origin string, verifyingKey []byte) (LogHead, error) {
	parts, err := readNote(data) // lh.1
	if err != nil {
		return LogHead{}, err
	}
	if err := parts.requireSigned(origin, verifyingKey); err != nil { // lh.2
		return LogHead{}, err
	}
	head, err := readHead(parts.text)
	if err != nil {
		return LogHead{}, err
	}
	if head.Origin != origin {
		return LogHead{}, refusal.New(refusal.IdentityMismatch, "this is the head of another log") // lh.5
	}
	return head, nil
}

// Witness is a member whose cosignatures count: its id, and PUK_W.
type Witness struct {
	ID           string
	VerifyingKey []byte
}

// Cosignature says which witness has cosigned a head, and when.
type Cosignature struct {
	WitnessID string
	At        Instant
}

// RequireCosigned requires that so many of these witnesses, the log's author not among them and none counted twice, have cosigned a head that
// OpenLogHead took. Lines of others are left alone. Refuses with NOTE_MALFORMED, SIGNATURE_INVALID, HEAD_NOT_COSIGNED.
func RequireCosigned(head []byte, lines [][]byte, witnesses []Witness, quorum int) (found []Cosignature, err error) {
	parts, err := readNote(head)
	if err != nil {
		return nil, err
	}
	read, err := readHead(parts.text)
	if err != nil {
		return nil, err
	}
	origin := logOrigin.FindStringSubmatch(read.Origin)
	if origin == nil {
		return nil, noteRefused("an origin is a realm, the id of a member and a number")
	}
	signatures := make([]noteSignature, len(lines))
	for i, line := range lines {
		if signatures[i], err = readNoteLine(line); err != nil {
			return nil, err // cosig.1
		}
	}
	for _, witness := range witnesses {
		cosignature, err := witness.cosigned(origin[1], parts.text, signatures)
		if err != nil {
			return nil, err
		}
		isCounted := func(it Cosignature) bool { return it.WitnessID == witness.ID }
		if cosignature != nil && witness.ID != origin[2] && !slices.ContainsFunc(found, isCounted) {
			found = append(found, *cosignature)
		}
	}
	if quorum < 1 || len(found) < quorum {
		return nil, refusal.New(refusal.HeadNotCosigned, "%d witnesses have cosigned this head, and %d are asked for", len(found), quorum) // cosig.4
	}
	return found, nil
}

// cosigned gives a witness's word, or nil where it gave none.
func (w Witness) cosigned(realm string, text []byte, lines []noteSignature) (found *Cosignature, err error) {
	spki, err := spkiOf(w.VerifyingKey)
	if err != nil {
		return nil, err
	}
	name := realm + "/" + w.ID
	keyID := sha256.Sum256(append([]byte(name+"\n"+cosignatureType), spki...))
	for _, line := range lines {
		if line.name != name || !bytes.Equal(line.keyID, keyID[:noteKeyIDSize]) {
			continue
		}
		if len(line.signature) < cosignedAtSize || line.signature[0]&0x80 != 0 {
			return nil, noteRefused("a cosignature begins with a time") // cosig.2
		}
		at := binary.BigEndian.Uint64(line.signature)
		covered := append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
		if !keys.VerifyText(w.VerifyingKey, covered, line.signature[cosignedAtSize:]) {
			return nil, refusal.New(refusal.SignatureInvalid, "a cosignature does not hold") // cosig.3
		}
		found = &Cosignature{w.ID, at * second}
	}
	return found, nil
}

// KeptHead is the newest head of a log that was taken here, and its note, which is what proves a fork.
type KeptHead struct {
	Head LogHead
	Note []byte
}

// ShownHead is a head as its log shows it to who keeps one: the note, from which size the proof begins, and the proof.
type ShownHead struct {
	Note    []byte
	OldSize uint64
	Proof   [][]byte
}

// Follow gives what is kept of a log from now on, where it shows a head to readerID; kept is nil where none is. Refuses with
// HEAD_OLDER, HEAD_CONFLICT (both notes are the proof of a fork), HEAD_BASE_MISMATCH, LOG_PROOF_INVALID, and as OpenLogHead.
func Follow(kept *KeptHead, shown ShownHead, origin string, verifyingKey []byte, readerID string) (*KeptHead, error) {
	parts := logOrigin.FindStringSubmatch(origin)
	if parts == nil {
		return nil, noteRefused("an origin is a realm, the id of a member and a number")
	}
	if parts[2] == readerID {
		return nil, refusal.New(refusal.WitnessIneligible, "nobody is a witness of its own log") // wit.1
	}
	head, err := OpenLogHead(shown.Note, origin, verifyingKey) // wit.2
	if err != nil {
		return nil, err
	}
	before := TreeHead{0, emptyRoot[:]}
	if kept != nil {
		before = kept.Head.TreeHead
	}
	switch {
	case head.Size < before.Size:
		return nil, refusal.New(refusal.HeadOlder, "a head of %d leaves was shown, and one of %d is kept", head.Size, before.Size) // wit.3
	case head.Size == before.Size && !bytes.Equal(head.Root, before.Root):
		return nil, refusal.New(refusal.HeadConflict, "two heads of %d leaves", head.Size) // wit.4
	case shown.OldSize != before.Size:
		return nil, refusal.New(refusal.HeadBaseMismatch, "the proof has to begin at %d", before.Size) // wit.5
	}
	if err := RequireConsistent(before, head.TreeHead, shown.Proof); err != nil { // wit.6
		return nil, err
	}
	return &KeptHead{head, shown.Note}, nil
}

// AccessLeaf gives the data of the leaf of an access, from what its patient is told of it, and where it was written.
func AccessLeaf(entry *pb.AccessEntry, patientID, where string, blind []byte) []byte {
	return transcript.T("log-access", transcript.Text(where), transcript.U64(entry.GetAt()), transcript.Text(entry.GetAskerId()),
		transcript.Text(patientID), transcript.Text(accessKindNames[entry.GetKind()]), transcript.Text(entry.GetDepartmentClass()),
		transcript.Text(accessGroundNames[entry.GetGround()]), entry.GetAuthorization(), transcript.Text(entry.GetReason()),
		entry.GetGrantDigest(), blind)
}

// RequireLeaf refuses with LEAF_MISMATCH unless a leaf, its hash, is of this data (leaf.1).
func RequireLeaf(data, leaf []byte) error {
	if !bytes.Equal(LeafHash(data), leaf) {
		return refusal.New(refusal.LeafMismatch, "the entry says something else than its leaf")
	}
	return nil
}

func readHead(text []byte) (LogHead, error) {
	found := headText.FindSubmatch(text)
	if found == nil {
		return LogHead{}, noteRefused("a log head is an origin, a size and a root") // lh.3
	}
	root, err := base64.StdEncoding.Strict().DecodeString(string(found[3]))
	if err != nil {
		return LogHead{}, refusal.Because(err, refusal.NoteMalformed, "a root is base64 in its one form")
	}
	size, err := strconv.ParseInt(string(found[2]), 10, 64)
	if err != nil || size == 0 && !bytes.Equal(root, emptyRoot[:]) {
		return LogHead{}, noteRefused("a log has no such size and root") // lh.4
	}
	return LogHead{string(found[1]), TreeHead{uint64(size), root}}, nil
}
