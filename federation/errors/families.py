"""The families of errors, each with its gRPC code in `federation.wire.status`, and what a peer is told of anything sealed."""

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
