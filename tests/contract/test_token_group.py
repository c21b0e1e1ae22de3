"""Several tokens with the same keys as one: losses that cost no call, and keys that turn out not to be the same."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hsm import Member, TokenGroup, TokenUri, errors, group, open_group, open_token, pin_from_value, software_prf
from hsm.policy import AGREEMENT, MAC, SIGNING
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_known_keys import ALICE, BOB, SHARED, public_of, software
from tests.contract.token_support import CountingPin, MakeUri
from tests.waiting import until

# RFC 4231, test case 6, cut to 32 bytes of key: any will do, for both tokens have it.
KEY = bytes(range(32))
ECDSA = ec.ECDSA(hashes.SHA256())
INFO, MESSAGE = b"info", b"message"
PER_SECOND, THREADS = 100, 4

pytestmark = [
    needs(Capability.MANY_TOKENS, Capability.REMOVAL, Capability.IMPORT, Capability.HMAC_IMPORT),
    pytest.mark.timeout(120),
]
OpenGroup = Callable[..., TokenGroup]


def fill(uri: TokenUri, pin: str, **other: bytes) -> TokenUri:
    """Put the known keys into a token, or others; a key of no bytes is left out."""
    keys = {"signing": ALICE, "agreement": ALICE, "mac": KEY} | other
    policies = {"signing": SIGNING, "agreement": AGREEMENT, "mac": MAC}
    with open_token(uri, pin_from_value(pin)) as token:
        for label, value in keys.items():
            if value:
                token.import_key(label, policies.get(label.partition(".")[0], MAC), bytearray(value))
    return uri


@pytest.fixture
def filled(make_token_uri: MakeUri, token_under_test: TokenUnderTest) -> Callable[..., TokenUri]:
    return lambda **other: fill(make_token_uri("g"), token_under_test.user_pin, **other)


@pytest.fixture
def opened(token_under_test: TokenUnderTest) -> Iterator[OpenGroup]:
    groups = []

    def make(*uris: TokenUri) -> TokenGroup:
        pin = pin_from_value(token_under_test.user_pin)
        groups.append(open_group([(uri, pin) for uri in uris]))
        return groups[-1]

    yield make
    for made in groups:
        made.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the module restarted for a lost token ten times as often as it is."""
    monkeypatch.setattr(group, "_RESTART_INTERVAL", timedelta(seconds=1))


class Uses:
    """Every kind of key, with the answer that is known."""

    def __init__(self, token: TokenGroup) -> None:
        self._signing = token.signing("signing")
        self._agreement = token.agreement("agreement")
        self._mac = token.mac("mac")
        self._code = self._mac.mac(MESSAGE)
        self._numbers = count()

    def sign(self) -> None:
        public_of(ALICE).verify(self._signing.sign(MESSAGE, ECDSA), MESSAGE, ECDSA)

    def agree(self) -> None:
        assert self._agreement.prf(public_of(BOB), INFO, MESSAGE) == software_prf(SHARED, INFO, MESSAGE)

    def authenticate(self) -> None:
        assert self._mac.mac(MESSAGE) == self._code

    def any(self) -> None:
        (self.sign, self.agree, self.authenticate)[next(self._numbers) % 3]()


