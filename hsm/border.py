"""The border: the one place where python-pkcs11's exceptions become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pkcs11 import PKCS11Error, exceptions

from hsm import errors
from hsm.cryptoki import AlreadyInitialized, NotInitialized

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
_TRANSLATIONS: Final[tuple[tuple[tuple[type[PKCS11Error], ...], type[errors.HsmError], str], ...]] = (
    (_LOST, errors.SessionLost, "the token, its session or its login went away"),
    (_MISSING, errors.MechanismMissing, "the token does not offer it"),
    ((AlreadyInitialized,), errors.ModuleUnusable, "something else in this process uses the module"),
    ((exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange), errors.PinIncorrect, "wrong PIN"),
    ((exceptions.PinLocked,), errors.PinLocked, "the PIN is locked"),
    ((exceptions.PinExpired,), errors.PinUnavailable, "the PIN has expired"),
    ((exceptions.UserPinNotInitialized,), errors.PinUnavailable, "the token has no user PIN yet"),
    ((exceptions.SessionCount,), errors.TokenBusy, "the token has no free session"),
    (
        (exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange),
        errors.AuthenticationFailed,
        "the sealed data, its associated data or the key is not the right one",
    ),
)


@contextmanager
def crossing(action: str) -> Iterator[None]:
    """Translate whatever python-pkcs11 raises inside; `action` completes "Could not ..."."""
    try:
        yield
    except PKCS11Error as error:
        raise translated(error, action) from error


def translated(error: PKCS11Error, action: str) -> errors.HsmError:
    """Return the error of ours that stands for one of python-pkcs11's."""
    for kinds, ours, sentence in _TRANSLATIONS:
        if isinstance(error, kinds):
            return ours(f"Could not {action}: {sentence}.")
    if _says_not_initialized(error):
        return errors.SessionLost(f"Could not {action}: the module was shut down.")
    return errors.TokenFailed(f"Could not {action}: the token failed ({type(error).__name__}).")


def _says_not_initialized(error: PKCS11Error) -> bool:
    # python-pkcs11 has no class for CKR_CRYPTOKI_NOT_INITIALIZED, only this text.
    return type(error) is PKCS11Error and "(not initialized)" in str(error)
