package client

import (
	"bytes"
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	hour   = 3_600_000
	day    = 24 * hour
	minute = 60_000
)

func TestRenewedKeyIsAnnouncedAndTheOldOneOpensUntilItsEnd(t *testing.T) {
	c := newClinic(t)
	first := c.register()
	c.now += hour
	statement, err := c.cloud.Renew(context.Background())
	must(t, err)
	second := statement.GetKeyId()
	if statement.GetNotAfter() != c.now+7*day || len(c.taken) != 1 || !bytes.Equal(c.taken[0], second) {
		t.Errorf("%v; the cloud took %x", statement, c.taken)
	}
	statement, err = c.cloud.Renew(context.Background()) // whenever it is asked for
	must(t, err)
	third := statement.GetKeyId()
	if bytes.Equal(third, second) || !bytes.Equal(c.present(), third) {
		t.Errorf("%x is announced, not %x", c.present(), third)
	}
	labels := c.cloud.member.home.state.Epochs
	c.now += 7*day - hour + 5*minute - 1
	c.crash()
	if !c.holds(first) || !c.holds(second) || !c.holds(third) {
		t.Error("a key is gone before 5 minutes after its end")
	}
	c.now++
	c.crash()
	if c.holds(first) || !c.holds(second) || !c.holds(third) {
		t.Error("5 minutes after its end a key is there, or others are gone")
	}
	if _, err := c.cloud.member.home.Store.Agreement(labels[2].Label); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("the key of an epoch that is over: %v", err)
	}
}

func TestCrashBeforeTheReceiptLeavesTheOldKeyAnnounced(t *testing.T) {
	c := newClinic(t)
	first := c.register()
	c.now += hour
	c.faults = []error{refused(codes.Unavailable, "UNAVAILABLE")}
	if _, err := c.cloud.Renew(context.Background()); !refusal.Is(err, refusal.Unavailable) {
		t.Errorf("the answer that was lost: %v", err)
	}
	c.crash()
	if !bytes.Equal(c.present(), first) || !c.holds(c.taken[0]) {
		t.Errorf("%x is announced; what the cloud has is held: %v", c.present(), c.holds(c.taken[0]))
	}
	_, err := c.cloud.Renew(context.Background())
	must(t, err)
	if len(c.taken) != 2 || !bytes.Equal(c.taken[0], c.taken[1]) || !bytes.Equal(c.present(), c.taken[1]) || !c.holds(first) {
		t.Errorf("the cloud took %x, and %x is announced", c.taken, c.present())
	}
}

func TestFalseReceiptAnnouncesNothing(t *testing.T) {
	for name, tried := range map[string]struct {
		bend   func(*publicCloud)
		reason refusal.Reason
	}{
		"for another key":     {func(p *publicCloud) { p.receipt = func(e *pb.RenewalReceipt) { e.KeyId = make([]byte, 16) } }, refusal.AnswerMismatch},
		"of an earlier PRK_C": {func(p *publicCloud) { p.receipt = func(e *pb.RenewalReceipt) { e.DoneAt = proto.Uint64(1) } }, refusal.SignatureInvalid},
		"beside another's KS": {func(p *publicCloud) {
			p.anew = p.sign("ekack", &pb.RenewalReceipt{KeyId: make([]byte, 16), DoneAt: &p.now})
		}, refusal.UnknownField},
	} {
		c := newClinic(t)
		first := c.register()
		tried.bend(c.publicCloud)
		if _, err := c.cloud.Renew(context.Background()); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
		if !bytes.Equal(c.present(), first) || !c.holds(c.taken[0]) {
			t.Errorf("%s: %x is announced, not %x", name, c.present(), first)
		}
	}
}

func TestNewerKeyOfTheCloudIsTakenOnce(t *testing.T) {
	c := newClinic(t)
	c.register()
	unknown := refused(codes.InvalidArgument, "UNKNOWN_KEY_ID")
	c.faults = []error{unknown}
	_, err := c.cloud.Renew(context.Background())
	must(t, err)
	c.faults = []error{unknown, unknown}
	if _, err := c.cloud.Renew(context.Background()); !refusal.Is(err, refusal.UnknownKeyID) || len(c.taken) != 4 {
		t.Errorf("%d calls: %v", len(c.taken), err)
	}
}

func TestWhoIsNotRegisteredRenewsNothing(t *testing.T) {
	c := newClinic(t)
	if _, err := c.cloud.Renew(context.Background()); !refusal.Is(err, refusal.NotRegistered) {
		t.Errorf("got %v", err)
	}
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if c.cloud.member.home.state.Next != nil || len(c.taken)+len(c.said) > 0 {
		t.Errorf("the cloud took %x; said %q", c.taken, c.said)
	}
}

func TestMaintenanceRenewsADayBeforeTheEnd(t *testing.T) {
	c := newClinic(t)
	first := c.register()
	c.now += 6*day - 1
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if len(c.taken)+len(c.said) > 0 {
		t.Errorf("before it was due the cloud took %x; said %q", c.taken, c.said)
	}
	c.now++
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if len(c.taken) != 1 || len(c.said) != 1 || bytes.Equal(c.present(), first) || !c.holds(first) {
		t.Errorf("the cloud took %x; said %q", c.taken, c.said)
	}
}

