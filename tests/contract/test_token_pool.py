"""The sessions of a token: bounded, shared, reused, waited for no longer than said."""

import threading
from datetime import timedelta

import pytest
from pkcs11 import GeneralError

from hsm import errors, open_token
from hsm.cryptoki import Cryptoki, SessionCounts
from hsm.sessions import Session, session_limits
from tests.contract.token_backends import Capability, needs
from tests.contract.token_support import CountingPin, MakeToken, MakeUri, log_out_behind_its_back


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


@needs(Capability.HMAC)
def test_handles_are_looked_up_again_after_a_new_login(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    original = Session.search
    monkeypatch.setattr(Session, "search", lambda self, what: (searches.append(what), original(self, what))[1])
    with open_token(make_token_uri(), right_pin) as token:
        key = token.generate_mac("index")
        log_out_behind_its_back(token)
        searches.clear()
        for _ in range(5):
            key.mac(b"x")
        assert len(searches) == 1


@pytest.mark.parametrize(
    ("configured", "counts", "limits"),
    [
        (4, SessionCounts(), (4, 4)),
        (4, SessionCounts(most=16, most_writable=16), (4, 4)),
        (8, SessionCounts(most=4, most_writable=4), (3, 3)),
        (8, SessionCounts(most=8, most_writable=1), (7, 1)),
        (8, SessionCounts(most_writable=2), (8, 2)),
        (8, SessionCounts(most=1, most_writable=1), (1, 1)),
        (1, SessionCounts(most=2), (1, 1)),
    ],
)
def test_pool_is_bounded_by_the_token_less_the_login(
    configured: int, counts: SessionCounts, limits: tuple[int, int]
) -> None:
    assert session_limits(configured, counts) == limits


def test_no_more_sessions_are_opened_than_the_token_allows(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cryptoki, "session_counts", lambda _self, _slot: SessionCounts(most=3, most_writable=1))
    with open_token(make_token_uri(), right_pin, sessions=8) as token:
        sessions = token._sessions
        together = threading.Barrier(2)

        def work(_session: Session) -> None:
            together.wait(10)

        threads = [threading.Thread(target=lambda: sessions.run(work, doing="work")) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert token.metrics().sessions.limit == len(sessions._idle) == 2

        def count(_session: Session) -> int:
            return len(sessions._idle) + 1

        # A writable session takes the place of an idle one: with the login's, three are open at most.
        assert sessions.run(count, doing="count", writable=True) == 2


def test_writable_sessions_wait_for_each_other_where_the_token_allows_one(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cryptoki, "session_counts", lambda _self, _slot: SessionCounts(most=8, most_writable=1))
    with open_token(make_token_uri(), right_pin, wait=timedelta(milliseconds=50)) as token:
        entered, leave = threading.Event(), threading.Event()

        def occupy(_session: Session) -> None:
            entered.set()
            leave.wait(10)

        thread = threading.Thread(target=lambda: token._sessions.run(occupy, doing="occupy", writable=True))
        thread.start()
        assert entered.wait(10)
        token.random(8)
        with pytest.raises(errors.TokenBusy):
            token._sessions.run(lambda _session: None, doing="write", writable=True)
        leave.set()
        thread.join()
        token._sessions.run(lambda _session: None, doing="write", writable=True)


def test_token_that_does_not_say_its_bounds_is_used_as_configured(
    make_token_uri: MakeUri, right_pin: CountingPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Cryptoki, _slot: int) -> SessionCounts:
        raise GeneralError

    monkeypatch.setattr(Cryptoki, "session_counts", fail)
    with open_token(make_token_uri(), right_pin, sessions=3) as token:
        assert token.metrics().sessions.limit == 3
