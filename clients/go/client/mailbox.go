package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

const (
	longestStream     = 5 * time.Minute
	firstPause        = 200 * time.Millisecond
	longestPause      = 5 * time.Second
	mostPutAttempts   = 6
	mostNumbersPassed = 4096 // of a direction's numbers, taken by others, before a sender gives up
)

// mailbox is a room of a hospital's relay as one of its two sides uses it: frames put under the next number, frames followed through lost
// connections. Anybody with the code may put frames, so a receiver passes over what is not its peer's.
type mailbox struct {
	connection *grpc.ClientConn
	service    pb.RelayServiceClient
	room       []byte
	puts       pb.Direction
	nextPut    uint64
	nextRead   uint64

	stream grpc.ServerStreamingClient[pb.FollowFramesResponse]
	cancel context.CancelFunc
	pause  time.Duration
}

func newMailbox(connection *grpc.ClientConn, room []byte, puts pb.Direction) *mailbox {
	return &mailbox{connection: connection, service: pb.NewRelayServiceClient(connection), room: room, puts: puts, pause: firstPause}
}

func (m *mailbox) close() {
	m.hangUp()
	m.connection.Close()
}

// whose fetches the room's doctor; nothing of it is verified yet. Refuses with NO_SUCH_ROOM.
func (m *mailbox) whose(ctx context.Context) (*pb.GetRoomResponse, error) {
	return m.service.GetRoom(ctx, &pb.GetRoomRequest{RoomId: m.room})
}

// put puts a frame once, however often the connection fails: the relay takes the same frame again under its number, and a number that
// somebody else's frame has is passed over.
func (m *mailbox) put(ctx context.Context, frame *pb.RelayFrame) error {
	attempts, pause := 0, firstPause
	for range mostNumbersPassed {
		request := &pb.PutFrameRequest{RoomId: m.room, Direction: m.puts.Enum(), Number: proto.Uint64(m.nextPut), Frame: frame}
		_, err := m.service.PutFrame(ctx, request)
		switch {
		case err == nil:
			m.nextPut++
			return nil
		case refusal.Is(err, refusal.AlreadyExists):
			m.nextPut++
		case IsPassing(err):
			if attempts++; attempts == mostPutAttempts {
				return err
			}
			if stopped := sleep(ctx, pause, err); stopped != nil {
				return stopped
			}
			pause = min(2*pause, longestPause)
		default:
			return err
		}
	}
	return refusal.New(refusal.LimitReached, "the room is full of other messages")
}

// next waits for the other side's next frame. A lost connection is opened again from there on. Refuses with NO_ANSWER when the
// context's time is over, NO_SUCH_ROOM, OUT_OF_ORDER where the relay leaves a message out.
func (m *mailbox) next(ctx context.Context) (*pb.RelayFrame, error) {
	for {
		frame, err := m.receive(ctx)
		if err == nil {
			m.pause = firstPause
			return frame, nil
		}
		m.hangUp()
		if ctx.Err() != nil {
			return nil, refusal.New(refusal.NoAnswer, "nothing came in time")
		}
		if !IsPassing(err) {
			return nil, err
		}
		if sleep(ctx, m.pause, err) != nil {
			return nil, refusal.New(refusal.NoAnswer, "nothing came in time")
		}
		m.pause = min(2*m.pause, longestPause)
	}
}

func (m *mailbox) receive(ctx context.Context) (*pb.RelayFrame, error) {
	if m.stream == nil {
		followed, cancel := context.WithTimeout(ctx, longestStream)
		m.cancel = cancel
		request := &pb.FollowFramesRequest{RoomId: m.room, Direction: m.reads().Enum(), FromNumber: proto.Uint64(m.nextRead)}
		var err error
		if m.stream, err = m.service.FollowFrames(followed, request); err != nil {
			return nil, err
		}
	}
	response, err := m.stream.Recv()
	if err != nil {
		return nil, endOfStream(err)
	}
	if response.GetNumber() != m.nextRead {
		return nil, refusal.New(refusal.OutOfOrder, "the relay left a message out")
	}
	m.nextRead++
	return response.GetFrame(), nil
}

func (m *mailbox) reads() pb.Direction {
	if m.puts == pb.Direction_DIRECTION_TO_DOCTOR {
		return pb.Direction_DIRECTION_TO_PATIENT
	}
	return pb.Direction_DIRECTION_TO_DOCTOR
}

func (m *mailbox) hangUp() {
	if m.cancel != nil {
		m.cancel()
	}
	m.stream, m.cancel = nil, nil
}

// sessionOf names the session that a frame belongs to; nothing for a frame without.
func sessionOf(frame *pb.RelayFrame) []byte {
	switch content := frame.GetContent().(type) {
	case *pb.RelayFrame_Opening:
		return content.Opening.GetSessionId()
	case *pb.RelayFrame_Reply:
		return content.Reply.GetSessionId()
	case *pb.RelayFrame_Frame:
		return content.Frame.GetSessionId()
	case *pb.RelayFrame_Refusal:
		return content.Refusal.GetSessionId()
	default:
		return nil
	}
}
