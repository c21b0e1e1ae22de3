package protocol

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	sumdb "golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

type logVector struct {
	Name, Kind, Expect string

	Realm, Origin string
	AuthorID      string `json:"author_id"`
	Number        uint64

	Where           string
	At              uint64
	AskerID         string `json:"asker_id"`
	PatientID       string `json:"patient_id"`
	AccessKind      string `json:"access_kind"`
	DepartmentClass string `json:"department_class"`
	Ground, Reason  string
	Authorization   hexBytes
	GrantDigest     hexBytes `json:"grant_digest"`
	Event, Blind    hexBytes
	Data, Leaf      hexBytes

	Index   uint64
	Size    any
	Root    hexBytes
	Proof   []hexBytes
	OldSize uint64   `json:"old_size"`
	OldRoot hexBytes `json:"old_root"`
	NewSize uint64   `json:"new_size"`
	NewRoot hexBytes `json:"new_root"`

	Note, Kept   hexBytes
	VerifyingKey hexBytes `json:"verifying_key"`
	Lines        []hexBytes
	Witnesses    []struct {
		ID           string
		VerifyingKey hexBytes `json:"verifying_key"`
	}
	Quorum     int
	CosignedBy []struct {
		ID string
		At uint64
	} `json:"cosigned_by"`
	WitnessID string `json:"witness_id"`
	CloudID   string `json:"cloud_id"`
	Policy    struct {
		Cosignatures uint32
		Hospitals    []string
		PublicCloud  bool `json:"public_cloud"`
	}
	Counted []string
}

func logVectors(t *testing.T, kind string) (found []logVector) {
	t.Helper()
	for _, vector := range vectors.Read[logVector](t, "log.json") {
		if vector.Kind == kind {
			found = append(found, vector)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no vectors of kind %q", kind)
	}
	return found
}

func (v logVector) decided(t *testing.T, err error) bool {
	t.Helper()
	if !vectors.Expected(err, v.Expect) {
		t.Errorf("%s: %v, not %s", v.Name, err, v.Expect)
	}
	return err == nil
}

func (v logVector) trees() (before, after TreeHead) {
	return TreeHead{v.OldSize, v.OldRoot}, TreeHead{v.NewSize, v.NewRoot}
}

func TestLogOrigins(t *testing.T) {
	for _, vector := range logVectors(t, "origin") {
		if made := LogOrigin(vector.Realm, vector.AuthorID, vector.Number); made != vector.Origin {
			t.Errorf("%s, not %s", made, vector.Origin)
		}
	}
}

func TestAccessLeaves(t *testing.T) {
	for _, vector := range logVectors(t, "access leaf") {
		entry := &pb.AccessEntry{At: &vector.At, AskerId: &vector.AskerID, DepartmentClass: &vector.DepartmentClass,
			Reason: &vector.Reason, Authorization: vector.Authorization, GrantDigest: vector.GrantDigest}
		for kind, name := range accessKindNames {
			if name == vector.AccessKind {
				entry.Kind = kind.Enum()
			}
		}
		for ground, name := range accessGroundNames {
			if name == vector.Ground {
				entry.Ground = ground.Enum()
			}
		}
		data := AccessLeaf(entry, vector.PatientID, vector.Where, vector.Blind)
		if vector.decided(t, RequireLeaf(data, vector.Leaf)) {
			equal(t, vector.Name, data, vector.Data)
		}
	}
}

func TestEventLeaves(t *testing.T) {
	for _, vector := range logVectors(t, "event leaf") {
		data := transcript.T("log-event", transcript.Text(vector.Where), transcript.U64(vector.At), vector.Event, vector.Blind)
		vector.decided(t, RequireLeaf(data, vector.Leaf))
	}
}

func TestInclusionProofs(t *testing.T) {
	for _, vector := range logVectors(t, "inclusion") {
		size := uint64(vector.Size.(float64))
		taken := vector.decided(t, RequireIncluded(vector.Leaf, vector.Index, size, raw(vector.Proof), vector.Root))
		judged := proof.VerifyInclusion(rfc6962.DefaultHasher, vector.Index, size, vector.Leaf, raw(vector.Proof), vector.Root) == nil
		checked := len(vector.Leaf) == 32 && areHashes(raw(vector.Proof)) && size > 0 &&
			tlog.CheckRecord(recordProof(vector.Proof), int64(size), tlog.Hash(vector.Root), int64(vector.Index), tlog.Hash(vector.Leaf)) == nil
		if hashes := areHashes(append(raw(vector.Proof), vector.Leaf)); judged != taken && hashes || checked != taken {
			t.Errorf("%s: %t here, %t by merkle, %t by tlog", vector.Name, taken, judged, checked)
		}
	}
}

func TestConsistencyProofs(t *testing.T) {
	for _, vector := range logVectors(t, "consistency") {
		before, after := vector.trees()
		taken := vector.decided(t, RequireConsistent(before, after, raw(vector.Proof)))
		if before.Size == 0 || !areHashes(append(raw(vector.Proof), before.Root, after.Root)) {
			continue // neither judge says anything of an empty tree, or of a hash's length
		}
		judged := proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, after.Size, raw(vector.Proof), before.Root, after.Root) == nil
		checked := before.Size <= after.Size && tlog.CheckTree(treeProof(vector.Proof), int64(after.Size), tlog.Hash(after.Root), int64(before.Size), tlog.Hash(before.Root)) == nil
		if judged != taken || checked != taken {
			t.Errorf("%s: %t here, %t by merkle, %t by tlog", vector.Name, taken, judged, checked)
		}
	}
}

