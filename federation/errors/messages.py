"""What is wrong with a message, a stream or a call, whoever sends it."""

from federation.errors.families import Authentication, Limit, MalformedMessage, OutOfOrder, Unavailable


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
