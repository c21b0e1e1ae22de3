"""Why a party refuses. `reason` is one vocabulary: specification, exception, google.rpc.ErrorInfo, audit event, test name.

A family says what kind of refusal it is; `federation.wire.status` maps families to gRPC codes. What is found after a seal
was opened reaches a peer only as `Rejected` (B9); the precise cause stays with the receiver's audit log. The families come
first, then what is wrong with a message, with who somebody is, with the trust bundle, with what somebody may do.
"""

from datetime import timedelta


class FederationError(Exception):
    """Root of the family; never raised itself."""

    reason = "INTERNAL"
    unknown_reason = ""
    """What a peer gave as its reason, where this version knows none of that name."""
    retry_after = timedelta()
    """Where it passes: how long to wait at least before another try, as a peer said it or as a caller will be told."""


class MalformedMessage(FederationError):
    """The message breaks a rule of its own definition."""

    reason = "MALFORMED_MESSAGE"


class Authentication(FederationError):
    """Somebody is not, or cannot show to be, who the message says."""

    reason = "UNAUTHENTICATED"


class Authorization(FederationError):
    """Somebody is who the message says, and may not do this."""

    reason = "UNAUTHORIZED"


class NotFound(FederationError):
    """There is no such thing, and the asker may know."""

    reason = "NOT_FOUND"


class Conflict(FederationError):
    """There is such a thing already."""

    reason = "ALREADY_EXISTS"


class OutOfOrder(FederationError):
    """The message does not belong at this point of the exchange."""

    reason = "OUT_OF_ORDER"


class Replayed(FederationError):
    """The message was taken before."""

    reason = "MESSAGE_REPLAYED"


class Limit(FederationError):
    """A bound is reached; try again later or with less."""

    reason = "LIMIT_REACHED"


class Unavailable(FederationError):
    """A token, peer or database does not answer; try again later."""

    reason = "UNAVAILABLE"


class Corrupt(FederationError):
    """What was kept is not what comes back."""

    reason = "STORED_RECORD_CORRUPT"


class Rejected(FederationError):
    """What a peer is told of anything found after a seal was opened (B9). The cause is `__cause__`."""

    reason = "REJECTED"


class UnknownField(MalformedMessage):
    """A field that the message's definition does not have."""

    reason = "UNKNOWN_FIELD"


class MissingField(MalformedMessage):
    """A field that must be present is not."""

    reason = "MISSING_FIELD"


class FieldInvalid(MalformedMessage):
    """A field's value breaks the rule in its definition."""

    reason = "FIELD_INVALID"


class MessageTooLarge(MalformedMessage):
    """More bytes than this message may have."""

    reason = "MESSAGE_TOO_LARGE"


class UnsupportedVersion(MalformedMessage):
    """The opener names a version of the protocol that this party does not speak."""

    reason = "UNSUPPORTED_VERSION"


class PaddingInvalid(MalformedMessage):
    """The plaintext of a seal is not F(message) and zeros of the right size."""

    reason = "PADDING_INVALID"


class StaleMessage(MalformedMessage):
    """T is longer ago than the freshness window."""

    reason = "STALE"


class FutureDated(MalformedMessage):
    """T is further in the future than clocks may differ (B3)."""

    reason = "FUTURE_DATED"


class TimeMismatch(Authentication):
    """The T inside the seal is not the T in clear (B2)."""

    reason = "TIME_MISMATCH"


class UnknownKeyId(MalformedMessage):
    """Sealed to a key that this party does not hold, or no longer."""

    reason = "UNKNOWN_KEY_ID"


class SealInvalid(Authentication):
    """The seal does not open: altered, for another receiver, from another exchange."""

    reason = "SEAL_INVALID"


class PointInvalid(MalformedMessage):
    """A received point is not canonical and of prime order, or is O, B or -B (B6)."""

    reason = "INVALID_POINT"


class SignatureInvalid(Authentication):
    """A signature does not verify over what was received."""

    reason = "SIGNATURE_INVALID"


