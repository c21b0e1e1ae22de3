package client

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// consenting is a registered patient in front of the doctor's room.
type consenting struct {
	*practice
	patient *Patient
	relay   *relay
	code    Code
}

func newConsenting(t *testing.T) *consenting {
	t.Helper()
	p := newPractice(t) // for the doctor's side; the patient's home is another
	doctor, err := p.doctor.Member.Party()
	must(t, err)
	visitor := newClinic(t)
	visitor.register()
	_, err = visitor.cloud.Refresh(t.Context())
	must(t, err)
	p.clinic = visitor
	key, err := visitor.cloud.member.Verifier().EncryptionKey(statementOf(t, "ek of the doctor"), doctor.VerifiedParty, visitor.now)
	must(t, err)
	room := &pb.GetRoomResponse{
		KeyStatement:              doctor.KeyStatement,
		DoctorCertificate:         doctor.Certificate,
		EncryptionKeyStatement:    key.Statement,
		Revocations:               &pb.RevocationExcerpt{Head: visitor.sign("rl", visitor.cloud.member.lists.Head())},
		CertificateRevocationList: visitor.crls[0],
		Duty:                      dutyOf(t),
	}
	code := Code{"alpha.example:443", "H:alpha", make([]byte, 16), protocol.CodeDigest(doctor.KeyStatement, doctor.Certificate)}
	patient := &Patient{Asker: Asker{Member: visitor.cloud.member, Cloud: visitor.cloud, Tell: visitor.tell}}
	return &consenting{p, patient, &relay{room: room}, code}
}

func dutyOf(t *testing.T) *pb.ShownDuty {
	return &pb.ShownDuty{Duty: statementOf(t, "duty"), KeyStatement: statementOf(t, "ks of the hospital")}
}

func (c *consenting) look() (*RoomView, error) {
	return c.patient.view(c.t.Context(), in(c.t, c.relay), c.code)
}

func TestLookShowsWhoIsThereAndOnDuty(t *testing.T) {
	c := newConsenting(t)
	seen, err := c.look()
	must(t, err)
	if seen.Doctor.Identity != "D:chen" || seen.Doctor.AuthorityID != "M:chamber" || seen.Duty.HospitalID != "H:alpha" ||
		!slices.Equal(seen.Duty.DepartmentClasses, []string{"cardiology"}) {
		t.Errorf("seen are %v, %v", seen.Doctor, seen.Duty)
	}
	must(t, seen.requireSame(seen))
	for name, tried := range map[string]struct {
		bend   func(*consenting)
		reason refusal.Reason
	}{
		"a code of another hospital": {func(c *consenting) { c.code.HospitalID = "H:other" }, refusal.DutyInvalid},
		"a code of another doctor":   {func(c *consenting) { c.code.Digest = make([]byte, 32) }, refusal.IdentityMismatch},
		"a forged duty":              {func(c *consenting) { c.relay.room.Duty.Duty.Signature[0] ^= 1 }, refusal.DutyInvalid},
		"no duty":                    {func(c *consenting) { c.relay.room.Duty = nil }, refusal.MissingField},
		"a duty by a patient":        {func(c *consenting) { c.relay.room.Duty.KeyStatement = statementOf(t, "ks of the patient") }, refusal.CredentialInvalid},
	} {
		room, code := proto.CloneOf(c.relay.room), c.code
		tried.bend(c)
		if _, err := c.look(); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
		c.relay.room, c.code = room, code
	}
}

