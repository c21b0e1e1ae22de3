package client

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// deafHospital opens a session, and takes nothing more of it.
type deafHospital struct {
	pb.UnimplementedRecordServiceServer
}

func (deafHospital) OpenSession(stream grpc.BidiStreamingServer[pb.OpenSessionRequest, pb.OpenSessionResponse]) error {
	<-stream.Context().Done()
	return nil
}

func TestHospitalThatTakesNothingHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection := served(t, func(server grpc.ServiceRegistrar) { pb.RegisterRecordServiceServer(server, deafHospital{}) })
		opened, began := &session{connection: connection}, time.Now()
		opened.ctx, opened.cancel = context.WithCancelCause(t.Context())
		defer opened.close()
		var err error
		opened.stream, err = pb.NewRecordServiceClient(connection).OpenSession(opened.ctx)
		must(t, err)
		frame := &pb.SessionFrame{
			SessionId: make([]byte, 16), Sequence: proto.Uint64(0), Last: proto.Bool(false), Sealed: make([]byte, 1<<20), SentAt: proto.Uint64(1),
		}
		for err == nil && time.Since(began) < longestSilence {
			err = opened.sendFrame(frame)
		}
		if took := time.Since(began); !refusal.Is(err, refusal.Unavailable) || took != longestSilence {
			t.Errorf("after %s: %v", took, err)
		}
		if _, err := opened.receiveFrame(); !refusal.Is(err, refusal.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPeerHasThisSidePauseForAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for asked, expected := range map[time.Duration]time.Duration{
			-time.Hour: firstPause, 3 * time.Second: 3 * time.Second, 1000 * time.Hour: longestAsked,
		} {
			told, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
			must(t, err)
			began := time.Now()
			must(t, sleep(t.Context(), firstPause, fromStatus(told.Err(), nil, "")))
			if took := time.Since(began); took != expected {
				t.Errorf("asked for %s, it took %s", asked, took)
			}
		}
	})
}