class KeyConfirmationFailed(Authentication):
    """kc is not what this side computes: the peer does not hold the secret of its credential (eq. 22, 44)."""

    reason = "KEY_CONFIRMATION_FAILED"


class SessionUnknown(OutOfOrder):
    """The message belongs to no open session of this party."""

    reason = "SESSION_UNKNOWN"


class SessionExpired(OutOfOrder):
    """The consultation's life is over."""

    reason = "SESSION_EXPIRED"


class SilentStream(OutOfOrder):
    """A stream was opened and nothing came."""

    reason = "SILENT_STREAM"


class StalledReader(Limit):
    """The caller stopped taking what a stream sends it."""

    reason = "READER_STALLED"


class Overdue(Unavailable):
    """The call took longer than this server gives its method."""

    reason = "CALL_OVERDUE"


class RecordCutShort(OutOfOrder):
    """The stream ended before the last frame of a record (C8)."""

    reason = "RECORD_CUT_SHORT"


class RecordDigestMismatch(Authentication):
    """The content is not what its signature or manifest says."""

    reason = "RECORD_DIGEST_MISMATCH"


class IdentityMismatch(Authentication):
    """Two places that must name the same party don't, or it is not the one that was addressed."""

    reason = "IDENTITY_MISMATCH"


class CredentialInvalid(Authentication):
    """A key statement does not hold together: role, keys, credential, attribute."""

    reason = "CREDENTIAL_INVALID"


class CredentialExpired(Authentication):
    """A credential, key statement or encryption key is outside its validity."""

    reason = "CREDENTIAL_EXPIRED"


class CredentialRevoked(Authentication):
    """A credential or encryption key is on the revocation list."""

    reason = "CREDENTIAL_REVOKED"


class IssuerUnknown(CredentialInvalid):
    """No PK of the trust bundle at hand signed at the credential's time; the bundle may be older than the credential."""

    reason = "ISSUER_UNKNOWN"


class IssuerRevoked(CredentialRevoked):
    """The PK that signed the credential is revoked."""

    reason = "ISSUER_REVOKED"


class CloudKeyUnknown(Authentication):
    """No PUK_C of the trust bundle at hand signed at the statement's time; the bundle may be older than the statement."""

    reason = "CLOUD_KEY_UNKNOWN"


class CloudKeyRevoked(Authentication):
    """The PUK_C that signed the statement is revoked."""

    reason = "CLOUD_KEY_REVOKED"


class CertificateIllegal(Authentication):
    """Cert_D does not come from a medical authority of the federation, or is not a doctor's certificate."""

    reason = "CERTIFICATE_ILLEGAL"


class CertificateOutOfScope(Authentication):
    """Cert_D comes from a medical authority that may not certify this doctor."""

    reason = "CERTIFICATE_OUT_OF_SCOPE"


class CertificateExpired(Authentication):
    """Cert_D is outside its validity."""

    reason = "CERTIFICATE_EXPIRED"


class CertificateRevoked(Authentication):
    """Cert_D is on its authority's CRL."""

    reason = "CERTIFICATE_REVOKED"


class CertificateForeign(Authentication):
    """Cert_D is legal and somebody else's: another ID_D or another key."""

    reason = "CERTIFICATE_FOREIGN"


class StaleRevocationList(Unavailable):
    """No current revocation list or CRL is at hand; without one nothing is accepted."""

    reason = "REVOCATION_LIST_STALE"


class ChallengeInvalid(Authentication):
    """The registration challenge is unknown, used or too old."""

    reason = "CHALLENGE_INVALID"


class TicketInvalid(Authorization):
    """No such ticket, used, expired, or for somebody else (A3)."""

    reason = "TICKET_INVALID"


class AlreadyRegistered(Conflict):
    """The identity has a live registration (A3)."""

    reason = "ALREADY_REGISTERED"


class AttributeChanged(Authorization):
    """A member that registers again by itself may not change what its credential attests."""

    reason = "ATTRIBUTE_CHANGED"


