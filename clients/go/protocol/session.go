package protocol

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"iter"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const (
	sliceSize  = 512 * 1024
	mostSlices = 1024 // of content that is held in memory until it is whole
)

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

// open opens the next frame. Refuses with SESSION_UNKNOWN, OUT_OF_ORDER, SEAL_INVALID, and as rules.Check.
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
	d.sequence++
	return d, plaintext, nil
}

// openMessage opens a message that is one frame, and requires the T inside to be the T outside.
func (d direction) openMessage(name string, frame *pb.SessionFrame, into payload) (direction, error) {
	next, plaintext, err := d.open(name, frame)
	if err != nil {
		return d, err
	}
	if !frame.GetLast() {
		return d, refusal.New(refusal.OutOfOrder, "%s is one frame", name)
	}
	if err := rules.Parse(plaintext, into); err != nil {
		return d, err
	}
	return next, requireSameTime(into.GetSentAt(), frame.GetSentAt())
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

// sealLong gives the frames of long content: its slices, none empty, and then the message that signs it (docs/adr/0011).
func (d direction) sealLong(name string, content, message []byte, sentAt Instant) iter.Seq2[*pb.SessionFrame, error] {
	return func(yield func(*pb.SessionFrame, error) bool) {
		for len(content) > 0 {
			size := min(sliceSize, len(content))
			next, frame, err := d.seal(name, content[:size], false, sentAt)
			if !yield(frame, err) || err != nil {
				return
			}
			d, content = next, content[size:]
		}
		_, frame, err := d.seal(name, message, true, sentAt)
		yield(frame, err)
	}
}

// framesOf says how many frames sealLong makes.
func framesOf(content []byte) uint64 { return uint64((len(content)+sliceSize-1)/sliceSize) + 1 }
