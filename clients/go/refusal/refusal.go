// Package refusal holds the one vocabulary of refusals (docs/errors.md): the same word in the specification, in
// google.rpc.ErrorInfo and here.
package refusal

import (
	"errors"
	"fmt"
	"strings"
)

// Reason is a word of docs/errors.md, or one of a client's own.
type Reason string

// The reasons that this client finds itself; a peer may send any other.
const (
	MalformedMessage      Reason = "MALFORMED_MESSAGE"
	UnknownField          Reason = "UNKNOWN_FIELD"
	MissingField          Reason = "MISSING_FIELD"
	FieldInvalid          Reason = "FIELD_INVALID"
	MessageTooLarge       Reason = "MESSAGE_TOO_LARGE"
	UnsupportedVersion    Reason = "UNSUPPORTED_VERSION"
	PaddingInvalid        Reason = "PADDING_INVALID"
	Stale                 Reason = "STALE"
	FutureDated           Reason = "FUTURE_DATED"
	UnknownKeyID          Reason = "UNKNOWN_KEY_ID"
	InvalidPoint          Reason = "INVALID_POINT"
	BundleInvalid         Reason = "BUNDLE_INVALID"
	NoteMalformed         Reason = "NOTE_MALFORMED"
	TimeMismatch          Reason = "TIME_MISMATCH"
	SealInvalid           Reason = "SEAL_INVALID"
	SignatureInvalid      Reason = "SIGNATURE_INVALID"
	IdentityMismatch      Reason = "IDENTITY_MISMATCH"
	DepartmentForeign     Reason = "DEPARTMENT_FOREIGN"
	CredentialInvalid     Reason = "CREDENTIAL_INVALID"
	CredentialExpired     Reason = "CREDENTIAL_EXPIRED"
	CredentialRevoked     Reason = "CREDENTIAL_REVOKED"
	CredentialSuperseded  Reason = "CREDENTIAL_SUPERSEDED"
	IssuerUnknown         Reason = "ISSUER_UNKNOWN"
	IssuerRevoked         Reason = "ISSUER_REVOKED"
	CloudKeyUnknown       Reason = "CLOUD_KEY_UNKNOWN"
	CloudKeyRevoked       Reason = "CLOUD_KEY_REVOKED"
	BundleSignerUnknown   Reason = "BUNDLE_SIGNER_UNKNOWN"
	BundleForeign         Reason = "BUNDLE_FOREIGN"
	BundleBackdated       Reason = "BUNDLE_BACKDATED"
	BundleRewritesHistory Reason = "BUNDLE_REWRITES_HISTORY"
	CertificateIllegal    Reason = "CERTIFICATE_ILLEGAL"
	CertificateExpired    Reason = "CERTIFICATE_EXPIRED"
	CertificateRevoked    Reason = "CERTIFICATE_REVOKED"
	CertificateForeign    Reason = "CERTIFICATE_FOREIGN"
	CertificateOutOfScope Reason = "CERTIFICATE_OUT_OF_SCOPE"
	KeyConfirmationFailed Reason = "KEY_CONFIRMATION_FAILED"
	ProofInvalid          Reason = "PROOF_INVALID"
	LogProofInvalid       Reason = "LOG_PROOF_INVALID"
	LeafMismatch          Reason = "LEAF_MISMATCH"
	HeadConflict          Reason = "HEAD_CONFLICT"
	HeadNotCosigned       Reason = "HEAD_NOT_COSIGNED"
	AnswerMismatch        Reason = "ANSWER_MISMATCH"
	AmendmentMismatch     Reason = "AMENDMENT_MISMATCH"
	NotRegistered         Reason = "NOT_REGISTERED"
	RecordDigestMismatch  Reason = "RECORD_DIGEST_MISMATCH"
	Unauthorized          Reason = "UNAUTHORIZED"
	Unauthenticated       Reason = "UNAUTHENTICATED"
	GrantMissing          Reason = "GRANT_MISSING"
	GrantInvalid          Reason = "GRANT_INVALID"
	GrantExpired          Reason = "GRANT_EXPIRED"
	GrantRevoked          Reason = "GRANT_REVOKED"
	GrantScope            Reason = "GRANT_SCOPE"
	DutyMissing           Reason = "DUTY_MISSING"
	DutyInvalid           Reason = "DUTY_INVALID"
	DutyExpired           Reason = "DUTY_EXPIRED"
	DutyRevoked           Reason = "DUTY_REVOKED"
	NotOnDuty             Reason = "NOT_ON_DUTY"
	DeputyInvalid         Reason = "DEPUTY_INVALID"
	DeputyExpired         Reason = "DEPUTY_EXPIRED"
	DeputyRevoked         Reason = "DEPUTY_REVOKED"
	DeputyPowers          Reason = "DEPUTY_POWERS"
	NewerThanList         Reason = "NEWER_THAN_LIST"
	TimeStampInvalid      Reason = "TIME_STAMP_INVALID"
	TimeStampMismatch     Reason = "TIME_STAMP_MISMATCH"
	TimeStampReplayed     Reason = "TIME_STAMP_REPLAYED"
	TimeStampUntrusted    Reason = "TIME_STAMP_UNTRUSTED"
	TimeStampExpired      Reason = "TIME_STAMP_EXPIRED"
	TimeStampUsage        Reason = "TIME_STAMP_USAGE"
	PlacesOutdated        Reason = "PLACES_OUTDATED"
	TimeStampRefused      Reason = "TIME_STAMP_REFUSED"
	NotOwnRecord          Reason = "NOT_OWN_RECORD"
	EmergencyInvalid      Reason = "EMERGENCY_INVALID"
	EmergencyExpired      Reason = "EMERGENCY_EXPIRED"
	EmergencyRefused      Reason = "EMERGENCY_REFUSED"
	BudgetExhausted       Reason = "BUDGET_EXHAUSTED"
	RefusedByPeer         Reason = "REFUSED_BY_PEER"
	WitnessIneligible     Reason = "WITNESS_INELIGIBLE"
	NotFound              Reason = "NOT_FOUND"
	NoSuchRecord          Reason = "NO_SUCH_RECORD"
	NoSuchRoom            Reason = "NO_SUCH_ROOM"
	AlreadyExists         Reason = "ALREADY_EXISTS"
	OutOfOrder            Reason = "OUT_OF_ORDER"
	BundleOutOfSequence   Reason = "BUNDLE_OUT_OF_SEQUENCE"
	HeadOlder             Reason = "HEAD_OLDER"
	HeadBaseMismatch      Reason = "HEAD_BASE_MISMATCH"
	SessionUnknown        Reason = "SESSION_UNKNOWN"
	SessionExpired        Reason = "SESSION_EXPIRED"
	RecordCutShort        Reason = "RECORD_CUT_SHORT"
	RecordChanged         Reason = "RECORD_CHANGED"
	MessageReplayed       Reason = "MESSAGE_REPLAYED"
	LimitReached          Reason = "LIMIT_REACHED"
	ReaderStalled         Reason = "READER_STALLED"
	Unavailable           Reason = "UNAVAILABLE"
	CallOverdue           Reason = "CALL_OVERDUE"
	RevocationListStale   Reason = "REVOCATION_LIST_STALE"

	RevocationShardMissing Reason = "REVOCATION_SHARD_MISSING"
	RevocationShardInvalid Reason = "REVOCATION_SHARD_INVALID"
	RevocationHeadOlder    Reason = "REVOCATION_HEAD_OLDER"

	BundleStale Reason = "BUNDLE_STALE"
	Rejected    Reason = "REJECTED"
	Internal    Reason = "INTERNAL"
)

