package client

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// consented is what the doctor shows of a patient who consents to all of this.
func (p *practice) consented() protocol.Shown {
	p.t.Helper()
	consent := &pb.Consent{Grant: statementOf(p.t, "grant"), KeyStatement: p.patient.KeyStatement}
	return protocol.ByConsent(p.patient.Identity, consent, nil)
}

// busy is a refusal that asks to be left alone for so long.
func busy(code codes.Code, pause time.Duration) error {
	told, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(pause)})
	if err != nil {
		panic(err)
	}
	return told.Err()
}

func TestNothingThatTheCloudSaysOfRecordsEndsAVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPractice(t)
		present := &protocol.InConsultation{
			Shown: p.consented(),
			Grant: &access.Grant{DepartmentClasses: []string{access.Any}, Rights: []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ}},
		}
		for _, tried := range []struct {
			answers []error
			took    time.Duration
			told    string
		}{
			{[]error{refused(codes.PermissionDenied, "GRANT_REVOKED")}, 0, "GRANT_REVOKED"},
			{[]error{refused(codes.Internal, "INTERNAL")}, 0, "INTERNAL"},
			{[]error{refused(codes.Unavailable, "UNAVAILABLE")}, 0, "UNAVAILABLE"}, // it does not say for how long
			{[]error{busy(codes.ResourceExhausted, 3*time.Second), refused(codes.Internal, "INTERNAL")}, 3 * time.Second, "INTERNAL"},
			{[]error{busy(codes.Unavailable, time.Hour), busy(codes.Unavailable, time.Hour)}, longestAsked, "UNAVAILABLE"},
		} {
			p.said, p.searched = nil, tried.answers
			began := time.Now()
			records := p.doctor.Records(t.Context(), present)
			if len(records) > 0 || len(p.said) != 1 || !strings.HasSuffix(p.said[0], "["+tried.told+"]") {
				t.Errorf("%v: %d records; said %q", tried.answers, len(records), p.said)
			}
			if took := time.Since(began); took != tried.took || len(p.searched) > 0 {
				t.Errorf("%v: it took %s, and %d answers are left", tried.answers, took, len(p.searched))
			}
		}
		p.said, present.Grant.Rights = nil, nil
		if records := p.doctor.Records(t.Context(), present); len(records) > 0 || len(p.said) != 1 || !strings.Contains(p.said[0], "Without consent") {
			t.Errorf("%d records; said %q", len(records), p.said)
		}
	})
}

func TestDiagnosisIsSentHoweverLongTheRelayIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPractice(t)
		at := &relay{faults: slices.Repeat([]error{refused(codes.Unavailable, "UNAVAILABLE")}, 5*mostPutAttempts)}
		must(t, p.doctor.send(t.Context(), p.room(at), frameOf(1)))
		if len(at.frames) != 1 || len(p.said) != 5 {
			t.Errorf("%d frames; said %q", len(at.frames), p.said)
		}
		at.faults = []error{refused(codes.NotFound, "NO_SUCH_ROOM")}
		if err := p.doctor.send(t.Context(), p.room(at), frameOf(1)); !refusal.Is(err, refusal.NoSuchRoom) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCloudThatAsksToBeLeftAloneIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPractice(t)
		p.asked, p.doctor.refreshAt = 0, time.Time{}
		for _, pause := range []time.Duration{30 * time.Second, 1000 * time.Hour} {
			began := time.Now()
			p.silence = []error{busy(codes.ResourceExhausted, pause)}
			for p.asked = 0; p.asked < 2; time.Sleep(time.Second) {
				must(t, p.doctor.refresh(t.Context()))
			}
			if waited, expected := time.Since(began)-time.Second, min(pause, longestAsked); waited != expected {
				t.Errorf("asked for %s, it was asked again after %s", pause, waited)
			}
			p.doctor.refreshAt = time.Time{}
		}
	})
}

func TestSearchAndSessionsOfAVisitAreBounded(t *testing.T) {
	asked := 0
	locations, err := allPages(func(after []byte) (*protocol.Answer, error) {
		if string(after) != strings.Repeat("on", asked) {
			t.Errorf("page %d was asked for after %q", asked, after)
		}
		asked++
		return &protocol.Answer{Locations: make([]protocol.RecordLocation, 1), Next: []byte(strings.Repeat("on", asked))}, nil
	})
	if !refusal.Is(err, refusal.LimitReached) || asked != mostPages || len(locations) != mostPages {
		t.Errorf("%d pages asked for, %d locations: %v", asked, len(locations), err)
	}
	p := newPractice(t)
	nowhere := protocol.RecordLocation{Hospital: &protocol.Peer{VerifiedParty: &protocol.VerifiedParty{Identity: "H:alpha"}}}
	shown := func(context.Context) protocol.Shown { return p.consented() }
	for most, reason := range map[int]refusal.Reason{1: refusal.FieldInvalid, 0: refusal.LimitReached} {
		missing := p.doctor.fetchAll(t.Context(), shown, []protocol.RecordLocation{nowhere}, most, func(*Record) { t.Error("a record") })
		if missing["H:alpha"] != reason {
			t.Errorf("of %d sessions: %v, not %s", most, missing, reason)
		}
	}
}
