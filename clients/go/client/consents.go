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

const mostRevoked = 16 // statements that one rev takes back

// KeptGrant is a consent that a patient gave from its home. Numbers count what was given there: the oldest is 1, and stays 1.
type KeptGrant struct {
	Number int
	Grant  *access.Grant
	Signed *pb.SignedStatement
	// State is "stands", "ended" or "taken back", by the lists at hand.
	State string
}

// keepGrant keeps a consent, before anybody has it.
func (m *Member) keepGrant(signed *pb.SignedStatement) error {
	kept, err := proto.Marshal(signed)
	if err != nil {
		return err
	}
	m.home.state.Grants = append(m.home.state.Grants, kept)
	return m.home.save()
}

// Grants gives the consents that were given from this home, in the order of giving. Refuses with PROFILE_UNUSABLE.
func (m *Member) Grants() (given []KeptGrant, err error) {
	for number, kept := range m.home.state.Grants {
		signed := &pb.SignedStatement{}
		if err := proto.Unmarshal(kept, signed); err != nil {
			return nil, refusal.Because(err, refusal.ProfileUnusable, "a kept consent is none")
		}
		grant, err := protocol.PeekGrant(signed)
		if err != nil {
			return nil, refusal.Because(err, refusal.ProfileUnusable, "a kept consent is none")
		}
		given = append(given, KeptGrant{number + 1, grant, signed, m.stateOf(grant)})
	}
	return given, nil
}

func (m *Member) stateOf(grant *access.Grant) string {
	isTakenBack, err := m.lists.HasTakenBack(grant)
	switch {
	case isTakenBack && err == nil: // what is told is not what hospitals decide by
		return "taken back"
	case m.clock() >= grant.Validity.NotAfter:
		return "ended"
	default:
		return "stands"
	}
}

// TakeBack takes these consents back: the cloud's next list names them. Refuses as Cloud.Revoke.
func (p *Patient) TakeBack(ctx context.Context, grants []KeptGrant) error {
	for batch := range slices.Chunk(grants, mostRevoked) {
		taken := protocol.Revocation{OwnerID: p.Member.Identity()}
		for _, kept := range batch {
			taken.Statements = append(taken.Statements, &pb.RevokedStatement{
				Kind: pb.StatementKind_STATEMENT_KIND_GRANT.Enum(), Statement: kept.Signed,
			})
		}
		if err := p.Cloud.Revoke(ctx, taken); err != nil {
			return err
		}
	}
	return nil
}

// TakeAllBack takes back everything that was signed in the patient's name until now: its deputies' consents, too. Refuses as Cloud.Revoke.
func (p *Patient) TakeAllBack(ctx context.Context) error {
	before := p.Member.clock() + 1 // what was signed in this very millisecond, too
	return p.Cloud.Revoke(ctx, protocol.Revocation{OwnerID: p.Member.Identity(), Before: before})
}

// Records finds the patient's own records and hands each on as it comes; close it. What can't be had is told, and why is given by its
// hospital. What maintenance is due comes first. Refuses where the public cloud gives no whole answer, and as Cloud.Maintain.
func (p *Patient) Records(ctx context.Context, take func(*Record)) (map[string]refusal.Reason, error) {
	if err := p.refresh(ctx); err != nil {
		return nil, err
	}
	if err := p.Cloud.Maintain(ctx, p.Tell); err != nil {
		return nil, err
	}
	own := func(context.Context) protocol.Shown { return protocol.ByOwnRight(p.Member.Identity()) }
	locations, err := p.find(ctx, own, []string{access.Any})
	if err != nil {
		return nil, err
	}
	return p.fetchAll(ctx, own, locations, len(locations), take), nil
}