class RenewalNotDue(OutOfOrder):
    """The member's live credential is good, or it has had too many: it registers again later, and it is nobody's fault."""

    reason = "RENEWAL_NOT_DUE"


class CredentialLive(Conflict):
    """A live credential falls with its identity, not by its serial: that identity could neither act nor register again."""

    reason = "CREDENTIAL_LIVE"


class NotRegistered(Authentication):
    """The sender has no live registration."""

    reason = "NOT_REGISTERED"


class BundleInvalid(MalformedMessage):
    """A trust bundle whose keys or times contradict each other."""

    reason = "BUNDLE_INVALID"


class BundleUnpinned(Authentication):
    """The trust bundle is not the one whose digest was handed over."""

    reason = "BUNDLE_UNPINNED"


class BundleSignerUnknown(Authentication):
    """The trust bundle is not signed by a cloud key that it, and its predecessor, let sign it."""

    reason = "BUNDLE_SIGNER_UNKNOWN"


class BundleForeign(Authentication):
    """The trust bundle is of another federation than its predecessor."""

    reason = "BUNDLE_FOREIGN"


class BundleOutOfSequence(OutOfOrder):
    """The trust bundle is not the next one after the one at hand."""

    reason = "BUNDLE_OUT_OF_SEQUENCE"


class BundleBackdated(Authentication):
    """The trust bundle says that it was made before its predecessor."""

    reason = "BUNDLE_BACKDATED"


class BundleRewritesHistory(Authentication):
    """The trust bundle drops or alters what its predecessor says of keys that have signed: evidence rests on it."""

    reason = "BUNDLE_REWRITES_HISTORY"


class BundleStale(Unavailable):
    """No list has named the trust bundle at hand as the newest for longer than its grace."""

    reason = "BUNDLE_STALE"


class ProofInvalid(Authentication):
    """The HMAC under K_X does not verify: the sender does not share K_X with the receiver (X7)."""

    reason = "PROOF_INVALID"


class AnswerMismatch(Authentication):
    """An answer to another question (C2)."""

    reason = "ANSWER_MISMATCH"


class CommitmentMismatch(Authentication):
    """c_P does not open to this patient, grant and scope (X5, C7)."""

    reason = "COMMITMENT_MISMATCH"


class GrantMissing(Authorization):
    """No grant: no record (C1)."""

    reason = "GRANT_MISSING"


class GrantInvalid(Authorization):
    """The grant is not this patient's signature, or not for this doctor."""

    reason = "GRANT_INVALID"


class GrantExpired(Authorization):
    """The grant is not yet, or no longer, valid."""

    reason = "GRANT_EXPIRED"


class GrantRevoked(Authorization):
    """The patient took the grant back."""

    reason = "GRANT_REVOKED"


class GrantScope(Authorization):
    """The grant does not cover this hospital, department class or right."""

    reason = "GRANT_SCOPE"


class EmergencyNotSupported(Authorization):
    """Emergencies are not served in this release."""

    reason = "EMERGENCY_NOT_SUPPORTED"


class DepartmentForeign(Authorization):
    """A hospital publishes for a department that is not its own (C10)."""

    reason = "DEPARTMENT_FOREIGN"


class RoleForbidden(Authorization):
    """The method is not for this caller."""

    reason = "ROLE_FORBIDDEN"


class MethodNotServed(FederationError):
    """This port does not serve the method."""

    reason = "METHOD_NOT_SERVED"


class NoSuchRecord(NotFound):
    """Not on file, or no such record: one answer for both."""

    reason = "NO_SUCH_RECORD"


class RecordWithdrawn(NotFound):
    """The record is withdrawn: on file, and given to nobody."""

    reason = "RECORD_WITHDRAWN"


class RecordErased(NotFound):
    """The record was erased; its key is destroyed."""

    reason = "RECORD_ERASED"


class NoSuchRoom(NotFound):
    """No such room, or it has expired."""

    reason = "NO_SUCH_ROOM"


class Refused(Authorization):
    """The peer refused, and says no more than that."""

    reason = "REFUSED_BY_PEER"
