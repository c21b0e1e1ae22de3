package client

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// spool holds a record on its way in: encrypted under a key that is in memory alone, in a file that has no name any more. Nothing of it
// is shown before the record's last frame has verified (C8).
type spool struct {
	file   *os.File
	aead   cipher.AEAD
	chunks uint64
	size   uint64 // of what was written
	left   []byte // of it, not in the file yet
}

const spoolChunk = 64 * 1024 // at least, so that slices of a byte do not grow on the disk

func newSpool(directory string, entropy curve.Entropy) (*spool, error) {
	file, err := os.CreateTemp(directory, "spool-*")
	if err != nil {
		return nil, refusal.Because(err, refusal.ProfileUnusable, "no record can be spooled")
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, refusal.Because(err, refusal.ProfileUnusable, "no record can be spooled")
	}
	key := entropy(32)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &spool{file: file, aead: aead}, err
}

// Write adds a slice of a record. Refuses with STORE_FULL, PROFILE_UNUSABLE.
func (s *spool) Write(slice []byte) (int, error) {
	s.left, s.size = append(s.left, slice...), s.size+uint64(len(slice))
	if len(s.left) < spoolChunk {
		return len(slice), nil
	}
	return len(slice), s.flush()
}

// flush adds a chunk: u32be(size) || ciphertext || tag; its number is its nonce, for the key is this spool's alone.
func (s *spool) flush() error {
	chunk := s.left
	s.left = nil
	defer clear(chunk)
	sealed := s.aead.Seal(nil, s.nonce(s.chunks), chunk, nil)
	s.chunks++
	framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))), sealed...)
	if _, err := s.file.Write(framed); err != nil {
		return unwritten(err, refusal.ProfileUnusable, "the record can't be spooled")
	}
	return nil
}

// unwritten says why something could not be written: STORE_FULL, or for the reason given.
func unwritten(err error, reason refusal.Reason, sentence string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return refusal.Because(err, refusal.StoreFull, "%s: the disk is full", sentence)
	}
	return refusal.Because(err, reason, "%s", sentence)
}

// reader reads what was written, from its beginning; one reader at a time.
func (s *spool) reader() (io.Reader, error) {
	if len(s.left) > 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return &spoolReader{spool: s}, nil
}

func (s *spool) close() { s.file.Close() }

func (s *spool) nonce(number uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, s.aead.NonceSize()-8), number)
}

type spoolReader struct {
	spool *spool
	next  uint64
	left  bytes.Reader
}

func (r *spoolReader) Read(into []byte) (int, error) {
	for r.left.Len() == 0 {
		if r.next == r.spool.chunks {
			return 0, io.EOF
		}
		var size [4]byte
		if _, err := io.ReadFull(r.spool.file, size[:]); err != nil {
			return 0, errors.Join(io.ErrUnexpectedEOF, err)
		}
		sealed := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r.spool.file, sealed); err != nil {
			return 0, errors.Join(io.ErrUnexpectedEOF, err)
		}
		chunk, err := r.spool.aead.Open(nil, r.spool.nonce(r.next), sealed, nil)
		if err != nil {
			return 0, refusal.New(refusal.SealInvalid, "the spooled record was altered")
		}
		r.next++
		r.left.Reset(chunk)
	}
	return r.left.Read(into)
}

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
