package client

import (
	"bytes"
	"context"
	"slices"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	listsKept = time.Minute // before the cloud is asked for newer ones
	mostPages = 512         // of a search
)

// Doctor is a registered doctor at work.
type Doctor struct {
	Member      *Member
	Cloud       *Cloud
	Tell        func(line string) // what is for people
	MostRecords uint64            // bytes of records that a visit takes

	refreshAt time.Time // not before
}

// OpenRoom opens a room at the relay of the doctor's hospital; its code is what the patient gets. What maintenance is due comes first.
func (d *Doctor) OpenRoom(ctx context.Context, hospitalID, address string) (*Room, error) {
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
	connection, err := d.Member.dial(address, hospitalID)
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
		connection.Close()
		return nil, err
	}
	return &Room{
		Code:     Code{address, hospitalID, answer.GetRoomId(), protocol.CodeDigest(party.KeyStatement, party.Certificate)},
		doctor:   d,
		party:    party,
		mailbox:  newMailbox(connection, answer.GetRoomId(), pb.Direction_DIRECTION_TO_PATIENT),
		sessions: map[string]*protocol.AwaitingBiosignal{},
	}, nil
}

// search asks the public cloud where the patient's records are: every page, of all classes that the grant covers. No record yet is no
// error. Refuses with what is wrong with the grant; what was found before that is given, too.
func (d *Doctor) search(ctx context.Context, present *protocol.InConsultation) ([]protocol.RecordLocation, error) {
	classes := present.Access.DepartmentClasses
	if slices.Contains(classes, protocol.Any) {
		classes = []string{protocol.Any}
	}
	var locations []protocol.RecordLocation
	for _, class := range classes {
		found, err := allPages(func(page uint32) (*protocol.Answer, error) {
			question := protocol.Question{DepartmentClass: class, Page: page}
			return onceMore(ctx, func() (*protocol.Answer, error) {
				return d.Cloud.Search(ctx, question, present.Claim)
			})
		})
		locations = append(locations, found...)
		if err != nil {
			return locations, err
		}
	}
	return locations, nil
}

// allPages asks for one page after the other. Refuses with LIMIT_REACHED more pages than a visit has time for.
func allPages(ask func(page uint32) (*protocol.Answer, error)) (locations []protocol.RecordLocation, err error) {
	for page, pages := uint32(0), uint32(1); page < pages; page++ {
		if page == mostPages {
			return locations, refusal.New(refusal.LimitReached, "the public cloud has more than %d pages to give", mostPages)
		}
		answer, err := ask(page)
		if err != nil {
			return locations, err
		}
		locations, pages = append(locations, answer.Locations...), answer.Pages
	}
	return locations, nil
}

// Diagnose signs and sends M_DINF, which rests on these records: D5. A consultation has one.
func (d *Doctor) Diagnose(ctx context.Context, room *Room, present *protocol.InConsultation, report []byte, records []*Record) (*protocol.AwaitingReceipt, error) {
	var signatures [][]byte
	for _, record := range records {
		signatures = append(signatures, record.End.GetSignature())
	}
	awaiting, frame, err := present.Diagnose(report, signatures, d.Member.clock())
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
		d.Tell("The diagnosis is not sent yet, and is sent again: " + err.Error())
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
			d.Tell("No receipt came: " + err.Error())
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

// refresh brings the lists up to date once a minute, and not before a cloud that asked to be left alone said so. Without the cloud the kept
// ones do, as long as they are current: whoever uses them checks that.
func (d *Doctor) refresh(ctx context.Context) error {
	if time.Now().Before(d.refreshAt) {
		return nil
	}
	_, err := d.Cloud.Refresh(ctx)
	if err == nil {
		d.refreshAt = time.Now().Add(listsKept)
	}
	if IsPassing(err) {
		d.refreshAt = time.Now().Add(min(retryAfter(err), longestAsked))
		return nil
	}
	return err
}
