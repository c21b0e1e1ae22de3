"""What a token tells of itself: what it did, whether it is there, what it can do."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pkcs11 import Mechanism

from hsm import Ability, Token, errors, open_token
from hsm.cryptoki import Cryptoki
from hsm.metrics import BUCKETS_SECONDS, MANAGEMENT, Meter
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_support import (
    CountingPin,
    MakeUri,
    close_sessions_behind_its_back,
    log_out_behind_its_back,
    restart_behind_its_back,
)
from tests.waiting import until


def test_operations_are_counted_by_mechanism_with_their_latency(token: Token) -> None:
    for _ in range(5):
        token.random(8)
    random = token.metrics().operations["RANDOM"]
    assert random.count == sum(random.buckets) == 5
    assert len(random.buckets) == len(BUCKETS_SECONDS) + 1
    assert 0 < random.total_seconds < 5
    last = token.metrics().last_success
    assert last is not None
    assert abs(last - time.time()) < 5


@needs(Capability.ECDSA, Capability.ECDH, Capability.HMAC)
def test_each_mechanism_has_its_own_row(token: Token, token_under_test: TokenUnderTest) -> None:
    for use in token_under_test.ways_to_use(token):
        use()
    assert {"ECDSA", "ECDH1_DERIVE", "SHA256_HMAC", "RANDOM", "TRIAL", MANAGEMENT} <= set(token.metrics().operations)


def test_errors_are_counted_by_reason_and_are_no_success(token: Token) -> None:
    before = token.metrics()
    for _ in range(2):
        with pytest.raises(errors.KeyNotFound):
            token.mac("absent")
    after = token.metrics()
    assert after.errors == {"KEY_NOT_FOUND": 2}
    assert after.operations == before.operations


def test_sessions_in_use_waiting_and_idle_are_told(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin, sessions=1, wait=timedelta(seconds=5)) as token:
        entered, leave = threading.Event(), threading.Event()
        work = {"occupy": lambda _session: (entered.set(), leave.wait(10))}
        occupier = threading.Thread(target=lambda: token._sessions.run(work["occupy"], doing="occupy"))
        waiter = threading.Thread(target=lambda: token.random(8))
        occupier.start()
        assert entered.wait(10)
        waiter.start()
        until(lambda: token.metrics().sessions.waiting == 1)
        sessions = token.metrics().sessions
        assert (sessions.in_use, sessions.idle, sessions.limit) == (1, 0, 1)
        leave.set()
        occupier.join()
        waiter.join()
        sessions = token.metrics().sessions
        assert (sessions.in_use, sessions.idle, sessions.waiting) == (0, 1, 0)
        assert token.metrics().waited_seconds > 0


@pytest.mark.parametrize("lose", [log_out_behind_its_back, close_sessions_behind_its_back, restart_behind_its_back])
def test_recoveries_are_counted(make_token_uri: MakeUri, right_pin: CountingPin, lose: Callable[[Token], None]) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        token.objects()
        lose(token)
        token.objects()
        assert token.metrics().recoveries == 1
        assert token.metrics().logins == right_pin.asked


def test_bound_of_a_bucket_belongs_to_it() -> None:
    meter = Meter()
    with meter.operation("X"):
        pass
    assert meter.snapshot(in_use=0, idle=0, limit=1, logins=1).operations["X"].buckets[0] == 1


@needs(Capability.REMOVAL)
def test_health_is_false_when_the_token_is_taken_away_and_true_when_it_is_back(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        assert token.health()
        put_back = token_under_test.remove(uri)
        until(lambda: not token.health())
        put_back()
        until(token.health)


def test_health_is_false_after_close_and_never_raises(token: Token) -> None:
    token.close()
    assert not token.health()


def test_busy_token_is_healthy(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin, sessions=1, wait=timedelta(milliseconds=20)) as token:
        token._sessions._permits.take()
        assert token.health()
        token._sessions._permits.release()


def test_health_comes_back_by_itself_after_a_logout(make_token_uri: MakeUri, right_pin: CountingPin) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        log_out_behind_its_back(token)
        assert token.health()
        assert right_pin.asked == 2


def test_health_never_tries_a_wrong_pin_again(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    with open_token(make_token_uri(), right_pin) as token:
        log_out_behind_its_back(token)
        right_pin.value = token_under_test.wrong_pin
        for _ in range(5):
            assert not token.health()
        assert right_pin.asked == 2


ABILITIES = {
    Ability.ECDSA_P256: Capability.ECDSA,
    Ability.NONCES: Capability.ECDSA,
    Ability.ECDH_P256: Capability.ECDH,
    Ability.IMPORT_P256: Capability.IMPORT,
    Ability.HMAC_SHA256: Capability.HMAC,
    Ability.ML_KEM_768: Capability.ML_KEM,
}


@needs(Capability.MANY_KEYS)
def test_trials_find_what_the_token_can_do_and_leave_nothing(token: Token, token_under_test: TokenUnderTest) -> None:
    before = token.objects()
    trials = {trial.ability: trial for trial in token.trials()}
    assert token.objects() == before
    assert trials[Ability.RANDOM].works
    for ability, capability in ABILITIES.items():
        assert trials[ability].works == (capability in token_under_test.can), trials[ability]


@needs(Capability.ECDH, Capability.IMPORT)
def test_trials_say_how_the_token_agrees_and_takes_keys(token: Token) -> None:
    details = {trial.ability: trial.detail for trial in token.trials()}
    assert details[Ability.ECDH_P256] == token.agreement_way.name
    assert details[Ability.IMPORT_P256] == "C_CreateObject"


def test_every_ability_is_tried() -> None:
    assert set(ABILITIES) | {Ability.RANDOM} == set(Ability)


@needs(Capability.ECDSA, Capability.ECDH, Capability.HMAC)
def test_trial_of_a_curve_that_the_token_does_not_know_fails_and_the_others_go_on(
    token: Token, token_under_test: TokenUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = replace(token._sessions._quirks, curve=b"\x13\x07unknown")
    monkeypatch.setattr(token._sessions, "_quirks", unknown)
    failed = [trial for trial in token.trials() if not trial.works]
    of_no_curve = {Ability.RANDOM, Ability.HMAC_SHA256}
    of_no_curve |= {Ability.ML_KEM_768} if Capability.ML_KEM in token_under_test.can else set()
    assert {trial.ability for trial in failed} == set(Ability) - of_no_curve
    assert all(trial.fault for trial in failed)
    assert token.objects() == []


@needs(Capability.ECDSA, Capability.MANY_KEYS)
def test_token_that_gives_one_digest_one_nonce_is_named(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[tuple[int, bytes], bytes] = {}
    sign = Cryptoki.sign

    def repeat(cryptoki: Cryptoki, session: int, key: int, mechanism: Mechanism, data: bytes, size_bytes: int) -> bytes:
        """Remember each signature, so that a digest has one nonce, as with RFC 6979."""
        if (key, data) not in given:
            given[key, data] = sign(cryptoki, session, key, mechanism, data, size_bytes)
        return given[key, data]

    monkeypatch.setattr(Cryptoki, "sign", repeat)
    (nonces,) = [trial for trial in token.trials() if trial.ability is Ability.NONCES]
    assert "RFC 6979" in nonces.fault
    assert not token.nonces(256).fair


@needs(Capability.REMOVAL)
def test_trials_on_a_token_that_was_taken_away_raise_rather_than_blame_it(
    make_token_uri: MakeUri, right_pin: CountingPin, token_under_test: TokenUnderTest
) -> None:
    uri = make_token_uri()
    with open_token(uri, right_pin) as token:
        put_back = token_under_test.remove(uri)
        with pytest.raises(errors.TokenUnavailable):
            token.trials()
        put_back()
