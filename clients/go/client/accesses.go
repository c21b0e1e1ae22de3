package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// Log is what a party's log told of the patient, the public cloud's or a hospital's: proved.
type Log struct {
	PartyID string
	*protocol.ToldLog
}

// Accesses is who asked for the patient's records, as logs told it; what is to be said of what one side alone has; and whose logs did not
// come, and why.
type Accesses struct {
	Logs    []Log
	Remarks []protocol.Remark
	Missing map[string]refusal.Reason
}

// Accesses gives who asked for the patient's records, as the logs of the public cloud and of each hospital that has some tell it, each the
// newest first, every page, and each proved. What can't be had, or is not proved, is told, and why is given by its party. Refuses as Records.
func (p *Patient) Accesses(ctx context.Context) (*Accesses, error) {
	if err := p.refresh(ctx); err != nil {
		return nil, err
	}
	if err := p.Cloud.Maintain(ctx, p.Tell); err != nil {
		return nil, err
	}
	own := func(context.Context) protocol.Shown { return protocol.ByOwnRight(p.Member.Identity()) }
	cloudID := p.Member.Anchors().CloudID
	found := &Accesses{Missing: map[string]refusal.Reason{}}
	askedAt := p.Member.clock()
	told, err := p.logOfCloud(ctx, own(ctx))
	if err != nil {
		p.missing(found.Missing, cloudID, err)
	} else {
		found.Logs = append(found.Logs, p.whole(cloudID, told))
	}
	locations, err := p.find(ctx, own, []string{access.Any})
	if err != nil {
		return nil, err
	}
	var asked []string
	for _, location := range locations {
		hospital := location.Hospital.Identity
		if slices.Contains(asked, hospital) {
			continue
		}
		asked = append(asked, hospital)
		told, err := p.logOf(ctx, own(ctx), location)
		if err != nil {
			p.missing(found.Missing, hospital, err)
			continue
		}
		found.Logs = append(found.Logs, p.whole(hospital, told))
	}
	found.Remarks, err = p.remarks(found, askedAt)
	return found, err
}

// whole says of a log that was read to its end what it counts and does not tell.
func (p *Patient) whole(partyID string, told *protocol.ToldLog) Log {
	if untold := told.Untold(); untold > 0 {
		p.Tell(fmt.Sprintf("%s counts %d more about you, and tells nothing of them: forgotten there, or KEPT BACK.", partyID, untold))
	}
	return Log{partyID, told}
}

// remarks says what one side alone has; nothing where the public cloud did not answer.
func (p *Patient) remarks(found *Accesses, askedAt protocol.Instant) ([]protocol.Remark, error) {
	cloudID := p.Member.Anchors().CloudID
	if _, isMissing := found.Missing[cloudID]; isMissing {
		return nil, nil
	}
	given, err := p.Member.Grants()
	if err != nil {
		return nil, err
	}
	var unsearchable [][]byte
	for _, kept := range given {
		if !kept.Grant.Gives(pb.Right_RIGHT_INDEX) {
			unsearchable = append(unsearchable, protocol.GrantDigest(kept.Signed))
		}
	}
	var cloud protocol.PartyLog
	var hospitals []protocol.PartyLog
	for _, log := range found.Logs {
		if log.PartyID == cloudID {
			cloud = protocol.PartyLog{PartyID: cloudID, Entries: log.Entries}
		} else {
			hospitals = append(hospitals, protocol.PartyLog{PartyID: log.PartyID, Entries: log.Entries})
		}
	}
	return protocol.Remarks(cloud, hospitals, unsearchable, askedAt, len(found.Missing) == 0), nil
}

func (p *Patient) missing(missing map[string]refusal.Reason, partyID string, err error) {
	p.Tell("WHO ASKED AT " + partyID + " IS MISSING: " + refusal.Plain(err))
	missing[partyID] = refusal.Precise(err)
}

