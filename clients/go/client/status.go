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

var reasonOfCode = map[codes.Code]refusal.Reason{
	codes.ResourceExhausted:  refusal.LimitReached,
	codes.Unavailable:        refusal.Unavailable,
	codes.DeadlineExceeded:   refusal.Unavailable,
	codes.Canceled:           refusal.Unavailable,
	codes.PermissionDenied:   refusal.Unauthorized,
	codes.Unauthenticated:    refusal.Unauthenticated,
	codes.InvalidArgument:    refusal.MalformedMessage,
	codes.NotFound:           refusal.NotFound,
	codes.AlreadyExists:      refusal.AlreadyExists,
	codes.FailedPrecondition: refusal.OutOfOrder,
}

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

// fromStatus gives the refusal that a peer sent: the reason of google.rpc.ErrorInfo, the delay of google.rpc.RetryInfo; where there
// is no ErrorInfo, or a reason that is not known here, what gRPC's own code says. The sentence is ours, and ends with how the peer
// calls the call: by that its operator finds the cause.
func fromStatus(err error, trailer metadata.MD) error {
	if _, isRefusal := errors.AsType[*refusal.Error](err); err == nil || isRefusal {
		return err
	}
	said := status.Convert(err)
	reason, known := reasonOfCode[said.Code()]
	if !known {
		reason = refusal.Internal
	}
	found := &told{passes: passes(said.Code())}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if said := refusal.Reason(detail.GetReason()); detail.GetDomain() == domain && words[said] != "" {
				reason = said
			}
		case *errdetails.RetryInfo:
			found.retryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	found.refusal = refusal.New(reason, "%s%s", words[reason], request(trailer))
	return found
}

// requestID is the trailing metadata of every call that a server names it by.
const requestID = "medunion-request-id"

var hexOfRequest = regexp.MustCompile(`^[0-9a-f]{16}$`)

