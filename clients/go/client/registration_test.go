package client

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"medunion.example/clients/go/refusal"
)

func TestRegistrationThatNeverArrivedBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t)
		password, ticket := make([]byte, 32), make([]byte, 16)
		c.faults = slices.Repeat([]error{refused(codes.Unavailable, "STORE_UNAVAILABLE")}, len(pauses)+1)
		if _, err := c.cloud.Register(t.Context(), password, ticket); !refusal.Is(err, refusal.Unavailable) {
			t.Errorf("the cloud did not take it: %v", err)
		}
		c.applied, c.now = nil, c.now+minute
		c.crash()
		c.faults = []error{refused(codes.InvalidArgument, "STALE"), refused(codes.PermissionDenied, "REJECTED")}
		if _, err := c.cloud.Register(t.Context(), password, ticket); !refusal.Is(err, refusal.Rejected) {
			t.Errorf("the new one: %v", err)
		}
		if !bytes.Equal(c.applied, []byte{1, 2}) || c.cloud.member.home.state.UnderWay != nil {
			t.Errorf("applied by the challenges %d", c.applied)
		}
	})
}

func TestRegistrationWhoseAnswerIsLostGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic(t)
		c.faults = slices.Repeat([]error{refused(codes.Unavailable, "UNAVAILABLE")}, 2*len(pauses)+2)
		for range 2 {
			if _, err := c.cloud.Register(t.Context(), make([]byte, 32), make([]byte, 16)); !refusal.Is(err, refusal.Unavailable) {
				t.Errorf("got %v", err)
			}
			c.crash()
		}
		if c.begun != 1 || c.cloud.member.home.state.UnderWay == nil {
			t.Errorf("%d registrations were opened", c.begun)
		}
	})
}
