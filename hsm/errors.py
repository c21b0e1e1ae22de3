"""What can go wrong between us and a token, one class per reason.

`reason` is the word that the specification, the audit log and a test's name share. `retryable` says that the same call
may succeed later without anybody changing anything. No message ever holds a PIN or a byte of a key.
"""

from typing import ClassVar


class HsmError(Exception):
    """The family of everything that this package raises."""

    reason: ClassVar[str] = "TOKEN_FAILED"
    retryable: ClassVar[bool] = False


class TokenFailed(HsmError):
    """The token answered with a fault that has no name of its own, or with a result that is wrong."""


class TokenUriInvalid(HsmError):
    """The text is no PKCS#11 URI that we accept (RFC 7512, narrowed in `hsm.uri`)."""

    reason = "TOKEN_URI_INVALID"


class LabelInvalid(HsmError):
    """A token's or a key's label is empty, too long or holds control characters."""

    reason = "LABEL_INVALID"


class ModuleNotFound(HsmError):
    """There is no PKCS#11 library at the path."""

    reason = "MODULE_NOT_FOUND"


class ModuleUnusable(HsmError):
    """The library does not load, or someone else in this process initialised it without threads in mind."""

    reason = "MODULE_UNUSABLE"


class TokenNotFound(HsmError):
    """No token present matches the URI."""

    reason = "TOKEN_NOT_FOUND"


class AmbiguousToken(HsmError):
    """More than one token present matches the URI."""

    reason = "AMBIGUOUS_TOKEN"


class TokenExists(HsmError):
    """A token of that label is there already."""

    reason = "TOKEN_EXISTS"


class TokenInUse(HsmError):
    """This process has the token open already; a login belongs to the whole process, so that `Token` must be shared."""

    reason = "TOKEN_IN_USE"


class TokenClosed(HsmError):
    """The `Token` was closed."""

    reason = "TOKEN_CLOSED"


class TokenUnavailable(HsmError):
    """The token, its session or its login went away and could not be brought back now."""

    reason = "TOKEN_UNAVAILABLE"
    retryable = True


class SessionLost(TokenUnavailable):
    """A session or a handle died under us: inside this package the sign to re-establish once."""


class TokenBusy(HsmError):
    """No session came free before the deadline."""

    reason = "TOKEN_BUSY"
    retryable = True


class MechanismMissing(HsmError):
    """The token does not offer an operation, a curve or a parameter that we need."""

    reason = "MECHANISM_MISSING"


class PinIncorrect(HsmError):
    """The token refused the PIN. Never tried again by itself: tokens lock after a few."""

    reason = "PIN_INCORRECT"


class PinLocked(HsmError):
    """The token has locked the user PIN."""

    reason = "PIN_LOCKED"


class PinFinalTry(HsmError):
    """One attempt is left before the token locks itself; a program does not spend it."""

    reason = "PIN_FINAL_TRY"


class PinUnavailable(HsmError):
    """The PIN could not be had, or not from a place that keeps it secret."""

    reason = "PIN_UNAVAILABLE"


class PinUnacceptable(HsmError):
    """A PIN that is to be set is shorter or longer than the token takes."""

    reason = "PIN_UNACCEPTABLE"


class KeyNotFound(HsmError):
    """The token holds no key of that label and class."""

    reason = "KEY_NOT_FOUND"


class KeyAmbiguous(HsmError):
    """The token holds more than one key of that label and class."""

    reason = "KEY_AMBIGUOUS"


class KeyExists(HsmError):
    """An object of that label exists; keys are never replaced in place."""

    reason = "KEY_EXISTS"


class KeyInvalid(HsmError):
    """A key handed in for import has the wrong size, or its halves don't belong together."""

    reason = "KEY_INVALID"


class KeyPolicyViolation(HsmError):
    """A key's attributes differ from what its purpose allows; the message names them."""

    reason = "KEY_POLICY_VIOLATION"


class KeyNotExtractable(HsmError):
    """Someone asked for the private bytes of a key that lives in a token."""

    reason = "KEY_NOT_EXTRACTABLE"


class PeerKeyInvalid(HsmError, ValueError):
    """A peer's X25519 key has low order: the shared secret would be zero. A ValueError too, as pyca raises."""

    reason = "PEER_KEY_INVALID"


class AuthenticationFailed(HsmError):
    """A sealed blob, its associated data or the key is not the one that it was sealed with."""

    reason = "AUTHENTICATION_FAILED"
