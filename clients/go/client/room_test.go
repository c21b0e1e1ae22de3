package client

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// practice is a registered doctor at home, whose room a patient of the vectors may enter.
type practice struct {
	*clinic
	doctor  *Doctor
	patient *protocol.Party
	sensed  []byte // B_P
}

func newPractice(t *testing.T) *practice {
	t.Helper()
	c := newClinic(t)
	c.cloud.member.home.Close()
	trust, err := json.Marshal(struct{ Statement, Signature []byte }{c.bundle.Statement, c.bundle.Signature})
	must(t, err)
	home, err := CreateHome(t.TempDir(), "D:chen", "", "a PIN", trust, nil)
	must(t, err)
	t.Cleanup(home.Close)
	c.enter(home)
	_, err = c.cloud.Refresh(t.Context())
	must(t, err)
	var cast struct {
		Parties struct{ Patient, Doctor actor }
	}
	vectors.ReadWhole(t, "parties.json", &cast)
	doctor := cast.Parties.Doctor.act(c, 1, pb.Role_ROLE_DOCTOR, "doctor") // S_X is in the store from now on
	home.state.KeyStatement, err = proto.Marshal(doctor.KeyStatement)
	must(t, err)
	home.state.Certificate = doctor.Certificate
	patient := cast.Parties.Patient.act(c, 0, pb.Role_ROLE_PATIENT, "patient")
	return &practice{c, &Doctor{Asker: Asker{Member: c.cloud.member, Cloud: c.cloud, Tell: c.tell}}, patient, cast.Parties.Patient.Evidence}
}

// room opens a room at this relay.
func (p *practice) room(at *relay) *Room {
	p.t.Helper()
	party, err := p.doctor.Member.Party()
	must(p.t, err)
	return &Room{
		Code:     Code{HospitalID: "H:alpha", Room: make([]byte, 16)},
		doctor:   p.doctor,
		party:    party,
		mailbox:  in(p.t, at),
		sessions: map[string]*protocol.AwaitingBiosignal{},
	}
}

// opening is P1 to the doctor.
func (p *practice) opening() *pb.RelayFrame {
	p.t.Helper()
	party, err := p.doctor.Member.Party()
	must(p.t, err)
	key := party.Keyring[0]
	addressed := &protocol.Peer{
		VerifiedParty: party.VerifiedParty,
		Certificate:   party.Certificate,
		EncryptionKey: &protocol.EncryptionKey{Owner: party.Identity, KeyID: key.KeyID, Key: key.EncryptionKey},
	}
	_, opening, err := protocol.BeginConsultation(p.patient, addressed, p.sensed, p.now, curve.SystemEntropy)
	must(p.t, err)
	return &pb.RelayFrame{Content: &pb.RelayFrame_Opening{Opening: opening}}
}

// lost is a store whose token is gone.
type lost struct{ keys.Store }

func (lost) Agreement(string) (keys.AgreementKey, error) {
	return nil, refusal.New(refusal.TokenUnavailable, "the token is gone")
}

func TestFaultOfTheDoctorsOwnEndsTheRoom(t *testing.T) {
	for name, tried := range map[string]struct {
		fault  func(*Home) error
		reason refusal.Reason
	}{
		"the token is gone": {func(home *Home) error { home.Store = lost{home.Store}; return nil }, refusal.TokenUnavailable},
		"nothing can be written": {
			func(home *Home) error { return os.Mkdir(home.path(replayFile), 0o700) }, refusal.ProfileUnusable,
		},
	} {
		p := newPractice(t)
		at := &relay{frames: []*pb.RelayFrame{p.opening()}}
		room := p.room(at)
		must(t, tried.fault(p.doctor.Member.home))
		if _, err := room.AwaitPatient(t.Context()); refusal.Outer(err) != tried.reason || len(p.said) > 0 {
			t.Errorf("%s: %v; said %q", name, err, p.said)
		}
		if answer := at.frames[len(at.frames)-1].GetRefusal(); !bytes.Equal(answer.GetSessionId(), sessionOf(at.frames[0])) {
			t.Errorf("%s: the patient got %v", name, at.frames[1:])
		}
	}
}

func TestRoomGoesOnThroughWhatPassesOrIsAnothersFault(t *testing.T) {
	p := newPractice(t)
	forged := proto.CloneOf(p.opening())
	forged.GetOpening().Sealed[0] ^= 1
	at := &relay{frames: []*pb.RelayFrame{forged, p.opening()}}
	room := p.room(at)
	_, err := room.AwaitPatient(t.Context())
	if !refusal.Is(err, refusal.NoSuchRoom) || len(room.sessions) != 1 || len(p.said) != 1 || !strings.Contains(p.said[0], "SEAL_INVALID") {
		t.Errorf("%v; %d sessions; said %q", err, len(room.sessions), p.said)
	}
	p.doctor.Member.grace = 0
	p.said, p.now, p.silence = nil, p.now+2000, []error{refused(codes.Unavailable, "UNAVAILABLE")}
	p.doctor.refreshAt = time.Time{}
	at = &relay{frames: []*pb.RelayFrame{p.anybodys()}}
	room.mailbox = in(t, at)
	if _, err := room.AwaitPatient(t.Context()); !refusal.Is(err, refusal.NoSuchRoom) || len(p.said) != 1 || !strings.Contains(p.said[0], "REVOCATION_LIST_STALE") {
		t.Errorf("%v; said %q", err, p.said)
	}
}

// anybodys is an opening that no key of the doctor opens.
func (p *practice) anybodys() *pb.RelayFrame {
	return &pb.RelayFrame{Content: &pb.RelayFrame_Opening{Opening: &pb.SealedOpening{
		Version: proto.Uint32(protocol.Version), SessionId: bytes.Repeat([]byte{1}, 16), KeyId: make([]byte, 16), Sealed: make([]byte, 2000), SentAt: proto.Uint64(p.now),
	}}}
}

func TestRoomIsClosedWhenNoListIsCurrentAnyMore(t *testing.T) {
	p := newPractice(t)
	at := &relay{}
	room := p.room(at)
	p.now, p.away = p.now+2*hour, true
	room.Close()
	if at.closed != 1 || len(p.said) > 0 {
		t.Errorf("closed %d times; said %q", at.closed, p.said)
	}
}
