package client

import (
	"bytes"
	"context"

	"google.golang.org/grpc"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// Doctor is a registered doctor at work.
type Doctor struct {
	Asker
	duty duty
}

// OpenRoom opens a room at the relay of the doctor's hospital; its code is what the patient gets. What maintenance is due comes first.
// Refuses with NOT_ON_DUTY, and as protocol.CheckDuty a duty that is none of this doctor's.
func (d *Doctor) OpenRoom(ctx context.Context, hospitalID, address string) (*Room, error) {
	connection, err := d.Member.dialHospital(address, hospitalID)
	if err != nil {
		return nil, err
	}
	room, err := d.openRoom(ctx, connection, hospitalID, address)
	if err != nil {
		connection.Close()
	}
	return room, err
}

func (d *Doctor) openRoom(ctx context.Context, connection *grpc.ClientConn, hospitalID, address string) (*Room, error) {
	if err := d.refresh(ctx); err != nil {
		return nil, err
	}
	if err := d.Cloud.Maintain(ctx, d.Tell); err != nil {
		return nil, err
	}
	party, err := d.Member.Party()
	if err != nil {
		return nil, err
	}
	answer, err := onceMore(ctx, func() (*pb.OpenRoomResponse, error) {
		request, err := protocol.AskForRoom(party, hospitalID, d.Member.clock(), d.Member.entropy)
		if err != nil {
			return nil, err
		}
		return pb.NewRelayServiceClient(connection).OpenRoom(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	d.Member.hear(answer.GetRevocations())
	says, err := d.takeDuty(answer.GetDuty(), hospitalID, address)
	if err != nil {
		return nil, err
	}
	return &Room{
		Duty:     says,
		Code:     Code{address, hospitalID, answer.GetRoomId(), protocol.CodeDigest(party.KeyStatement, party.Certificate)},
		doctor:   d,
		party:    party,
		mailbox:  newMailbox(connection, answer.GetRoomId(), pb.Direction_DIRECTION_TO_PATIENT),
		sessions: map[string]*protocol.AwaitingBiosignal{},
	}, nil
}

// Diagnose signs and sends M_DINF, which rests on these records: D5. A further one amends it.
func (d *Doctor) Diagnose(ctx context.Context, room *Room, present *protocol.InConsultation, report []byte, records []*Record) (*protocol.AwaitingReceipt, error) {
	awaiting, frame, err := present.Diagnose(report, signaturesOf(records), d.Member.clock())
	return d.sent(ctx, room, awaiting, frame, err)
}

// Amend signs and sends M_DINF that takes the place of a diagnosis, the newest of its consultation: a further D5.
func (d *Doctor) Amend(ctx context.Context, room *Room, diagnosed *protocol.AwaitingReceipt, report []byte, records []*Record) (*protocol.AwaitingReceipt, error) {
	awaiting, frame, err := diagnosed.Amend(report, signaturesOf(records), d.Member.clock())
	return d.sent(ctx, room, awaiting, frame, err)
}

func signaturesOf(records []*Record) (signatures [][]byte) {
	for _, record := range records {
		signatures = append(signatures, record.End.GetSignature())
	}
	return signatures
}

func (d *Doctor) sent(ctx context.Context, room *Room, awaiting *protocol.AwaitingReceipt, frame *pb.SessionFrame, err error) (*protocol.AwaitingReceipt, error) {
	if err != nil {
		return nil, err
	}
	room.isNeeded = true
	return awaiting, d.send(ctx, room, &pb.RelayFrame{Content: &pb.RelayFrame_Frame{Frame: frame}})
}

// send puts a frame that is made once, however long the relay is away: until the consultation's life is over, or the doctor gives up.
func (d *Doctor) send(ctx context.Context, room *Room, frame *pb.RelayFrame) error {
	ctx, cancel := context.WithTimeout(ctx, protocol.ConsultationLife)
	defer cancel()
	for {
		err := room.mailbox.put(ctx, frame)
		if !IsPassing(err) || ctx.Err() != nil {
			return err
		}
		d.Tell("The diagnosis is not sent yet, and is sent again: " + refusal.Plain(err))
		if stopped := sleep(ctx, longestPause, err); stopped != nil {
			return stopped
		}
	}
}

// AwaitReceipt waits for P6 and says whether it came: it is the patient's to give, and the diagnosis is sent without it.
func (d *Doctor) AwaitReceipt(ctx context.Context, room *Room, present *protocol.InConsultation, awaiting *protocol.AwaitingReceipt) bool {
	for {
		frame, err := room.mailbox.next(ctx)
		if err != nil {
			d.Tell("No receipt came: " + refusal.Plain(err))
			return false
		}
		if frame.GetFrame() == nil || !bytes.Equal(sessionOf(frame), present.ID) {
			continue
		}
		if _, err := awaiting.Receive(frame.GetFrame(), d.Member.Verifier(), d.Member.clock()); err == nil {
			room.isNeeded = false
			return true // what does not hold is not the patient's: anybody with the code may put frames
		}
	}
}
