"""Why a party refuses. `reason` is one vocabulary: specification, exception, google.rpc.ErrorInfo, audit event, test name.

A family says what kind of refusal it is; `federation.wire.status` maps families to gRPC codes. What is found after a seal
was opened reaches a peer only as `Rejected` (B9); the precise cause stays with the receiver's audit log. The families come
first, then what is wrong with a message, with who somebody is, with the trust bundle, with what somebody may do.

Long because it is one vocabulary: a reason that is looked for is looked for here.
"""

from collections.abc import Mapping
from datetime import timedelta

_UPDATE = "Bring both programs up to date; if that changes nothing, tell whoever runs the other side."
_LATER = "Try again later; if it stays so, tell whoever runs the other side."
_CLOCK = "Set this computer's clock by the network, and try again."
_FEDERATION = "Don't go on, and tell whoever runs your federation."
_OPERATOR = "Don't go on, and ask whoever runs the other side."
_BUNDLE = "Bring the trust bundle up to date (`medunion trust`), and try again."
_BUNDLE_ELSEWHERE = "Try again: the trust bundle is brought up to date whenever the public cloud answers."
_AGAIN = "Try again; if it stays so, tell whoever runs the other side."


class FederationError(Exception):
    """Root of the family; never raised itself."""

    reason = "INTERNAL"
    in_words = "Something went wrong on the other side; it is not your doing."
    """What happened, to a doctor or a patient at the keyboard, and why, where that may be told."""
    to_do = _LATER
    """What that person can do now."""
    to_do_elsewhere = ""
    """The same for a person whose program lacks what `to_do` names, a command say; nothing where it lacks nothing."""
    in_visit = ""
    """What it can do in the middle of a visit, with a patient there and records on the screen; nothing where that is the same."""
    unknown_reason = ""
    """What a peer gave as its reason, where this version knows none of that name."""
    request_id = ""
    """Of the call that a peer refused: by it the peer's operator finds the cause."""
    retry_after = timedelta()
    """Where it passes: how long to wait at least before another try, as a peer said it or as a caller will be told."""

    @classmethod
    def advice(cls, *, in_visit: bool = False) -> str:
        """Return what a person can do now, on arrival or in the middle of a visit."""
        said = cls._advising()
        return str((in_visit and said.get("in_visit")) or said["to_do"])

    @classmethod
    def advice_elsewhere(cls) -> str:
        """Return what a person can do now whose program lacks what the advice names; nothing where it lacks nothing."""
        return str(cls._advising().get("to_do_elsewhere", ""))

    @classmethod
    def _advising(cls) -> Mapping[str, object]:
        return next(vars(kind) for kind in cls.__mro__ if "to_do" in vars(kind))


class MalformedMessage(FederationError):
    """The message breaks a rule of its own definition."""

    reason = "MALFORMED_MESSAGE"
    in_words = "The other side did not understand the message."
    to_do = _UPDATE


class Authentication(FederationError):
    """Somebody is not, or cannot show to be, who the message says."""

    reason = "UNAUTHENTICATED"
    in_words = "The other side could not show who it is."
    to_do = _OPERATOR


class Authorization(FederationError):
    """Somebody is who the message says, and may not do this."""

    reason = "UNAUTHORIZED"
    in_words = "The other side does not allow this."
    to_do = "Ask whoever runs the other side what it allows you."


class NotFound(FederationError):
    """There is no such thing, and the asker may know."""

    reason = "NOT_FOUND"
    in_words = "There is no such thing there."
    to_do = "Compare what you asked for with what is there."


class Conflict(FederationError):
    """There is such a thing already."""

    reason = "ALREADY_EXISTS"
    in_words = "There is such a thing already."
    to_do = "Look at what is there; use it, or take another name."


class OutOfOrder(FederationError):
    """The message does not belong at this point of the exchange."""

    reason = "OUT_OF_ORDER"
    in_words = "A message came at the wrong moment."
    to_do = "Begin again."


class Replayed(FederationError):
    """The message was taken before."""

    reason = "MESSAGE_REPLAYED"
    in_words = "This message was sent before, and counts once."
    to_do = "Begin again; if you did not send it twice, tell whoever runs the other side."


class Limit(FederationError):
    """A bound is reached; try again later or with less."""

    reason = "LIMIT_REACHED"
    in_words = "The other side is busy, or this is more than it takes at once."
    to_do = "Try again in a little while."


