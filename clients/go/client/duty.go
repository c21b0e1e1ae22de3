package client

import (
	"context"
	"time"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// leftToShow is how long a duty has to hold yet to be shown: what it is shown for takes its time.
const leftToShow = time.Minute

// duty is what a doctor's hospital stated last.
type duty struct {
	hospitalID, address string
	shown               *pb.ShownDuty // nil before
	askAt               time.Time     // for another, not before
}

// takeDuty checks a duty that this hospital states for the doctor, keeps it, and gives what it says. Refuses as protocol.CheckDuty.
func (d *Doctor) takeDuty(shown *pb.ShownDuty, hospitalID, address string) (*access.Duty, error) {
	says, err := d.checkDuty(shown, hospitalID)
	if err != nil {
		return nil, err
	}
	d.duty = duty{hospitalID: hospitalID, address: address, shown: shown}
	return says, nil
}

func (d *Doctor) checkDuty(shown *pb.ShownDuty, hospitalID string) (*access.Duty, error) {
	party, err := d.Member.Party()
	if err != nil {
		return nil, err
	}
	return protocol.CheckDuty(shown, party.VerifiedParty, hospitalID, d.Member.Verifier(), d.Member.clock())
}

// askForDuty asks the hospital for the duty of now. Refuses with NOT_ON_DUTY, and as takeDuty.
func (d *Doctor) askForDuty(ctx context.Context) error {
	party, err := d.Member.Party()
	if err != nil {
		return err
	}
	request, err := protocol.AskForDuty(party, d.duty.hospitalID, d.Member.clock(), d.Member.entropy)
	if err != nil {
		return err
	}
	connection, err := d.Member.dialHospital(d.duty.address, d.duty.hospitalID)
	if err != nil {
		return err
	}
	defer connection.Close()
	answer, err := pb.NewRecordServiceClient(connection).GetDuty(ctx, request)
	if err != nil {
		return err
	}
	d.Member.hear(answer.GetRevocations())
	_, err = d.takeDuty(answer.GetDuty(), d.duty.hospitalID, d.duty.address)
	return err
}

// onDuty gives the duty to show: the kept one while it holds, or the hospital's of now. Where the hospital states none now it is the last
// one: whether one is needed is for who decides.
func (d *Doctor) onDuty(ctx context.Context) *pb.ShownDuty {
	if d.duty.shown == nil {
		return nil
	}
	says, err := d.checkDuty(d.duty.shown, d.duty.hospitalID)
	isOver := err != nil || d.Member.clock()+uint64(leftToShow.Milliseconds()) >= says.Validity.NotAfter
	if isOver && !time.Now().Before(d.duty.askAt) {
		d.duty.askAt = time.Now().Add(leftToShow)
		if err := d.askForDuty(ctx); err != nil {
			d.Tell("Your hospital states no duty of yours now: " + refusal.Plain(err))
		}
	}
	return d.duty.shown
}
