package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

func TestServerThatIsBackIsDialledWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), make(chan time.Duration)
		connection, err := grpc.NewClient("passthrough:///away", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(connecting),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				tries <- time.Since(began)
				return nil, errors.New("nobody is there")
			}))
		must(t, err)
		defer connection.Close()
		go func() {
			for state := connection.GetState(); state != connectivity.Shutdown; state = connection.GetState() {
				connection.Connect()
				connection.WaitForStateChange(t.Context(), state)
			}
		}()
		before := time.Duration(0)
		for range 20 {
			at := <-tries
			if pause := at - before; pause > 2*longestPause {
				t.Errorf("tried after a pause of %s", pause)
			}
			before = at
		}
		go func() {
			for range tries { // what is dialled while it closes
			}
		}()
		connection.Close()
		close(tries)
	})
}

// heard is a server of which a test knows whether somebody connected.
type heard struct {
	address string
	calls   chan struct{}
}

func newHeard(t *testing.T) *heard {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	made := &heard{listener.Addr().String(), make(chan struct{}, 100)}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Close()
			made.calls <- struct{}{}
		}
	}()
	return made
}

func (d Dialing) getRoom(t *testing.T, address string) error {
	t.Helper()
	connection, err := d.dial(address, "H:alpha", &protocol.TrustedBundle{})
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = pb.NewRelayServiceClient(connection).GetRoom(t.Context(), &pb.GetRoomRequest{RoomId: make([]byte, 16)})
	return err
}

func TestAddressChoosesNoResolver(t *testing.T) {
	for _, address := range []string{
		"unix:/tmp/evil", "unix-abstract:evil:1", "vsock:2:443", "xds:///evil:443", "passthrough:///127.0.0.1:1", "dns://evil/alpha:443",
		"127.0.0.1:99999", "127.0.0.1:0", "alpha", "alpha:443/", "user@alpha:443", "",
	} {
		if err := (Dialing{}).getRoom(t, address); !refusal.Is(err, refusal.FieldInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAddressOutsideTheNetworksIsNotDialled(t *testing.T) {
	server := newHeard(t)
	_, port, err := net.SplitHostPort(server.address)
	must(t, err)
	elsewhere := Dialing{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, address := range []string{server.address, "[::ffff:127.0.0.1]:" + port, "localhost:" + port} { // what a name leads to, too
		if err := elsewhere.getRoom(t, address); !refusal.Is(err, refusal.NetworkForbidden) || IsPassing(err) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(server.calls) > 0 {
		t.Error("it was dialled all the same")
	}
	inside := Dialing{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8")}}
	if err := inside.getRoom(t, server.address); !refusal.Is(err, refusal.Unavailable) { // it speaks no TLS
		t.Errorf("inside: %v", err)
	}
	<-server.calls
}

func TestWhereNobodyAnswersTheAddressIsSaid(t *testing.T) {
	closed := newHeard(t) // hangs up at once: no TLS comes about
	for _, address := range []string{"127.0.0.1:1", "nobody.invalid:443", closed.address} {
		connection, err := (Dialing{}).dial(address, "H:alpha", &protocol.TrustedBundle{})
		must(t, err)
		defer connection.Close()
		relay := pb.NewRelayServiceClient(connection)
		_, ofCall := relay.GetRoom(t.Context(), &pb.GetRoomRequest{RoomId: make([]byte, 16)})
		late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		_, inTime := relay.GetRoom(late, &pb.GetRoomRequest{RoomId: make([]byte, 16)})
		for _, err := range []error{ofCall, inTime, followed(t, relay)} {
			var said *refusal.Error
			if !errors.As(err, &said) || said.Reason != refusal.Unavailable || said.Address != address || !IsPassing(err) {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

// followed gives why a stream ended.
func followed(t *testing.T, relay pb.RelayServiceClient) error {
	t.Helper()
	direction := pb.Direction_DIRECTION_TO_DOCTOR
	request := &pb.FollowFramesRequest{RoomId: make([]byte, 16), Direction: &direction, FromNumber: proto.Uint64(0)}
	stream, err := relay.FollowFrames(t.Context(), request)
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func TestProxyOfTheEnvironmentIsAskedOnlyByLeave(t *testing.T) {
	proxy := newHeard(t)
	t.Setenv("HTTPS_PROXY", "http://"+proxy.address)
	t.Setenv("NO_PROXY", "")
	for _, asked := range []bool{false, true} {
		if err := (Dialing{Proxy: asked}).getRoom(t, "alpha.invalid:443"); !refusal.Is(err, refusal.Unavailable) {
			t.Errorf("got %v", err)
		}
		if asked {
			<-proxy.calls
		} else if len(proxy.calls) > 0 {
			t.Error("the proxy was asked")
		}
	}
}