class Unavailable(FederationError):
    """A token, peer or database does not answer; try again later."""

    reason = "UNAVAILABLE"
    in_words = "The other side does not answer."
    to_do = "Look whether this computer is connected, and try again in a little while."
    in_visit = "Go on with what came; it is asked for again when you say so."
    answered = "The other side answers, and can't do this now: something that it needs itself is away."
    """What happened where a peer said so itself."""
    to_do_answered = (
        "Try again in a little while; if it stays so, tell whoever runs the other side the request's number."
    )
    address = ""
    """Where a peer was dialled that does not answer."""


class IssuerStopped(Unavailable):
    """The issuing key has signed with one nonce twice, and issues nothing until another generation has taken its place."""

    reason = "ISSUER_NONCE_REPEATED"
    in_words = "The public cloud's issuing key is out of order."
    to_do = "Wait: registrations go on when its operators have replaced it."


class Corrupt(FederationError):
    """What was kept is not what comes back."""

    reason = "STORED_RECORD_CORRUPT"
    in_words = "What was kept is damaged and cannot be used."
    to_do = "Tell whoever runs the other side: it has to be restored from a backup."


class Rejected(FederationError):
    """What a peer is told of anything found after a seal was opened (B9). The cause is `__cause__`."""

    reason = "REJECTED"
    in_words = "The message was not accepted, and the other side does not say why."
    to_do = "Try once more. If it stays so, whoever runs the other side finds the cause by the request's number, or by the time."
    in_visit = "Go on without it. Whoever runs the other side finds the cause by the request's number, or by the time."


class UnknownField(MalformedMessage):
    """A field that the message's definition does not have."""

    reason = "UNKNOWN_FIELD"
    in_words = "The message holds something unknown."
    to_do = _UPDATE


class MissingField(MalformedMessage):
    """A field that must be present is not."""

    reason = "MISSING_FIELD"
    in_words = "The message is not complete."
    to_do = _UPDATE


class FieldInvalid(MalformedMessage):
    """A field's value breaks the rule in its definition."""

    reason = "FIELD_INVALID"
    in_words = "Something that was given has the wrong form."
    to_do = "Correct it, and try again."


class MessageTooLarge(MalformedMessage):
    """More bytes than this message may have."""

    reason = "MESSAGE_TOO_LARGE"
    in_words = "That is more than may be sent at once."
    to_do = "Send less, or a smaller file."


class UnsupportedVersion(MalformedMessage):
    """The opener names a version of the protocol that this party does not speak."""

    reason = "UNSUPPORTED_VERSION"
    in_words = "The other side speaks another version."
    to_do = _UPDATE


class PaddingInvalid(MalformedMessage):
    """The plaintext of a seal is not F(message) and zeros of the right size."""

    reason = "PADDING_INVALID"
    in_words = "The message arrived damaged."
    to_do = _AGAIN


class StaleMessage(MalformedMessage):
    """T is longer ago than the freshness window."""

    reason = "STALE"
    in_words = "The message was too old when it arrived: the line is very slow, or a clock is wrong."
    to_do = _CLOCK


class FutureDated(MalformedMessage):
    """T is further in the future than clocks may differ (B3)."""

    reason = "FUTURE_DATED"
    in_words = "The message seems to come from the future: a clock is wrong."
    to_do = _CLOCK


class TimeMismatch(Authentication):
    """The T inside the seal is not the T in clear (B2)."""

    reason = "TIME_MISMATCH"
    in_words = "The message was altered on its way."
    to_do = _FEDERATION


class UnknownKeyId(MalformedMessage):
    """Sealed to a key that this party does not hold, or no longer."""

    reason = "UNKNOWN_KEY_ID"
    in_words = "The other side has changed its keys."
    to_do = "Try again: its new keys are fetched then."


class SealInvalid(Authentication):
    """The seal does not open: altered, for another receiver, from another exchange."""

    reason = "SEAL_INVALID"
    in_words = "The message was altered on its way, or was for somebody else."
    to_do = _AGAIN


class PointInvalid(MalformedMessage):
    """A received point is not canonical and of prime order, or is O, B or -B (B6)."""

    reason = "INVALID_POINT"
    in_words = "The other side sent a key that is none."
    to_do = _UPDATE


class SignatureInvalid(Authentication):
    """A signature does not verify over what was received."""

    reason = "SIGNATURE_INVALID"
    in_words = "A signature does not hold: what came is not what was signed."
    to_do = "Use nothing of it, and tell whoever runs the other side."


