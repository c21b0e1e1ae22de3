"""What happens when a session, a login, the module or the token itself is lost: it comes back, or is said to be gone."""

import os
import time
from collections.abc import Callable

import pytest

from hsm import Pin, Token, TokenUri, agreement, errors, open_token, pin_from_fd, pin_from_value
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_support import (
    CountingPin,
    MakeUri,
    close_sessions_behind_its_back,
    destroy_behind_its_back,
    finalize_behind_its_back,
    log_out_behind_its_back,
    restart_behind_its_back,
)

LOSSES = [
    log_out_behind_its_back,
    finalize_behind_its_back,
    restart_behind_its_back,
    close_sessions_behind_its_back,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_keys_work_again_after_a_loss(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest, lose: Callable[[Token], None]
) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        for use in token_under_test.ways_to_use(token):
            use()
            lose(token)
            use()


def test_no_pin_is_asked_for_if_only_a_session_was_lost(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        token.random(8)
        close_sessions_behind_its_back(token)
        token.random(8)
        assert right_pin.asked == 1


def test_wrong_pin_at_a_renewed_login_is_never_tried_again(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        log_out_behind_its_back(token)
        right_pin.value = token_under_test.wrong_pin
        with pytest.raises(errors.PinIncorrect):
            token.objects()
        for _ in range(5):
            with pytest.raises(errors.TokenUnavailable):
                token.objects()
        assert right_pin.asked == 2


def test_token_whose_pin_cannot_be_asked_for_again_is_unavailable(make_token_uri: MakeUri, user_pin: Pin) -> None:
    reading, writing = os.pipe()
    os.write(writing, user_pin.reveal().encode())
    os.close(writing)
    with open_token(make_token_uri(), pin_from_fd(reading)) as token:
        log_out_behind_its_back(token)
        with pytest.raises(errors.TokenUnavailable) as caught:
            token.objects()
        assert caught.value.retryable


def test_missing_token_does_not_cost_another_its_unrepeatable_login(make_token_uri: MakeUri, user_pin: Pin) -> None:
    reading, writing = os.pipe()
    os.write(writing, user_pin.reveal().encode())
    os.close(writing)
    uri = make_token_uri()
    with open_token(uri, pin_from_fd(reading)) as token:
        with pytest.raises(errors.TokenNotFound):
            open_token(TokenUri(module_path=uri.module_path, token="absent"), pin_from_value("none"))
        token.objects()


@needs(Capability.HMAC)
def test_key_destroyed_elsewhere_is_not_found_and_no_other_is_used(
    make_token_uri: MakeUri, right_pin: CountingPin
) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        key = token.generate_mac("index")
        key.mac(b"patient")
        destroy_behind_its_back(token, "index")
        other = token.generate_mac("other")  # a token may give it the handle that the first had
        with pytest.raises(errors.HsmError) as caught:
            key.mac(b"patient")
        assert isinstance(caught.value, errors.KeyNotFound), caught.value
        other.mac(b"patient")
        assert right_pin.asked == 1


@needs(Capability.REMOVAL)
def test_token_that_was_taken_away_does_not_read_as_empty(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        token.objects()
        put_back = token_under_test.remove(uri)
        for look in (token.objects, lambda: token.has("identity"), lambda: token.mac("identity")):
            with pytest.raises(errors.TokenUnavailable):
                look()
        put_back()


@needs(Capability.REMOVAL)
def test_wrong_pin_after_the_token_was_put_back_is_tried_once(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        put_back = token_under_test.remove(uri)
        with pytest.raises(errors.TokenUnavailable):
            token.objects()
        right_pin.value = token_under_test.wrong_pin
        put_back()
        with pytest.raises(errors.PinIncorrect):
            when_back(token.objects)
        for _ in range(3):
            with pytest.raises(errors.TokenUnavailable):
                token.objects()
        assert right_pin.asked == 2


@needs(Capability.REMOVAL)
def test_token_taken_away_is_unavailable_and_works_again_when_put_back(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        uses = token_under_test.ways_to_use(token)
        put_back = token_under_test.remove(uri)
        for use in uses[1:]:  # SoftHSM draws random numbers without the token's files
            with pytest.raises(errors.HsmError) as caught:
                use()
            assert isinstance(caught.value, errors.TokenUnavailable), caught.value
        assert right_pin.asked == 1
        put_back()
        when_back(uses[1])
        for use in uses:
            use()
        assert right_pin.asked == 2


def when_back(use: Callable[[], object]) -> None:
    """Use the token as soon as it can be used."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            use()
        except errors.TokenUnavailable:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the token did not come back")


@pytest.mark.parametrize(("lose", "tries"), [(lambda _token: None, 1), (log_out_behind_its_back, 2)])
def test_fault_without_a_name_is_tried_again_only_if_the_login_is_gone(
    make_token_uri: MakeUri, right_pin: CountingPin, lose: Callable[[Token], None], tries: int
) -> None:
    """NSS has no code for a lost login, so any fault may be one."""
    tried = []

    def fail(_session: object) -> None:
        tried.append(1)
        raise errors.TokenFailed("A fault without a name.")

    with open_token(make_token_uri(), right_pin) as token:
        lose(token)
        with pytest.raises(errors.TokenFailed):
            token._sessions.run(fail, doing="fail")
        assert (len(tried), right_pin.asked) == (tries, tries)


@needs(Capability.ECDH)
@pytest.mark.parametrize("lose", [log_out_behind_its_back, finalize_behind_its_back])
def test_way_of_agreement_is_not_blamed_for_a_loss_in_its_trial(
    make_token_uri: MakeUri,
    right_pin: CountingPin,
    token_under_test: TokenUnderTest,
    lose: Callable[[Token], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works: Callable[..., bool] = agreement._works
    tried: list[int] = []

    with open_token(make_token_uri(), right_pin) as token:

        def lose_first(*arguments: object) -> bool:
            if not tried:
                lose(token)
            tried.append(1)
            return works(*arguments)

        monkeypatch.setattr("hsm.agreement._works", lose_first)
        ways = token.ways
        assert ways == (token_under_test.ways or ways)
        assert right_pin.asked == 2
