package client

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
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

// actor is a patient or a doctor of the vectors, with the keys that it acts with.
type actor struct {
	epochKeys
	SigningKey    vectors.Bytes `json:"signing_key"`
	EncryptionKey kept          `json:"encryption_key_statement"`
	Certificate   vectors.Bytes
	Evidence      vectors.Bytes
}

func (a actor) act(c *clinic, number int, role pb.Role, name string) *protocol.Party {
	c.t.Helper()
	own, err := c.cloud.member.Verifier().Party(statementOf(c.t, "ks of the "+name), role, c.now)
	must(c.t, err)
	issued := vectors.Read[struct {
		RegistrationSecret vectors.Bytes `json:"registration_secret"`
	}](c.t, "issuing.json")[number]
	store := c.cloud.member.home.Store
	must(c.t, keys.ImportRegistrationSecret(store, issued.RegistrationSecret, own.Serial, own.RegistrationPoint, own.PublicPoint))
	secret, err := keys.RegistrationSecret(store, own.Serial, own.RegistrationPoint, own.PublicPoint)
	must(c.t, err)
	return &protocol.Party{
		VerifiedParty:      own,
		Signer:             vectors.Signer(c.t, a.SigningKey),
		RegistrationSecret: secret,
		Keyring:            keys.Keyring{a.open(c.t)},
		EncryptionKey:      &pb.SignedStatement{Statement: a.EncryptionKey.Statement, Signature: a.EncryptionKey.Signature},
		Certificate:        a.Certificate,
	}
}

// treated is a patient whose P2 the doctor has, and D5, which is on its way.
type treated struct {
	*clinic
	*Patient
	waiting   *protocol.AwaitingDiagnosis
	sessionID []byte
	d5        *pb.RelayFrame
	doctor    *protocol.AwaitingReceipt
}

func newTreated(t *testing.T) *treated {
	t.Helper()
	c := newClinic(t)
	_, err := c.cloud.Refresh(t.Context())
	must(t, err)
	var cast struct {
		Parties struct{ Patient, Doctor actor }
	}
	vectors.ReadWhole(t, "parties.json", &cast)
	patient := cast.Parties.Patient.act(c, 0, pb.Role_ROLE_PATIENT, "patient")
	doctor := cast.Parties.Doctor.act(c, 1, pb.Role_ROLE_DOCTOR, "doctor")
	verifier, entropy := c.cloud.member.Verifier(), curve.Entropy(curve.SystemEntropy)
	addressed := &protocol.Peer{VerifiedParty: doctor.VerifiedParty, Certificate: doctor.Certificate}
	addressed.EncryptionKey, err = verifier.EncryptionKey(doctor.EncryptionKey, doctor.VerifiedParty, c.now)
	must(t, err)
	awaiting, opening, err := protocol.BeginConsultation(patient, addressed, cast.Parties.Patient.Evidence, c.now, entropy)
	must(t, err)
	pending, err := protocol.ReceiveOpening(doctor, opening, verifier, c.now)
	must(t, err)
	asked, err := pending.Admit(true)
	must(t, err)
	hearing, reply, err := asked.Reply(c.now, entropy)
	must(t, err)
	established, err := awaiting.Receive(reply, verifier, c.now)
	must(t, err)
	waiting, frames, err := established.Deliver([]byte("ecg"), protocol.ByConsent("P:wang", nil, nil), c.now)
	must(t, err)
	var present *protocol.InConsultation
	for frame, err := range frames {
		must(t, err)
		hearing, present, err = hearing.Receive(frame, nil, verifier, c.now)
		must(t, err)
	}
	diagnosed, d5, err := present.Diagnose([]byte("report"), nil, c.now)
	must(t, err)
	c.asked = 0
	return &treated{
		c, &Patient{Asker: Asker{Member: c.cloud.member, Cloud: c.cloud, Tell: c.tell}}, waiting, awaiting.SessionID(),
		&pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: d5}}, diagnosed,
	}
}

// forged is what anybody with the code may put: a frame of the session that does not open.
func (c *treated) forged() *pb.RelayFrame {
	forged := proto.CloneOf(c.d5)
	forged.GetFrame().Sealed[0] ^= 1
	return forged
}

func (c *treated) await(room *relay) error {
	c.t.Helper()
	diagnosed, err := c.diagnosed(c.t.Context(), in(c.t, room), c.sessionID, c.waiting)
	if err == nil && string(diagnosed.Delivery.GetDiagnosis()) != "report" {
		c.t.Errorf("another diagnosis: %v", diagnosed.Delivery)
	}
	return err
}

func TestDiagnosisIsHeldOnToUntilTheCloudHasACurrentList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		c.cloud.member.grace = 0
		c.now += 2000 // the list at hand has run out
		c.silence = []error{refused(codes.Unavailable, "UNAVAILABLE"), refused(codes.Internal, "INTERNAL"), refused(codes.Unavailable, "UNAVAILABLE")}
		must(t, c.await(&relay{frames: []*pb.RelayFrame{c.forged(), c.d5}}))
		if c.asked != 4 {
			t.Errorf("the cloud was asked %d times", c.asked)
		}
	})
}

func TestNoAnswerOfTheCloudEndsAVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		c.silence = []error{refused(codes.PermissionDenied, "UNAUTHORIZED")}
		must(t, c.await(&relay{frames: []*pb.RelayFrame{c.forged(), c.d5}}))
	})
}

func TestStrangersFramesAskTheCloudNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		if err := c.await(&relay{frames: []*pb.RelayFrame{c.forged(), c.forged()}}); refusal.Precise(err) != refusal.SealInvalid || c.asked != 0 {
			t.Errorf("the cloud was asked %d times: %v", c.asked, err)
		}
	})
}

func TestDiagnosisIsNeverTakenWithoutACurrentList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		for _, pin := range c.pins {
			pin.Number = append([]byte{1}, pin.GetNumber()...) // the newest head names a later CRL of the authority, which does not come
		}
		c.crls = nil
		_, err := c.cloud.Refresh(t.Context())
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.diagnosed(ctx, in(t, &relay{frames: []*pb.RelayFrame{c.d5}}), c.sessionID, c.waiting); refusal.Precise(err) != refusal.RevocationListStale {
			t.Errorf("got %v", err)
		}
	})
}

func TestDiagnosisIsAwaitedAsLongAsTheConsultationLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		began := time.Now()
		room := &relay{frames: []*pb.RelayFrame{c.d5}, quiet: longestStream + time.Second} // no stream lives so long
		if err := c.await(room); !refusal.Is(err, refusal.NoAnswer) || time.Since(began) < protocol.ConsultationLife {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestAmendmentIsTakenWhileThePatientStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTreated(t)
		_, amendment, err := c.doctor.Amend([]byte("amended"), nil, c.now)
		must(t, err)
		diagnosed, err := c.waiting.Receive(c.d5.GetFrame(), c.cloud.member.Verifier(), c.now)
		must(t, err)
		second := &pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: amendment}}
		for stay, expected := range map[time.Duration][]string{0: {"report"}, time.Minute: {"report", "amended"}} {
			room := &relay{frames: []*pb.RelayFrame{c.forged(), c.d5, second}}
			var reports []string
			for _, report := range c.acknowledgeAll(t.Context(), in(t, room), c.sessionID, diagnosed, stay) {
				reports = append(reports, string(report))
			}
			if !slices.Equal(reports, expected) {
				t.Errorf("who stays %s has %q; said %q", stay, reports, c.said)
			}
		}
	})
}
