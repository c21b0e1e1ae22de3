"""What can go wrong between us and a token, one class per reason; and the one place where python-pkcs11's errors become ours.

`reason` is the word that the specification, the audit log and a test's name share. `retryable` says that the same call
may succeed later without anybody changing anything. No message ever holds a PIN or a byte of a key.
"""

from types import TracebackType
from typing import ClassVar, Final

from pkcs11 import PKCS11Error, exceptions

from hsm.cryptoki import AlreadyInitialized, NotInitialized


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


class KeysDiffer(HsmError):
    """Two tokens of a group hold different keys under one label: which one is right is not for a program to guess."""

    reason = "KEYS_DIFFER"


class GroupMakesNoKeys(HsmError):
    """A group of tokens was asked to make a key, which only one of them would have."""

    reason = "GROUP_MAKES_NO_KEYS"


class KeyInvalid(HsmError):
    """A key handed in for import has the wrong size, or its halves don't belong together."""

    reason = "KEY_INVALID"


class ImportRefused(HsmError):
    """The token takes a key neither in plaintext nor wrapped: its maker's tool has to import it, in a ceremony."""

    reason = "IMPORT_REFUSED"


class KeyPolicyViolation(HsmError):
    """A key's attributes differ from what its purpose allows; the message names them."""

    reason = "KEY_POLICY_VIOLATION"


class KeyNotExtractable(HsmError):
    """Someone asked for the private bytes of a key that lives in a token, or for a public half that may stand nowhere."""

    reason = "KEY_NOT_EXTRACTABLE"


class PeerKeyInvalid(HsmError, ValueError):
    """A peer's key is not on P-256. A ValueError too, as pyca raises."""

    reason = "PEER_KEY_INVALID"


class CiphertextInvalid(HsmError, ValueError):
    """A ciphertext to be decapsulated has another size than ML-KEM-768's. A ValueError too, as pyca raises."""

    reason = "CIPHERTEXT_INVALID"


_LOST: Final = (
    exceptions.DeviceError,
    exceptions.DeviceRemoved,
    exceptions.KeyHandleInvalid,
    exceptions.ObjectHandleInvalid,
    exceptions.SessionClosed,
    exceptions.SessionHandleInvalid,
    exceptions.SlotIDInvalid,
    exceptions.TokenNotPresent,
    exceptions.TokenNotRecognised,
    exceptions.UserNotLoggedIn,
    NotInitialized,
)
_MISSING: Final = (
    exceptions.DomainParamsInvalid,
    exceptions.FunctionNotSupported,
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
)

# Whatever stands in no row is `TokenFailed`.
_TRANSLATIONS: Final[tuple[tuple[tuple[type[PKCS11Error], ...], type[HsmError], str], ...]] = (
    (_LOST, SessionLost, "the token, its session or its login went away"),
    (_MISSING, MechanismMissing, "the token does not offer it"),
    ((AlreadyInitialized,), ModuleUnusable, "something else in this process uses the module"),
    ((exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange), PinIncorrect, "wrong PIN"),
    ((exceptions.PinLocked,), PinLocked, "the PIN is locked"),
    ((exceptions.PinExpired,), PinUnavailable, "the PIN has expired"),
    ((exceptions.UserPinNotInitialized,), PinUnavailable, "the token has no user PIN yet"),
    ((exceptions.SessionCount,), TokenBusy, "the token has no free session"),
)


class translate_errors:  # noqa: N801 - read as what it does
    """Translate whatever python-pkcs11 raises inside the block; `action` completes "Could not ..."."""

    __slots__ = ("_action",)

    def __init__(self, action: str) -> None:
        """Say what is done inside."""
        self._action = action

    def __enter__(self) -> None:
        """Change nothing."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        """Raise our error in the place of theirs."""
        if isinstance(error, PKCS11Error):
            raise translated(error, self._action) from error


def translated(error: PKCS11Error, action: str) -> HsmError:
    """Return the error of ours that stands for one of python-pkcs11's."""
    for kinds, ours, sentence in _TRANSLATIONS:
        if isinstance(error, kinds):
            return ours(f"Could not {action}: {sentence}.")
    if _says_not_initialized(error):
        return SessionLost(f"Could not {action}: the module was shut down.")
    return TokenFailed(f"Could not {action}: the token failed ({type(error).__name__}).")


def _says_not_initialized(error: PKCS11Error) -> bool:
    # python-pkcs11 has no class for CKR_CRYPTOKI_NOT_INITIALIZED, only this text.
    return type(error) is PKCS11Error and "(not initialized)" in str(error)