// logOfCloud reads every page, each below the head of the first.
func (p *Patient) logOfCloud(ctx context.Context, shown protocol.Shown) (told *protocol.ToldLog, err error) {
	cloudID := p.Member.Anchors().CloudID
	var unproved error
	err = eachPage(func(after []byte) (*protocol.Answer, error) {
		if unproved != nil {
			return nil, unproved
		}
		question := protocol.Question{DepartmentClass: access.Any, After: after, Log: true, KnownSize: p.knownSize(cloudID, told)}
		return onceMore(ctx, func() (*protocol.Answer, error) { return p.Cloud.Search(ctx, question, shown) })
	}, func(answer *protocol.Answer) {
		told, unproved = p.checked(logAnswer{answer.Accesses, answer.LogHead, nil, cloudID, answer.CloudKey}, told)
	})
	if unproved != nil {
		return nil, unproved
	}
	return told, err
}

// logOf reads a hospital's, every page, but not without end.
func (p *Patient) logOf(ctx context.Context, shown protocol.Shown, location protocol.RecordLocation) (told *protocol.ToldLog, err error) {
	for range mostPages {
		told, err = onceMore(ctx, func() (*protocol.ToldLog, error) { return p.pageOf(ctx, shown, location, told) })
		if err != nil || told.Older == nil {
			return told, err
		}
		p.Tell(fmt.Sprintf("%d of the entries of %s read; the older ones are next.", len(told.Entries), location.Hospital.Identity))
	}
	return nil, refusal.New(refusal.LimitReached, "%s has more than %d pages to give", location.Hospital.Identity, mostPages)
}

// pageOf reads one page of a hospital's log, put to those before; nil for none.
func (p *Patient) pageOf(ctx context.Context, shown protocol.Shown, location protocol.RecordLocation, before *protocol.ToldLog) (*protocol.ToldLog, error) {
	hospital := location.Hospital
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_LOG.Enum(), DepartmentClass: proto.String(access.Any)}
	intent := protocol.Intent{Shown: shown, Scope: scope, Blind: p.Member.entropy(32), KnownSize: p.knownSize(hospital.Identity, before)}
	if before != nil {
		intent.Before = before.Older
	}
	record, err := p.fetchLog(ctx, intent, location)
	if err != nil {
		return nil, err
	}
	defer record.Close()
	manifest := record.Manifest
	return p.checked(logAnswer{manifest.GetAccesses(), manifest.GetLogHead(), manifest.Next, hospital.Identity, hospital.VerifyingKey}, before)
}

// knownSize gives the size of the head that a page is to follow: of the one remembered, or of the pages before, whose it is to be.
func (p *Patient) knownSize(partyID string, before *protocol.ToldLog) uint64 {
	if before != nil {
		return before.Head.Size
	}
	if head, _, err := protocol.PeekLogHead(p.Member.home.state.KnownLogs[partyID]); err == nil {
		return head.Size
	}
	return 0
}

// logAnswer is what a party said of its log, unchecked.
type logAnswer struct {
	entries []*pb.AccessEntry
	head    *pb.ProvedHead
	older   *uint64
	partyID string
	key     []byte
}

// checked checks what a log told, and remembers its head; a further page is put to those before. Where a head does not follow the one
// remembered, or is not that of the page before, it keeps both as evidence.
func (p *Patient) checked(said logAnswer, before *protocol.ToldLog) (told *protocol.ToldLog, err error) {
	home := p.Member.home
	known := home.state.KnownLogs[said.partyID]
	author := protocol.LogAuthor{Realm: p.Member.Anchors().Realm, PartyID: said.partyID, Key: said.key}
	if before == nil {
		told, err = protocol.RequireTold(said.entries, said.head, p.Member.Identity(), author, known, said.older)
	} else {
		known = before.Note
		told, err = protocol.RequireFurther(said.entries, said.head, p.Member.Identity(), author, before, said.older)
	}
	if len(known) > 0 && refusal.Is(err, refusal.HeadOlder, refusal.HeadConflict, refusal.LogProofInvalid) {
		home.state.LogForks = append(home.state.LogForks, [2][]byte{known, said.head.GetNote()})
		return nil, errors.Join(err, home.save())
	}
	if err != nil || before != nil {
		return told, err
	}
	told.Cosigners, told.Cosignatures = p.Member.Verifier().Witnessed(said.head, p.Member.clock())
	if home.state.KnownLogs == nil {
		home.state.KnownLogs = map[string][]byte{}
	}
	home.state.KnownLogs[said.partyID] = told.Note
	return told, home.save()
}
