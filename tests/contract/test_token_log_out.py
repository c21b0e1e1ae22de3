"""A token that its program logs out of: nothing can be done with its keys until somebody gives the PIN again."""

from collections.abc import Callable

import pytest
from pkcs11 import Attribute, ObjectClass

from hsm import TokenUri, errors, open_group, open_token, pin_from_value
from hsm.login import open_session
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_support import CountingPin, MakeUri, module_of


def private_objects_for_anybody(token: object) -> int:
    """Count what a session of this process sees that presents no PIN: private objects only while somebody is logged in."""
    raw = open_session(token._sessions._login.token)
    try:
        return len(list(raw.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})))
    finally:
        raw.close()


@pytest.fixture
def token(make_token_uri: MakeUri, right_pin: CountingPin):
    with open_token(make_token_uri(), right_pin) as token:
        yield token


@needs(Capability.HMAC)
def test_keys_cannot_be_used_by_anybody_after_the_log_out(token) -> None:
    token.generate_mac("index")
    assert private_objects_for_anybody(token) == 1
    token.log_out()
    assert private_objects_for_anybody(token) == 0


def test_every_key_works_after_the_log_out_when_the_pin_was_asked_for_again(
    token, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    for use in token_under_test.ways_to_use(token):
        use()
        before = right_pin.asked
        token.log_out()
        assert right_pin.asked == before
        use()
        assert right_pin.asked == before + 1


def test_pin_is_asked_for_once_and_not_while_logged_in(token, right_pin: CountingPin) -> None:
    token.log_in()
    assert right_pin.asked == 1
    token.log_out()
    token.log_out()
    token.log_in()
    token.log_in()
    assert right_pin.asked == 2
    token.objects()
    assert right_pin.asked == 2


def test_wrong_pin_is_tried_once_at_each_wish_of_a_person_and_by_itself_never(
    token, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    token.log_out()
    right, right_pin.value = right_pin.value, token_under_test.wrong_pin
    for wishes in (1, 2):
        with pytest.raises(errors.PinIncorrect):
            token.log_in()
        for _ in range(3):
            with pytest.raises(errors.TokenUnavailable):
                token.objects()
            assert not token.health()
        assert right_pin.asked == 1 + wishes
    right_pin.value = right
    token.log_in()
    token.objects()
    assert right_pin.asked == 4


def test_nobody_else_opens_the_token_of_this_process_while_it_is_logged_out(
    make_token_uri: MakeUri, right_pin: CountingPin
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        token.log_out()
        with pytest.raises(errors.TokenInUse):
            open_token(uri, right_pin)


def test_token_that_is_closed_is_not_logged_out_of(token) -> None:
    token.close()
    for use in (token.log_out, token.log_in):
        with pytest.raises(errors.TokenClosed):
            use()


def test_module_restarts_for_another_token_while_one_is_logged_out(token, right_pin: CountingPin) -> None:
    token.log_out()
    module = module_of(token)
    assert module.restart(module.generation)
    token.log_in()
    token.objects()
    assert right_pin.asked == 2


@needs(Capability.MANY_TOKENS)
def test_group_is_logged_out_of_and_in_again(
    make_token_uri: Callable[[], TokenUri], token_under_test: TokenUnderTest
) -> None:
    pin = CountingPin(token_under_test.user_pin)
    other = pin_from_value(token_under_test.user_pin)
    with open_group([(make_token_uri(), pin), (make_token_uri(), other)]) as group:
        group.log_out()
        pin.value = token_under_test.wrong_pin
        with pytest.raises(errors.PinIncorrect):
            group.log_in()
        pin.value = token_under_test.user_pin
        group.log_in()
        assert pin.asked == 3
        assert len(group.each) == 2
        group.objects()
        group.log_out()
        assert group.objects() == []  # whichever of them logs in first
