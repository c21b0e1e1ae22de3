package client

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// relay is a room: it takes only the next number, and ends each stream after one frame.
type relay struct {
	pb.UnimplementedRelayServiceServer
	frames  []*pb.RelayFrame
	faults  []error // of PutFrame, each once
	skips   uint64
	quiet   time.Duration // before a stream's frame
	follows []uint64
	closed  int
	room    *pb.GetRoomResponse
}

func (r *relay) GetRoom(context.Context, *pb.GetRoomRequest) (*pb.GetRoomResponse, error) {
	return r.room, nil
}

func (r *relay) CloseRoom(context.Context, *pb.CloseRoomRequest) (*pb.CloseRoomResponse, error) {
	r.closed++
	return &pb.CloseRoomResponse{}, nil
}

func (r *relay) PutFrame(_ context.Context, request *pb.PutFrameRequest) (*pb.PutFrameResponse, error) {
	if len(r.faults) > 0 {
		fault := r.faults[0]
		r.faults = r.faults[1:]
		return nil, fault
	}
	if request.GetNumber() < uint64(len(r.frames)) {
		return nil, refused(codes.AlreadyExists, "ALREADY_EXISTS")
	}
	r.frames = append(r.frames, request.GetFrame())
	return &pb.PutFrameResponse{}, nil
}

func (r *relay) FollowFrames(request *pb.FollowFramesRequest, stream grpc.ServerStreamingServer[pb.FollowFramesResponse]) error {
	from := request.GetFromNumber()
	r.follows = append(r.follows, from)
	if from >= uint64(len(r.frames)) {
		return refused(codes.NotFound, "NO_SUCH_ROOM")
	}
	select {
	case <-time.After(r.quiet):
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	return stream.Send(&pb.FollowFramesResponse{Number: proto.Uint64(from + r.skips), Frame: r.frames[from]})
}

func refused(code codes.Code, reason string) error {
	told, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain})
	if err != nil {
		panic(err)
	}
	return told.Err()
}

// served gives a connection to a server of these services, with the checks of every call.
func served(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	listener, server := bufconn.Listen(1<<16), grpc.NewServer()
	register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:///served", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }),
		grpc.WithUnaryInterceptor(checkedCall), grpc.WithStreamInterceptor(checkedStream))
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}

// in gives a mailbox in a room.
func in(t *testing.T, room *relay) *mailbox {
	t.Helper()
	connection := served(t, func(server grpc.ServiceRegistrar) { pb.RegisterRelayServiceServer(server, room) })
	opened := newMailbox(connection, make([]byte, 16), pb.Direction_DIRECTION_TO_DOCTOR)
	t.Cleanup(opened.close)
	return opened
}

func frameOf(session byte) *pb.RelayFrame {
	told := &pb.SessionRefusal{SessionId: bytes.Repeat([]byte{session}, 16), SentAt: proto.Uint64(1)}
	return &pb.RelayFrame{Content: &pb.RelayFrame_Refusal{Refusal: told}}
}

func TestFrameIsPutOnceHoweverOftenTheCallFails(t *testing.T) {
	room := &relay{frames: []*pb.RelayFrame{frameOf(9)}, faults: []error{refused(codes.Unavailable, "UNAVAILABLE")}}
	mailbox := in(t, room)
	if err := mailbox.put(t.Context(), frameOf(1)); err != nil {
		t.Fatal(err)
	}
	if len(room.frames) != 2 || mailbox.nextPut != 2 { // number 0 was somebody else's
		t.Errorf("%d frames, next %d", len(room.frames), mailbox.nextPut)
	}
	room.faults = []error{refused(codes.NotFound, "NO_SUCH_ROOM")}
	if err := mailbox.put(t.Context(), frameOf(1)); !refusal.Is(err, refusal.NoSuchRoom) {
		t.Errorf("got %v", err)
	}
	if err := mailbox.put(t.Context(), &pb.RelayFrame{Content: &pb.RelayFrame_Refusal{Refusal: &pb.SessionRefusal{}}}); !refusal.Is(err, refusal.MissingField) {
		t.Errorf("a frame that breaks its rules: %v", err)
	}
}

func TestFramesAreFollowedThroughLostStreams(t *testing.T) {
	room := &relay{frames: []*pb.RelayFrame{frameOf(1), frameOf(2)}}
	mailbox := in(t, room)
	for _, expected := range room.frames {
		if frame, err := mailbox.next(t.Context()); err != nil || !proto.Equal(frame, expected) {
			t.Fatalf("%v: %v", frame, err)
		}
	}
	if _, err := mailbox.next(t.Context()); !refusal.Is(err, refusal.NoSuchRoom) {
		t.Errorf("got %v", err)
	}
	if len(room.follows) != 3 || room.follows[1] != 1 {
		t.Errorf("followed from %v", room.follows)
	}
}

func TestFrameThatIsLeftOutIsNoticed(t *testing.T) {
	mailbox := in(t, &relay{frames: []*pb.RelayFrame{frameOf(1)}, skips: 1})
	if _, err := mailbox.next(t.Context()); !refusal.Is(err, refusal.OutOfOrder) {
		t.Errorf("got %v", err)
	}
}

func TestWaitingEnds(t *testing.T) {
	mailbox := in(t, &relay{frames: []*pb.RelayFrame{frameOf(1)}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if _, err := mailbox.next(ctx); !refusal.Is(err, refusal.NoAnswer) {
		t.Errorf("got %v", err)
	}
}

func TestRefusalOfTheDoctorsSideEndsTheVisit(t *testing.T) {
	room := &relay{frames: []*pb.RelayFrame{frameOf(2), frameOf(1)}}
	if _, err := nextOf(t.Context(), in(t, room), bytes.Repeat([]byte{1}, 16)); !refusal.Is(err, refusal.RefusedByPeer) {
		t.Errorf("got %v", err)
	}
}
