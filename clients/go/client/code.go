package client

import (
	"encoding/base64"
	"regexp"
	"strings"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

// Code is the doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4).
//
//	medunion://<host:port>/<hospital label>/<room>/<digest>
//
// Room (16 bytes) and digest (32 bytes) are base64url without padding. There is one spelling.
type Code struct {
	Address, HospitalID string
	Room                []byte
	Digest              []byte // protocol.CodeDigest
}

var codeForm = regexp.MustCompile(`\Amedunion://([^/]+)/([^/]+)/([A-Za-z0-9_-]{22})/([A-Za-z0-9_-]{43})\z`)

// ParseCode reads a code; white space around it is no part of it. Refuses with CODE_INVALID.
func ParseCode(text string) (Code, error) {
	text = strings.TrimSpace(text)
	parts := codeForm.FindStringSubmatch(text)
	if parts == nil {
		return Code{}, refusal.New(refusal.CodeInvalid, "a doctor's code reads medunion://address/hospital/room/digest")
	}
	room, roomErr := base64.RawURLEncoding.DecodeString(parts[3])
	digest, digestErr := base64.RawURLEncoding.DecodeString(parts[4])
	code := Code{parts[1], "H:" + parts[2], room, digest}
	wellFormed := roomErr == nil && digestErr == nil &&
		rules.Matches(pb.Kind_KIND_ADDRESS, code.Address) && rules.Matches(pb.Kind_KIND_HOSPITAL_ID, code.HospitalID)
	if !wellFormed || code.String() != text {
		return Code{}, refusal.New(refusal.CodeInvalid, "this doctor's code is damaged")
	}
	return code, nil
}

// String writes the code. Whoever has it may ask for the doctor.
func (c Code) String() string {
	encode := base64.RawURLEncoding.EncodeToString
	return "medunion://" + c.Address + "/" + c.HospitalID[2:] + "/" + encode(c.Room) + "/" + encode(c.Digest)
}
