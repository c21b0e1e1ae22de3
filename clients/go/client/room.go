package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

const (
	refusalFloor = 50 * time.Millisecond // no refusal before: how long a check took tells nothing (B9)
	answerStep   = 20 * time.Millisecond // when D1 leaves, from P1 on: how long a signature took tells nothing of its nonce
	mostSessions = 8                     // patients between P1 and P2 in one room; the oldest gives way
)

// Room is a doctor's open room at its hospital's relay, and who is between P1 and P2 in it.
type Room struct {
	Code     Code
	Duty     *access.Duty // where the doctor is on duty there
	doctor   *Doctor
	party    *protocol.Party // that opened it, and may close it whatever has become of its lists
	mailbox  *mailbox
	sessions map[string]*protocol.AwaitingBiosignal
	order    []string // of the sessions, the oldest first
	isNeeded bool     // the newest D5 lies in it, and no P6 has answered that
}

// Close closes the room, unless a diagnosis lies in it that the patient has not signed for: that one stays until the room goes by itself,
// hours later, as does a room whose relay does not answer now.
func (r *Room) Close() {
	defer r.mailbox.close()
	if r.isNeeded {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime) // also of a program that was told to end
	defer cancel()
	if err := r.closeAtRelay(ctx); err != nil {
		r.doctor.Tell("The room was not closed: " + refusal.Plain(err))
	}
}

func (r *Room) closeAtRelay(ctx context.Context) error {
	request, err := protocol.AskToClose(r.party, r.Code.HospitalID, r.Code.Room)
	if err != nil {
		return err
	}
	_, err = r.mailbox.service.CloseRoom(ctx, request)
	return err
}

// AwaitPatient answers who asks in the room until one patient is present: P1, D1, P2. Who is refused gets a SessionRefusal, and the room
// goes on waiting. Refuses with NO_ANSWER when the context's time is over, and with what fails on the doctor's own side.
func (r *Room) AwaitPatient(ctx context.Context) (*protocol.InConsultation, error) {
	for {
		frame, err := r.mailbox.next(ctx)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		present, err := r.take(ctx, frame)
		if present != nil {
			return present, nil
		}
		if err == nil {
			continue
		}
		if fault, isOwn := errors.AsType[*ownFault](err); isOwn {
			r.refuse(ctx, frame, began)
			return nil, fault.cause
		}
		r.doctor.Tell("Somebody was refused (" + string(refusal.Precise(err)) + "); still waiting.")
		if err := r.refuse(ctx, frame, began); err != nil {
			return nil, err
		}
	}
}

// ownFault is a fault of the doctor's own token, disk or credential: nobody in the room did it, and whoever asks next fares no better.
type ownFault struct{ cause error }

func (f *ownFault) Error() string { return f.cause.Error() }

// own marks an error as an own fault, unless it passes by itself.
func own(err error) error {
	if err == nil || IsPassing(err) {
		return err
	}
	return &ownFault{err}
}

func (r *Room) take(ctx context.Context, frame *pb.RelayFrame) (*protocol.InConsultation, error) {
	if frame.GetOpening() != nil {
		return nil, r.answer(ctx, frame.GetOpening())
	}
	if frame.GetFrame() != nil {
		return r.takeFrame(ctx, frame.GetFrame())
	}
	return nil, nil
}

// answer takes P1 and sends D1. The replay key is durable before anything is answered.
func (r *Room) answer(ctx context.Context, opening *pb.SealedOpening) error {
	name, member := string(opening.GetSessionId()), r.doctor.Member
	if r.sessions[name] != nil {
		return nil // a second P1 of that name changes nothing
	}
	heard := time.Now()
	if err := r.doctor.refresh(ctx); err != nil {
		return err
	}
	party, err := member.Party()
	if err != nil {
		return own(err)
	}
	now := member.clock()
	pending, err := protocol.ReceiveOpening(party, opening, member.Verifier(), now)
	if err != nil {
		return err
	}
	inserted, err := member.home.admit(pending.ReplayKey, now, pending.KeepUntil)
	if err != nil {
		return own(err)
	}
	asked, err := pending.Admit(inserted)
	if err != nil {
		return err
	}
	state, reply, err := asked.Reply(member.clock(), member.entropy)
	if err != nil {
		return err
	}
	for len(r.order) >= mostSessions {
		delete(r.sessions, r.order[0])
		r.order = r.order[1:]
	}
	r.sessions[name], r.order = state, append(r.order, name)
	time.Sleep(answerStep - time.Since(heard)%answerStep)
	return r.mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Reply{Reply: reply}})
}

