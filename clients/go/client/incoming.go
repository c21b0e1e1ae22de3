package client

import (
	"context"
	"fmt"
	"io"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// brokenPauses are before a record that broke goes on; from the first one again whenever more of it came, and after the last it is given up.
var brokenPauses = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second}

// incoming is a record on its way in, of one session, or of several where one broke (docs/adr/0041-transfers.md). What came lies in the
// spool meanwhile; nothing of it is shown.
type incoming struct {
	*Asker
	hospitalID string
	most       uint64                   // bytes that are taken
	open       func() (*session, error) // each one asks anew, by what is shown then
	spool      *spool                   // nil where nothing came
	broken     *protocol.BrokenRecord   // what of the spool is gone on behind; nil for nothing
}

func (a *Asker) newIncoming(hospitalID string, most uint64, open func() (*session, error)) *incoming {
	return &incoming{Asker: a, hospitalID: hospitalID, most: most, open: open}
}

// take takes the record to its end. A session that is lost is opened again while more comes; a record that was changed meanwhile comes from
// its beginning. Whatever else a hospital says ends it.
func (i *incoming) take(ctx context.Context) (*Record, error) {
	pauses, came, waited := brokenPauses, uint64(0), false
	for {
		wasBroken := i.broken != nil
		record, err := i.once()
		if err == nil {
			return record, nil
		}
		if wasBroken && refusal.Is(err, refusal.RecordChanged) {
			i.Tell("The record from " + i.hospitalID + " was changed meanwhile: it comes from its beginning.")
			continue
		}
		if ctx.Err() != nil || !isLost(err) {
			return nil, err
		}
		if i.broken == nil { // nothing came: a hospital that is busy, and says for how long, is asked once more
			if waited || retryAfter(err) <= 0 || sleep(ctx, 0, err) != nil {
				return nil, err
			}
			waited = true
			continue
		}
		if i.broken.Offset() > came {
			pauses, came = brokenPauses, i.broken.Offset()
		}
		if len(pauses) == 0 {
			return nil, err
		}
		i.Tell(fmt.Sprintf("The record from %s broke off: %.1f of %.1f MB came. It goes on behind that in %.0f s.",
			i.hospitalID, float64(came)/1e6, float64(i.broken.Size())/1e6, pauses[0].Seconds()))
		if stopped := sleep(ctx, pauses[0], err); stopped != nil {
			return nil, stopped
		}
		pauses = pauses[1:]
	}
}

// once takes the record in one session, behind what came before. Where that is lost, broken is what came until then; of any other end
// nothing stays.
func (i *incoming) once() (*Record, error) {
	session, err := i.open()
	if err != nil {
		if !isLost(err) {
			i.close()
		}
		return nil, err
	}
	defer session.close()
	awaiting, record, err := i.receive(session)
	if err == nil {
		i.spool, i.broken = nil, nil // it is the record's now
		return record, nil
	}
	if awaiting != nil && awaiting.Resumable() > 0 && isLost(err) {
		if unkept := i.keep(awaiting); unkept != nil {
			err = unkept
		}
		return nil, err
	}
	i.close()
	return nil, err
}

// receive takes D4's answer to its end, and then reads what was spooled: nothing of it is a record before (C8). The state is given as long
// as the record is not whole.
func (i *incoming) receive(session *session) (*protocol.AwaitingRecord, *Record, error) {
	awaiting, query, err := i.query(session)
	if err != nil {
		return nil, nil, err
	}
	if err := session.sendFrame(query); err != nil {
		return awaiting, nil, err
	}
	for {
		frame, err := session.receiveFrame()
		if err != nil {
			return awaiting, nil, err
		}
		if frame.GetLast() {
			i.refresh(session.ctx) // whatever the cloud answers, the lists at hand decide
		}
		slice, end, err := awaiting.Receive(frame, i.Member.Verifier(), i.Member.clock())
		if err != nil {
			return nil, nil, err
		}
		if end == nil {
			if _, err := i.spool.Write(slice); err != nil {
				return nil, nil, err
			}
			continue
		}
		record := &Record{HospitalID: i.hospitalID, Manifest: awaiting.Manifest(), Digest: awaiting.RecordDigest(), End: end, spool: i.spool}
		return nil, record, record.read(skip)
	}
}

func (i *incoming) query(session *session) (*protocol.AwaitingRecord, *pb.SessionFrame, error) {
	if i.broken != nil {
		return session.GoOn(i.broken, i.Member.clock())
	}
	var err error
	i.close()
	if i.spool, err = newSpool(i.Member.home.directory, i.Member.entropy); err != nil {
		return nil, nil, err
	}
	return session.Query(i.most, i.Member.clock())
}

// keep has the next session go on behind what came: a spool of that, and of nothing that follows.
func (i *incoming) keep(awaiting *protocol.AwaitingRecord) error {
	before := i.spool
	i.spool, i.broken = nil, nil
	defer before.close()
	kept, err := before.reader()
	if err != nil {
		return err
	}
	if i.spool, err = newSpool(i.Member.home.directory, i.Member.entropy); err != nil {
		return err
	}
	i.broken, err = awaiting.Broken(io.TeeReader(kept, i.spool))
	if err != nil {
		i.close()
	}
	return err
}

// close removes what came.
func (i *incoming) close() {
	if i.spool != nil {
		i.spool.close()
	}
	i.spool, i.broken = nil, nil
}

// isLost says whether a session ended by something that passes, or before its last message: the same may be done in another.
func isLost(err error) bool { return IsPassing(err) || refusal.Is(err, refusal.RecordCutShort) }
