package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const (
	mostManifest   = 1024 * 1024
	mostFHIRBundle = 17 * 1024 * 1024

	// resumedBytes is what an offset is a multiple of: a record that broke goes on behind that.
	resumedBytes = 512 * 1024
)

// recordContent is M_EMR on its way in: F(manifest), then as many bytes as the manifest says, then padding. A slice that is refused has
// changed nothing.
type recordContent struct {
	most     uint64                         // bytes that this side takes
	isAsked  func(*pb.RecordManifest) error // refuses what was not asked for
	head     []byte                         // F(manifest), and what came with it
	manifest *pb.RecordManifest             // nil until it is whole
	named    []byte                         // its digest
	begin    uint64                         // of the parts
	size     uint64                         // of M_EMR, by the manifest
	taken    uint64                         // of the slices, padding and all
	digest   hash.Hash
}

func newRecordContent(most uint64, isAsked func(*pb.RecordManifest) error) recordContent {
	return recordContent{most: most, isAsked: isAsked, digest: sha256.New()}
}

// add takes a slice, and gives what of it is content. Nothing comes in that the manifest does not announce. Refuses with MESSAGE_TOO_LARGE a
// manifest, with RECORD_TOO_LARGE a FHIR bundle or a whole beyond its bound, with PADDING_INVALID what is no padding, as isAsked, and as
// rules.Parse.
func (c *recordContent) add(slice []byte) ([]byte, error) {
	next := *c
	if next.manifest == nil {
		if err := next.readManifest(slice); err != nil {
			return nil, err
		}
	}
	next.taken += uint64(len(slice))
	content := slice
	if next.manifest != nil {
		if next.taken > padded(next.size) {
			return nil, refusal.New(refusal.PaddingInvalid, "the hospital sends more than its manifest says")
		}
		content = slice[:min(next.size, next.taken)-min(next.size, c.taken)]
		if err := requireAllZero(slice[len(content):]); err != nil {
			return nil, err
		}
	}
	next.digest.Write(content)
	*c = next
	return content, nil
}

func (c *recordContent) readManifest(slice []byte) error {
	c.head = append(c.head, slice...) // what a refused slice left behind its end is written over
	if len(c.head) < 4 {
		return nil
	}
	size := int(binary.BigEndian.Uint32(c.head))
	if size > mostManifest {
		return refusal.New(refusal.MessageTooLarge, "a manifest of %d bytes", size)
	}
	if len(c.head) < 4+size {
		return nil
	}
	manifest := &pb.RecordManifest{}
	if err := rules.Parse(c.head[4:4+size], manifest); err != nil {
		return err
	}
	if err := c.isAsked(manifest); err != nil {
		return err
	}
	c.named = transcript.Digest(c.head[4 : 4+size])
	c.manifest, c.begin, c.size, c.head = manifest, uint64(4+size), uint64(4+size), nil
	for _, entry := range manifest.GetRecords() {
		for _, part := range entry.GetParts() {
			if part.GetKind() == pb.PartKind_PART_KIND_FHIR_BUNDLE && part.GetSizeBytes() > mostFHIRBundle {
				return refusal.New(refusal.RecordTooLarge, "a FHIR bundle of %d bytes; it may have %d", part.GetSizeBytes(), mostFHIRBundle)
			}
			if c.size > c.most || part.GetSizeBytes() > c.most-c.size {
				return refusal.New(refusal.RecordTooLarge, "the records have more than the %d bytes that are still taken", c.most)
			}
			c.size += part.GetSizeBytes()
		}
	}
	return nil
}

// resumable says behind how many bytes another session may go on: a multiple of 512 KiB, the manifest in it, and not all. 0 for none.
func (c *recordContent) resumable() uint64 {
	if c.manifest == nil {
		return 0
	}
	offset := min(c.taken, c.size-1) / resumedBytes * resumedBytes
	if offset < c.begin {
		return 0
	}
	return offset
}

// replay takes so many bytes of what came in an earlier session. Refuses as add, and as whoever is read.
func (c *recordContent) replay(kept io.Reader, size uint64) error {
	slice := make([]byte, resumedBytes)
	for c.taken < size {
		if _, err := io.ReadFull(kept, slice); err != nil {
			return err
		}
		if _, err := c.add(slice); err != nil {
			return err
		}
	}
	return nil
}

// end refuses with RECORD_CUT_SHORT, PADDING_INVALID content that is not whole.
func (c *recordContent) end() error {
	if c.manifest == nil || c.taken < c.size {
		return refusal.New(refusal.RecordCutShort, "the record ends before its manifest says")
	}
	if c.taken != padded(c.size) {
		return refusal.New(refusal.PaddingInvalid, "the record is not padded to the size of its class")
	}
	return nil
}
