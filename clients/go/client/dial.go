package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

const (
	callTime       = 15 * time.Second
	largestMessage = 2 * 1024 * 1024
	tlsDomain      = "medunion.internal"
	targetScheme   = "dns:///"
)

// A server that was started again is found within seconds; gRPC would wait up to two minutes.
var connecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestPause},
	MinConnectTimeout: callTime,
}

// tlsName gives the name that the certificate of a public cloud (C:x) or hospital (H:x) has: who a server is, wherever it is dialled
// (docs/adr/0010-tls-names.md).
func tlsName(identity string) (string, error) {
	roles := map[string]string{"C:": "cloud", "H:": "hospital"}
	if len(identity) < 3 || roles[identity[:2]] == "" {
		return "", refusal.New(refusal.FieldInvalid, "%q is no public cloud or hospital", identity)
	}
	return identity[2:] + "." + roles[identity[:2]] + "." + tlsDomain, nil
}

// Dialing is what a party lets addresses from elsewhere lead to.
type Dialing struct {
	// Networks are all that is dialled, where there are some.
	Networks []netip.Prefix
	// Proxy says whether the environment's HTTPS_PROXY is asked: what is dialled is then its affair.
	Proxy bool
}

// dial opens a connection to host:port that believes the trust bundle's TLS CAs alone, and only whom it means to reach. Every message
// is held to the field rules both ways; every call has a deadline. Refuses with FIELD_INVALID what is no host:port.
func (d Dialing) dial(address, identity string, bundle *protocol.TrustedBundle) (*grpc.ClientConn, error) {
	if !rules.Matches(pb.Kind_KIND_ADDRESS, address) {
		return nil, refusal.New(refusal.FieldInvalid, "%q is no address: host:port", address)
	}
	name, err := tlsName(identity)
	if err != nil {
		return nil, err
	}
	roots, err := bundle.TLSRoots()
	if err != nil {
		return nil, err
	}
	secure := credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12})
	connection, err := grpc.NewClient(targetScheme+address, append(d.options(), // an address from elsewhere chooses no other resolver
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(), // nor does a name's TXT record
		grpc.WithConnectParams(connecting),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 40 * time.Second}),
		grpc.WithChainUnaryInterceptor(checkedCall),
		grpc.WithChainStreamInterceptor(checkedStream))...)
	if err != nil {
		return nil, refusal.Because(err, refusal.Unavailable, "%s can't be dialled", address)
	}
	return connection, nil
}

func (d Dialing) options() []grpc.DialOption {
	if d.Proxy {
		return nil
	}
	line := &line{networks: d.Networks}
	dialer := net.Dialer{Control: line.control}
	return []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { // no proxy is asked
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithChainUnaryInterceptor(line.call),
		grpc.WithChainStreamInterceptor(line.stream),
	}
}

// line is one connection's way to its networks.
type line struct {
	networks []netip.Prefix
	barred   atomic.Pointer[refusal.Error] // why an address was not dialled
}

// control looks at each address that a name has led to, when a socket is about to be connected there. Refuses with NETWORK_FORBIDDEN.
func (l *line) control(_, address string, _ syscall.RawConn) error {
	if len(l.networks) == 0 {
		return nil
	}
	resolved, err := netip.ParseAddrPort(address)
	isIn := func(network netip.Prefix) bool { return network.Contains(resolved.Addr()) }
	if err == nil && slices.ContainsFunc(l.networks, isIn) {
		return nil
	}
	barred := refusal.New(refusal.NetworkForbidden, "%s lies in none of the networks that may be dialled", address)
	l.barred.Store(barred)
	return barred
}

// precise gives why nobody was dialled, where that is why nobody can be reached: it does not pass by itself.
func (l *line) precise(err error) error {
	if barred := l.barred.Load(); barred != nil && refusal.Is(err, refusal.Unavailable) {
		return barred
	}
	return err
}

func (l *line) call(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return l.precise(call(ctx, method, request, reply, connection, options...))
}

func (l *line) stream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, description, connection, method, options...)
	return stream, l.precise(err)
}

func checkedCall(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if err := rules.Check(request.(proto.Message)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var trailer metadata.MD
	if err := call(ctx, method, request, reply, connection, append(options, grpc.Trailer(&trailer))...); err != nil {
		return fromStatus(err, trailer, dialled(connection))
	}
	return rules.CheckOuter(reply.(proto.Message))
}

func checkedStream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, description, connection, method, options...)
	if err != nil {
		return nil, fromStatus(err, nil, dialled(connection))
	}
	return &streamOfRules{stream, dialled(connection)}, nil
}

// dialled gives the address that a connection leads to: where nobody answers, it is what somebody has to look at.
func dialled(connection *grpc.ClientConn) string {
	return strings.TrimPrefix(connection.Target(), targetScheme)
}

type streamOfRules struct {
	grpc.ClientStream
	address string
}

func (s *streamOfRules) SendMsg(message any) error {
	if err := rules.Check(message.(proto.Message)); err != nil {
		return err
	}
	err := s.ClientStream.SendMsg(message)
	if errors.Is(err, io.EOF) {
		return err
	}
	return fromStatus(err, nil, s.address)
}

func (s *streamOfRules) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if errors.Is(err, io.EOF) {
		return err
	}
	if err != nil {
		return fromStatus(err, s.Trailer(), s.address)
	}
	return rules.CheckOuter(message.(proto.Message))
}