class KeyConfirmationFailed(Authentication):
    """kc is not what this side computes: the peer does not hold the secret of its credential (eq. 22, 44)."""

    reason = "KEY_CONFIRMATION_FAILED"
    in_words = "The other side does not hold the keys that it should."
    to_do = "Send it nothing, and tell whoever runs your federation."


class SessionUnknown(OutOfOrder):
    """The message belongs to no open session of this party."""

    reason = "SESSION_UNKNOWN"
    in_words = "The answer belongs to another conversation."
    to_do = "Begin again."


class SessionExpired(OutOfOrder):
    """The consultation's life is over."""

    reason = "SESSION_EXPIRED"
    in_words = "The consultation's twelve hours are over."
    to_do = "Begin a new visit, with a new code."


class SilentStream(OutOfOrder):
    """A stream was opened and nothing came."""

    reason = "SILENT_STREAM"
    in_words = "The connection was open and nothing was said."
    to_do = _AGAIN


class StalledReader(Limit):
    """The caller stopped taking what a stream sends it."""

    reason = "READER_STALLED"
    in_words = "What was sent was not taken, and the other side stopped sending."
    to_do = "Try again, on a better line if there is one."


class Overdue(Unavailable):
    """The call took longer than this server gives its method."""

    reason = "CALL_OVERDUE"
    in_words = "The other side took too long and gave up."
    to_do = _LATER


class RecordCutShort(OutOfOrder):
    """The stream ended before the last frame of a record (C8)."""

    reason = "RECORD_CUT_SHORT"
    in_words = "The record broke off before its end; nothing of it is shown."
    to_do = "Fetch it again: it goes on behind what came."
    in_visit = "Go on without it, and fetch it again when the line is better."


class RecordChanged(OutOfOrder):
    """A record that is to go on where its session broke is another one now, or no longer than what came."""

    reason = "RECORD_CHANGED"
    in_words = "The record was changed while it came, so what came of it is of no use."
    to_do = "Fetch it again, from its beginning."


class RecordDigestMismatch(Authentication):
    """The content is not what its signature or manifest says."""

    reason = "RECORD_DIGEST_MISMATCH"
    in_words = "The record is not what its signature says; nothing of it is shown."
    to_do = "Fetch it again. If it stays so, tell the hospital: what it sends is not what it signed."


class IdentityMismatch(Authentication):
    """Two places that must name the same party don't, or it is not the one that was addressed."""

    reason = "IDENTITY_MISMATCH"
    in_words = "Somebody else answers than the one addressed. Nothing of yours was sent."
    to_do = "Don't go on. Compare the address, or the code, with the one that you were given."


class CredentialInvalid(Authentication):
    """A key statement does not hold together: role, keys, credential, attribute."""

    reason = "CREDENTIAL_INVALID"
    in_words = "The other side's registration does not hold together."
    to_do = _FEDERATION


class CredentialExpired(Authentication):
    """A credential, key statement or encryption key is outside its validity."""

    reason = "CREDENTIAL_EXPIRED"
    in_words = "A registration has run out."
    to_do = "It has to be renewed: yours when this program next reaches the public cloud, another's by its owner."


class CredentialRevoked(Authentication):
    """A credential or encryption key is on the revocation list."""

    reason = "CREDENTIAL_REVOKED"
    in_words = "A registration was taken back by the federation."
    to_do = "Don't go on. Ask whoever runs your federation why."
    in_visit = "The visit can't go on with this party. What came before stays; ask whoever runs your federation why."


class CredentialSuperseded(Authentication):
    """An opening rests on an R_X1 of its receiver that is no longer the one of now: its sender holds an older statement."""

    reason = "CREDENTIAL_SUPERSEDED"
    in_words = "The other side has registered anew meanwhile."
    to_do = "Begin again: its new statement is fetched then."


class IssuerUnknown(CredentialInvalid):
    """No PK of the trust bundle at hand signed at the credential's time; the bundle may be older than the credential."""

    reason = "ISSUER_UNKNOWN"
    in_words = "A registration was made by a key that is not known here yet."
    to_do = _BUNDLE
    to_do_elsewhere = _BUNDLE_ELSEWHERE


class IssuerRevoked(CredentialRevoked):
    """The PK that signed the credential is revoked."""

    reason = "ISSUER_REVOKED"
    in_words = "A registration was made by a key that the federation no longer accepts."
    to_do = "Its owner has to register anew."


