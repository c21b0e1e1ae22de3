package client

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const replyTime = 45 * time.Second // a P1 is stale after 30 seconds, and clocks differ

// Patient is a registered patient.
type Patient struct {
	Asker
	Password []byte // B_P of this reading
}

// RoomView is a room, looked at: its statements held against the code, its doctor is on duty, and nothing of the patient has gone out.
type RoomView struct {
	Code   Code
	Doctor *protocol.Peer
	Duty   *access.Duty
}

// requireSame requires that it is still what was looked at, another epoch's key aside. Refuses with ROOM_CHANGED.
func (v *RoomView) requireSame(seen *RoomView) error {
	if !proto.Equal(v.Doctor.KeyStatement, seen.Doctor.KeyStatement) || !bytes.Equal(v.Doctor.Certificate, seen.Doctor.Certificate) ||
		!slices.Equal(v.Duty.DepartmentClasses, seen.Duty.DepartmentClasses) {
		return refusal.New(refusal.RoomChanged, "the room has another doctor now, or one who is on duty elsewhere")
	}
	return nil
}

// Offer is what a visit consents to: for whom, and on which terms.
type Offer struct {
	Grantee access.Grantee
	Terms   protocol.Terms
}

// Look looks at the doctor of a code, and where that doctor is on duty. Refuses with IDENTITY_MISMATCH if the relay serves another doctor,
// with DUTY_INVALID, DUTY_EXPIRED, DUTY_REVOKED one who is not on duty there, with NO_SUCH_ROOM.
func (p *Patient) Look(ctx context.Context, code Code) (*RoomView, error) {
	mailbox, err := p.enter(code)
	if err != nil {
		return nil, err
	}
	defer mailbox.close()
	return p.view(ctx, mailbox, code)
}

func (p *Patient) enter(code Code) (*mailbox, error) {
	connection, err := p.Member.dialHospital(code.Address, code.HospitalID)
	if err != nil {
		return nil, err
	}
	return newMailbox(connection, code.Room, pb.Direction_DIRECTION_TO_DOCTOR), nil
}

// RequireUse requires that a consent would be of use to the doctor who was looked at: whoever signs it should know before. Refuses as
// access.Decide.
func (p *Patient) RequireUse(offer *Offer, seen *RoomView) error {
	if offer == nil {
		return nil
	}
	patientID, now, terms := p.Member.Identity(), p.Member.clock(), offer.Terms
	grant := access.Grant{
		PatientID:          patientID,
		SignerID:           patientID,
		Grantee:            offer.Grantee,
		Hospitals:          terms.Hospitals,
		DepartmentClasses:  terms.DepartmentClasses,
		HighestSensitivity: terms.HighestSensitivity,
		Rights:             terms.Rights,
		StatedAt:           now,
		Validity:           access.Validity{NotBefore: now, NotAfter: now + uint64(terms.Life.Milliseconds())},
	}
	doctor := seen.Doctor
	asker := access.Asker{Role: doctor.Role, Identity: doctor.Identity, AuthorityID: doctor.AuthorityID}
	question := access.Question{Asker: asker, Right: access.NoRight, PatientID: patientID}
	policy := access.Policy{Skew: protocol.DefaultFreshness.Skew}
	_, err := access.Decide(access.Consent{Grant: grant, Duty: seen.Duty}, question, access.Standing{}, policy, now)
	return err
}

