package protocol

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// LogAuthor is whose log it is: a realm's public cloud or hospital, and its key of now.
type LogAuthor struct {
	Realm, PartyID string
	Key            []byte
}

// ToldLog is what a log told of a patient, each entry proved below Head, the newest first. Note is that head as it is remembered;
// BeginsAnew says that this log is another than the one remembered: nothing proves what became of that one. Older entries, which were not
// asked for, are before the leaf Older; nil where there are none. Cosigners are those that count by the trust bundle's witness policy, which
// asks for so many Cosignatures.
type ToldLog struct {
	Entries    []*pb.AccessEntry
	Head       LogHead
	Note       []byte
	Cosigners  []string
	BeginsAnew bool
	Older      *uint64

	Cosignatures int
}

// IsWitnessed says whether as many have cosigned the head as the federation asks for.
func (t *ToldLog) IsWitnessed() bool { return len(t.Cosigners) >= t.Cosignatures }

// Untold is how many entries the log counts and does not tell, where it should: between two, or behind the last where there are no older.
func (t *ToldLog) Untold() uint64 {
	if len(t.Entries) == 0 {
		return 0
	}
	behind := uint64(0)
	if oldest := t.Entries[len(t.Entries)-1].GetNumber(); t.Older != nil && oldest > 0 {
		behind = oldest - 1
	}
	return t.Entries[0].GetNumber() - uint64(len(t.Entries)) - behind
}

// RequireTold checks what a log told of a patient (docs/protocol.md, told). known is the note of the head that is remembered, and empty
// where none is; older is the leaf before which older entries are, by the log's word. Refuses with MISSING_FIELD, NOTE_MALFORMED, IDENTITY_MISMATCH, SIGNATURE_INVALID, FIELD_INVALID; LEAF_MISMATCH for an
// entry that is not what its leaf says; HEAD_OLDER, HEAD_CONFLICT, LOG_PROOF_INVALID for a head that does not follow the one remembered.
func RequireTold(entries []*pb.AccessEntry, head *pb.ProvedHead, patientID string, author LogAuthor, known []byte, older *uint64) (*ToldLog, error) {
	if head == nil {
		return nil, refusal.New(refusal.MissingField, "a log came without its head")
	}
	shown, number, err := openHead(head.GetNote(), author)
	if err != nil {
		return nil, err
	}
	for i, entry := range entries {
		if i > 0 && !olderThan(entry, entries[i-1]) {
			return nil, refusal.New(refusal.FieldInvalid, "the entries of a log are not the newest first")
		}
	}
	for _, entry := range entries {
		leaf := LeafHash(AccessLeaf(entry, patientID, author.PartyID, entry.GetBlind()))
		if err := RequireIncluded(leaf, entry.GetLeafIndex(), shown.Size, entry.GetInclusion(), shown.Root); err != nil {
			return nil, refusal.Because(err, refusal.LeafMismatch, "an entry is not what the log has at its place")
		}
	}
	if older != nil && len(entries) > 0 && *older > entries[len(entries)-1].GetLeafIndex() {
		return nil, refusal.New(refusal.FieldInvalid, "older entries of a log are said to be where newer ones are")
	}
	told := &ToldLog{Entries: entries, Head: shown, Note: head.GetNote(), Older: older}
	if len(known) > 0 {
		told.BeginsAnew, err = follows(known, shown, number, head.GetConsistency())
	}
	return told, err
}

// RequireFurther checks a further page of what a log told, and gives it put to the pages before, which were checked: below one head.
// Refuses as RequireTold; with ANSWER_MISMATCH a page below another head.
func RequireFurther(entries []*pb.AccessEntry, head *pb.ProvedHead, patientID string, author LogAuthor, before *ToldLog, older *uint64) (*ToldLog, error) {
	page, err := RequireTold(entries, head, patientID, author, before.Note, older)
	if err != nil {
		return nil, err
	}
	if page.Head.Origin != before.Head.Origin || page.Head.Size != before.Head.Size {
		return nil, refusal.New(refusal.AnswerMismatch, "a further page of a log is below another head than the first")
	}
	if len(entries) > 0 && len(before.Entries) > 0 && !olderThan(entries[0], before.Entries[len(before.Entries)-1]) {
		return nil, refusal.New(refusal.FieldInvalid, "the pages of a log are not the newest first")
	}
	if leaf := before.Older; leaf != nil {
		if len(entries) > 0 && entries[0].GetLeafIndex() >= *leaf {
			return nil, refusal.New(refusal.FieldInvalid, "a further page of a log has entries that were not asked for")
		}
		if older != nil && *older >= *leaf {
			return nil, refusal.New(refusal.FieldInvalid, "a further page of a log leads nowhere")
		}
	}
	whole := *before
	whole.Entries, whole.Older = slices.Concat(before.Entries, entries), older
	return &whole, nil
}