class CloudKeyUnknown(Authentication):
    """No PUK_C of the trust bundle at hand signed at the statement's time; the bundle may be older than the statement."""

    reason = "CLOUD_KEY_UNKNOWN"
    in_words = "The public cloud signed with a key that is not known here yet."
    to_do = _BUNDLE
    to_do_elsewhere = _BUNDLE_ELSEWHERE


class CloudKeyRevoked(Authentication):
    """The PUK_C that signed the statement is revoked."""

    reason = "CLOUD_KEY_REVOKED"
    in_words = "The public cloud signed with a key that the federation no longer accepts."
    to_do = _FEDERATION


class CertificateIllegal(Authentication):
    """Cert_D does not come from a medical authority of the federation, or is not a doctor's certificate."""

    reason = "CERTIFICATE_ILLEGAL"
    in_words = "The doctor's certificate does not come from a medical authority of this federation."
    to_do = "Don't go on; ask at the desk for another doctor."


class CertificateOutOfScope(Authentication):
    """Cert_D comes from a medical authority that may not certify this doctor."""

    reason = "CERTIFICATE_OUT_OF_SCOPE"
    in_words = "The medical authority of the doctor's certificate may not certify this doctor."
    to_do = "Don't go on. The doctor has to be certified by its own authority."


class CertificateExpired(Authentication):
    """Cert_D is outside its validity."""

    reason = "CERTIFICATE_EXPIRED"
    in_words = "The doctor's certificate has run out."
    to_do = "The doctor asks the medical authority for a new one."
    in_visit = "No more records come until the doctor has a new certificate. What came stays."


class CertificateRevoked(Authentication):
    """Cert_D is on its authority's CRL."""

    reason = "CERTIFICATE_REVOKED"
    in_words = "The medical authority has taken the doctor's certificate back."
    to_do = "Don't go on; the doctor asks the medical authority why."
    in_visit = (
        "The visit can't go on with this doctor. What came before stays; the doctor asks the medical authority why."
    )


class CertificateForeign(Authentication):
    """Cert_D is legal and somebody else's: another ID_D or another key."""

    reason = "CERTIFICATE_FOREIGN"
    in_words = "The doctor's certificate is somebody else's."
    to_do = "Don't go on; ask at the desk for another doctor."


class StaleRevocationList(Unavailable):
    """No current revocation list or CRL is at hand; without one nothing is accepted."""

    reason = "REVOCATION_LIST_STALE"
    in_words = "There is no current list of what was revoked; without one nothing is accepted."
    to_do = "Try again later. If the clocks are right, whoever answers has lost touch with the public cloud: tell who runs it."


class RevocationShardMissing(Unavailable):
    """The shard of the revocation list in which an entry would stand can't be had; without it nothing is accepted."""

    reason = "REVOCATION_SHARD_MISSING"
    in_words = "What was revoked can't be asked for now; without it nothing is accepted."
    to_do = "Try again in a little while."


class PlacesOutdated(Unavailable):
    """What a patient keeps of a search is older than it may be."""

    reason = "PLACES_OUTDATED"
    in_words = "Where the patient has records was looked up too long ago."
    to_do = "The patient's own program looks it up anew when the public cloud answers."


class RevocationHeadOlder(Unavailable):
    """Shards of an older head than the one at hand."""

    reason = "REVOCATION_HEAD_OLDER"
    in_words = "The other side knows an older list of what was revoked than you."
    to_do = "Try again in a little while."


class RevocationShardInvalid(Authentication):
    """A shard of the revocation list that its head does not commit to, or its path has another length."""

    reason = "REVOCATION_SHARD_INVALID"
    in_words = "A part of the list of what was revoked is not what the public cloud signed."
    to_do = "Try again: it is fetched anew. If it stays so, tell whoever runs your federation."


class RevocationRootMismatch(Authentication):
    """The revocations at hand and the head that came with their changes differ: all of them have to be fetched."""

    reason = "REVOCATION_ROOT_MISMATCH"
    in_words = "The list of what was revoked is not what the public cloud signed."
    to_do = "Nothing: it is fetched anew. If it stays so, tell whoever runs your federation."


class RevocationDeltaOutOfOrder(OutOfOrder):
    """Changes of the revocation list that do not begin at, or before, what is at hand."""

    reason = "REVOCATION_DELTA_OUT_OF_ORDER"
    in_words = "Changes of the list of what was revoked are missing."
    to_do = "Nothing: it is fetched anew."