// Visit visits the doctor who was looked at: P1, D1, P2 with this consent, nil for none, then D5, answered by P6. It gives M_DINF of a doctor
// whose signature held; after it, what amended it while the patient stayed so long, the newest last. The consent is kept before anybody has it, so it stands even if nothing comes of the visit. What maintenance is due
// comes first. Refuses with ROOM_CHANGED if the room is not what was looked at, REFUSED_BY_PEER, NO_ANSWER, REJECTED for a false answer, and
// as Look, RequireUse and Cloud.Maintain.
func (p *Patient) Visit(ctx context.Context, seen *RoomView, biosignal []byte, offer *Offer, stay time.Duration) ([][]byte, error) {
	if err := p.RequireUse(offer, seen); err != nil {
		return nil, err
	}
	mailbox, err := p.enter(seen.Code)
	if err != nil {
		return nil, err
	}
	defer mailbox.close()
	view, err := p.view(ctx, mailbox, seen.Code)
	if err != nil {
		return nil, err
	}
	if err := view.requireSame(seen); err != nil {
		return nil, err
	}
	if err := p.Cloud.Maintain(ctx, p.Tell); err != nil {
		return nil, err
	}
	// Whether the reading is this person's is the doctor's to find out: helper data, which would tell here, is not part of this client.
	party, err := p.Member.Party()
	if err != nil {
		return nil, err
	}
	awaiting, opening, err := protocol.BeginConsultation(party, view.Doctor, p.Password, p.Member.clock(), p.Member.entropy)
	if err != nil {
		return nil, err
	}
	defer awaiting.Forget()
	if err := mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Opening{Opening: opening}}); err != nil {
		return nil, err
	}
	established, err := p.established(ctx, mailbox, awaiting)
	if err != nil {
		return nil, err
	}
	consent, err := p.consent(party, offer)
	if err != nil {
		return nil, err
	}
	waiting, frames, err := established.Deliver(biosignal, protocol.ByConsent(party.Identity, consent, nil), p.Member.clock())
	if err != nil {
		return nil, err
	}
	defer waiting.Forget()
	for frame, err := range frames {
		if err != nil {
			return nil, err
		}
		if err := mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: frame}}); err != nil {
			return nil, err
		}
	}
	p.Tell(view.Doctor.Identity + " knows that you are here, and has what you sent. Waiting for the diagnosis.")
	diagnosed, err := p.diagnosed(ctx, mailbox, awaiting.SessionID(), waiting)
	if err != nil {
		return nil, err
	}
	return p.acknowledgeAll(ctx, mailbox, awaiting.SessionID(), diagnosed, stay), nil
}

// acknowledgeAll answers a diagnosis, and each that amends the one before it within so long of it. None has to come.
func (p *Patient) acknowledgeAll(ctx context.Context, mailbox *mailbox, sessionID []byte, diagnosed *protocol.Diagnosed, stay time.Duration) [][]byte {
	reports := [][]byte{diagnosed.Delivery.GetDiagnosis()}
	for following := p.acknowledge(ctx, mailbox, diagnosed); following != nil && stay > 0; following = p.acknowledge(ctx, mailbox, diagnosed) {
		var err error
		if diagnosed, err = p.amendment(ctx, mailbox, sessionID, following, stay); err != nil {
			if !refusal.Is(err, refusal.NoAnswer, refusal.NoSuchRoom) {
				p.Tell("What may have amended the diagnosis was not taken: " + refusal.Plain(err))
			}
			break
		}
		reports = append(reports, diagnosed.Delivery.GetDiagnosis())
	}
	return reports
}

func (p *Patient) amendment(ctx context.Context, mailbox *mailbox, sessionID []byte, waiting *protocol.AwaitingDiagnosis, stay time.Duration) (*protocol.Diagnosed, error) {
	ctx, cancel := context.WithTimeout(ctx, stay)
	defer cancel()
	return p.diagnosed(ctx, mailbox, sessionID, waiting)
}

// view checks the room's doctor against the code, and where it is on duty. The relay's lists do, too, as far as they are newer: both are signed.
func (p *Patient) view(ctx context.Context, mailbox *mailbox, code Code) (*RoomView, error) {
	_, unasked := p.Cloud.Refresh(ctx)
	if unasked != nil && !IsPassing(unasked) {
		return nil, unasked
	}
	room, err := mailbox.whose(ctx)
	if err != nil {
		return nil, err
	}
	p.Member.hear(excerptOf(room))
	verifier, now := p.Member.Verifier(), p.Member.clock()
	doctor, err := protocol.CheckRoom(room, code.Digest, verifier, now)
	if err != nil {
		return nil, err
	}
	duty, err := protocol.CheckDuty(room.GetDuty(), doctor.VerifiedParty, code.HospitalID, verifier, now)
	return &RoomView{code, doctor, duty}, err
}

// excerptOf gives the head and the shards of a room with the CRL that stands beside them.
func excerptOf(room *pb.GetRoomResponse) *pb.RevocationExcerpt {
	revocations := room.GetRevocations()
	return &pb.RevocationExcerpt{
		Head:                       revocations.GetHead(),
		Shards:                     revocations.GetShards(),
		CertificateRevocationLists: [][]byte{room.GetCertificateRevocationList()},
	}
}

