"""Getting at a token: which one, by which PIN, and what is left behind when it fails."""

import os
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import TokenFlag

from hsm import Pin, TokenUri, errors, open_token, pin_from_file, pin_from_value
from hsm.login import refuse_risky_login
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_support import CountingPin, MakeToken, MakeUri, module_of


def test_wrong_pin_is_refused_after_one_attempt(make_token_uri: MakeUri) -> None:
    pin = CountingPin("wrong-pin-9999")
    with pytest.raises(errors.PinIncorrect):
        open_token(make_token_uri(), pin)
    assert pin.asked == 1


@needs(Capability.INITIALIZE)
def test_failed_logins_and_closed_tokens_leak_no_session(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        token.random(8)
        module = module_of(token)
    for _ in range(token_under_test.wrong_pin_tries):
        with pytest.raises(errors.PinIncorrect):
            open_token(uri, pin_from_value(token_under_test.wrong_pin))
    # A token can be made anew only when it has no open session (CKR_SESSION_EXISTS).
    module.cryptoki.init_token(module.find(uri).slot.slot_id, token_under_test.so_pin, uri.token or "")


def test_missing_token_is_not_found_and_its_pin_not_asked_for(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = TokenUri(module_path=make_token_uri().module_path, token="absent")
    with pytest.raises(errors.TokenNotFound):
        open_token(uri, right_pin)
    assert right_pin.asked == 0


def test_token_with_another_serial_number_is_not_found(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    with pytest.raises(errors.TokenNotFound):
        open_token(TokenUri(module_path=uri.module_path, token=uri.token, serial="ffff0000ffff0000"), right_pin)


def test_missing_module_is_not_found(tmp_path: Path, right_pin: CountingPin) -> None:
    with pytest.raises(errors.ModuleNotFound):
        open_token(TokenUri(module_path=tmp_path / "none.so", token="t"), right_pin)


def test_file_that_is_no_module_is_unusable(tmp_path: Path, right_pin: CountingPin) -> None:
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(errors.ModuleUnusable):
        open_token(TokenUri(module_path=tmp_path / "text.so", token="t"), right_pin)


@needs(Capability.MANY_TOKENS)
def test_ambiguous_uri_is_refused(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    one, two = make_token_uri(), make_token_uri()
    module = open_token(one, right_pin)
    tokens = module_of(module).tokens
    module.close()
    same = {token.label for token in tokens()}
    assert {one.token, two.token} <= same
    with pytest.raises(errors.AmbiguousToken):
        module_of(module).find(_AnyOf(module_of(module).find(one).manufacturer_id, one.module_path))


class _AnyOf:
    """A selector wider than `TokenUri` allows, since tokens' serial numbers and our labels never repeat."""

    def __init__(self, manufacturer: str, module_path: Path) -> None:
        self.token = self.serial = self.model = None
        self.manufacturer, self.module_path = manufacturer, module_path


def test_token_open_already_is_refused_a_second_time(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin), pytest.raises(errors.TokenInUse):
        open_token(uri, right_pin)
    open_token(uri, right_pin).close()


def test_pin_is_checked_even_if_a_dropped_token_left_its_login(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    dropped = open_token(uri, right_pin)
    module_of(dropped).users.discard(dropped._sessions._login)
    with pytest.raises(errors.PinIncorrect):
        open_token(uri, pin_from_value("wrong-pin-9999"))
    open_token(uri, right_pin).close()


@pytest.mark.parametrize(
    ("flag", "error"),
    [(TokenFlag.USER_PIN_LOCKED, errors.PinLocked), (TokenFlag.USER_PIN_FINAL_TRY, errors.PinFinalTry)],
)
def test_login_that_could_lock_the_token_is_not_tried(flag: TokenFlag, error: type[errors.HsmError]) -> None:
    with pytest.raises(error):
        refuse_risky_login(flag | TokenFlag.TOKEN_INITIALIZED, "t")


def test_pin_comes_from_a_file(make_token_uri: MakeUri, user_pin: Pin, tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.touch(mode=0o600)
    file.write_text(user_pin.reveal() + "\n")
    open_token(make_token_uri(), pin_from_file(file)).close()


def test_pin_shows_nowhere(make_token_uri: MakeUri, user_pin: Pin) -> None:
    provider = pin_from_value(user_pin.reveal())
    token = open_token(make_token_uri(), provider)
    shown = [repr(thing) + str(thing) for thing in (token, token._sessions, provider, user_pin, token.objects())]
    token.close()
    wrong = "wrong-pin-9999"
    with pytest.raises(errors.PinIncorrect) as caught:
        open_token(make_token_uri(), pin_from_value(wrong))
    shown += traceback.format_exception(caught.value)
    shown.append(Path("/proc/self/cmdline").read_bytes().decode())
    shown.append(repr(dict(os.environ)))
    assert not [text for text in shown if user_pin.reveal() in text]
    # The test's own source line of the wrong PIN is not in the traceback either: it is bound to a name.
    assert not [text for text in shown if wrong in text and 'wrong = "' not in text]


def test_token_is_useless_after_close_and_close_may_be_repeated(
    make_token: MakeToken, token_under_test: TokenUnderTest
) -> None:
    token = make_token()
    uses = token_under_test.ways_to_use(token)
    token.close()
    token.close()
    for use in uses:
        with pytest.raises(errors.TokenClosed):
            use()


@needs(Capability.ECDSA, Capability.ECDH)
def test_keys_persist_after_reopening(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        signing = token.generate_signing("signing").public_key()
        agreement = token.generate_agreement("agreement").public_key()
    with open_token(uri, right_pin) as token:
        assert token.signing("signing").public_key() == signing
        token.signing("signing").sign(b"message", ec.ECDSA(hashes.SHA256()))  # verified inside
        assert token.agreement("agreement").public_key() == agreement
