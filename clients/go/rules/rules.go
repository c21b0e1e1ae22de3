// Package rules enforces the field rules of protos/federation/v1/rules.proto, read from the messages' own descriptors at run
// time. Every message is parsed by them, sealed payloads included, and every message is checked by them before it is sent.
//
// Presence is explicit: a missing field is refused unless its rule says that it may be absent; an unknown field is refused at any
// depth. Received points are checked here too, so that no later step can forget (B6).
package rules

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

const (
	name  = `[A-Za-z0-9._-]{1,64}`
	label = `[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?`
	class = `[a-z][a-z0-9-]{0,31}`

	longestHost = 253
	lastTime    = 253_402_300_799_999 // the last millisecond of the year 9999 (RFC 3339)
)

var forms = map[pb.Kind]func(string) bool{
	pb.Kind_KIND_PATIENT_ID:              form(`P:` + name),
	pb.Kind_KIND_DOCTOR_ID:               form(`D:` + name),
	pb.Kind_KIND_HOSPITAL_ID:             form(`H:` + label),
	pb.Kind_KIND_CLOUD_ID:                form(`C:` + label),
	pb.Kind_KIND_AUTHORITY_ID:            form(`M:` + name),
	pb.Kind_KIND_PARTY_ID:                form(`[PD]:` + name + `|[HC]:` + label),
	pb.Kind_KIND_DEPARTMENT_CLASS:        form(class),
	pb.Kind_KIND_DEPARTMENT_CLASS_OR_ANY: form(class + `|\*`),
	pb.Kind_KIND_DEPARTMENT_ID:           form(`H:` + label + `/` + class + `(?:\.[a-z0-9-]{1,32})?`),
	pb.Kind_KIND_HOSPITAL_ID_OR_ANY:      form(`H:` + label + `|\*`),
	pb.Kind_KIND_ADDRESS:                 isAddress,
	pb.Kind_KIND_DOCTOR_SCOPE:            form(`D:(?:` + name + `|[A-Za-z0-9._-]{0,63}\*)`),
}

// RFC 1123, section 2.1; the last label begins with a letter, so that no name is a number (RFC 3696, section 2).
var isHostName = form(`(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?`)

var sizes = map[pb.Kind]int{
	pb.Kind_KIND_POINT:              curve.PointSize,
	pb.Kind_KIND_REGISTRATION_POINT: curve.PointSize,
	pb.Kind_KIND_SIGNATURE:          64,
	pb.Kind_KIND_DIGEST:             32,
	pb.Kind_KIND_ID16:               16,
	pb.Kind_KIND_BYTES32:            32,
	pb.Kind_KIND_VERIFYING_KEY:      curve.VerifyingKeySize,
	pb.Kind_KIND_ENCAPSULATION_KEY:  1249,
}

var points = map[pb.Kind]func([]byte) error{
	pb.Kind_KIND_POINT:              curve.RequirePoint,
	pb.Kind_KIND_REGISTRATION_POINT: curve.RequireRegistrationPoint,
	pb.Kind_KIND_VERIFYING_KEY:      curve.RequireVerifyingKey,
}

func form(pattern string) func(string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString
}

// isAddress says whether text is host:port and nothing else: whatever a resolver would take for another scheme is none.
func isAddress(text string) bool {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return false
	}
	host, port := text[:colon], text[colon+1:]
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0 && port[0] != '0' && isHost(host)
}

func isHost(host string) bool {
	if inner, isBracketed := strings.CutPrefix(host, "["); isBracketed {
		inner, isClosed := strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return isClosed && err == nil && address.Is6() && address.Zone() == ""
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Is4()
	}
	return len(host) <= longestHost && isHostName(host)
}

// Parse reads a payload or statement into an empty message, and checks it. Refuses with MESSAGE_TOO_LARGE, MALFORMED_MESSAGE, and
// as Check.
func Parse(encoded []byte, into proto.Message) error {
	described := into.ProtoReflect().Descriptor()
	if most := int(PayloadRule(described).GetMaxSize()); most > 0 && len(encoded) > most {
		return refusal.New(refusal.MessageTooLarge, "%s has %d bytes of %d", described.Name(), len(encoded), most)
	}
	if err := proto.Unmarshal(encoded, into); err != nil {
		return refusal.Because(err, refusal.MalformedMessage, "not a %s", described.Name())
	}
	return Check(into)
}

// Check holds a message to its rules at every depth. Refuses with UNKNOWN_FIELD, MISSING_FIELD, FIELD_INVALID, MESSAGE_TOO_LARGE,
// INVALID_POINT.
func Check(message proto.Message) error { return checker{}.message(message.ProtoReflect()) }

// CheckOuter is Check for an RPC's own message, which may gain fields: one that is not known here is passed over.
func CheckOuter(message proto.Message) error {
	return checker{passesUnknown: true}.message(message.ProtoReflect())
}

// Matches says whether text has the form of a kind of identity, department or address.
func Matches(kind pb.Kind, text string) bool {
	fits, known := forms[kind]
	return known && fits(text)
}