// takeFrame takes a frame of P2; the last one makes the patient present. One that does not open, or is not the next, is somebody else's and
// is passed over; any other fault ends the session.
func (r *Room) takeFrame(ctx context.Context, frame *pb.SessionFrame) (*protocol.InConsultation, error) {
	name := string(frame.GetSessionId())
	state := r.sessions[name]
	if state == nil {
		return nil, nil
	}
	if frame.GetLast() {
		r.doctor.refresh(ctx) // whatever the cloud answers, the lists at hand decide
	}
	next, present, err := state.Receive(frame, r.doctor.onDuty(ctx), r.doctor.Member.Verifier(), r.doctor.Member.clock())
	switch {
	case err == nil && present != nil:
		clear(r.sessions)
		return present, nil
	case err == nil:
		r.sessions[name] = next
		return nil, nil
	case refusal.Precise(err) == refusal.SealInvalid || refusal.Precise(err) == refusal.OutOfOrder:
		return nil, nil
	default:
		delete(r.sessions, name)
		return nil, err
	}
}

func (r *Room) refuse(ctx context.Context, frame *pb.RelayFrame, began time.Time) error {
	sessionID := sessionOf(frame)
	if len(sessionID) != 16 {
		return nil
	}
	time.Sleep(time.Until(began.Add(refusalFloor)))
	told := &pb.SessionRefusal{SessionId: sessionID, SentAt: proto.Uint64(r.doctor.Member.clock())}
	return r.mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Refusal{Refusal: told}})
}

// Code is the doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4).
//
//	medunion://<host:port>/<hospital label>/<room>/<digest>/<check>
//
// Room (16 bytes), digest (32 bytes) and check (3 bytes, of the SHA-256 of all before its slash) are base64url without padding. There is
// one spelling, and what is mistyped is refused before anybody is dialled.
type Code struct {
	Address, HospitalID string
	Room                []byte
	Digest              []byte // protocol.CodeDigest
}

var codeForm = regexp.MustCompile(`\Amedunion://([^/]+)/([^/]+)/([A-Za-z0-9_-]{22})/([A-Za-z0-9_-]{43})/[A-Za-z0-9_-]{4}\z`)

// ParseCode reads a code; white space around it is no part of it. Refuses with CODE_INVALID.
func ParseCode(text string) (Code, error) {
	text = strings.TrimSpace(text)
	parts := codeForm.FindStringSubmatch(text)
	if parts == nil {
		return Code{}, refusal.New(refusal.CodeInvalid, "a doctor's code reads medunion://address/hospital/room/digest/check")
	}
	room, roomErr := base64.RawURLEncoding.DecodeString(parts[3])
	digest, digestErr := base64.RawURLEncoding.DecodeString(parts[4])
	code := Code{parts[1], "H:" + parts[2], room, digest}
	wellFormed := roomErr == nil && digestErr == nil &&
		rules.Matches(pb.Kind_KIND_ADDRESS, code.Address) && rules.Matches(pb.Kind_KIND_HOSPITAL_ID, code.HospitalID)
	if !wellFormed || code.String() != text {
		return Code{}, refusal.New(refusal.CodeInvalid, "this doctor's code is mistyped or damaged: look at it again, or ask for it again")
	}
	return code, nil
}

// String writes the code. Whoever has it may ask for the doctor.
func (c Code) String() string {
	encode := base64.RawURLEncoding.EncodeToString
	text := "medunion://" + c.Address + "/" + c.HospitalID[2:] + "/" + encode(c.Room) + "/" + encode(c.Digest)
	check := sha256.Sum256([]byte(text))
	return text + "/" + encode(check[:3])
}
