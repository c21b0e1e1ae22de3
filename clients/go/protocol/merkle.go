package protocol

import (
	"bytes"
	"crypto/sha256"
	"math"

	"medunion.example/clients/go/refusal"
)

// largestTree is the most leaves that a head can name.
const largestTree = math.MaxInt64

var emptyRoot = sha256.Sum256(nil)

// TreeHead is a log's tree as one number and one hash (docs/protocol.md, 8): how many leaves it has, and its root.
type TreeHead struct {
	Size uint64
	Root []byte
}

// LeafHash gives the hash of a leaf: SHA-256(0x00 || data).
func LeafHash(data []byte) []byte {
	hash := sha256.Sum256(append([]byte{0}, data...))
	return hash[:]
}

func nodeHash(left, right []byte) []byte {
	hash := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return hash[:]
}

// RequireIncluded refuses with LOG_PROOF_INVALID unless a tree of this size and root has this leaf, its hash, at that place
// (RFC 9162, section 2.1.3.2).
func RequireIncluded(leaf []byte, index, size uint64, proof [][]byte, root []byte) error {
	if index >= size || size > largestTree {
		return proofRefused("the tree has no leaf of that number") // incl.1
	}
	if !areHashes(append([][]byte{leaf, root}, proof...)) {
		return proofRefused("a hash has 32 bytes") // incl.2
	}
	place, last, found := index, size-1, leaf
	for _, beside := range proof {
		if last == 0 {
			return proofRefused("the proof is longer than the way up from the leaf") // incl.3
		}
		if place&1 == 1 || place == last {
			found = nodeHash(beside, found)
			place, last = pastZeros(place, last)
		} else {
			found = nodeHash(found, beside)
		}
		place, last = place>>1, last>>1
	}
	if last != 0 {
		return proofRefused("the proof is shorter than the way up from the leaf") // incl.3
	}
	if !bytes.Equal(found, root) {
		return proofRefused("the leaf is not in the tree at that place") // incl.4
	}
	return nil
}

// RequireConsistent refuses with LOG_PROOF_INVALID unless the new tree begins with all of the old one (RFC 9162, section
// 2.1.4.2).
func RequireConsistent(before, after TreeHead, proof [][]byte) error {
	if before.Size > after.Size || after.Size > largestTree {
		return proofRefused("a tree does not shrink") // cons.1
	}
	if !areHashes(append([][]byte{before.Root, after.Root}, proof...)) {
		return proofRefused("a hash has 32 bytes") // cons.2
	}
	for _, tree := range []TreeHead{before, after} {
		if tree.Size == 0 && !bytes.Equal(tree.Root, emptyRoot[:]) {
			return proofRefused("the root of nothing is another") // cons.3
		}
	}
	if before.Size == 0 || before.Size == after.Size {
		if len(proof) > 0 || before.Size > 0 && !bytes.Equal(before.Root, after.Root) {
			return proofRefused("nothing is to be proved, and something is shown, or the roots differ") // cons.4
		}
		return nil
	}
	if before.Size&(before.Size-1) == 0 { // the old tree is the subtree that both share
		proof = append([][]byte{before.Root}, proof...)
	}
	beforeRoot, afterRoot, err := rootsBy(before.Size, after.Size, proof)
	if err != nil {
		return err
	}
	if !bytes.Equal(beforeRoot, before.Root) || !bytes.Equal(afterRoot, after.Root) {
		return proofRefused("the new tree does not begin with the old one") // cons.6
	}
	return nil
}

// rootsBy gives both roots as a proof says them. Refuses one of another length (cons.5).
func rootsBy(before, after uint64, path [][]byte) (beforeRoot, afterRoot []byte, err error) {
	place, last := before-1, after-1
	for place&1 == 1 {
		place, last = place>>1, last>>1
	}
	if len(path) == 0 {
		return nil, nil, proofRefused("the proof is empty")
	}
	beforeRoot, afterRoot = path[0], path[0]
	for _, beside := range path[1:] {
		if last == 0 {
			return nil, nil, proofRefused("the proof is longer than the way up")
		}
		if place&1 == 1 || place == last {
			beforeRoot, afterRoot = nodeHash(beside, beforeRoot), nodeHash(beside, afterRoot)
			place, last = pastZeros(place, last)
		} else {
			afterRoot = nodeHash(afterRoot, beside)
		}
		place, last = place>>1, last>>1
	}
	if last != 0 {
		return nil, nil, proofRefused("the proof is shorter than the way up")
	}
	return beforeRoot, afterRoot, nil
}

// pastZeros goes up to where the place is a right child, or the root: on the way there is nothing beside it.
func pastZeros(place, last uint64) (uint64, uint64) {
	for place != 0 && place&1 == 0 {
		place, last = place>>1, last>>1
	}
	return place, last
}

func areHashes(hashes [][]byte) bool {
	for _, hash := range hashes {
		if len(hash) != sha256.Size {
			return false
		}
	}
	return true
}

func proofRefused(sentence string) error { return refusal.New(refusal.LogProofInvalid, "%s", sentence) }
