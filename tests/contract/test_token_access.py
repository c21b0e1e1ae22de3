"""Getting at a token and keeping it: PINs, sessions, loss and recovery, all on a real SoftHSM."""

import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pkcs11 import TokenFlag

from hsm import Pin, Token, TokenEd25519Key, TokenUri, errors, open_token, pin_from_fd, pin_from_file, pin_from_value
from hsm.login import refuse_risky_login
from hsm.module import Module
from hsm.softhsm import SoftHsm

MakeUri = Callable[..., TokenUri]
MakeToken = Callable[..., Token]


class CountingPin:
    """A provider that counts how often it is asked, and can change its mind."""

    def __init__(self, value: str) -> None:
        self.value, self.asked = value, 0

    def __call__(self) -> Pin:
        self.asked += 1
        return Pin(self.value)


@pytest.fixture
def right_pin(user_pin: Pin) -> CountingPin:
    return CountingPin(user_pin.reveal())


def module_of(token: Token) -> Module:
    return token._sessions._module


def log_out_behind_its_back(token: Token) -> None:
    module_of(token).cryptoki.logout(token._sessions._login._session.handle)


def finalize_behind_its_back(token: Token) -> None:
    module_of(token).cryptoki.finalize()


def restart_behind_its_back(token: Token) -> None:
    module_of(token).restart(module_of(token).generation)


def close_sessions_behind_its_back(token: Token) -> None:
    for session in token._sessions._idle:
        session.raw.close()


def test_wrong_pin_is_refused_after_one_attempt(make_token_uri: MakeUri) -> None:
    pin = CountingPin("wrong-pin-9999")
    with pytest.raises(errors.PinIncorrect):
        open_token(make_token_uri(), pin)
    assert pin.asked == 1


