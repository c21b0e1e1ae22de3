package client

import (
	"context"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// Renew begins the next epoch of the member's encryption key. Its key is made and kept first; the public cloud gets its EK_X; only when the
// cloud's receipt holds is it the one that is announced. What was cut short, or not answered, goes on with the same key when this is called
// again. The key of the epoch before opens until 5 minutes after its own end. Refuses with NOT_REGISTERED, the cloud's refusal, and as
// protocol.AwaitingKept; then the present epoch stays.
func (c *Cloud) Renew(ctx context.Context) (*pb.EncryptionKeyStatement, error) {
	return c.put(ctx, func(now protocol.Instant) (*epochState, error) { return c.member.nextEpoch(now, renewBeforeEnd) })
}

// Maintain renews what is due: an epoch a day before its end; a KS whose PRK_C can't be relied on any more, by putting the present EK_X once
// more. While the cloud is away all of it waits. Refuses as Renew, but not with what passes by itself.
func (c *Cloud) Maintain(ctx context.Context, tell func(line string)) error {
	if !c.member.home.IsRegistered() {
		return nil // whoever acts next says so
	}
	own, err := c.member.keyStatement()
	if err != nil {
		return err
	}
	now := c.member.clock()
	switch {
	case c.member.renewalIsDue(now):
		_, err = c.Renew(ctx)
		return settled(err, tell, "Your encryption key was renewed.", "Your encryption key is not renewed yet: ")
	case c.member.Anchors().RestatementDue(own, now):
		_, err = c.put(ctx, c.member.presentEpoch)
		return settled(err, tell, "Your credential was confirmed anew.", "Your credential is not confirmed anew yet: ")
	default:
		return nil
	}
}

func settled(err error, tell func(line string), done, waits string) error {
	switch {
	case err == nil:
		tell(done)
	case IsPassing(err):
		tell(waits + refusal.Plain(err))
	default:
		return err
	}
	return nil
}

// put puts an epoch's EK_X to the cloud: ekput and ekack, once more with the newest key if EK_C has changed.
func (c *Cloud) put(ctx context.Context, choose func(protocol.Instant) (*epochState, error)) (*pb.EncryptionKeyStatement, error) {
	put, err := c.putOnce(ctx, choose)
	if refusal.Is(err, refusal.UnknownKeyID) {
		return c.putOnce(ctx, choose)
	}
	return put, err
}

func (c *Cloud) putOnce(ctx context.Context, choose func(protocol.Instant) (*epochState, error)) (*pb.EncryptionKeyStatement, error) {
	member := c.member
	if err := member.requireRegistered(); err != nil {
		return nil, err
	}
	own, err := member.keyStatement()
	if err != nil {
		return nil, err
	}
	key, err := c.encryptionKey(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := choose(member.clock())
	if err != nil {
		return nil, err
	}
	statement, err := epoch.signed()
	if err != nil {
		return nil, err
	}
	awaiting, opening, err := protocol.PutEncryptionKey(member.home.Store.Signer(), statement, "", key, member.clock())
	if err != nil {
		return nil, err
	}
	answer, err := pb.NewMembershipServiceClient(c.connection).PutEncryptionKey(ctx, &pb.PutEncryptionKeyRequest{Opening: opening})
	if err != nil {
		return nil, err
	}
	newest, err := awaiting.Receive(answer, own, member.Verifier(), member.clock())
	if err != nil {
		return nil, err
	}
	named := &pb.EncryptionKeyStatement{}
	if err := protocol.Peek(named, statement); err != nil {
		return nil, err
	}
	return named, member.take(epoch, newest)
}

// take keeps what the cloud's receipt has confirmed, all at once: the epoch, announced from now on, and the newest KS.
func (m *Member) take(epoch *epochState, keyStatement *pb.SignedStatement) error {
	kept, err := proto.Marshal(keyStatement)
	if err != nil {
		return err
	}
	if epoch == m.home.state.Next {
		m.announceNext()
	}
	m.home.state.KeyStatement = kept
	return m.home.save()
}
