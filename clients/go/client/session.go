package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	longestSession = time.Hour
	longestSilence = time.Minute
)

// session is a doctor's, or a patient's, session with a hospital: one stream, D3 and H1, then D4 and H2, or STO and STOACK. A lost stream is a new session.
type session struct {
	*protocol.RecordEstablished
	connection *grpc.ClientConn
	stream     grpc.BidiStreamingClient[pb.OpenSessionRequest, pb.OpenSessionResponse]
	cancel     context.CancelCauseFunc
	ctx        context.Context
}

var errSilent = refusal.New(refusal.Unavailable, "the hospital fell silent in the middle of a session")

// openSession opens a session with a hospital at an address: D3 and H1. Without a hospital it asks the hospital itself for its keys
// first; it asks once more, too, where the hospital has begun a new epoch since. Close it.
func (a *Asker) openSession(ctx context.Context, address, hospitalID string, hospital *protocol.Peer, intent protocol.Intent) (*session, error) {
	if hospital != nil {
		opened, err := a.openWith(ctx, address, hospital, intent)
		if !refusal.Is(err, refusal.UnknownKeyID) {
			return opened, err
		}
	}
	hospital, err := a.address(ctx, address, hospitalID)
	if err != nil {
		return nil, err
	}
	return a.openWith(ctx, address, hospital, intent)
}

// address asks a hospital for its statements, and verifies them.
func (a *Asker) address(ctx context.Context, address, hospitalID string) (*protocol.Peer, error) {
	connection, err := a.Member.dialHospital(address, hospitalID)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	answer, err := pb.NewRecordServiceClient(connection).GetHospital(ctx, &pb.GetHospitalRequest{})
	if err != nil {
		return nil, err
	}
	a.Member.hear(answer.GetRevocations())
	return protocol.AddressHospital(hospitalID, answer, a.Member.Verifier(), a.Member.clock())
}

func (a *Asker) openWith(ctx context.Context, address string, hospital *protocol.Peer, intent protocol.Intent) (*session, error) {
	party, err := a.Member.Party()
	if err != nil {
		return nil, err
	}
	connection, err := a.Member.dialHospital(address, hospital.Identity)
	if err != nil {
		return nil, err
	}
	opened := &session{connection: connection}
	limited, end := context.WithTimeout(ctx, longestSession)
	opened.ctx, opened.cancel = context.WithCancelCause(limited)
	context.AfterFunc(opened.ctx, end)
	if err := opened.establish(a.Member, party, hospital, intent); err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

func (s *session) establish(member *Member, party *protocol.Party, hospital *protocol.Peer, intent protocol.Intent) error {
	awaiting, opening, err := protocol.BeginRecordSession(party, hospital, intent, member.clock(), member.entropy)
	if err != nil {
		return err
	}
	defer awaiting.Forget()
	err = s.watched(func() (err error) {
		s.stream, err = pb.NewRecordServiceClient(s.connection).OpenSession(s.ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.send(&pb.OpenSessionRequest{Content: &pb.OpenSessionRequest_Opening{Opening: opening}}); err != nil {
		return err
	}
	response, err := s.receive()
	if err != nil {
		return err
	}
	if response.GetReply() == nil {
		return refusal.New(refusal.OutOfOrder, "the hospital does not begin with its reply")
	}
	s.RecordEstablished, err = awaiting.Receive(response.GetReply(), member.Verifier(), member.clock())
	return err
}

func (s *session) sendFrame(frame *pb.SessionFrame) error {
	return s.send(&pb.OpenSessionRequest{Content: &pb.OpenSessionRequest_Frame{Frame: frame}})
}

// receiveFrame gives the next frame. Refuses with what the hospital says, RECORD_CUT_SHORT, UNAVAILABLE after a minute's silence.
func (s *session) receiveFrame() (*pb.SessionFrame, error) {
	response, err := s.receive()
	if err != nil {
		return nil, err
	}
	if response.GetFrame() == nil {
		return nil, refusal.New(refusal.OutOfOrder, "the hospital sends something else than a frame")
	}
	return response.GetFrame(), nil
}

// close ends the stream on this side, and gives up what still comes.
func (s *session) close() {
	if s.RecordEstablished != nil {
		s.Forget()
	}
	s.cancel(nil)
	s.connection.Close()
}

func (s *session) send(request *pb.OpenSessionRequest) error {
	err := s.watched(func() error { return s.stream.Send(request) })
	if errors.Is(err, io.EOF) {
		return nil // the stream has ended, and the next receive says why
	}
	return err
}

func (s *session) receive() (response *pb.OpenSessionResponse, err error) {
	err = s.watched(func() (err error) {
		response, err = s.stream.Recv()
		return err
	})
	if errors.Is(err, io.EOF) {
		return nil, refusal.New(refusal.RecordCutShort, "the hospital ended the session before its last message")
	}
	return response, err
}

// watched ends the session where one step of it takes longer than a minute: a hospital that answers pings, and neither takes nor sends
// anything, would hold this side for as long as it likes.
func (s *session) watched(step func() error) error {
	watchdog := time.AfterFunc(longestSilence, func() { s.cancel(errSilent) })
	defer watchdog.Stop()
	err := step()
	if err != nil && errors.Is(context.Cause(s.ctx), errSilent) {
		return errSilent
	}
	return err
}

const depositAttempts = 4

// Deposit keeps a consultation at the doctor's hospital: STO, and STOACK's receipt. A session that is lost is opened again, and the same
// deposit gets the same receipt; one that the hospital did not keep gets a new T where it has grown stale, and the duty of now where its own
// is over.
func (d *Doctor) Deposit(ctx context.Context, awaiting *protocol.AwaitingReceipt, hospitalID, address, departmentClass string) (*pb.DepositReceipt, error) {
	deposit, err := awaiting.PrepareDeposit(departmentClass, d.onDuty(ctx), d.Member.entropy(32), d.Member.clock())
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		receipt, err := d.depositOnce(ctx, deposit, hospitalID, address)
		lost := isLost(err)
		stale, offDuty := refusal.Is(err, refusal.Stale), refusal.Is(err, refusal.DutyMissing, refusal.DutyExpired)
		if !lost && !stale && !offDuty || attempt == depositAttempts {
			return receipt, err
		}
		switch {
		case stale:
			deposit.Message.SentAt = proto.Uint64(d.Member.clock())
		case offDuty:
			if err := d.askForDuty(ctx); err != nil {
				return nil, err
			}
			deposit.Show(d.duty.shown)
		default:
			if err := sleep(ctx, time.Duration(attempt)*time.Second, err); err != nil {
				return nil, err
			}
		}
	}
}

func (d *Doctor) depositOnce(ctx context.Context, deposit *protocol.Deposit, hospitalID, address string) (*pb.DepositReceipt, error) {
	session, err := d.openSession(ctx, address, hospitalID, nil, deposit.Intent())
	if err != nil {
		return nil, err
	}
	defer session.close()
	awaiting, frames, err := session.Deposit(deposit)
	if err != nil {
		return nil, err
	}
	for frame, err := range frames {
		if err != nil {
			return nil, err
		}
		if err := session.sendFrame(frame); err != nil {
			return nil, err
		}
	}
	answer, err := session.receiveFrame()
	if err != nil {
		return nil, err
	}
	return awaiting.Receive(answer)
}