def test_failed_logins_and_closed_tokens_leak_no_session(
    make_token_uri: MakeUri, right_pin: CountingPin, so_pin: Pin
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        token.generate_ed25519("signing").sign(b"message")
        module = module_of(token)
    for _ in range(20):
        with pytest.raises(errors.PinIncorrect):
            open_token(uri, pin_from_value("wrong-pin-9999"))
    # A token can be made anew only when it has no open session (CKR_SESSION_EXISTS).
    module.cryptoki.init_token(module.find(uri).slot.slot_id, so_pin.reveal(), uri.token or "")


def test_missing_token_is_not_found_and_its_pin_not_asked_for(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = TokenUri(module_path=make_token_uri().module_path, token="absent")
    with pytest.raises(errors.TokenNotFound):
        open_token(uri, right_pin)
    assert right_pin.asked == 0


def test_token_with_another_serial_number_is_not_found(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    with pytest.raises(errors.TokenNotFound):
        open_token(TokenUri(module_path=uri.module_path, token=uri.token, serial="0000000000000000"), right_pin)


def test_missing_module_is_not_found(tmp_path: Path, right_pin: CountingPin) -> None:
    with pytest.raises(errors.ModuleNotFound):
        open_token(TokenUri(module_path=tmp_path / "none.so", token="t"), right_pin)


def test_file_that_is_no_module_is_unusable(tmp_path: Path, right_pin: CountingPin) -> None:
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(errors.ModuleUnusable):
        open_token(TokenUri(module_path=tmp_path / "text.so", token="t"), right_pin)


def test_ambiguous_uri_is_refused(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    one, two = make_token_uri(), make_token_uri()
    module = open_token(one, right_pin)
    tokens = module_of(module).tokens
    module.close()
    same = {token.label for token in tokens()}
    assert {one.token, two.token} <= same
    with pytest.raises(errors.AmbiguousToken):
        module_of(module).find(_AnyOf("SoftHSM project", one.module_path))


class _AnyOf:
    """A selector wider than `TokenUri` allows, since SoftHSM's serial numbers and our labels never repeat."""

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
    key = token.generate_ed25519("key")
    shown = [repr(thing) + str(thing) for thing in (token, key, token._sessions, provider, user_pin, token.objects())]
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


LOSSES = [
    log_out_behind_its_back,
    finalize_behind_its_back,
    restart_behind_its_back,
    close_sessions_behind_its_back,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_keys_work_again_after_a_loss(
    make_token_uri: MakeUri, right_pin: CountingPin, lose: Callable[[Token], None]
) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        signing, agreement = token.generate_ed25519("signing"), token.generate_x25519("agreement")
        sealing, index = token.generate_aes("sealing"), token.generate_mac("index")
        blob, code = sealing.seal(b"record", b""), index.mac(b"patient")
        for use in (
            lambda: signing.sign(b"message"),
            lambda: agreement.exchange(agreement.public_key()),
            lambda: sealing.open(blob, b"") == b"record" or pytest.fail("opened wrongly"),
            lambda: index.mac(b"patient") == code or pytest.fail("another code"),
            lambda: token.has("signing") or pytest.fail("key not seen"),
            lambda: len(token.objects()) == 6 or pytest.fail("objects not seen"),
            lambda: token.random(8),
            lambda: token.generate_mac("new") and token.destroy("new"),
        ):
            use()
            lose(token)
            use()


def test_no_pin_is_asked_for_if_only_a_session_was_lost(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        key = token.generate_ed25519("signing")
        key.sign(b"message")
        close_sessions_behind_its_back(token)
        key.sign(b"message")
        assert right_pin.asked == 1


def test_wrong_pin_at_a_renewed_login_is_never_tried_again(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        key = token.generate_ed25519("signing")
        log_out_behind_its_back(token)
        right_pin.value = "wrong-pin-9999"
        with pytest.raises(errors.PinIncorrect):
            key.sign(b"message")
        for _ in range(5):
            with pytest.raises(errors.TokenUnavailable):
                key.sign(b"message")
        assert right_pin.asked == 2


def test_token_whose_pin_cannot_be_asked_for_again_is_unavailable(make_token_uri: MakeUri, user_pin: Pin) -> None:
    reading, writing = os.pipe()
    os.write(writing, user_pin.reveal().encode())
    os.close(writing)
    with open_token(make_token_uri(), pin_from_fd(reading)) as token:
        key = token.generate_ed25519("signing")
        log_out_behind_its_back(token)
        with pytest.raises(errors.TokenUnavailable) as caught:
            key.sign(b"message")
        assert caught.value.retryable


def test_missing_token_does_not_cost_another_its_unrepeatable_login(make_token_uri: MakeUri, user_pin: Pin) -> None:
    reading, writing = os.pipe()
    os.write(writing, user_pin.reveal().encode())
    os.close(writing)
    uri = make_token_uri()
    with open_token(uri, pin_from_fd(reading)) as token:
        key = token.generate_ed25519("signing")
        with pytest.raises(errors.TokenNotFound):
            open_token(TokenUri(module_path=uri.module_path, token="absent"), pin_from_value("none"))
        key.sign(b"message")


def test_vanished_token_is_unavailable_and_comes_back(
    softhsm: SoftHsm, make_token_uri: MakeUri, right_pin: CountingPin, tmp_path: Path
) -> None:
    tokens = softhsm.configuration.parent / "tokens"
    before = set(tokens.iterdir())
    uri = make_token_uri()
    (directory,) = set(tokens.iterdir()) - before
    with open_token(uri, right_pin) as token:
        key = token.generate_ed25519("signing")
        shutil.move(directory, tmp_path / "pulled")
        for _ in range(3):
            with pytest.raises(errors.HsmError) as caught:
                key.sign(b"message")
            assert isinstance(caught.value, errors.TokenUnavailable), caught.value
        assert right_pin.asked == 1
        shutil.move(tmp_path / "pulled", directory)
        sign_when_back(key)
        assert right_pin.asked == 2


def sign_when_back(key: TokenEd25519Key) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            key.sign(b"message")
        except errors.TokenUnavailable:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the token did not come back")


def test_token_is_useless_after_close_and_close_may_be_repeated(make_token: MakeToken) -> None:
    token = make_token()
    key = token.generate_ed25519("signing")
    token.close()
    token.close()
    for use in (lambda: key.sign(b""), lambda: token.random(1), token.objects, lambda: token.ed25519("signing")):
        with pytest.raises(errors.TokenClosed):
            use()


def test_keys_persist_after_reopening(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        public = token.generate_ed25519("signing").public_key()
        agreement = token.generate_x25519("agreement").public_key()
    with open_token(uri, right_pin) as token:
        public.verify(token.ed25519("signing").sign(b"message"), b"message")
        assert token.x25519("agreement").public_key() == agreement


def test_closing_one_token_leaves_another_open(make_token: MakeToken) -> None:
    one, two = make_token(), make_token()
    key = two.generate_ed25519("signing")
    one.close()
    key.sign(b"message")


def test_waiting_for_a_session_ends_at_the_deadline(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin, sessions=1, wait=timedelta(milliseconds=50)) as token:
        entered, leave = threading.Event(), threading.Event()

        def occupy() -> None:
            token._sessions.run(lambda _session: (entered.set(), leave.wait(10)), doing="occupy a session")

        thread = threading.Thread(target=occupy)
        thread.start()
        assert entered.wait(10)
        with pytest.raises(errors.TokenBusy) as caught:
            token.random(8)
        assert caught.value.retryable
        leave.set()
        thread.join()
        token.random(8)


def test_sessions_are_reused_and_bounded(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin, sessions=2) as token:
        key = token.generate_mac("index")
        threads = [threading.Thread(target=lambda: [key.mac(b"x") for _ in range(200)]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(token._sessions._idle) <= 2


def test_key_handle_is_looked_up_once_per_session(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsm.sessions import Session  # noqa: PLC0415

    searches = []
    original = Session.search
    monkeypatch.setattr(Session, "search", lambda self, what: (searches.append(what), original(self, what))[1])
    with open_token(make_token_uri(), right_pin) as token:
        key = token.generate_mac("index")
        key.mac(b"x")
        searches.clear()
        for _ in range(20):
            key.mac(b"x")
        assert not searches


def test_token_of_an_existing_label_is_not_made_again(softhsm: SoftHsm, make_token_uri: MakeUri) -> None:
    uri = make_token_uri()
    with pytest.raises(errors.TokenExists):
        softhsm.create_token(uri.token or "", pin=Pin("1234"), so_pin=Pin("12345678"))


def test_label_longer_than_a_token_takes_is_refused(softhsm: SoftHsm) -> None:
    with pytest.raises(errors.LabelInvalid):
        softhsm.create_token("x" * 33, pin=Pin("1234"), so_pin=Pin("12345678"))


def test_second_softhsm_directory_in_one_process_is_refused(make_token_uri: MakeUri, tmp_path: Path) -> None:
    make_token_uri()
    with pytest.raises(errors.ModuleUnusable):
        SoftHsm(tmp_path).activate()