// established waits for D1. What does not hold may be anybody's: the true answer may still come.
func (p *Patient) established(ctx context.Context, mailbox *mailbox, awaiting *protocol.AwaitingReply[*protocol.Established]) (*protocol.Established, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	var failure error
	for {
		frame, err := nextOf(ctx, mailbox, awaiting.SessionID())
		if err != nil {
			return nil, first(failure, err)
		}
		if frame.GetReply() == nil {
			continue
		}
		established, err := awaiting.Receive(frame.GetReply(), p.Member.Verifier(), p.Member.clock())
		if err == nil {
			return established, nil
		}
		failure = err
	}
}

// diagnosed waits for D5 as long as the consultation lives. What does not hold may be anybody's: the true one may still come.
func (p *Patient) diagnosed(ctx context.Context, mailbox *mailbox, sessionID []byte, waiting *protocol.AwaitingDiagnosis) (*protocol.Diagnosed, error) {
	ctx, cancel := context.WithTimeout(ctx, protocol.ConsultationLife)
	defer cancel()
	var failure error
	for {
		frame, err := nextOf(ctx, mailbox, sessionID)
		if err != nil {
			return nil, first(failure, err)
		}
		if frame.GetFrame() == nil {
			continue
		}
		diagnosed, err := p.take(ctx, waiting, frame.GetFrame())
		if err == nil {
			return diagnosed, nil
		}
		failure = err
	}
}

// take takes D5 by the newest lists, for the doctor may have been revoked meanwhile. A frame is read once: where no current list is at
// hand, the doctor's own is held on to until the cloud has one. Strangers' frames are refused first, so the cloud is not asked for them.
func (p *Patient) take(ctx context.Context, waiting *protocol.AwaitingDiagnosis, frame *pb.SessionFrame) (*protocol.Diagnosed, error) {
	if _, err := waiting.Receive(frame, p.Member.Verifier(), p.Member.clock()); err != nil && !lacksLists(err) {
		return nil, err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, unasked := p.Cloud.Refresh(ctx) // whatever the cloud answers, the lists at hand decide
		diagnosed, err := waiting.Receive(frame, p.Member.Verifier(), p.Member.clock())
		if !lacksLists(err) || sleep(ctx, pause, unasked) != nil {
			return diagnosed, err
		}
	}
}

func lacksLists(err error) bool {
	reason := refusal.Precise(err)
	return reason == refusal.RevocationListStale || reason == refusal.RevocationShardMissing || reason == refusal.BundleStale
}

// acknowledge sends P6, once, and gives the state that takes an amendment; nil if P6 could not be made. It is a courtesy: the room may be gone
// by now, and the diagnosis holds without it.
func (p *Patient) acknowledge(ctx context.Context, mailbox *mailbox, diagnosed *protocol.Diagnosed) *protocol.AwaitingDiagnosis {
	following, receipt, err := diagnosed.Receipt(p.Member.clock())
	if err == nil {
		err = mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: receipt}})
	}
	if err != nil {
		p.Tell("The receipt could not be sent: " + refusal.Plain(err))
	}
	return following
}

// consent signs what a visit consents to, and keeps it; nil for nothing.
func (p *Patient) consent(party *protocol.Party, offer *Offer) (*pb.Consent, error) {
	if offer == nil {
		return nil, nil
	}
	signed, err := protocol.MakeGrant(party, offer.Grantee, offer.Terms, nil, p.Member.clock(), p.Member.entropy)
	if err != nil {
		return nil, err
	}
	if err := p.Member.keepGrant(signed); err != nil {
		return nil, err
	}
	return &pb.Consent{Grant: signed, KeyStatement: party.KeyStatement}, nil
}

// nextOf gives the next frame of a session. Refuses with REFUSED_BY_PEER where the doctor's side refuses it.
func nextOf(ctx context.Context, mailbox *mailbox, sessionID []byte) (*pb.RelayFrame, error) {
	for {
		frame, err := mailbox.next(ctx)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(sessionOf(frame), sessionID) {
			continue
		}
		if frame.GetRefusal() != nil {
			return nil, refusal.New(refusal.RefusedByPeer, "the doctor's side refused the visit, and does not say why")
		}
		return frame, nil
	}
}

func first(failure, otherwise error) error {
	if failure != nil {
		return failure
	}
	return otherwise
}
