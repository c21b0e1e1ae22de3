package client

import (
	"context"

	"google.golang.org/grpc"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// Cloud is the calling side towards the public cloud.
type Cloud struct {
	member     *Member
	connection *grpc.ClientConn
}

// NewCloud opens a connection to the public cloud of the member's trust bundle. Close it.
func NewCloud(member *Member) (*Cloud, error) {
	content := member.bundle.Content
	connection, err := member.dial(content.GetCloudAddress(), content.GetCloudId())
	if err != nil {
		return nil, err
	}
	return newCloud(member, connection), nil
}

func newCloud(member *Member, connection *grpc.ClientConn) *Cloud {
	cloud := &Cloud{member, connection}
	member.askCloud = cloud.shards
	return cloud
}

// Close ends the connection.
func (c *Cloud) Close() error { return c.connection.Close() }

// Refresh brings the member's trust bundle and lists up to date, and gives the directory.
func (c *Cloud) Refresh(ctx context.Context) (*pb.GetDirectoryResponse, error) {
	service := pb.NewDirectoryServiceClient(c.connection)
	directory, err := service.GetDirectory(ctx, &pb.GetDirectoryRequest{HeldCrls: c.member.heldCRLs()})
	if err != nil {
		return nil, err
	}
	between := func(after uint64) ([]*pb.SignedStatement, error) {
		answer, err := service.GetTrustBundles(ctx, &pb.GetTrustBundlesRequest{AfterSequence: &after})
		return answer.GetTrustBundles(), err
	}
	if err := c.member.follow(directory.GetTrustBundle(), between); err != nil {
		return nil, err
	}
	return directory, c.member.takeLists(directory.GetRevocationHead(), directory.GetCertificateRevocationLists())
}

func (c *Cloud) shards(ctx context.Context, prefixes []uint32, heldCRLs [][]byte) (*pb.RevocationExcerpt, error) {
	request := &pb.GetRevocationShardsRequest{Prefixes: prefixes, HeldCrls: heldCRLs}
	answer, err := pb.NewDirectoryServiceClient(c.connection).GetRevocationShards(ctx, request)
	return answer.GetRevocations(), err
}

// encryptionKey gives EK_C, verified.
func (c *Cloud) encryptionKey(ctx context.Context) (*protocol.EncryptionKey, error) {
	directory, err := c.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	return c.member.Verifier().CloudEncryptionKey(directory.GetCloudEncryptionKeyStatement(), c.member.clock())
}

// Search asks where a patient's records are: D2 and C, once more with the newest key if EK_C has changed. Refuses with what is wrong
// with what is shown.
func (c *Cloud) Search(ctx context.Context, question protocol.Question, shown protocol.Shown) (*protocol.Answer, error) {
	answer, err := c.searchOnce(ctx, question, shown)
	if refusal.Is(err, refusal.UnknownKeyID) {
		return c.searchOnce(ctx, question, shown)
	}
	return answer, err
}

func (c *Cloud) searchOnce(ctx context.Context, question protocol.Question, shown protocol.Shown) (*protocol.Answer, error) {
	key, err := c.encryptionKey(ctx)
	if err != nil {
		return nil, err
	}
	asker, err := c.member.Party()
	if err != nil {
		return nil, err
	}
	awaiting, opening, err := protocol.Ask(asker, question, shown, key, c.member.clock(), c.member.entropy)
	if err != nil {
		return nil, err
	}
	defer awaiting.Forget()
	answer, err := pb.NewSearchServiceClient(c.connection).Search(ctx, &pb.SearchRequest{Opening: opening})
	if err != nil {
		return nil, err
	}
	return awaiting.Receive(answer.GetReply(), c.member.Verifier(), c.member.clock())
}

// Revoke takes statements back: rev, once more with the newest key if EK_C has changed. Refuses with the cloud's refusal, and as
// protocol.AwaitingRevoked.
func (c *Cloud) Revoke(ctx context.Context, taken protocol.Revocation) error {
	err := c.revokeOnce(ctx, taken)
	if refusal.Is(err, refusal.UnknownKeyID) {
		return c.revokeOnce(ctx, taken)
	}
	return err
}

func (c *Cloud) revokeOnce(ctx context.Context, taken protocol.Revocation) error {
	key, err := c.encryptionKey(ctx)
	if err != nil {
		return err
	}
	party, err := c.member.Party()
	if err != nil {
		return err
	}
	awaiting, opening, err := protocol.Revoke(party, taken, key, c.member.clock(), c.member.entropy)
	if err != nil {
		return err
	}
	answer, err := pb.NewRevocationServiceClient(c.connection).Revoke(ctx, &pb.RevokeRequest{Opening: opening})
	if err != nil {
		return err
	}
	return awaiting.Receive(answer, c.member.Anchors())
}
