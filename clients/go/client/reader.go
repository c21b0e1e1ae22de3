package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// readRecord reads M_EMR = F(manifest) || the bytes of every part of every record, in the manifest's order, and hands each part on. The
// hospital's signature covers the whole, and its size was held to the manifest as it came; the digests here say that each part is what the
// manifest claims. Refuses with RECORD_CUT_SHORT, RECORD_DIGEST_MISMATCH; a part whose digest is wrong has been handed on by then, so a
// first reading has to throw away what it reads.
func readRecord(from io.Reader, manifest *pb.RecordManifest, take func(*pb.RecordEntry, *pb.RecordPart, io.Reader) error) error {
	var prefix [4]byte
	if _, err := io.ReadFull(from, prefix[:]); err != nil {
		return cutShort(err)
	}
	if _, err := io.CopyN(io.Discard, from, int64(binary.BigEndian.Uint32(prefix[:]))); err != nil {
		return cutShort(err)
	}
	for _, entry := range manifest.GetRecords() {
		for _, part := range entry.GetParts() {
			if err := readPart(from, entry, part, take); err != nil {
				return err
			}
		}
	}
	return nil
}

func readPart(from io.Reader, entry *pb.RecordEntry, part *pb.RecordPart, take func(*pb.RecordEntry, *pb.RecordPart, io.Reader) error) error {
	hash, content := sha256.New(), &io.LimitedReader{R: from, N: int64(part.GetSizeBytes())}
	hashed := io.TeeReader(content, hash)
	if err := take(entry, part, hashed); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return cutShort(err)
	}
	if content.N > 0 {
		return refusal.New(refusal.RecordCutShort, "the record ends before its manifest says")
	}
	if !bytes.Equal(hash.Sum(nil), part.GetDigest()) {
		return refusal.New(refusal.RecordDigestMismatch, "a part of the record is not what its manifest says")
	}
	return nil
}

func cutShort(err error) error {
	if refusal.Outer(err) != refusal.Internal {
		return err
	}
	return refusal.Because(err, refusal.RecordCutShort, "the record ends before its manifest says")
}