// A client's own reasons, for what goes wrong before or beside any message; the Python client has the same words.
const (
	BiometricMismatch Reason = "BIOMETRIC_MISMATCH"
	CodeInvalid       Reason = "CODE_INVALID"
	WrongSubject      Reason = "WRONG_SUBJECT"
	FHIRInvalid       Reason = "FHIR_INVALID"
	FHIRNotJSON       Reason = "FHIR_NOT_JSON"
	FHIRTooLarge      Reason = "FHIR_TOO_LARGE"
	TicketInvalid     Reason = "TICKET_INVALID"
	FileUnusable      Reason = "FILE_UNUSABLE"
	KeyNotFound       Reason = "KEY_NOT_FOUND"
	NetworkForbidden  Reason = "NETWORK_FORBIDDEN"
	NoAnswer          Reason = "NO_ANSWER"
	PinFinalTry       Reason = "PIN_FINAL_TRY"
	PinIncorrect      Reason = "PIN_INCORRECT"
	PinLocked         Reason = "PIN_LOCKED"
	PinUnavailable    Reason = "PIN_UNAVAILABLE"
	ProfileUnusable   Reason = "PROFILE_UNUSABLE"
	RecordTooLarge    Reason = "RECORD_TOO_LARGE"
	RoomChanged       Reason = "ROOM_CHANGED"
	NoSuchGrant       Reason = "NO_SUCH_GRANT"
	Declined          Reason = "DECLINED"
	SecretMismatch    Reason = "CREDENTIAL_MISMATCH"
	StoreFull         Reason = "STORE_FULL"
	TokenNotFound     Reason = "TOKEN_NOT_FOUND"
	TokenUnavailable  Reason = "TOKEN_UNAVAILABLE"
	TokenURIInvalid   Reason = "TOKEN_URI_INVALID"
	KeyInvalid        Reason = "KEY_INVALID"
)

