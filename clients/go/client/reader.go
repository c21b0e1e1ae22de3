package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

const mostManifest = 1_048_576

// readRecord reads M_EMR = F(manifest) || the bytes of every part of every record, in the manifest's order, and hands each part on. The
// hospital's signature covers the whole; the sizes and digests here say that it is what it claims to hold. Memory is bounded by the
// manifest. Refuses with RECORD_CUT_SHORT, RECORD_DIGEST_MISMATCH, MESSAGE_TOO_LARGE, and as rules.Parse; a part whose digest is wrong has
// been handed on by then, so a first reading has to throw away what it reads.
func readRecord(from io.Reader, take func(*pb.RecordEntry, *pb.RecordPart, io.Reader) error) (*pb.RecordManifest, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(from, prefix[:]); err != nil {
		return nil, cutShort(err)
	}
	size := binary.BigEndian.Uint32(prefix[:])
	if size > mostManifest {
		return nil, refusal.New(refusal.MessageTooLarge, "a manifest of %d bytes", size)
	}
	encoded, manifest := make([]byte, size), &pb.RecordManifest{}
	if _, err := io.ReadFull(from, encoded); err != nil {
		return nil, cutShort(err)
	}
	if err := rules.Parse(encoded, manifest); err != nil {
		return nil, err
	}
	for _, entry := range manifest.GetRecords() {
		for _, part := range entry.GetParts() {
			if err := readPart(from, entry, part, take); err != nil {
				return nil, err
			}
		}
	}
	if n, err := from.Read(prefix[:1]); n != 0 || !errors.Is(err, io.EOF) {
		return nil, refusal.New(refusal.RecordDigestMismatch, "the record holds more than its manifest says")
	}
	return manifest, nil
}

func readPart(from io.Reader, entry *pb.RecordEntry, part *pb.RecordPart, take func(*pb.RecordEntry, *pb.RecordPart, io.Reader) error) error {
	if part.GetSizeBytes() > 1<<62 {
		return refusal.New(refusal.RecordCutShort, "the record ends before its manifest says")
	}
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