func TestMaintenanceWaitsForACloudThatIsAway(t *testing.T) {
	c := newClinic(t)
	first := c.register()
	c.now, c.away = c.now+6*day, true
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if len(c.said) != 1 || !bytes.Equal(c.present(), first) {
		t.Errorf("%x is announced; said %q", c.present(), c.said)
	}
	c.now += day // the epoch is over, and still the cloud is away: the next one is good for whoever verifies it
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	next := c.present()
	if bytes.Equal(next, first) || !c.holds(next) {
		t.Error("an epoch that is over is announced")
	}
	c.away = false
	c.crash()
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if len(c.taken) != 1 || !bytes.Equal(c.taken[0], next) || !bytes.Equal(c.present(), next) {
		t.Errorf("the cloud took %x, not %x", c.taken, next)
	}
}

func TestMaintenanceDoesNotHideARefusal(t *testing.T) {
	c := newClinic(t)
	c.register()
	c.now, c.faults = c.now+6*day, []error{refused(codes.PermissionDenied, "REJECTED")}
	if err := c.cloud.Maintain(context.Background(), c.tell); !refusal.Is(err, refusal.Rejected) || len(c.said) > 0 {
		t.Errorf("%v; said %q", err, c.said)
	}
}

func TestKeyThatTheCloudNeverSawIsDestroyedToo(t *testing.T) {
	c := newClinic(t)
	c.register()
	next, err := c.cloud.member.nextEpoch(c.now, renewBeforeEnd)
	must(t, err)
	c.now += 7*day + 5*minute
	c.crash()
	if _, err := c.cloud.member.home.Store.Agreement(next.Label); !refusal.Is(err, refusal.KeyNotFound) || c.cloud.member.home.state.Next != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestKeyThatWaitedTooLongIsPutAsideForAnother(t *testing.T) {
	c := newClinic(t)
	c.register()
	waited, err := c.cloud.member.nextEpoch(c.now, renewBeforeEnd)
	must(t, err)
	c.now += 6 * day
	statement, err := c.cloud.Renew(context.Background())
	must(t, err)
	if statement.GetNotAfter() != c.now+7*day || c.cloud.member.home.state.Next != nil {
		t.Errorf("renewed until %d, at %d", statement.GetNotAfter(), c.now)
	}
	label := waited.Label
	if _, err := c.cloud.member.home.Store.Agreement(label); err != nil {
		t.Errorf("the key that was put aside: %v", err)
	}
	c.now += day + 5*minute
	c.crash()
	if _, err := c.cloud.member.home.Store.Agreement(label); !refusal.Is(err, refusal.KeyNotFound) {
		t.Errorf("the key that was put aside, after its end: %v", err)
	}
}

func TestKeyStatementSignedAnewIsKept(t *testing.T) {
	c := newClinic(t)
	c.register()
	own, err := c.cloud.member.keyStatement()
	must(t, err)
	statement := &pb.KeyStatement{}
	must(t, protocol.Peek(statement, own))
	statement.StatedAt = proto.Uint64(c.now)
	c.anew = c.sign("ks", statement)
	_, err = c.cloud.Renew(context.Background())
	must(t, err)
	c.crash()
	if own, err = c.cloud.member.keyStatement(); err != nil || !proto.Equal(own, c.anew) {
		t.Errorf("another KS is kept: %v", err)
	}
}

func TestMaintenanceAsksForAKeyStatementThatATaintedKeyDidNotSign(t *testing.T) {
	c := newClinic(t)
	first, member := c.register(), c.cloud.member
	own, err := member.keyStatement()
	must(t, err)
	c.anew = own
	statement := &pb.KeyStatement{}
	must(t, protocol.Peek(statement, own))
	statement.StatedAt = proto.Uint64(1) // by the cloud's first key
	member.home.state.KeyStatement, err = proto.Marshal(c.sign("ks", statement))
	must(t, err)
	must(t, c.cloud.Maintain(context.Background(), c.tell))
	if len(c.taken)+len(c.said) > 0 {
		t.Errorf("of a key that is merely retired: the cloud took %x; said %q", c.taken, c.said)
	}
	content := proto.CloneOf(member.bundle.Content)
	content.Sequence, content.IssuedAt = proto.Uint64(content.GetSequence()+1), proto.Uint64(c.now)
	content.CloudKeys[0].TaintedAt = proto.Uint64(c.now)
	tainted := c.sign("tb", content)
	c.bundle = kept{tainted.GetStatement(), tainted.GetSignature()}
	_, err = c.cloud.Refresh(context.Background())
	must(t, err)
	for range 2 {
		must(t, c.cloud.Maintain(context.Background(), c.tell))
	}
	now, err := member.keyStatement()
	if err != nil || !proto.Equal(now, own) {
		t.Errorf("another KS is kept: %v", err)
	}
	if len(c.taken) != 1 || !bytes.Equal(c.taken[0], first) || len(c.said) != 1 {
		t.Errorf("the cloud took %x, not %x once; said %q", c.taken, first, c.said)
	}
}
