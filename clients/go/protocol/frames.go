package protocol

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const (
	sliceSize      = 64 * 1024 // four seconds on a line of 128 kbit/s: a slice is fresh, and comes in a call's time
	mostSlice      = 1024 * 1024
	mostSlices     = 1024 // of content that is held in memory until it is whole
	smallestPadded = 2048
)

// padded gives the size to which n bytes under a session's key are padded: above 2,048 that of Padmé, at most 12 % more.
func padded(n uint64) uint64 {
	if n <= smallestPadded {
		return smallestPadded
	}
	exponent := bits.Len64(n) - 1
	step := uint64(1) << (exponent - bits.Len(uint(exponent)))
	return (n + step - 1) / step * step
}

// withZeros gives content || zeros, padded(its size) bytes in all.
func withZeros(content []byte) []byte {
	size := int(padded(uint64(len(content))))
	return append(slices.Grow(slices.Clip(content), size-len(content)), make([]byte, size-len(content))...)
}

// unpadContent gives the size bytes of content || zeros. Refuses with PADDING_INVALID what is not exactly that.
func unpadContent(received []byte, size uint64) ([]byte, error) {
	if size > uint64(len(received)) {
		return nil, refusal.New(refusal.PaddingInvalid, "the content is shorter than its message says")
	}
	return received[:size:size], requireZeros(received[size:], size)
}

// requireZeros refuses with PADDING_INVALID what is not the padding of size bytes, all of it.
func requireZeros(padding []byte, size uint64) error {
	if uint64(len(padding)) != padded(size)-size {
		return refusal.New(refusal.PaddingInvalid, "%d bytes are not padded to the size of their class", size)
	}
	return requireAllZero(padding)
}

// direction is one direction of a session, E_SEK, and the sequence of its next frame: it starts at 0 and must be exactly the next
// (B12). It is a value: a step that fails has changed nothing.
type direction struct {
	sessionID []byte
	keys      directionKeys
	sequence  uint64
}

// seal seals the next frame: AES-256-GCM, nonce = iv xor the 12-byte big-endian sequence, associated data T(name, session id,
// sequence, T, last).
func (d direction) seal(name string, plaintext []byte, last bool, sentAt Instant) (direction, *pb.SessionFrame, error) {
	aead, err := d.aead()
	if err != nil {
		return d, nil, err
	}
	frame := &pb.SessionFrame{
		SessionId: d.sessionID,
		Sequence:  proto.Uint64(d.sequence),
		Last:      proto.Bool(last),
		Sealed:    aead.Seal(nil, d.nonce(), plaintext, d.context(name, sentAt, last)),
		SentAt:    proto.Uint64(sentAt),
	}
	d.sequence++
	return d, frame, nil
}

// open opens the next frame. Refuses with SESSION_UNKNOWN, OUT_OF_ORDER, SEAL_INVALID, with FIELD_INVALID and MESSAGE_TOO_LARGE a slice of no
// bytes or of more than 1 MiB, and as rules.Check.
func (d direction) open(name string, frame *pb.SessionFrame) (direction, []byte, error) {
	if err := rules.Check(frame); err != nil {
		return d, nil, err
	}
	if !bytes.Equal(frame.GetSessionId(), d.sessionID) {
		return d, nil, refusal.New(refusal.SessionUnknown, "the frame belongs to another session")
	}
	if frame.GetSequence() != d.sequence {
		return d, nil, refusal.New(refusal.OutOfOrder, "frame %d came where %d is next", frame.GetSequence(), d.sequence)
	}
	aead, err := d.aead()
	if err != nil {
		return d, nil, err
	}
	plaintext, err := aead.Open(nil, d.nonce(), frame.GetSealed(), d.context(name, frame.GetSentAt(), frame.GetLast()))
	if err != nil {
		return d, nil, refusal.New(refusal.SealInvalid, "the frame does not open")
	}
	if !frame.GetLast() {
		if err := requireSlice(plaintext); err != nil {
			return d, nil, err
		}
	}
	d.sequence++
	return d, plaintext, nil
}

func requireSlice(plaintext []byte) error {
	if len(plaintext) == 0 {
		return refusal.New(refusal.FieldInvalid, "a slice is empty")
	}
	if len(plaintext) > mostSlice {
		return refusal.New(refusal.MessageTooLarge, "a slice has %d bytes of %d", len(plaintext), mostSlice)
	}
	return nil
}

// sealMessage seals the frame with last = 1: F(message) || zeros.
func (d direction) sealMessage(name string, message []byte, sentAt Instant) (*pb.SessionFrame, error) {
	_, frame, err := d.seal(name, withZeros(transcript.Frame(message)), true, sentAt)
	return frame, err
}

// parseLast reads the plaintext of a frame with last = 1, and requires the T inside to be the T outside. Refuses with PADDING_INVALID,
// TIME_MISMATCH, and as rules.Parse.
func parseLast(plaintext []byte, frame *pb.SessionFrame, into payload) error {
	encoded, padding, err := unframe(plaintext)
	if err != nil {
		return err
	}
	if err := requireZeros(padding, uint64(len(plaintext)-len(padding))); err != nil {
		return err
	}
	if err := rules.Parse(encoded, into); err != nil {
		return err
	}
	return requireSameTime(into.GetSentAt(), frame.GetSentAt())
}

// openMessage opens a message that is one frame.
func (d direction) openMessage(name string, frame *pb.SessionFrame, into payload) (direction, error) {
	next, plaintext, err := d.open(name, frame)
	if err != nil {
		return d, err
	}
	if !frame.GetLast() {
		return d, refusal.New(refusal.OutOfOrder, "%s is one frame", name)
	}
	return next, parseLast(plaintext, frame, into)
}

func (d direction) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(d.keys.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (d direction) nonce() []byte {
	nonce := append([]byte(nil), d.keys.iv...)
	low := nonce[len(nonce)-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^d.sequence)
	return nonce
}

func (d direction) context(name string, sentAt Instant, last bool) []byte {
	ends := uint64(0)
	if last {
		ends = 1
	}
	return transcript.T(name, d.sessionID, transcript.U64(d.sequence), transcript.U64(sentAt), transcript.U64(ends))
}

// sealLong gives the frames of long content: slices of content || zeros, and then the message that signs it (docs/adr/0011).
func (d direction) sealLong(name string, content, message []byte, sentAt Instant) iter.Seq2[*pb.SessionFrame, error] {
	return func(yield func(*pb.SessionFrame, error) bool) {
		for slice := range slices.Chunk(withZeros(content), sliceSize) {
			next, frame, err := d.seal(name, slice, false, sentAt)
			if !yield(frame, err) || err != nil {
				return
			}
			d = next
		}
		yield(d.sealMessage(name, message, sentAt))
	}
}

// framesOf says how many frames sealLong makes of so many bytes.
func framesOf(size int) uint64 { return (padded(uint64(size))+sliceSize-1)/sliceSize + 1 }
