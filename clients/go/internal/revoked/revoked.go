// Package revoked is the set of what no longer holds as a public cloud has it, for tests: written out here once more from docs/protocol.md.
package revoked

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/transcript"
)

// Set is entries, each with a sweep's time or 0.
type Set map[string]uint64

// Of gives a set of entries without a time.
func Of(entries ...[]byte) Set {
	set := Set{}
	for _, entry := range entries {
		set[string(entry)] = 0
	}
	return set
}

// With gives the set and one entry more.
func (s Set) With(entry []byte, before uint64) Set {
	next := Set{string(entry): before}
	for other, time := range s {
		if other != string(entry) {
			next[other] = time
		}
	}
	return next
}

// Find says whether an entry is in the set, and a sweep's time.
func (s Set) Find(entry []byte) (uint64, bool, error) {
	before, isListed := s[string(entry)]
	return before, isListed, nil
}

// Root gives the root over all shards.
func (s Set) Root() []byte { return s.levels()[12][0] }

// Excerpt gives these shards with their paths.
func (s Set) Excerpt(head *pb.SignedStatement, prefixes ...uint32) *pb.RevocationExcerpt {
	levels, excerpt := s.levels(), &pb.RevocationExcerpt{Head: head}
	for _, prefix := range prefixes {
		shard := s.shard(prefix)
		for level := range 12 {
			shard.Path = append(shard.Path, levels[level][prefix>>level^1])
		}
		excerpt.Shards = append(excerpt.Shards, shard)
	}
	return excerpt
}

func (s Set) shard(prefix uint32) *pb.RevocationShard {
	shard := &pb.RevocationShard{Prefix: proto.Uint32(prefix)}
	for entry, before := range s {
		if uint32(entry[0])<<4|uint32(entry[1])>>4 != prefix {
			continue
		}
		if before == 0 {
			shard.Entries = append(shard.Entries, []byte(entry))
		} else {
			shard.Sweeps = append(shard.Sweeps, &pb.Sweep{PatientDigest: []byte(entry), Before: proto.Uint64(before)})
		}
	}
	slices.SortFunc(shard.Entries, bytes.Compare)
	slices.SortFunc(shard.Sweeps, func(a, b *pb.Sweep) int { return bytes.Compare(a.GetPatientDigest(), b.GetPatientDigest()) })
	return shard
}

func (s Set) levels() (levels [13][][]byte) {
	for prefix := range uint32(4096) {
		shard, sweeps := s.shard(prefix), []byte(nil)
		for _, sweep := range shard.GetSweeps() {
			sweeps = binary.BigEndian.AppendUint64(append(sweeps, sweep.GetPatientDigest()...), sweep.GetBefore())
		}
		leaf := append([]byte{0}, transcript.T("shard", bytes.Join(shard.GetEntries(), nil), sweeps)...)
		levels[0] = append(levels[0], sum(leaf))
	}
	for level := 1; level <= 12; level++ {
		below := levels[level-1]
		for at := 0; at < len(below); at += 2 {
			levels[level] = append(levels[level], sum(slices.Concat([]byte{1}, below[at], below[at+1])))
		}
	}
	return levels
}

func sum(data []byte) []byte {
	digest := sha256.Sum256(data)
	return digest[:]
}