// PayloadRule gives the rule of a sealed payload; empty for a message that has none.
func PayloadRule(described protoreflect.MessageDescriptor) *pb.PayloadRule {
	rule, _ := proto.GetExtension(described.Options(), pb.E_Payload).(*pb.PayloadRule)
	return rule
}

var known sync.Map // protoreflect.FullName -> *pb.FieldRule: reading an option by reflection takes longer than the check

func ruleOf(field protoreflect.FieldDescriptor) *pb.FieldRule {
	if found, ok := known.Load(field.FullName()); ok {
		return found.(*pb.FieldRule)
	}
	rule, _ := proto.GetExtension(field.Options(), pb.E_Rule).(*pb.FieldRule)
	known.Store(field.FullName(), rule)
	return rule
}

type checker struct{ passesUnknown bool }

func (c checker) message(message protoreflect.Message) error {
	described := message.Descriptor()
	if !message.IsValid() { // a nil message in a field that is set
		return refusal.New(refusal.MissingField, "%s is missing", described.FullName())
	}
	if len(message.GetUnknown()) > 0 && !c.passesUnknown {
		return refusal.New(refusal.UnknownField, "%s has a field that its definition does not have", described.Name())
	}
	fields := described.Fields()
	for i := range fields.Len() {
		if err := c.field(message, fields.Get(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) field(message protoreflect.Message, field protoreflect.FieldDescriptor) error {
	rule := ruleOf(field)
	switch {
	case field.IsList():
		return c.list(field, rule, message.Get(field).List())
	case message.Has(field):
		return c.value(field, rule, message.Get(field))
	case rule.GetMayBeAbsent() || inRealOneof(field):
		return nil
	default:
		return refusal.New(refusal.MissingField, "%s is missing", field.FullName())
	}
}

// inRealOneof says whether presence is the oneof's affair and not that of `optional`.
func inRealOneof(field protoreflect.FieldDescriptor) bool {
	oneof := field.ContainingOneof()
	return oneof != nil && !oneof.IsSynthetic()
}

func (c checker) list(field protoreflect.FieldDescriptor, rule *pb.FieldRule, list protoreflect.List) error {
	if list.Len() > int(rule.GetMaxItems()) {
		return refusal.New(refusal.FieldInvalid, "%s has more than %d elements", field.FullName(), rule.GetMaxItems())
	}
	for i := range list.Len() {
		if err := c.value(field, rule, list.Get(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) value(field protoreflect.FieldDescriptor, rule *pb.FieldRule, value protoreflect.Value) error {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return c.message(value.Message())
	case protoreflect.EnumKind:
		if number := value.Enum(); number == 0 || field.Enum().Values().ByNumber(number) == nil {
			return refusal.New(refusal.FieldInvalid, "%s has a value that its definition does not have", field.FullName())
		}
	case protoreflect.StringKind:
		return checkText(field, rule, value.String())
	case protoreflect.BytesKind:
		return checkBytes(field, rule, value.Bytes())
	case protoreflect.Uint64Kind:
		if rule.GetKind() == pb.Kind_KIND_TIME && value.Uint() > lastTime {
			return refusal.New(refusal.FieldInvalid, "%s is later than the year 9999", field.FullName())
		}
	}
	return nil
}

func checkText(field protoreflect.FieldDescriptor, rule *pb.FieldRule, text string) error {
	for _, char := range text {
		if char > 0x7f {
			return refusal.New(refusal.FieldInvalid, "%s is not ASCII", field.FullName())
		}
	}
	if err := checkSize(field, rule, len(text)); err != nil {
		return err
	}
	if fits, has := forms[rule.GetKind()]; has && !fits(text) {
		return refusal.New(refusal.FieldInvalid, "%s has not the form of its kind", field.FullName())
	}
	return nil
}

func checkBytes(field protoreflect.FieldDescriptor, rule *pb.FieldRule, value []byte) error {
	if err := checkSize(field, rule, len(value)); err != nil {
		return err
	}
	if size := len(value); rule.GetKind() == pb.Kind_KIND_SESSION_ID && size != 0 && size != 16 {
		return refusal.New(refusal.FieldInvalid, "%s has %d bytes", field.FullName(), size)
	}
	if require, has := points[rule.GetKind()]; has {
		if err := require(value); err != nil {
			return refusal.Because(err, refusal.InvalidPoint, "%s", field.FullName())
		}
	}
	return nil
}

func checkSize(field protoreflect.FieldDescriptor, rule *pb.FieldRule, size int) error {
	if most := int(rule.GetMaxSize()); most > 0 && size > most {
		return refusal.New(refusal.MessageTooLarge, "%s has %d bytes of %d", field.FullName(), size, most)
	}
	if exact, has := sizes[rule.GetKind()]; has && size != exact {
		return refusal.New(refusal.FieldInvalid, "%s has %d bytes", field.FullName(), size)
	}
	return nil
}
