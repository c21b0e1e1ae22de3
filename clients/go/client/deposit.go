package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const depositAttempts = 4

// Deposit keeps a consultation at the doctor's own hospital: STO, and STOACK's receipt. A session that is lost is opened again, and the
// same deposit gets the same receipt; one that the hospital did not keep and that has grown stale gets a new T.
func (d *Doctor) Deposit(ctx context.Context, awaiting *protocol.AwaitingReceipt, hospitalID, address, departmentClass string) (*pb.DepositReceipt, error) {
	deposit, err := awaiting.PrepareDeposit(departmentClass, d.Member.entropy(32), d.Member.clock())
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		receipt, err := d.depositOnce(ctx, deposit, hospitalID, address)
		lost := IsPassing(err) || refusal.Is(err, refusal.RecordCutShort)
		stale := refusal.Is(err, refusal.Stale)
		if !lost && !stale || attempt == depositAttempts {
			return receipt, err
		}
		if stale {
			deposit.Message.SentAt = proto.Uint64(d.Member.clock())
		} else if err := sleep(ctx, time.Duration(attempt)*time.Second, err); err != nil {
			return nil, err
		}
	}
}

func (d *Doctor) depositOnce(ctx context.Context, deposit *protocol.Deposit, hospitalID, address string) (*pb.DepositReceipt, error) {
	session, err := d.openSession(ctx, address, hospitalID, nil, deposit.Intent)
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
