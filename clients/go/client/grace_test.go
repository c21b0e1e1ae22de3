package client

import (
	"testing"

	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// The public cloud is silent: its list counts on for the grace, and no longer; a clock that is set back behind its use is refused, also by
// who starts later; another list begins anew.
func TestListThatIsOverCountsForTheGrace(t *testing.T) {
	c := newClinic(t)
	c.register()
	_, err := c.cloud.Refresh(t.Context())
	must(t, err)
	_, err = c.cloud.member.Party()
	must(t, err) // the shard is at hand
	c.away = true
	end := c.cloud.member.lists.Head().GetNextUpdate()
	acts := func(now protocol.Instant) error {
		c.now = now
		_, err := c.cloud.member.Party()
		return err
	}
	grace := protocol.Instant(DefaultGrace.Milliseconds())
	must(t, acts(end))
	must(t, acts(end+grace-1))
	if err := acts(end + grace); !refusal.Is(err, refusal.RevocationListStale) {
		t.Errorf("after the grace: %v", err)
	}
	c.crash()
	if err := acts(end + 1); !refusal.Is(err, refusal.RevocationListStale) {
		t.Errorf("by a clock that was set back: %v", err)
	}
	c.now, c.away = end+2, false // the cloud's own clock goes with the list
	_, err = c.cloud.Refresh(t.Context())
	must(t, err)
	must(t, acts(c.now))
}
