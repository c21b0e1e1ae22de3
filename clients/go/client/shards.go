package client

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	shardsTime    = 10 * time.Second
	besideTime    = 5 * time.Second // that hospitals are waited for where the cloud does not answer: somebody waits for what is done then
	mostKeptParts = 128
	mostBeside    = 4
)

// askShards fetches the shards of these prefixes, and the CRLs but those of these digests; nothing of it is verified yet.
type askShards func(ctx context.Context, prefixes []uint32, heldCRLs [][]byte) (*pb.RevocationExcerpt, error)

// beside is a hospital that this member deals with.
type beside struct {
	hospitalID string
	ask        askShards
}

// dealWith has a hospital asked, before those that were dealt with earlier: what is at hand of one may be newer than what the next has.
func (m *Member) dealWith(hospitalID string, connection *grpc.ClientConn) {
	ask := func(ctx context.Context, prefixes []uint32, heldCRLs [][]byte) (*pb.RevocationExcerpt, error) {
		request := &pb.GetHospitalShardsRequest{Prefixes: prefixes, HeldCrls: heldCRLs}
		answer, err := pb.NewRecordServiceClient(connection).GetHospitalShards(ctx, request)
		return answer.GetRevocations(), err
	}
	others := slices.DeleteFunc(m.askBeside, func(other beside) bool { return other.hospitalID == hospitalID })
	m.askBeside = append([]beside{{hospitalID, ask}}, others[:min(len(others), mostBeside-1)]...)
}

// Find looks an entry up in the shards at hand, and asks for the one in which it would lie: the cloud, or else whom it deals with. Refuses
// with REVOCATION_SHARD_MISSING where nobody gives it.
func (m *Member) Find(entry []byte) (protocol.Instant, bool, error) {
	if _, isHere := m.shards[protocol.PrefixOf(entry)]; !isHere {
		if err := m.ask(protocol.PrefixOf(entry)); err != nil {
			return 0, false, err
		}
	}
	return m.shards.Find(entry)
}

func (m *Member) ask(prefix uint32) error {
	ctx, cancel := context.WithTimeout(context.Background(), shardsTime)
	defer cancel()
	var failure error
	for _, ask := range m.asked() {
		excerpt, err := ask(ctx, []uint32{prefix}, m.heldCRLs())
		if err == nil {
			err = m.takeShards(excerpt)
		}
		if _, isHere := m.shards[prefix]; err == nil && isHere {
			return nil
		}
		failure = err
	}
	return refusal.Because(failure, refusal.RevocationShardMissing, "the part of the revocation list in which it would stand can't be had now")
}

func (m *Member) asked() (asks []askShards) {
	if m.askCloud != nil {
		asks = append(asks, m.askCloud)
	}
	for _, other := range m.askBeside {
		asks = append(asks, other.ask)
	}
	return asks
}

// hearBeside asks the hospitals that are dealt with for a newer list, for the cloud does not answer: all at once, until one has it. Those that
// are silent keep nobody waiting for the others.
func (m *Member) hearBeside(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	answers, held, atHand := make(chan *pb.RevocationExcerpt, len(m.askBeside)), m.heldCRLs(), m.lists.Sequence()
	for _, other := range m.askBeside {
		go func() {
			excerpt, _ := other.ask(ctx, []uint32{0}, held) // whichever shard: it is for the head
			answers <- excerpt
		}()
	}
	for range m.askBeside {
		select {
		case excerpt := <-answers:
			if excerpt != nil {
				m.hear(excerpt)
			}
		case <-ctx.Done():
			return
		}
		if m.lists.Sequence() > atHand {
			return
		}
	}
}

// hear takes what a peer shows of the list. What is wrong with it, or older, does not count: then it is asked for.
func (m *Member) hear(excerpt *pb.RevocationExcerpt) {
	_ = m.takeShards(excerpt)
}

// takeShards takes a head if it is newer than the one at hand, with the CRLs that came with it, and the shards that it proves: of no other
// root than is at hand then. Refuses with REVOCATION_HEAD_OLDER, and as protocol.ReadExcerpt.
func (m *Member) takeShards(excerpt *pb.RevocationExcerpt) error {
	lists, shards, err := protocol.ReadExcerpt(m.bundle.Anchors, excerpt, nil)
	if err != nil {
		return err
	}
	isSame := bytes.Equal(lists.Head().GetRoot(), m.lists.Head().GetRoot())
	if lists.Sequence() <= m.lists.Sequence() && !isSame {
		return refusal.New(refusal.RevocationHeadOlder, "these shards are of an older head than the one at hand") // shards.2
	}
	if lists.Sequence() > m.lists.Sequence() || len(excerpt.GetCertificateRevocationLists()) > 0 {
		if err := m.takeLists(excerpt.GetHead(), excerpt.GetCertificateRevocationLists()); err != nil {
			return err
		}
	}
	if m.shards == nil || len(m.shards) > mostKeptParts {
		m.shards = protocol.Shards{}
	}
	for prefix, shard := range shards {
		m.shards[prefix] = shard
	}
	return nil
}
