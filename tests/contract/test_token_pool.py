"""The sessions of a token: bounded, shared, reused, waited for no longer than said."""

import threading
from datetime import timedelta

import pytest

from hsm import errors, open_token
from hsm.sessions import Session
from tests.contract.token_backends import Capability, needs
from tests.contract.token_support import CountingPin, MakeToken, MakeUri


@needs(Capability.MANY_TOKENS)
def test_closing_one_token_leaves_another_open(make_token: MakeToken) -> None:
    one, two = make_token(), make_token()
    one.close()
    two.random(8)


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


@needs(Capability.THREADS)
def test_sessions_are_reused_and_bounded(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin, sessions=2) as token:
        threads = [threading.Thread(target=lambda: [token.random(8) for _ in range(200)]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(token._sessions._idle) <= 2


@needs(Capability.HMAC)
def test_key_handle_is_looked_up_once_per_session(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
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