class Traffic:
    """So many calls a second of several threads, each noted with how long it took or how it failed."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._stopping = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        with ThreadPoolExecutor(THREADS) as pool:
            done = [pool.submit(self._run) for _ in range(THREADS)]
            try:
                yield self
            finally:
                self._stopping.set()
        for each in done:
            each.result()

    def go_on(self, calls: int) -> None:
        enough = len(self.seconds) + calls
        until(lambda: len(self.seconds) >= enough or self.failures, "the calls are made", 60)

    def _run(self) -> None:
        pause = THREADS / PER_SECOND
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._call()
            except Exception as error:  # noqa: BLE001 - the test says what failed
                self.failures.append(error)
            self.seconds.append(time.monotonic() - begun)
            time.sleep(max(0.0, pause - (time.monotonic() - begun)))


def member(token: TokenGroup, number: int) -> Member:
    return token.members[number]


@pytest.mark.parametrize("pulled", [0, 1])
def test_token_that_is_pulled_at_100_calls_a_second_costs_no_call(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest, pulled: int
) -> None:
    uris = [filled(), filled()]
    token = opened(*uris)
    uses = Uses(token)
    with Traffic(uses.any).running() as traffic:
        traffic.go_on(100)
        put_back = token_under_test.remove(uris[pulled])
        traffic.go_on(300)
    assert [it.serves for it in token.members] == [pulled == 1, True]  # a spare is missed when somebody looks
    assert not token.member_health(member(token, pulled))
    put_back()
    assert traffic.failures == []
    print(f"slowest call {max(traffic.seconds):.3f} s of {len(traffic.seconds)}")
    assert token.health()


@pytest.mark.parametrize("pulled", [0, 1])
def test_token_that_goes_and_comes_under_load_costs_no_call_and_serves_again(
    filled: Callable[..., TokenUri],
    opened: OpenGroup,
    token_under_test: TokenUnderTest,
    pulled: int,
) -> None:
    uris = [filled(), filled()]
    token = opened(*uris)
    uses = Uses(token)
    gone = member(token, pulled)
    with Traffic(uses.any).running() as traffic:
        for _ in range(2):
            put_back = token_under_test.remove(uris[pulled])
            until(lambda: not token.member_health(gone), "the loss is seen", 30)
            traffic.go_on(100)
            for _ in range(20):  # looked for in vain, and the module restarted
                token.member_health(gone)
                traffic.go_on(5)
            put_back()
            until(lambda: token.member_health(gone), "it serves again", 30)
            traffic.go_on(50)
    assert traffic.failures == []
    print(f"slowest call {max(traffic.seconds):.3f} s of {len(traffic.seconds)}")
    token_under_test.remove(uris[1 - pulled])
    uses.sign()


def test_all_tokens_pulled_are_unavailable_and_the_first_that_comes_back_serves(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(), filled()]
    token = opened(*uris)
    uses = Uses(token)
    put_back = [token_under_test.remove(uri) for uri in uris]
    for use in (uses.sign, uses.agree, uses.authenticate, uses.sign):
        with pytest.raises(errors.TokenUnavailable) as caught:
            use()
        assert caught.value.retryable
    assert not token.health()
    put_back[1]()
    until(token.health, "it is back", 30)
    uses.sign()
    assert [it.serves for it in token.members] == [False, True]
    put_back[0]()
    until(lambda: token.member_health(member(token, 0)), "the first is back", 60)


def test_first_token_does_the_work_and_the_second_is_spared(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    token = opened(filled(), filled())
    uses = Uses(token)
    before = [_signatures(it) for it in token.members]
    for _ in range(5):
        uses.sign()
    assert [_signatures(it) - was for it, was in zip(token.members, before, strict=True)] == [5, 0]
    assert {number: seen.logins for number, seen in token.metrics_of_each().items()} == {1: 1, 2: 1}
    assert token.metrics() == token.metrics_of_each()[1]


def _signatures(member: Member) -> int:
    seen = member.metrics()
    assert seen is not None
    tally = seen.operations.get("ECDSA")
    return 0 if tally is None else tally.count


@pytest.mark.parametrize(
    ("label", "open_key"),
    [
        ("signing", lambda token: token.signing("signing")),
        ("agreement", lambda token: token.agreement("agreement")),
        ("mac", lambda token: token.mac("mac")),
    ],
)
def test_other_key_under_the_same_label_is_refused_by_the_names_of_both(
    filled: Callable[..., TokenUri], opened: OpenGroup, label: str, open_key: Callable[[TokenGroup], Any]
) -> None:
    other = filled(**{label: BOB})
    token = opened(filled(), other)
    with pytest.raises(errors.KeysDiffer) as caught:
        open_key(token)
    assert label in str(caught.value)
    assert str(other.token) in str(caught.value)


def test_member_without_a_key_is_noted_and_the_others_do_what_it_cannot(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    poor, rich = filled(mac=b""), filled()
    token = opened(poor, rich)
    uses = Uses(token)
    assert [it.lacks for it in token.members] == [{"mac"}, set()]
    assert [token.member_health(it) for it in token.members] == [False, True]
    uses.authenticate()
    put_back = token_under_test.remove(rich)
    uses.sign()
    with pytest.raises(errors.TokenUnavailable):  # whoever is away may have it
        uses.authenticate()
    put_back()


def test_key_that_no_token_has_is_not_found(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    token = opened(filled(), filled())
    with pytest.raises(errors.KeyNotFound):
        token.mac("absent")
    assert [it.lacks for it in token.members] == [set(), set()]


def test_returning_token_with_a_stale_generation_serves_the_keys_that_it_has(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    """It was away when the next generation was made in the others."""
    stale, newer = filled(), filled(**{"mac.2": BOB})
    put_back = token_under_test.remove(stale)
    token = opened(stale, newer)
    uses = Uses(token)
    second = token.mac("mac.2")
    code = second.mac(MESSAGE)
    put_back()
    until(lambda: (token.member_health(member(token, 0)), member(token, 0).serves)[1], "the stale one is back", 60)
    assert member(token, 0).lacks == {"mac.2"}
    assert not token.member_health(member(token, 0))
    assert second.mac(MESSAGE) == code
    uses.any()
    fill_in = {"signing": b"", "agreement": b"", "mac": b"", "mac.2": BOB}
    member(token, 0).opened.import_key("mac.2", MAC, bytearray(fill_in["mac.2"]))
    assert token.member_health(member(token, 0))


def test_returning_token_with_another_key_stays_out(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    other, right = filled(mac=BOB), filled()
    put_back = token_under_test.remove(other)
    token = opened(other, right)
    uses = Uses(token)
    put_back()
    until(
        lambda: (
            token.member_health(member(token, 0)),
            isinstance(member(token, 0).fault, errors.KeysDiffer),
        )[1],
        "the wrong key is seen",
        60,
    )
    for _ in range(3):
        uses.any()
    assert not member(token, 0).serves
    put_back = token_under_test.remove(right)
    with pytest.raises(errors.TokenUnavailable):
        uses.authenticate()
    put_back()


def test_group_opens_while_a_token_is_away_and_takes_it_in_when_it_comes(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(), filled(), filled()]
    put_back = token_under_test.remove(uris[1])
    token = opened(*uris)
    uses = Uses(token)
    # A busy machine may have kept one waiting that is there: it is taken in as one that comes.
    until(lambda: all(token.member_health(member(token, there)) for there in (0, 2)), "those that are there serve", 60)
    assert not member(token, 1).serves
    put_back()
    until(lambda: token.member_health(member(token, 1)), "it is taken in", 60)
    uses.any()


def test_group_of_which_no_token_is_there_is_not_opened(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(), filled()]
    put_back = [token_under_test.remove(uri) for uri in uris]
    with pytest.raises(errors.TokenUnavailable):
        opened(*uris)
    for back in put_back:
        back()


def test_wrong_pin_of_one_is_an_error_at_opening_and_tried_once(
    filled: Callable[..., TokenUri], token_under_test: TokenUnderTest, right_pin: CountingPin
) -> None:
    wrong = CountingPin(token_under_test.wrong_pin)
    uris = filled(), filled()
    with pytest.raises(errors.PinIncorrect):
        open_group([(uris[0], right_pin), (uris[1], wrong)])
    assert (right_pin.asked, wrong.asked) == (1, 1)
    with open_token(uris[0], right_pin):  # it was closed
        pass


def test_wrong_pin_of_one_that_comes_later_is_tried_once_and_the_others_serve(
    filled: Callable[..., TokenUri], token_under_test: TokenUnderTest, right_pin: CountingPin
) -> None:
    wrong = CountingPin(token_under_test.wrong_pin)
    uris = filled(), filled()
    put_back = token_under_test.remove(uris[1])
    with open_group([(uris[0], right_pin), (uris[1], wrong)]) as token:
        uses = Uses(token)
        put_back()
        until(lambda: token.member_health(member(token, 1)) or wrong.asked, "its PIN is asked for", 60)
        for _ in range(3):
            assert not token.member_health(member(token, 1))
            uses.any()
        assert wrong.asked == 1


def test_key_that_breaks_its_policy_in_one_token_is_refused_by_name(
    filled: Callable[..., TokenUri], opened: OpenGroup, make_token_uri: MakeUri, token_under_test: TokenUnderTest
) -> None:
    other = make_token_uri("g")
    with open_token(other, pin_from_value(token_under_test.user_pin)) as plain:
        plain.import_key("signing", AGREEMENT, bytearray(ALICE))
    token = opened(filled(), other)
    with pytest.raises(errors.KeyPolicyViolation) as caught:
        token.signing("signing")
    assert str(other.token) in str(caught.value)


def test_wrong_result_is_not_tried_elsewhere(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    token = opened(filled(), filled())
    tried = []

    def fail(_session: object) -> None:
        tried.append(1)
        raise errors.TokenFailed("A wrong result.")

    with pytest.raises(errors.TokenFailed):
        token._sessions.run(fail, doing="fail")
    assert tried == [1]
    assert all(it.serves for it in token.members)


def test_import_is_in_every_token_or_in_none(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(), filled()]
    token = opened(*uris)
    token.import_key("mac.2", MAC, bytearray(BOB))
    assert [it.opened.has("mac.2") for it in token.members] == [True, True]
    put_back = token_under_test.remove(uris[1])
    assert not token.member_health(member(token, 1))
    with pytest.raises(errors.TokenUnavailable, match=str(uris[1].token)):
        token.import_key("mac.3", MAC, bytearray(BOB))
    put_back()
    assert not token.has("mac.3")


def test_import_that_one_token_refuses_stays_in_no_other(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    token = opened(filled(), filled(**{"mac.2": BOB}))
    with pytest.raises(errors.KeyExists):
        token.import_key("mac.2", MAC, bytearray(BOB))
    assert not member(token, 0).opened.has("mac.2")
    assert token.has("mac.2")


def test_key_destroyed_while_a_token_was_away_is_destroyed_there_when_it_is_back(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(**{"mac.2": BOB}), filled(**{"mac.2": BOB})]
    token = opened(*uris)
    token.mac("mac.2")
    put_back = token_under_test.remove(uris[1])
    assert not token.member_health(member(token, 1))
    token.destroy("mac.2")
    with pytest.raises(errors.KeyNotFound):
        token.destroy("mac.2")
    put_back()
    until(lambda: token.member_health(member(token, 1)), "it is back", 60)
    assert not token.has("mac.2")


def test_group_makes_no_keys_and_changes_no_pin(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    token = opened(filled(), filled())
    for make in (token.generate_signing, token.generate_agreement, token.generate_mac):
        with pytest.raises(errors.GroupMakesNoKeys):
            make("new")
    assert not token.has("new")
    pin = pin_from_value("another-pin")()
    with pytest.raises(errors.PinUnacceptable):
        token.change_pin(pin, pin)


def test_one_token_named_twice_is_refused(filled: Callable[..., TokenUri], opened: OpenGroup) -> None:
    uri = filled()
    with pytest.raises(errors.TokenInUse):
        opened(uri, uri)


def test_exchange_gives_the_published_secret_from_whichever_token(
    filled: Callable[..., TokenUri], opened: OpenGroup, token_under_test: TokenUnderTest
) -> None:
    uris = [filled(), filled()]
    token = opened(*uris)
    key = token.agreement("agreement")
    for _ in range(2):
        assert key.exchange(ec.ECDH(), software(BOB).public_key()) == SHARED
        if member(token, 0).serves:
            put_back = token_under_test.remove(uris[0])
    assert not member(token, 0).serves
    put_back()