class ChallengeInvalid(Authentication):
    """The registration challenge is unknown, used or too old."""

    reason = "CHALLENGE_INVALID"
    in_words = "The registration took too long, and its challenge is over."
    to_do = "Start it again."


class TicketInvalid(Authorization):
    """No such ticket, used, expired, or for somebody else (A3)."""

    reason = "TICKET_INVALID"
    in_words = "This ticket is not good: unknown, used, run out, or for somebody else."
    to_do = "Ask for a new one where you got it."


class AlreadyRegistered(Conflict):
    """The identity has a live registration (A3)."""

    reason = "ALREADY_REGISTERED"
    in_words = "This identity is registered already."
    to_do = "Use the device that has it; if that is lost, have its credential revoked first."


class AttributeChanged(Authorization):
    """A member that registers again by itself may not change what its credential attests."""

    reason = "ATTRIBUTE_CHANGED"
    in_words = "Only what was registered before can be registered again without a ticket."
    to_do = "Ask for a ticket."


class RenewalNotDue(OutOfOrder):
    """The live credential is good, or two before it still stand: the member registers again later, and it is nobody's fault."""

    reason = "RENEWAL_NOT_DUE"
    in_words = "The registration at hand is good."
    to_do = "Nothing: it is renewed later, by itself."


class CredentialLive(Conflict):
    """A live credential falls with its identity, not by its serial: that identity could neither act nor register again."""

    reason = "CREDENTIAL_LIVE"
    in_words = "This credential is the one in use."
    to_do = "Revoke it by its identity, which may then register again."


class NotRegistered(Authentication):
    """The sender has no live registration."""

    reason = "NOT_REGISTERED"
    in_words = "Not registered yet."
    to_do = "Run `register` first."


class NoteMalformed(MalformedMessage):
    """A log head, a cosignature or another signed note that does not have its form."""

    reason = "NOTE_MALFORMED"
    in_words = "What a log says of itself is not in the form that it should have."
    to_do = _UPDATE


class BundleInvalid(MalformedMessage):
    """A trust bundle whose keys or times contradict each other."""

    reason = "BUNDLE_INVALID"
    in_words = "The trust bundle contradicts itself."
    to_do = _FEDERATION


class BundleUnpinned(Authentication):
    """The trust bundle is not the one whose digest was handed over."""

    reason = "BUNDLE_UNPINNED"
    in_words = "This is not the trust bundle whose digest you were given."
    to_do = "Compare the digest with whoever gave it to you, face to face or by telephone."


class BundleSignerUnknown(Authentication):
    """The trust bundle is not signed by a cloud key that it, and its predecessor, let sign it."""

    reason = "BUNDLE_SIGNER_UNKNOWN"
    in_words = "The trust bundle is not signed by a key that may sign it."
    to_do = _FEDERATION


class BundleForeign(Authentication):
    """The trust bundle is of another federation than its predecessor."""

    reason = "BUNDLE_FOREIGN"
    in_words = "The trust bundle is of another federation."
    to_do = "Ask for the bundle of yours."


class BundleOutOfSequence(OutOfOrder):
    """The trust bundle is not the next one after the one at hand."""

    reason = "BUNDLE_OUT_OF_SEQUENCE"
    in_words = "The trust bundle does not follow the one that is kept here."
    to_do = "Bring the ones between first: `medunion trust import` takes them in order."
    to_do_elsewhere = _FEDERATION


class BundleBackdated(Authentication):
    """The trust bundle says that it was made before its predecessor."""

    reason = "BUNDLE_BACKDATED"
    in_words = "The trust bundle is older than the one that it should follow."
    to_do = _FEDERATION


class BundleRewritesHistory(Authentication):
    """The trust bundle drops or alters what its predecessor says of keys that have signed: evidence rests on it."""

    reason = "BUNDLE_REWRITES_HISTORY"
    in_words = "The trust bundle contradicts what the federation said of its keys before."
    to_do = "Don't take it: evidence rests on those keys. Tell whoever runs your federation."


class TimeStampRefused(Unavailable):
    """A time stamp authority answered that it makes none."""

    reason = "TIME_STAMP_REFUSED"
    in_words = "The time stamp authority makes no time stamp now."
    to_do = _LATER


class BundleStale(Unavailable):
    """No list has named the trust bundle at hand as the newest for longer than its grace."""

    reason = "BUNDLE_STALE"
    in_words = "The trust bundle was not confirmed for too long."
    to_do = "Connect to the public cloud, and try again."


