package protocol

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// TestMessages holds the layers to every message, of the cloud's and the hospitals' side too: what its seal or frame is bound to, its
// padding, its plaintext by the field rules, and what its signature covers.
func TestMessages(t *testing.T) {
	w := newWorld(t)
	seals, frames, signatures := 0, 0, 0
	for name, vector := range w.messages {
		message := newMessage(t, vector.MessageType)
		if err := rules.Parse(vector.Message, message); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if vector.Seal != nil {
			seals++
			openedSeal(t, w, vector, message)
		}
		if vector.Frame != nil {
			frames++
			openedFrame(t, vector, message)
		}
		if vector.Signed != nil {
			signatures++
			covered := transcript.T(vector.Signed.Label, raw(vector.Signed.Fields)...)
			equal(t, name+" signed", covered, vector.Signed.Transcript)
			if !keys.Verify(vector.Signed.VerifyingKey, covered, vector.Signed.Signature) {
				t.Errorf("%s: its signature does not hold", name)
			}
		}
	}
	if seals == 0 || frames == 0 || signatures == 0 {
		t.Errorf("tried %d seals, %d frames, %d signatures", seals, frames, signatures)
	}
}

func openedSeal(t *testing.T, w *world, vector messageVector, message proto.Message) {
	t.Helper()
	equal(t, vector.Name+" info", vector.Seal.context().info(), vector.Seal.Info)
	into := newMessage(t, vector.PayloadType).(payload)
	plaintext, err := openPayload(into, sealedIn(message), w.keyOf(t, vector.Seal.KeyID), vector.Seal.context())
	if err != nil {
		t.Errorf("%s: %v", vector.Name, err)
	}
	equal(t, vector.Name+" plaintext", plaintext, vector.Plaintext)
	again, err := rules.Marshal(into)
	if err != nil {
		t.Errorf("%s: %v", vector.Name, err)
	}
	equal(t, vector.Name+" serialised", again, vector.Plaintext)
}

func openedFrame(t *testing.T, vector messageVector, message proto.Message) {
	t.Helper()
	frame := message.(interface {
		proto.Message
		GetSequence() uint64
		GetSessionId() []byte
		GetSentAt() uint64
		GetLast() bool
	})
	side := direction{frame.GetSessionId(), directionKeys{vector.Frame.Key, vector.Frame.IV}, frame.GetSequence()}
	equal(t, vector.Name+" nonce", side.nonce(), vector.Frame.Nonce)
	equal(t, vector.Name+" associated data", side.context(vector.Frame.Name, frame.GetSentAt(), frame.GetLast()), vector.Frame.AssociatedData)
	aead, err := side.aead()
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := aead.Open(nil, vector.Frame.Nonce, sealedIn(message), vector.Frame.AssociatedData)
	if err != nil {
		t.Errorf("%s: %v", vector.Name, err)
	}
	if !frame.GetLast() {
		equal(t, vector.Name+" slice", plaintext, vector.Plaintext)
		return
	}
	equal(t, vector.Name+" plaintext", plaintext, withZeros(transcript.Frame(vector.Plaintext)))
	if err := rules.Parse(vector.Plaintext, newMessage(t, vector.PayloadType)); err != nil {
		t.Errorf("%s: %v", vector.Name, err)
	}
}

func sealedIn(message proto.Message) []byte {
	return message.(interface{ GetSealed() []byte }).GetSealed()
}

// What the layers below a step's own checks decide.
var decidedByLayers = map[refusal.Reason]bool{
	refusal.SealInvalid: true, refusal.UnknownField: true, refusal.PaddingInvalid: true, refusal.TimeMismatch: true,
	refusal.MissingField: true, refusal.InvalidPoint: true,
}

// TestRefusalsOfSeals holds the layers to what a cloud or hospital must refuse by them.
func TestRefusalsOfSeals(t *testing.T) {
	w, tried := newWorld(t), 0
	for base, bent := range w.refusals {
		vector := w.messages[base]
		for _, each := range bent {
			if vector.Seal == nil || !others[base] || !decidedByLayers[refusal.Reason(each.Expect)] {
				continue
			}
			message := bend(t, vector, each)
			clear := message.(interface {
				GetSentAt() uint64
				GetSessionId() []byte
			})
			context := vector.Seal.context()
			context.sentAt, context.sessionID = clear.GetSentAt(), clear.GetSessionId()
			_, err := openPayload(newMessage(t, vector.PayloadType).(payload), sealedIn(message), w.keyOf(t, context.keyID), context)
			if string(refusal.Precise(err)) != each.Expect {
				t.Errorf("%s: %v", each.Name, err)
			}
			tried++
		}
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

// bend gives the message of a refusal: bent in one way.
func bend(t *testing.T, base messageVector, vector refusalVector) proto.Message {
	t.Helper()
	encoded := bytes.Clone(base.Message)
	if vector.Message != nil {
		encoded = vector.Message
	}
	if vector.FlipBit != nil {
		encoded[*vector.FlipBit/8] ^= 1 << (*vector.FlipBit % 8)
	}
	message := newMessage(t, base.MessageType)
	if err := proto.Unmarshal(encoded, message); err != nil {
		t.Fatalf("%s: %v", vector.Name, err)
	}
	for name, value := range vector.Set {
		field := message.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
		message.ProtoReflect().Set(field, setting(t, field, value))
	}
	return message
}

func setting(t *testing.T, field protoreflect.FieldDescriptor, value json.RawMessage) protoreflect.Value {
	t.Helper()
	switch field.Kind() {
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(read[hexBytes](t, value))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(read[uint64](t, value))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(read[uint32](t, value))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(read[bool](t, value))
	default:
		t.Fatalf("%s can't be set", field.FullName())
		return protoreflect.Value{}
	}
}

func read[V any](t *testing.T, value json.RawMessage) (into V) {
	t.Helper()
	if err := json.Unmarshal(value, &into); err != nil {
		t.Fatal(err)
	}
	return into
}