// Error is a refusal: its reason, and a sentence for people.
type Error struct {
	Reason   Reason
	Sentence string
	// UnknownReason is what a peer gave as its reason, where this version knows none of that name.
	UnknownReason string
	// Address is where a peer was dialled that does not answer.
	Address string
	// RequestID is how a peer that refused calls the call: by it the peer's operator finds the cause.
	RequestID string
	cause     error
}

// New gives a refusal. The sentence says what is wrong and never holds a secret.
func New(reason Reason, format string, arguments ...any) *Error {
	return &Error{Reason: reason, Sentence: fmt.Sprintf(format, arguments...)}
}

// Because gives a refusal with what led to it.
func Because(cause error, reason Reason, format string, arguments ...any) *Error {
	return &Error{Reason: reason, Sentence: fmt.Sprintf(format, arguments...), cause: cause}
}

// AfterOpening hides what was found after a seal was opened behind REJECTED, all that a peer may learn of it (B9). The
// cause stays attached for this side's own log.
func AfterOpening(cause error) error {
	if cause == nil || Outer(cause) == Rejected {
		return cause
	}
	return Because(cause, Rejected, "the message was not accepted")
}

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s (%v)", e.Reason, e.Sentence, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Sentence)
}

// WordsOf gives what a person reads of a reason; nothing where it is none of the vocabulary.
func WordsOf(reason Reason) Words { return wordsOf[reason] }

// OfCode gives what a refusal of this gRPC code is taken for that gives no reason, or an unknown one.
func OfCode(code uint32) (Reason, bool) {
	reason, known := reasonOfCode[code]
	return reason, known
}

// Plain gives an error for a person: what happened, what else is known of it, what to do, and for who helps the reason and the request.
func Plain(err error) string {
	var found *Error
	if !errors.As(err, &found) {
		return err.Error()
	}
	var cause *Error
	if found.Reason == Rejected && errors.As(found.cause, &cause) {
		return Plain(cause)
	}
	words := wordsOf[found.Reason]
	if found.Reason == Unavailable && found.RequestID != "" {
		words = answered
	}
	said := found.happened(words)
	if words.ToDo != "" {
		said += " " + words.ToDo
	}
	said += fmt.Sprintf(" [%s]", found.Reason)
	if found.RequestID != "" {
		said += fmt.Sprintf(" (request %s)", found.RequestID)
	}
	return said
}

// happened gives what happened, and where nobody answered.
func (e *Error) happened(words Words) string {
	said, more := words.Happened, e.Sentence
	if e.cause != nil {
		more = fmt.Sprintf("%s: %v", more, e.cause)
	}
	switch {
	case e.UnknownReason != "":
		said += fmt.Sprintf(" It refused for a reason that this version does not know (%s).", e.UnknownReason)
	case said == "" && strings.TrimRight(more, ".?!") != more:
		return more
	case said == "":
		return more + "."
	case words.TellsMore && more != said:
		said += fmt.Sprintf(" (%s)", more)
	}
	if e.Address != "" {
		said += fmt.Sprintf(" It was dialled at %s.", e.Address)
	}
	return said
}

// Unwrap gives what led to the refusal.
func (e *Error) Unwrap() error { return e.cause }

// Outer gives the reason of an error as a peer may learn it; INTERNAL for what is no refusal, nothing for nil.
func Outer(err error) Reason {
	if err == nil {
		return ""
	}
	var found *Error
	if errors.As(err, &found) {
		return found.Reason
	}
	return Internal
}

// Precise gives the reason for this side's log: the cause's where the refusal is REJECTED.
func Precise(err error) Reason {
	var found *Error
	if errors.As(err, &found) && found.Reason == Rejected && found.cause != nil {
		return Precise(found.cause)
	}
	return Outer(err)
}

// Is says whether the error's own reason is one of these.
func Is(err error, reasons ...Reason) bool {
	outer := Outer(err)
	for _, reason := range reasons {
		if outer == reason {
			return true
		}
	}
	return false
}