class ProofInvalid(Authentication):
    """The HMAC under K_X does not verify: the sender does not share K_X with the receiver (X7)."""

    reason = "PROOF_INVALID"
    in_words = "The other side could not prove its registration."
    to_do = _FEDERATION


class LogProofInvalid(Authentication):
    """A leaf is not in the tree of a log head, or a log head's tree does not begin with that of an older one."""

    reason = "LOG_PROOF_INVALID"
    in_words = "A log could not prove what it says of itself."
    to_do = "Keep what it showed, and tell your federation."


class LeafMismatch(Authentication):
    """An entry of a log says something else than its leaf commits to."""

    reason = "LEAF_MISMATCH"
    in_words = "An entry of a log is not what the log is bound to."
    to_do = "Keep what it showed, and tell your federation."


class HeadConflict(Authentication):
    """Two heads of one log, of one size and with two roots: a fork. Both notes are the proof, and are kept."""

    reason = "HEAD_CONFLICT"
    in_words = "A log shows one past to some and another to others. Both are kept as proof."
    to_do = "Keep them, and tell your federation."

    def __init__(self, message: str, *, kept: bytes = b"", shown: bytes = b"") -> None:
        """Hold the note that was kept here, and the one that was shown now; none of a peer's refusal."""
        super().__init__(message)
        self.kept = kept
        self.shown = shown


class HeadNotCosigned(Authentication):
    """Fewer witnesses than the federation asks for have cosigned a log head."""

    reason = "HEAD_NOT_COSIGNED"
    in_words = "Too few others have confirmed this state of the log."
    to_do = "Try again in a little while."


class TimeStampInvalid(Authentication):
    """A time stamp of RFC 3161 is not one that its authority made, or not one that says so."""

    reason = "TIME_STAMP_INVALID"
    in_words = "The time stamp is not one that its authority made."
    to_do = "Count it as none."


class TimeStampMismatch(TimeStampInvalid):
    """A time stamp is over something else than what is shown with it."""

    reason = "TIME_STAMP_MISMATCH"
    in_words = "The time stamp belongs to something else."
    to_do = "Count it as none."


class TimeStampReplayed(TimeStampInvalid):
    """A time stamp does not answer the question: it has another nonce, or none."""

    reason = "TIME_STAMP_REPLAYED"
    in_words = "The time stamp was not made for this question."
    to_do = "Ask the authority again."


class TimeStampUntrusted(TimeStampInvalid):
    """A time stamp is of no authority that is trusted here, or its signature does not hold."""

    reason = "TIME_STAMP_UNTRUSTED"
    in_words = "The time stamp is of an authority that you do not trust."
    to_do = "Count it as none; or name its certificate, if you trust it."


class TimeStampExpired(TimeStampInvalid):
    """A time stamp says a time at which its authority's certificate did not hold."""

    reason = "TIME_STAMP_EXPIRED"
    in_words = "The authority's certificate did not hold at the time that its time stamp says."
    to_do = "Count it as none."


class TimeStampUsage(TimeStampInvalid):
    """The certificate behind a time stamp is not for time stamps alone, as RFC 3161, section 2.3, has it."""

    reason = "TIME_STAMP_USAGE"
    in_words = "The certificate behind the time stamp is not one for time stamps."
    to_do = "Count it as none."


class WitnessIneligible(Authorization):
    """Nobody is a witness of its own log."""

    reason = "WITNESS_INELIGIBLE"
    in_words = "Nobody can confirm its own log."
    to_do = "Ask another member to witness it."


class HeadOlder(OutOfOrder):
    """A log head is older than the one that is kept here of the same log."""

    reason = "HEAD_OLDER"
    in_words = "A log shows an older state of itself than it has shown before."
    to_do = "Keep both, and tell your federation."


class HeadBaseMismatch(OutOfOrder):
    """The proof for a log head begins at another size than that of the head that is kept here; the size is told."""

    reason = "HEAD_BASE_MISMATCH"
    in_words = "A log's proof does not begin where it was left."
    to_do = "Nothing: it is asked again."

    def __init__(self, message: str, *, kept_size: int = 0) -> None:
        """Hold the size of the head that is kept here; 0 where there is none."""
        super().__init__(message)
        self.kept_size = kept_size


class AnswerMismatch(Authentication):
    """An answer to another question (C2)."""

    reason = "ANSWER_MISMATCH"
    in_words = "The answer belongs to another question."
    to_do = _AGAIN


