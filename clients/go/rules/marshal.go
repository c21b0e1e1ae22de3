package rules

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"medunion.example/clients/go/refusal"
)

// Marshal checks a message of our own and gives its bytes, its fields in the order of their numbers at every depth. Any order would be
// accepted; this one makes the same bytes as the known answers, where Go's library puts a oneof last.
func Marshal(message proto.Message) ([]byte, error) {
	if err := Check(message); err != nil {
		return nil, err
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, refusal.Because(err, refusal.MalformedMessage, "a message of our own can't be serialised")
	}
	return ordered(message.ProtoReflect().Descriptor(), encoded), nil
}

type field struct {
	number  protowire.Number
	kind    protowire.Type
	encoded []byte
}

func ordered(described protoreflect.MessageDescriptor, encoded []byte) []byte {
	var fields []field
	for rest := encoded; len(rest) > 0; {
		number, kind, size := protowire.ConsumeField(rest)
		if size < 0 {
			panic(protowire.ParseError(size)) // the library's own output
		}
		fields = append(fields, field{number, kind, rest[:size]})
		rest = rest[size:]
	}
	slices.SortStableFunc(fields, func(a, b field) int { return int(a.number) - int(b.number) })
	sorted := make([]byte, 0, len(encoded))
	for _, each := range fields {
		inner := described.Fields().ByNumber(each.number).Message()
		if inner == nil {
			sorted = append(sorted, each.encoded...)
			continue
		}
		content, _ := protowire.ConsumeBytes(each.encoded[protowire.SizeTag(each.number):])
		sorted = protowire.AppendTag(sorted, each.number, each.kind)
		sorted = protowire.AppendBytes(sorted, ordered(inner, content))
	}
	return sorted
}
