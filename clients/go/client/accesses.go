package client

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// Access is an entry of a log about the patient: the public cloud's, or a hospital's.
type Access struct {
	PartyID string
	*pb.AccessEntry
}

// Accesses gives who asked for the patient's records, as the logs of the public cloud and of each hospital that has some tell it, each the
// newest first. What can't be had is told, and why is given by its hospital. Refuses as Records.
func (p *Patient) Accesses(ctx context.Context) (accesses []Access, missing map[string]refusal.Reason, err error) {
	if err := p.refresh(ctx); err != nil {
		return nil, nil, err
	}
	if err := p.Cloud.Maintain(ctx, p.Tell); err != nil {
		return nil, nil, err
	}
	own := func(context.Context) protocol.Shown { return protocol.ByOwnRight(p.Member.Identity()) }
	if accesses, err = p.logOfCloud(ctx, own(ctx)); err != nil {
		return nil, nil, err
	}
	locations, err := p.find(ctx, own, []string{access.Any})
	if err != nil {
		return nil, nil, err
	}
	missing = map[string]refusal.Reason{}
	var asked []string
	for _, location := range locations {
		hospital := location.Hospital.Identity
		if slices.Contains(asked, hospital) {
			continue
		}
		asked = append(asked, hospital)
		entries, err := onceMore(ctx, func() ([]*pb.AccessEntry, error) { return p.logOf(ctx, own(ctx), location) })
		if err != nil {
			p.Tell("WHO ASKED AT " + hospital + " IS MISSING: " + err.Error())
			missing[hospital] = refusal.Precise(err)
		}
		accesses = append(accesses, of(hospital, entries)...)
	}
	return accesses, missing, nil
}

func (p *Patient) logOfCloud(ctx context.Context, shown protocol.Shown) (accesses []Access, err error) {
	oldest := uint64(0)
	err = eachPage(func(page uint32) (*protocol.Answer, error) {
		question := protocol.Question{DepartmentClass: access.Any, Page: page, Log: true}
		return onceMore(ctx, func() (*protocol.Answer, error) { return p.Cloud.Search(ctx, question, shown) })
	}, func(answer *protocol.Answer) {
		for _, entry := range of(p.Member.Anchors().CloudID, answer.Accesses) {
			// What is written meanwhile pushes entries on to the next page, where they come again.
			if oldest == 0 || entry.GetNumber() < oldest {
				accesses, oldest = append(accesses, entry), entry.GetNumber()
			}
		}
	})
	return accesses, err
}

func (p *Patient) logOf(ctx context.Context, shown protocol.Shown, location protocol.RecordLocation) ([]*pb.AccessEntry, error) {
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_LOG.Enum(), DepartmentClass: proto.String(access.Any)}
	record, err := p.fetchScope(ctx, shown, location, scope, DefaultMostRecords)
	if err != nil {
		return nil, err
	}
	defer record.Close()
	return record.Manifest.GetAccesses(), nil
}

func of(partyID string, entries []*pb.AccessEntry) (accesses []Access) {
	for _, entry := range entries {
		accesses = append(accesses, Access{partyID, entry})
	}
	return accesses
}