class AmendmentMismatch(Authentication):
    """A diagnosis that amends another than the newest before it, or none, or is the first and amends one."""

    reason = "AMENDMENT_MISMATCH"
    in_words = "The diagnosis is not the next one: it does not say that it takes the place of the newest before it."
    to_do = "Look at the newest diagnosis of this visit, and amend that."


class CommitmentMismatch(Authentication):
    """c_P does not open to this patient, grant and scope (X5, C7)."""

    reason = "COMMITMENT_MISMATCH"
    in_words = "The request is not the one that was announced."
    to_do = _AGAIN


class GrantMissing(Authorization):
    """No grant: no record (C1)."""

    reason = "GRANT_MISSING"
    in_words = "The patient gave no consent for this."
    to_do = "Ask the patient for one."
    in_visit = "Ask the patient, who is here, to consent."


class GrantInvalid(Authorization):
    """The grant does not bear its signer's signature, or is not for who shows it."""

    reason = "GRANT_INVALID"
    in_words = "The consent is not this patient's, or is for somebody else."
    to_do = "Ask the patient for one that names you."


class GrantExpired(Authorization):
    """The grant is not yet, or no longer, valid."""

    reason = "GRANT_EXPIRED"
    in_words = "The patient's consent has ended."
    to_do = "Ask for a new one."
    in_visit = "Ask the patient, who is here, for a new one. What came before it ended stays."


class GrantRevoked(Authorization):
    """The grant was taken back."""

    reason = "GRANT_REVOKED"
    in_words = "The patient has taken this consent back."
    to_do = "Ask the patient; nothing else makes it good again."
    in_visit = "No more records come by it. What came before stays; speak with the patient, who is here."


class GrantScope(Authorization):
    """The grant does not cover this hospital, department class or right."""

    reason = "GRANT_SCOPE"
    in_words = "The patient's consent does not cover this."
    to_do = "Ask the patient for one that does."
    in_visit = "Ask the patient, who is here, for one that does; or go on without."


class DutyMissing(Authorization):
    """The grant is for those on duty, or this is a deposit, and no duty was shown."""

    reason = "DUTY_MISSING"
    in_words = "Only a doctor on duty there may do this, and no duty was shown."
    to_do = "Have the hospital's desk look at its roster."


class DutyInvalid(Authorization):
    """The duty is not signed by its hospital, or is at another hospital, in another department, or another doctor's."""

    reason = "DUTY_INVALID"
    in_words = "The duty is not where the patient's consent is for."
    to_do = "Show the duty of the hospital and department that the patient consented to."


class DutyExpired(Authorization):
    """The duty is not yet, or no longer, valid."""

    reason = "DUTY_EXPIRED"
    in_words = "The duty has ended, or has not begun."
    to_do = "Have the hospital's desk look at its roster."
    in_visit = "No more records come by it. The desk can extend the roster while the patient waits."


class DutyRevoked(Authorization):
    """The hospital took the duty back."""

    reason = "DUTY_REVOKED"
    in_words = "The hospital has taken this duty back."
    to_do = "Ask the hospital's desk why."
    in_visit = "No more records come by it. Ask the hospital's desk why; what came before stays."


class NotOnDuty(Authorization):
    """The hospital's roster does not say that the doctor works there now."""

    reason = "NOT_ON_DUTY"
    in_words = "The hospital's roster does not name this doctor now."
    to_do = "Ask its desk."
    in_visit = "Ask its desk to extend the roster; the encounter is kept here until then."


class DeputyInvalid(Authorization):
    """The mandate or guardianship is of another patient, for another deputy, or is missing where a deputy signed."""

    reason = "DEPUTY_INVALID"
    in_words = "Whoever signed does not stand for this patient."
    to_do = "Compare whom the mandate names with who signed."


class DeputyExpired(Authorization):
    """The mandate or guardianship is not yet, or no longer, valid."""

    reason = "DEPUTY_EXPIRED"
    in_words = "The deputy no longer stands for this patient, or not yet."
    to_do = "Ask the patient for a new mandate, or the hospital's desk for the guardianship."


class DeputyRevoked(Authorization):
    """The mandate or guardianship was taken back."""

    reason = "DEPUTY_REVOKED"
    in_words = "The patient has taken the deputy's mandate back."
    to_do = "Ask the patient, who may consent itself."