// olderThan says whether an entry stands behind another, by its number and by its leaf.
func olderThan(entry, newer *pb.AccessEntry) bool {
	return entry.GetNumber() < newer.GetNumber() && entry.GetLeafIndex() < newer.GetLeafIndex()
}

// Witnessed gives whose cosignatures under a head hold and count by the policy of now, and how many that asks for: of the hospitals whose
// statements came along, and of the public cloud.
func (v Verifier) Witnessed(head *pb.ProvedHead, now Instant) (cosigners []string, cosignatures int) {
	policy := v.Anchors.WitnessPolicy()
	shown, _, err := PeekLogHead(head.GetNote())
	if err != nil {
		return nil, policy.Cosignatures
	}
	read, err := readNote(head.GetNote())
	if err != nil {
		return nil, policy.Cosignatures
	}
	var lines [][]byte
	for _, line := range bytes.SplitAfter(head.GetNote()[len(read.text)+1:], []byte("\n")) {
		if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	var witnesses []Witness
	if key, err := v.Anchors.cloudKeyAt(now); err == nil {
		witnesses = append(witnesses, Witness{v.Anchors.CloudID, key})
	}
	for _, signed := range head.GetWitnessKeyStatements() {
		if party, err := v.Party(signed, pb.Role_ROLE_HOSPITAL, now); err == nil {
			witnesses = append(witnesses, Witness{party.Identity, party.VerifyingKey})
		}
	}
	held := heldBy(head.GetNote(), lines, witnesses)
	return policy.Counted(held, logOrigin.FindStringSubmatch(shown.Origin)[2]), policy.Cosignatures
}

// PeekLogHead reads a head whose signature is not looked at, and which of its author's logs it is of. Refuses with NOTE_MALFORMED.
func PeekLogHead(data []byte) (head LogHead, number uint64, err error) {
	read, err := readNote(data)
	if err != nil {
		return LogHead{}, 0, err
	}
	if head, err = readHead(read.text); err != nil {
		return LogHead{}, 0, err
	}
	if !logOrigin.MatchString(head.Origin) {
		return LogHead{}, 0, noteRefused("an origin is a realm, the id of a member and a number")
	}
	number, err = strconv.ParseUint(head.Origin[strings.LastIndexByte(head.Origin, '/')+1:], 10, 32)
	return head, number, err
}

func openHead(data []byte, author LogAuthor) (LogHead, uint64, error) {
	head, number, err := PeekLogHead(data)
	if err != nil {
		return LogHead{}, 0, err
	}
	if head.Origin != LogOrigin(author.Realm, author.PartyID, number) {
		return LogHead{}, 0, refusal.New(refusal.IdentityMismatch, "this is the head of somebody else's log")
	}
	head, err = OpenLogHead(data, head.Origin, author.Key)
	return head, number, err
}

// follows requires that a head follows the one remembered, and says whether it is of a log that was begun anew.
func follows(known []byte, shown LogHead, number uint64, proof [][]byte) (bool, error) {
	before, knownNumber, err := PeekLogHead(known)
	if err != nil {
		return false, err
	}
	switch {
	case number > knownNumber:
		return true, nil
	case number < knownNumber || shown.Size < before.Size:
		return false, refusal.New(refusal.HeadOlder, "a log is shorter than it was when it was last looked at")
	case shown.Size == before.Size && !bytes.Equal(shown.Root, before.Root):
		return false, refusal.New(refusal.HeadConflict, "two heads of one size of one log")
	}
	return false, RequireConsistent(before.TreeHead, shown.TreeHead, proof)
}
