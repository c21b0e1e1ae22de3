package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const (
	shardCount = 4096
	treeHeight = 12
)

// Listed is what is at hand of the set of what no longer holds.
type Listed interface {
	// Find says whether an entry is in the set, and a sweep's time. Refuses with REVOCATION_SHARD_MISSING where nothing at hand says so.
	Find(entry []byte) (before Instant, isListed bool, err error)
}

// PrefixOf gives which shard an entry lies in: its first 12 bits, and never what somebody says of it.
func PrefixOf(entry []byte) uint32 { return uint32(entry[0])<<4 | uint32(entry[1])>>4 }

// Shards are those that were asked for, by their prefixes, each proven by one head.
type Shards map[uint32]*pb.RevocationShard

// Find is as of Listed.
func (s Shards) Find(entry []byte) (Instant, bool, error) {
	shard, isHere := s[PrefixOf(entry)]
	if !isHere {
		return 0, false, refusal.New(refusal.RevocationShardMissing, "the part of the revocation list in which it would stand is not at hand")
	}
	if contains(shard.GetEntries(), entry) {
		return 0, true, nil
	}
	for _, sweep := range shard.GetSweeps() {
		if bytes.Equal(sweep.GetPatientDigest(), entry) {
			return sweep.GetBefore(), true, nil
		}
	}
	return 0, false, nil
}

// ReadExcerpt verifies a head by the PUK_C of its time, and the shards that came with it. Refuses as ReadLists, and with
// REVOCATION_SHARD_INVALID.
func ReadExcerpt(anchors *Anchors, excerpt *pb.RevocationExcerpt, crls [][]byte) (Lists, Shards, error) {
	if err := rules.Check(excerpt); err != nil {
		return Lists{}, nil, err
	}
	found := Shards{}
	lists, err := ReadLists(anchors, excerpt.GetHead(), crls, found)
	if err != nil {
		return Lists{}, nil, err
	}
	for _, shard := range excerpt.GetShards() {
		if err := requireProven(shard, lists.head.GetRoot()); err != nil {
			return Lists{}, nil, err
		}
		found[shard.GetPrefix()] = shard
	}
	return lists, found, nil
}

// requireProven requires a root to commit to a shard, at the place of its prefix: RFC 9162, section 2.1.
func requireProven(shard *pb.RevocationShard, root []byte) error {
	if shard.GetPrefix() >= shardCount || len(shard.GetPath()) != treeHeight {
		return refusal.New(refusal.RevocationShardInvalid, "a shard's place, or the length of its path, is no tree's of 4,096")
	}
	var sweeps []byte
	for _, sweep := range shard.GetSweeps() {
		sweeps = binary.BigEndian.AppendUint64(append(sweeps, sweep.GetPatientDigest()...), sweep.GetBefore())
	}
	found := hashed(0, transcript.T("shard", bytes.Join(shard.GetEntries(), nil), sweeps))
	for level, beside := range shard.GetPath() {
		if shard.GetPrefix()>>level&1 == 0 {
			found = hashed(1, found, beside)
		} else {
			found = hashed(1, beside, found)
		}
	}
	if !bytes.Equal(found, root) {
		return refusal.New(refusal.RevocationShardInvalid, "the shard is not the head's")
	}
	return nil
}

func hashed(kind byte, parts ...[]byte) []byte {
	digest := sha256.Sum256(append([]byte{kind}, bytes.Join(parts, nil)...))
	return digest[:]
}

func contains(entries [][]byte, entry []byte) bool {
	return slices.ContainsFunc(entries, func(one []byte) bool { return bytes.Equal(one, entry) })
}
