"""What is plugged in, and what its flags mean."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
from pkcs11 import TokenFlag

from hsm import Token, TokenUri, errors, open_token, pin_from_value
from hsm.cryptoki import Function, _TokenInfo
from hsm.survey import known_modules, pin_states, tokens_of

MakeUri = Callable[..., TokenUri]


@pytest.mark.parametrize(
    ("flags", "states"),
    [
        (TokenFlag.TOKEN_INITIALIZED | TokenFlag.USER_PIN_INITIALIZED, ()),
        (TokenFlag.USER_PIN_COUNT_LOW, ("USER_PIN_COUNT_LOW",)),
        (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_COUNT_LOW, ("USER_PIN_FINAL_TRY", "USER_PIN_COUNT_LOW")),
        (TokenFlag.USER_PIN_LOCKED, ("USER_PIN_LOCKED",)),
        (TokenFlag.USER_PIN_TO_BE_CHANGED, ("USER_PIN_TO_BE_CHANGED",)),
        (TokenFlag.SO_PIN_LOCKED | TokenFlag.SO_PIN_TO_BE_CHANGED, ("SO_PIN_LOCKED", "SO_PIN_TO_BE_CHANGED")),
    ],
)
def test_flags_that_warn_of_a_pin_are_named(flags: TokenFlag, states: tuple[str, ...]) -> None:
    assert pin_states(flags) == states


def test_wrong_pin_shows_in_the_survey_until_a_right_one(make_token_uri: MakeUri, user_pin) -> None:
    uri = make_token_uri()

    def states() -> tuple[str, ...]:
        (found,) = [token for token in tokens_of(uri.module_path) if token.serial == uri.serial]
        return found.pin_states

    assert states() == ()
    with pytest.raises(errors.PinIncorrect):
        open_token(uri, pin_from_value("wrong-pin-9999"))
    assert states() == ("USER_PIN_COUNT_LOW",)
    open_token(uri, pin_from_value(user_pin.reveal())).close()
    assert states() == ()


def test_survey_tells_tokens_from_blank_ones(make_token_uri: MakeUri) -> None:
    uri = make_token_uri()
    found = tokens_of(uri.module_path)
    (ours,) = [token for token in found if token.serial == uri.serial]
    assert (ours.label, ours.is_initialised, ours.has_user_pin) == (uri.token, True, True)
    assert [token.is_initialised for token in found].count(False) == 1


def test_known_modules_are_there() -> None:
    assert known_modules()
    assert all(path.is_absolute() and path.is_file() for path in known_modules())


def test_module_by_a_relative_path_is_not_loaded() -> None:
    with pytest.raises(errors.ModuleNotFound):
        tokens_of(Path("libsofthsm2.so"))


def test_token_info_is_read_at_its_places(token: Token) -> None:
    info = _TokenInfo()
    module = token._sessions._module
    module.cryptoki._call(Function.C_GetTokenInfo, token._sessions._login.token.slot.slot_id, ctypes.byref(info))
    assert bytes(info.label).decode().strip() == token.label
    assert bytes(info.serial).decode() == token.serial
    assert (info.shortest_pin, info.longest_pin) == (4, 255)
    assert info.versions[2] == 2  # SoftHSM 2
