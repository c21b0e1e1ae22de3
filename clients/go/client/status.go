package client

import (
	"errors"
	"io"
	"regexp"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"medunion.example/clients/go/refusal"
)

const domain = "medunion"

var formOfReason = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,62}$`)

// told is a refusal that came from a peer.
type told struct {
	refusal *refusal.Error
	// passes says whether the same may be tried again after a while. gRPC's code decides: a peer has more reasons for it than are known here.
	passes bool
	// retryAfter is how long the peer asks to be left alone before that; 0 where it says nothing.
	retryAfter time.Duration
}

func (t *told) Error() string { return t.refusal.Error() }

func (t *told) Unwrap() error { return t.refusal }

// fromStatus gives the refusal that came of a call to that address: the reason of google.rpc.ErrorInfo, the delay of
// google.rpc.RetryInfo; where there is no ErrorInfo, or a reason that is not known here, what gRPC's own code says. The sentence is ours: a
// peer's own could say anything, in the name of this program. It has how the peer calls the call, by which its operator finds the cause, or
// the address where nobody answered.
func fromStatus(err error, trailer metadata.MD, address string) error {
	if _, isRefusal := errors.AsType[*refusal.Error](err); err == nil || isRefusal {
		return err
	}
	said := status.Convert(err)
	found := &told{passes: passes(said.Code())}
	reason, unknown := ofCode(said.Code()), ""
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if named := refusal.Reason(detail.GetReason()); detail.GetDomain() == domain && refusal.WordsOf(named).IsTold {
				reason, unknown = named, ""
			} else if detail.GetDomain() == domain {
				unknown = readable(detail.GetReason())
			}
		case *errdetails.RetryInfo:
			found.retryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	found.refusal = refusal.New(reason, "%s", refusal.WordsOf(reason).Happened)
	found.refusal.UnknownReason, found.refusal.RequestID = unknown, request(trailer)
	if reason == refusal.Unavailable && found.refusal.RequestID == "" {
		found.refusal.Address = address
	}
	return found
}

func ofCode(code codes.Code) refusal.Reason {
	if reason, known := refusal.OfCode(uint32(code)); known {
		return reason
	}
	if passes(code) {
		return refusal.Unavailable
	}
	return refusal.Internal
}

// readable gives a peer's name of a reason that is not known here, if it has the form of one.
func readable(reason string) string {
	if formOfReason.MatchString(reason) {
		return reason
	}
	return "unreadable"
}

// requestID is the trailing metadata of every call that a server names it by.
const requestID = "medunion-request-id"

var hexOfRequest = regexp.MustCompile(`^[0-9a-f]{16}$`)

func request(trailer metadata.MD) string {
	for _, named := range trailer.Get(requestID) {
		if hexOfRequest.MatchString(named) {
			return named
		}
	}
	return ""
}

func passes(code codes.Code) bool {
	return code == codes.Unavailable || code == codes.ResourceExhausted || code == codes.DeadlineExceeded || code == codes.Canceled
}

// IsPassing says whether a refusal passes by itself: the same may be tried again after a while.
func IsPassing(err error) bool {
	if said, isTold := errors.AsType[*told](err); isTold {
		return said.passes
	}
	return refusal.Is(err, refusal.Unavailable, refusal.RevocationListStale, refusal.RevocationShardMissing,
		refusal.RevocationHeadOlder, refusal.BundleStale)
}

func retryAfter(err error) time.Duration {
	if said, isTold := errors.AsType[*told](err); isTold {
		return said.retryAfter
	}
	return 0
}

// endOfStream gives why a stream ended. That it ended well before its last message passes, too: it is opened again.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return refusal.New(refusal.Unavailable, "the stream ended")
	}
	return err
}