func request(trailer metadata.MD) string {
	for _, named := range trailer.Get(requestID) {
		if hexOfRequest.MatchString(named) {
			return " (request " + named + ")"
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
	return fromStatus(err, nil)
}

// words are what a person reads of a peer's refusal, by its reason: a peer's own sentence is shown to nobody, for it could say anything,
// in the name of this program.
var words = map[refusal.Reason]string{
	refusal.MalformedMessage:      "the message breaks a rule of its definition",
	refusal.UnknownField:          "the message has a field that the other side does not know",
	refusal.MissingField:          "the message lacks a field",
	refusal.FieldInvalid:          "a field of the message breaks its rule",
	refusal.MessageTooLarge:       "the message is too large",
	refusal.UnsupportedVersion:    "the other side speaks another version of the protocol: update this program",
	refusal.PaddingInvalid:        "the message is not padded as it should be",
	refusal.Stale:                 "the message came too late, or this machine's clock is behind: compare clocks",
	refusal.FutureDated:           "this machine's clock is ahead of the other side's: compare clocks",
	refusal.UnknownKeyID:          "the message is sealed to a key that the other side does not hold any more",
	refusal.InvalidPoint:          "a point of the message is none",
	refusal.Unauthenticated:       "the other side does not believe who sends this",
	refusal.SignatureInvalid:      "a signature does not hold for the other side",
	refusal.IdentityMismatch:      "the message names two parties where it should name one",
	refusal.CredentialInvalid:     "a credential does not hold for the other side",
	refusal.CredentialExpired:     "a credential or key is over, or has not begun",
	refusal.CredentialRevoked:     "a credential or key is revoked",
	refusal.CredentialSuperseded:  "the other side has registered anew meanwhile: begin again",
	refusal.IssuerUnknown:         "the other side does not know who issued the credential: its trust bundle may be older",
	refusal.IssuerRevoked:         "the key that issued the credential is revoked",
	refusal.CloudKeyUnknown:       "the other side does not know the public cloud's key: its trust bundle may be older",
	refusal.CloudKeyRevoked:       "the public cloud's key behind a statement is revoked",
	refusal.CertificateIllegal:    "the certificate is not a doctor's of this federation",
	refusal.CertificateExpired:    "the certificate, or its authority's, is over or has not begun",
	refusal.CertificateRevoked:    "the certificate is revoked",
	refusal.CertificateForeign:    "the certificate is another doctor's, or for another key",
	refusal.CertificateOutOfScope: "the authority may not certify this doctor",
	refusal.NotRegistered:         "the other side knows no live registration of this party",
	refusal.Unauthorized:          "this party may not do that",
	refusal.TicketInvalid:         "the ticket is unknown, used, over, or somebody else's",
	refusal.GrantMissing:          "there is no grant",
	refusal.GrantInvalid:          "the grant is not this patient's, or is for somebody else",
	refusal.GrantExpired:          "the grant is over, or has not begun",
	refusal.GrantRevoked:          "the patient took the grant back",
	refusal.GrantScope:            "the grant does not cover this",
	refusal.DutyMissing:           "only a doctor on duty there may do this, and no duty was shown: is the roster up to date?",
	refusal.DutyInvalid:           "the duty is not where the patient's consent is for",
	refusal.DutyExpired:           "the duty is over, or has not begun",
	refusal.DutyRevoked:           "the hospital took the duty back",
	refusal.NotOnDuty:             "the hospital's roster does not name this doctor now: ask its desk",
	refusal.DeputyInvalid:         "whoever signed does not stand for this patient",
	refusal.DeputyExpired:         "the deputy does not stand for this patient any more, or not yet",
	refusal.DeputyRevoked:         "the patient took the deputy's mandate back",
	refusal.DeputyPowers:          "the deputy may not do this in the patient's name",
	refusal.NewerThanList:         "the hospital hears nothing from the public cloud, and gives nothing by what is newer than its last list",
	refusal.TimeStampInvalid:      "a time stamp is not one that its authority made",
	refusal.TimeStampMismatch:     "a time stamp is over something else than what is shown with it",
	refusal.TimeStampReplayed:     "a time stamp does not answer the question",
	refusal.TimeStampUntrusted:    "a time stamp is of no authority that is trusted here",
	refusal.TimeStampExpired:      "a time stamp says a time at which its authority's certificate did not hold",
	refusal.TimeStampUsage:        "the certificate behind a time stamp is not for time stamps alone",
	refusal.PlacesOutdated:        "what a patient keeps of a search is older than it may be",
	refusal.TimeStampRefused:      "a time stamp authority answered that it makes none",
	refusal.NotOwnRecord:          "these are not the asker's own records",
	refusal.EmergencyInvalid:      "the emergency that was declared is not this one",
	refusal.EmergencyExpired:      "the emergency is over: declare it anew if it lasts",
	refusal.EmergencyRefused:      "access in an emergency is not given there like this",
	refusal.BudgetExhausted:       "the number of accesses that are given in a day or a month is used up",
	refusal.RefusedByPeer:         "the other side refused, and says no more than that",
	refusal.NotFound:              "there is no such thing",
	refusal.NoSuchRecord:          "there is no such record",
	refusal.NoSuchRoom:            "there is no such room, or it is closed",
	refusal.AlreadyExists:         "there is such a thing already",
	refusal.OutOfOrder:            "the message does not belong at this point",
	refusal.SessionUnknown:        "the other side knows no such session",
	refusal.SessionExpired:        "the consultation's life is over",
	refusal.MessageReplayed:       "the message was taken before",
	refusal.LimitReached:          "a bound of the other side is reached",
	refusal.ReaderStalled:         "this side took what was sent too slowly",
	refusal.Unavailable:           "the other side can't be reached, or can't answer now",
	refusal.CallOverdue:           "the other side took too long",
	refusal.RevocationListStale:   "the other side has no current revocation list",

	refusal.RevocationShardMissing: "the other side can't tell whether it was revoked",
	refusal.RevocationShardInvalid: "a part of the revocation list is not the cloud's",
	refusal.RevocationHeadOlder:    "the other side has an older revocation list",

	refusal.BundleStale:           "the other side's trust bundle is not confirmed any more",
	refusal.Rejected:              "the other side did not accept the message, and does not say why",
	refusal.Internal:              "something went wrong at the other side",
	refusal.BundleInvalid:         "the trust bundle contradicts itself",
	refusal.TimeMismatch:          "the message names two times",
	refusal.SealInvalid:           "the seal does not open for the other side",
	refusal.KeyConfirmationFailed: "the two sides do not hold the same key",
	refusal.ProofInvalid:          "a proof does not hold for the other side",
	"AMENDMENT_MISMATCH":          "the diagnosis does not say that it takes the place of the newest before it",
	"COMMITMENT_MISMATCH":         "the commitment is to another patient, grant or scope",
	"CHALLENGE_INVALID":           "the registration took too long: begin again",
	refusal.RecordDigestMismatch:  "the content is not what was signed",
	"ATTRIBUTE_CHANGED":           "a member that registers again may not change what it is certified for",
	"DEPARTMENT_FOREIGN":          "the department is another hospital's",
	"ROLE_FORBIDDEN":              "this is not for this role",
	refusal.RecordChanged:         "the record was changed while it came: fetch it again from its beginning",
	"RECORD_WITHDRAWN":            "the record is withdrawn",
	"RECORD_ERASED":               "the record was erased",
	"RENEWAL_NOT_DUE":             "the credential is good, and is renewed when that is due",
	"ALREADY_REGISTERED":          "the identity is registered already",
	"ISSUER_NONCE_REPEATED":       "the public cloud issues no credentials until its issuing key is another",
	"SILENT_STREAM":               "nothing came in time",
	"STORED_RECORD_CORRUPT":       "what was kept is damaged",
}
