package client

import (
	"errors"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"medunion.example/clients/go/refusal"
)

const domain = "medunion"

var reasonOfCode = map[codes.Code]refusal.Reason{
	codes.ResourceExhausted: refusal.LimitReached,
	codes.Unavailable:       refusal.Unavailable,
	codes.DeadlineExceeded:  refusal.Unavailable,
	codes.Canceled:          refusal.Unavailable,
	codes.PermissionDenied:  refusal.Unauthorized,
	codes.Unauthenticated:   refusal.Unauthenticated,
	codes.InvalidArgument:   refusal.MalformedMessage,
	codes.NotFound:          refusal.NotFound,
}

// fromStatus gives the refusal that a peer sent: the reason of google.rpc.ErrorInfo, the delay of google.rpc.RetryInfo; where there
// is no ErrorInfo, what gRPC's own code says.
func fromStatus(err error) error {
	if err == nil || refusal.Outer(err) != refusal.Internal {
		return err
	}
	told := status.Convert(err)
	reason, known := reasonOfCode[told.Code()]
	if !known {
		reason = refusal.Internal
	}
	found := refusal.New(reason, "%s", told.Message())
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == domain && detail.GetReason() != "" {
				found.Reason = refusal.Reason(detail.GetReason())
			}
		case *errdetails.RetryInfo:
			found.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return found
}

// IsPassing says whether a refusal passes by itself: the same may be tried again after a while.
func IsPassing(err error) bool {
	return refusal.Is(err, refusal.Unavailable, refusal.CallOverdue, refusal.RevocationListStale, refusal.BundleStale,
		refusal.LimitReached, refusal.ReaderStalled)
}

func retryAfter(err error) time.Duration {
	var found *refusal.Error
	if errors.As(err, &found) {
		return found.RetryAfter
	}
	return 0
}

// endOfStream gives why a stream ended. That it ended well before its last message passes, too: it is opened again.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return refusal.New(refusal.Unavailable, "the stream ended")
	}
	return fromStatus(err)
}