func hashesOf(hashes []hexBytes) (found []tlog.Hash) {
	for _, hash := range hashes {
		found = append(found, tlog.Hash(hash))
	}
	return found
}

func recordProof(hashes []hexBytes) tlog.RecordProof { return hashesOf(hashes) }

func treeProof(hashes []hexBytes) tlog.TreeProof { return hashesOf(hashes) }

// TestProofsOfTheJudgeHold tries what golang.org/x/mod proves of larger trees than the vectors have.
func TestProofsOfTheJudgeHold(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	const leaves = 300
	var trees []TreeHead
	for number := range int64(leaves) {
		hashes, err := tlog.StoredHashes(number, fmt.Appendf(nil, "leaf %d", number), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		root, err := tlog.TreeHash(number+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, TreeHead{uint64(number + 1), root[:]})
	}
	last := trees[leaves-1]
	for number := range int64(leaves) {
		included, err := tlog.ProveRecord(leaves, number, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := RequireIncluded(LeafHash(fmt.Appendf(nil, "leaf %d", number)), uint64(number), leaves, plain(included), last.Root); err != nil {
			t.Errorf("leaf %d: %v", number, err)
		}
		grown, err := tlog.ProveTree(leaves, number+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := RequireConsistent(trees[number], last, plain(grown)); err != nil {
			t.Errorf("%d to %d: %v", number+1, leaves, err)
		}
	}
}

func plain(hashes []tlog.Hash) (found [][]byte) {
	for _, hash := range hashes {
		found = append(found, hash[:])
	}
	return found
}

func TestLogHeads(t *testing.T) {
	for _, vector := range logVectors(t, "head") {
		head, err := OpenLogHead(vector.Note, vector.Origin, vector.VerifyingKey)
		if !vector.decided(t, err) {
			continue
		}
		if strconv.FormatUint(head.Size, 10) != vector.Size {
			t.Errorf("%s: %d, not %s", vector.Name, head.Size, vector.Size)
		}
		equal(t, vector.Name, head.Root, vector.Root)
		opened, err := sumdb.Open(vector.Note, sumdb.VerifierList(newJudge(t, vector.Origin, vector.VerifyingKey)))
		if err != nil {
			t.Errorf("%s: others' notes: %v", vector.Name, err)
			continue
		}
		tree := fmt.Sprintf("%s\n%d\n%s\n", vector.Origin, head.Size, base64.StdEncoding.EncodeToString(head.Root))
		if opened.Text != tree {
			t.Errorf("%s: others read %q", vector.Name, opened.Text)
		}
	}
}

// judge verifies type 0x02 for golang.org/x/mod's notes, which know Ed25519 alone.
type judge struct {
	name   string
	public *ecdsa.PublicKey
	spki   []byte
}

func newJudge(t *testing.T, name string, verifyingKey []byte) judge {
	t.Helper()
	public, err := curve.VerifyingKey(verifyingKey)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return judge{name, public, spki}
}

func (j judge) Name() string { return j.name }

func (j judge) KeyHash() uint32 {
	id := sha256.Sum256(j.spki)
	return binary.BigEndian.Uint32(id[:])
}

func (j judge) Verify(text, signature []byte) bool {
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(j.public, digest[:], signature)
}

func TestHeadsAreBelievedByTheWitnessPolicy(t *testing.T) {
	for _, vector := range logVectors(t, "believed") {
		var witnesses []Witness
		for _, witness := range vector.Witnesses {
			witnesses = append(witnesses, Witness{witness.ID, witness.VerifyingKey})
		}
		policy := WitnessPolicy{Cosignatures: int(vector.Policy.Cosignatures), Hospitals: vector.Policy.Hospitals}
		if policy.EveryHospital = slices.Equal(policy.Hospitals, []string{"*"}); vector.Policy.PublicCloud {
			policy.CloudID = vector.CloudID
		}
		found, err := policy.RequireBelieved(vector.Note, raw(vector.Lines), witnesses)
		if vector.decided(t, err) && !slices.Equal(found, vector.Counted) {
			t.Errorf("%s: %v, not %v", vector.Name, found, vector.Counted)
		}
	}
}

func TestCosignatures(t *testing.T) {
	for _, vector := range logVectors(t, "cosigned") {
		var witnesses []Witness
		for _, witness := range vector.Witnesses {
			witnesses = append(witnesses, Witness{witness.ID, witness.VerifyingKey})
		}
		found, err := RequireCosigned(vector.Note, raw(vector.Lines), witnesses, vector.Quorum)
		if !vector.decided(t, err) {
			continue
		}
		var by []Cosignature
		for _, expected := range vector.CosignedBy {
			by = append(by, Cosignature{expected.ID, expected.At})
		}
		if fmt.Sprint(found) != fmt.Sprint(by) {
			t.Errorf("%s: %v, not %v", vector.Name, found, by)
		}
	}
}

func TestFollowedHeads(t *testing.T) {
	for _, vector := range logVectors(t, "witness") {
		var kept *KeptHead
		if len(vector.Kept) > 0 {
			head, err := OpenLogHead(vector.Kept, vector.Origin, vector.VerifyingKey)
			if err != nil {
				t.Fatal(err)
			}
			kept = &KeptHead{head, vector.Kept}
		}
		shown := ShownHead{vector.Note, vector.OldSize, raw(vector.Proof)}
		after, err := Follow(kept, shown, vector.Origin, vector.VerifyingKey, vector.WitnessID)
		if vector.decided(t, err) {
			equal(t, vector.Name, after.Note, vector.Note)
		}
	}
}

func TestLogOfNobodyIsNotFollowed(t *testing.T) {
	vector := logVectors(t, "witness")[0]
	_, err := Follow(nil, ShownHead{Note: vector.Note}, "somewhere", vector.VerifyingKey, vector.WitnessID)
	if !refusal.Is(err, refusal.NoteMalformed) {
		t.Error(err)
	}
}

// archive is a log's static files, each by its path: what a server writes, or a web server serves.
type archive struct {
	Origin       string
	VerifyingKey hexBytes `json:"verifying_key"`
	Leaves       int64
	Files        map[string]hexBytes
}

func (archive) Height() int { return 8 }

// ReadTiles finds a tile where tlog-tiles has it, which names no height.
func (a archive) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		content, there := a.Files[strings.Replace(tile.Path(), "tile/8/", "tile/", 1)]
		if !there {
			return nil, fmt.Errorf("no %s", tile.Path())
		}
		data = append(data, content)
	}
	return data, nil
}

func (archive) SaveTiles([]tlog.Tile, [][]byte) {}

// TestArchiveProvesEachLeaf has golang.org/x/mod open the head and prove every leaf by the files alone.
func TestArchiveProvesEachLeaf(t *testing.T) {
	var files archive
	vectors.ReadWhole(t, "log_archive.json", &files)
	opened, err := sumdb.Open(files.Files["checkpoint"], sumdb.VerifierList(newJudge(t, files.Origin, files.VerifyingKey)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size != files.Leaves {
		t.Fatalf("a head of %s leaves: %v", lines[1], err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: tlog.Hash(root)}, files)
	for number := range size {
		included, err := tlog.ProveRecord(size, number, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := RequireIncluded(LeafHash(fmt.Appendf(nil, "leaf %d", number)), uint64(number), uint64(size), plain(included), root); err != nil {
			t.Errorf("leaf %d: %v", number, err)
		}
	}
}