func TestRoomThatIsNotWhatWasLookedAtIsNotEntered(t *testing.T) {
	c := newConsenting(t)
	seen, err := c.look()
	must(t, err)
	elsewhere, other, certified := *seen, *seen, *seen
	elsewhere.Duty = &access.Duty{HospitalID: "H:alpha", DepartmentClasses: []string{"neurology"}}
	stranger := *seen.Doctor.VerifiedParty
	stranger.KeyStatement = statementOf(t, "ks of the patient")
	other.Doctor = &protocol.Peer{VerifiedParty: &stranger, Certificate: seen.Doctor.Certificate}
	certified.Doctor = &protocol.Peer{VerifiedParty: seen.Doctor.VerifiedParty, Certificate: []byte("another")}
	for name, now := range map[string]*RoomView{"elsewhere": &elsewhere, "another doctor": &other, "another Cert_D": &certified} {
		if err := now.requireSame(seen); !refusal.Is(err, refusal.RoomChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keeping is consent to keep the record of a visit.
var keeping = protocol.Terms{
	Hospitals: []string{"H:alpha"}, DepartmentClasses: []string{"cardiology"}, Rights: []pb.Right{pb.Right_RIGHT_WRITE},
	HighestSensitivity: pb.Sensitivity_SENSITIVITY_NORMAL, Purpose: "consultation", Life: time.Hour,
}

func TestConsentIsOfUseBeforeItIsSigned(t *testing.T) {
	c := newConsenting(t)
	seen, err := c.look()
	must(t, err)
	long := keeping
	long.Life = access.LongestGrant + time.Millisecond
	for name, tried := range map[string]struct {
		offer  *Offer
		reason refusal.Reason
	}{
		"none":                     {nil, ""},
		"for the doctor":           {&Offer{access.ToDoctor{DoctorID: "D:chen", AuthorityID: "M:chamber"}, keeping}, ""},
		"for its department":       {&Offer{access.ToDepartment{HospitalID: "H:alpha", DepartmentClass: "cardiology"}, keeping}, ""},
		"for its hospital":         {&Offer{access.ToHospital{HospitalID: "H:alpha"}, keeping}, ""},
		"for another doctor":       {&Offer{access.ToDoctor{DoctorID: "D:other", AuthorityID: "M:chamber"}, keeping}, refusal.GrantInvalid},
		"by another authority":     {&Offer{access.ToDoctor{DoctorID: "D:chen", AuthorityID: "M:clinic"}, keeping}, refusal.GrantInvalid},
		"for another department":   {&Offer{access.ToDepartment{HospitalID: "H:alpha", DepartmentClass: "neurology"}, keeping}, refusal.DutyInvalid},
		"for another hospital":     {&Offer{access.ToHospital{HospitalID: "H:other"}, keeping}, refusal.DutyInvalid},
		"for longer than it may":   {&Offer{access.ToHospital{HospitalID: "H:alpha"}, long}, refusal.GrantInvalid},
		"for nobody that is known": {&Offer{nil, keeping}, refusal.GrantInvalid},
	} {
		if err := c.patient.RequireUse(tried.offer, seen); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
		if _, err := c.patient.Visit(t.Context(), seen, nil, tried.offer, 0); tried.reason != "" && refusal.Outer(err) != tried.reason {
			t.Errorf("a visit %s: %v, not %s", name, err, tried.reason)
		}
	}
}

func TestConsentsAreKeptAndTakenBack(t *testing.T) {
	c := newConsenting(t)
	party, err := c.patient.Member.Party()
	must(t, err)
	if consent, err := c.patient.consent(party, nil); consent != nil || err != nil {
		t.Errorf("nothing offered: %v, %v", consent, err)
	}
	for range 3 {
		consent, err := c.patient.consent(party, &Offer{access.ToHospital{HospitalID: "H:alpha"}, keeping})
		must(t, err)
		if !proto.Equal(consent.GetKeyStatement(), party.KeyStatement) {
			t.Error("the consent goes out with another KS")
		}
	}
	c.crash() // they are kept before anybody has them
	c.patient.Member, c.patient.Cloud = c.cloud.member, c.cloud
	c.requireStates("stands", "stands", "stands")
	given, err := c.patient.Member.Grants()
	must(t, err)
	must(t, c.patient.TakeBack(t.Context(), given[1:2]))
	c.requireStates("stands", "taken back", "stands")
	c.forgets = true
	if err := c.patient.TakeBack(t.Context(), given[2:]); !refusal.Is(err, refusal.AnswerMismatch) {
		t.Errorf("a cloud that forgets: %v", err)
	}
	if err := c.patient.TakeAllBack(t.Context()); !refusal.Is(err, refusal.AnswerMismatch) {
		t.Errorf("a cloud that forgets: %v", err)
	}
	c.forgets = false
	must(t, c.patient.TakeAllBack(t.Context()))
	c.requireStates("taken back", "taken back", "taken back")
	c.listed, c.now = nil, c.now+uint64(keeping.Life.Milliseconds())
	c.requireStates("ended", "ended", "ended")
}

func (c *consenting) requireStates(expected ...string) {
	c.t.Helper()
	_, err := c.cloud.Refresh(c.t.Context())
	must(c.t, err)
	given, err := c.patient.Member.Grants()
	must(c.t, err)
	var states []string
	for i, kept := range given {
		states = append(states, kept.State)
		if kept.Number != i+1 || kept.Grant.Gives(pb.Right_RIGHT_READ) || !bytes.Equal(kept.Grant.ID, c.idIn(kept.Signed)) {
			c.t.Errorf("number %d: %v", kept.Number, kept.Grant)
		}
	}
	if !slices.Equal(states, expected) {
		c.t.Errorf("they are %v, not %v", states, expected)
	}
}

func (c *consenting) idIn(signed *pb.SignedStatement) []byte {
	grant := &pb.Grant{}
	must(c.t, protocol.Peek(grant, signed))
	return grant.GetGrantId()
}

func TestManyConsentsAreTakenBackInSeveralCalls(t *testing.T) {
	c := newConsenting(t)
	party, err := c.patient.Member.Party()
	must(t, err)
	for range mostRevoked + 1 {
		_, err := c.patient.consent(party, &Offer{access.ToHospital{HospitalID: "H:alpha"}, keeping})
		must(t, err)
	}
	given, err := c.patient.Member.Grants()
	must(t, err)
	must(t, c.patient.TakeBack(t.Context(), given))
	if len(c.listed) != mostRevoked+1 {
		t.Errorf("%d are taken back", len(c.listed))
	}
}

func TestDutyIsShownWhileItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPractice(t)
		if p.doctor.onDuty(t.Context()) != nil {
			t.Error("a duty from nowhere")
		}
		duty := dutyOf(t)
		for hospitalID, reason := range map[string]refusal.Reason{"H:other": refusal.DutyInvalid, "H:alpha": ""} {
			if _, err := p.doctor.takeDuty(duty, hospitalID, "unix:/nowhere"); refusal.Outer(err) != reason {
				t.Errorf("at %s: %v", hospitalID, err)
			}
		}
		if shown := p.doctor.onDuty(t.Context()); shown != duty || len(p.said) > 0 {
			t.Errorf("shown is %v; said %q", shown, p.said)
		}
		p.now += uint64(access.LongestDuty.Milliseconds()) - uint64(leftToShow.Milliseconds())
		_, err := p.cloud.Refresh(t.Context())
		must(t, err)
		for range 2 { // asked for another once a minute; without one it is the last
			if shown := p.doctor.onDuty(t.Context()); shown != duty || len(p.said) != 1 || !strings.Contains(p.said[0], "FIELD_INVALID") {
				t.Errorf("shown is %v; said %q", shown, p.said)
			}
		}
		time.Sleep(leftToShow)
		if p.doctor.onDuty(t.Context()); len(p.said) != 2 {
			t.Errorf("said %q", p.said)
		}
	})
}
