package client

import (
	"bytes"
	"context"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const replyTime = 45 * time.Second // a P1 is stale after 30 seconds, and clocks differ

// Diagnosis is what a visit gave: M_DINF of a doctor whose signature held, and the grant that was given.
type Diagnosis struct {
	DoctorID string
	GrantID  []byte
	Report   []byte
}

// Patient is a registered patient.
type Patient struct {
	Member   *Member
	Cloud    *Cloud
	Password []byte            // B_P of this reading
	Tell     func(line string) // what is for people
}

// Visit visits the doctor of a code: P1, D1, P2 with a grant on these terms, then D5, answered by P6. What maintenance is due comes
// first. Refuses with IDENTITY_MISMATCH if the relay serves another doctor, REFUSED_BY_PEER, NO_ANSWER, REJECTED for a false answer,
// NO_SUCH_ROOM, and as Cloud.Maintain.
func (p *Patient) Visit(ctx context.Context, code Code, biosignal []byte, terms protocol.Terms) (*Diagnosis, error) {
	_, unasked := p.Cloud.Refresh(ctx)
	if unasked != nil && !IsPassing(unasked) {
		return nil, unasked
	}
	if err := p.Cloud.Maintain(ctx, p.Tell); err != nil {
		return nil, err
	}
	connection, err := p.Member.dial(code.Address, code.HospitalID)
	if err != nil {
		return nil, err
	}
	mailbox := newMailbox(connection, code.Room, pb.Direction_DIRECTION_TO_DOCTOR)
	defer mailbox.close()
	doctor, err := p.addressed(ctx, mailbox, code, unasked != nil)
	if err != nil {
		return nil, err
	}
	// Whether the reading is this person's is the doctor's to find out: helper data, which would tell here, is not part of this client.
	party, err := p.Member.Party()
	if err != nil {
		return nil, err
	}
	p.Tell("You are talking to " + doctor.Identity + ".")
	awaiting, opening, err := protocol.BeginConsultation(party, doctor, p.Password, p.Member.clock(), p.Member.entropy)
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
	grant, grantID, err := p.grant(party, doctor, terms)
	if err != nil {
		return nil, err
	}
	waiting, frames, err := established.Deliver(biosignal, grant, p.Member.clock())
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
	p.Tell(doctor.Identity + " has your biosignal and your consent. Waiting for the diagnosis.")
	diagnosed, err := p.diagnosed(ctx, mailbox, awaiting.SessionID(), waiting)
	if err != nil {
		return nil, err
	}
	p.acknowledge(ctx, mailbox, diagnosed)
	return &Diagnosis{doctor.Identity, grantID, diagnosed.Delivery.GetDiagnosis()}, nil
}

// addressed checks the room's doctor against the code. Where the cloud could not be asked, the relay's lists do, as far as they are newer:
// both are signed.
func (p *Patient) addressed(ctx context.Context, mailbox *mailbox, code Code, byRelaysLists bool) (*protocol.Peer, error) {
	room, err := mailbox.whose(ctx)
	if err != nil {
		return nil, err
	}
	if byRelaysLists && p.Member.lists.Sequence() < sequenceOf(room.GetRevocationList()) {
		if err := p.Member.takeRelaysLists(room); err != nil {
			return nil, err
		}
	}
	return protocol.CheckRoom(room, code.Digest, p.Member.Verifier(), p.Member.clock())
}

func sequenceOf(signed *pb.SignedStatement) uint64 {
	list := &pb.RevocationList{}
	if protocol.Peek(list, signed) != nil { // its number says which to verify, and nothing else
		return 0
	}
	return list.GetSequence()
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
	return reason == refusal.RevocationListStale || reason == refusal.BundleStale
}

// acknowledge sends P6, once. It is a courtesy: the room may be gone by now, and the diagnosis holds without it.
func (p *Patient) acknowledge(ctx context.Context, mailbox *mailbox, diagnosed *protocol.Diagnosed) {
	receipt, err := diagnosed.Receipt(p.Member.clock())
	if err == nil {
		err = mailbox.put(ctx, &pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: receipt}})
	}
	if err != nil {
		p.Tell("The receipt could not be sent: " + err.Error())
	}
}

func (p *Patient) grant(party *protocol.Party, doctor *protocol.Peer, terms protocol.Terms) (*pb.SignedStatement, []byte, error) {
	signed, err := protocol.MakeGrant(party, doctor, terms, p.Member.clock(), p.Member.entropy)
	if err != nil {
		return nil, nil, err
	}
	grant := &pb.Grant{}
	if err := protocol.Peek(grant, signed); err != nil {
		return nil, nil, err
	}
	return signed, grant.GetGrantId(), nil
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