class DeputyPowers(Authorization):
    """The mandate or guardianship does not give the power to do this."""

    reason = "DEPUTY_POWERS"
    in_words = "The deputy may not do this in the patient's name."
    to_do = "Ask the patient, or the desk, for a mandate with this power."


class NotOwnRecord(Authorization):
    """Somebody asks for its own records who is not their patient, nor its deputy."""

    reason = "NOT_OWN_RECORD"
    in_words = "These are not your own records."
    to_do = "Ask their patient for a consent, or a mandate."


class RestrictionInvalid(Authorization):
    """A restriction that is another's, or does not bear its signer's signature, or hides what nobody can find by it."""

    reason = "RESTRICTION_INVALID"
    in_words = "What should say which records are hidden is not valid."
    to_do = "Look at what is hidden now, and change it again."


class RestrictionSuperseded(Conflict):
    """A restriction whose number is not above that of the one that stands."""

    reason = "RESTRICTION_SUPERSEDED"
    in_words = "What is hidden was changed from elsewhere meanwhile."
    to_do = "Look at it as it is now, and try again."


class EmergencyInvalid(Authorization):
    """The emergency does not bear its doctor's signature, or is about another patient, or for another doctor or hospital."""

    reason = "EMERGENCY_INVALID"
    in_words = "The emergency that was declared is not this one."
    to_do = "Declare it for this patient and hospital."


class EmergencyRefused(Authorization):
    """The policy here does not let this doctor in: for this reason, from this department, alone, or at all."""

    reason = "EMERGENCY_REFUSED"
    in_words = "Access in an emergency is not given here like this."
    to_do = "Ask who runs that server which emergencies it lets in; the patient's consent opens it in any case."


class EmergencyExpired(Authorization):
    """The emergency is not yet, or no longer, valid."""

    reason = "EMERGENCY_EXPIRED"
    in_words = "The emergency has ended."
    to_do = "Declare it anew if it lasts."


class NewerThanList(Authorization):
    """What is shown is newer than the revocation list at hand, which is over: nothing says yet whether it was taken back."""

    reason = "NEWER_THAN_LIST"
    in_words = (
        "The hospital hears nothing from the public cloud, and gives nothing by what is newer than its last list."
    )
    to_do = "Show an older consent, or wait until the public cloud answers."


class BudgetExhausted(Authorization):
    """Who asks, or its hospital, has had as many accesses as it may in this time."""

    reason = "BUDGET_EXHAUSTED"
    in_words = "The number of accesses that are given in a day or a month is used up."
    to_do = "Ask who runs this server, or wait for the next day or month."


class DepartmentForeign(Authorization):
    """A department that is another hospital's: published for (C10), or in an answer."""

    reason = "DEPARTMENT_FOREIGN"
    in_words = "The department belongs to another hospital."
    to_do = "Name a department of this one."


class RoleForbidden(Authorization):
    """The method is not for this caller."""

    reason = "ROLE_FORBIDDEN"
    in_words = "This is not for you to ask."
    to_do = "Ask with the program of the role that it is for."


class MethodNotServed(FederationError):
    """This port does not serve the method."""

    reason = "METHOD_NOT_SERVED"
    in_words = "The other side does not offer this."
    to_do = "Look whether it is the right address and port; then bring both programs up to date."


class NoSuchRecord(NotFound):
    """Not on file, or no such record: one answer for both."""

    reason = "NO_SUCH_RECORD"
    in_words = "There is no such record at the hospital."
    to_do = "Look for the records again; some may have moved."


class RecordWithdrawn(NotFound):
    """The record is withdrawn: on file, and given to nobody."""

    reason = "RECORD_WITHDRAWN"
    in_words = "The record is withdrawn."
    to_do = "Ask the hospital why."


class RecordErased(NotFound):
    """The record was erased; its key is destroyed."""

    reason = "RECORD_ERASED"
    in_words = "The record was erased."
    to_do = "Ask the hospital why; nobody can bring it back."


class NoSuchRoom(NotFound):
    """No such room, or it has expired."""

    reason = "NO_SUCH_ROOM"
    in_words = "This code is no longer good: the doctor's room is closed."
    to_do = "Ask for a new code."
    in_visit = "The room has closed; begin again with a new code."


class Refused(Authorization):
    """The peer refused, and says no more than that."""

    reason = "REFUSED_BY_PEER"
    in_words = "The other side refused, and does not say why."
    to_do = "Ask whoever is on the other side; then begin again."
