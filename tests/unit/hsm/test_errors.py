"""Errors: one vocabulary, and nothing of python-pkcs11 behind it."""

import re
from collections import Counter

import pytest
from pkcs11 import PKCS11Error, exceptions

from hsm import errors
from hsm.agreement import _REFUSALS
from hsm.cryptoki import _RETURN_VALUES, AlreadyInitialized, NotInitialized
from hsm.errors import translate_errors

FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HsmError)]
FOREIGN = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, PKCS11Error)]


def test_every_reason_is_a_word_of_its_own() -> None:
    assert all(re.fullmatch("[A-Z][A-Z0-9_]+", kind.reason) for kind in FAMILY)
    counts = Counter(kind.reason for kind in FAMILY)
    shared = {reason for reason, count in counts.items() if count > 1}
    # The family's root and its plainest member; a lost session, which callers see as the token's.
    assert shared == {"TOKEN_FAILED", "TOKEN_UNAVAILABLE"}


def test_only_what_may_pass_is_retryable() -> None:
    retryable = {kind.reason for kind in FAMILY if kind.retryable}
    assert retryable == {"TOKEN_UNAVAILABLE", "TOKEN_BUSY"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_error_of_python_pkcs11_is_translated(kind: type[PKCS11Error]) -> None:
    with pytest.raises(errors.HsmError) as caught, translate_errors("sign"):
        raise kind("detail that stays out")
    assert str(caught.value).startswith("Could not sign: ")
    assert "detail" not in str(caught.value)
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (exceptions.PinIncorrect(), errors.PinIncorrect),
        (exceptions.PinLenRange(), errors.PinIncorrect),
        (exceptions.PinLocked(), errors.PinLocked),
        (exceptions.PinExpired(), errors.PinUnavailable),
        (exceptions.UserPinNotInitialized(), errors.PinUnavailable),
        (exceptions.SessionHandleInvalid(), errors.SessionLost),
        (exceptions.DeviceRemoved(), errors.SessionLost),
        (exceptions.ObjectHandleInvalid(), errors.SessionLost),
        (exceptions.UserNotLoggedIn(), errors.SessionLost),
        (NotInitialized(), errors.SessionLost),
        (PKCS11Error("Initialisation error (not initialized). Should never see this."), errors.SessionLost),
        (AlreadyInitialized(), errors.ModuleUnusable),
        (exceptions.SessionCount(), errors.TokenBusy),
        (exceptions.MechanismInvalid(), errors.MechanismMissing),
        (exceptions.GeneralError(), errors.TokenFailed),
        (PKCS11Error("Unmapped error code"), errors.TokenFailed),
    ],
)
def test_error_of_python_pkcs11_becomes_the_one_with_its_meaning(
    foreign: PKCS11Error, ours: type[errors.HsmError]
) -> None:
    with pytest.raises(errors.HsmError) as caught, translate_errors("sign"):
        raise foreign
    assert type(caught.value) is ours


def test_fault_of_our_own_is_not_disguised() -> None:
    with pytest.raises(ZeroDivisionError), translate_errors("sign"):
        raise ZeroDivisionError


def test_our_own_calls_raise_every_error_that_has_a_meaning_here() -> None:
    """A return value that is missing in `hsm.cryptoki` would be a token's fault without a name."""
    named = {kind for kinds, _, _ in errors._TRANSLATIONS for kind in kinds} | set(_REFUSALS)
    assert named <= set(_RETURN_VALUES.values())
