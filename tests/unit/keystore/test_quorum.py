"""Shares: M of N give the secret back, and whatever is wrong with shares is found without a token."""

import dataclasses
import itertools

import pytest
from shamir_mnemonic import Share as Slip39Share
from shamir_mnemonic import combine_mnemonics, generate_mnemonics
from shamir_mnemonic.wordlist import WORDLIST

from hsm import Pin, open_token
from hsm.errors import PinIncorrect
from keystore import quorum
from keystore.errors import CorruptShare, DuplicateShare, InvalidQuorum, KeystoreError, MixedShares, TooFewShares
from keystore.quorum import Share, combine, combine_pin, pin_from_shares, split, split_pin
from tests.conftest import USER_PIN

HOLDERS = ("O:ada", "O:ben", "O:cho", "O:dee", "O:eli")
SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def shares():
    return split(SECRET, threshold=3, holders=HOLDERS)


def altered(share, position):
    """The share's text with one word exchanged for another of the list; positions count from 1."""
    words = share.words.split()
    words[position - 1] = WORDLIST[(WORDLIST.index(words[position - 1]) + 77) % 1024]
    return " ".join(words)


def test_every_quorum_gives_the_secret_back(shares):
    assert all(combine(some) == SECRET for some in itertools.combinations(shares, 3))


def test_more_than_a_quorum_gives_the_secret_back(shares):
    assert combine(shares) == SECRET


def test_shares_name_their_holders_in_order(shares):
    assert [(share.holder, share.index, share.threshold) for share in shares] == [
        (holder, number, 3) for number, holder in enumerate(HOLDERS, start=1)
    ]


def test_the_words_are_slip39_that_others_read(shares):
    assert combine_mnemonics([share.words for share in shares[1:4]]) == SECRET


def test_a_share_is_read_whatever_its_case_and_spacing(shares):
    holder, words = shares[0].text().split(": ")
    assert Share.parse(f"  {holder} :\n{words.upper().replace(' ', '  ')}\n") == shares[0]


def test_a_share_without_its_holder_is_as_good(shares):
    assert combine([Share.parse(share.words) for share in shares[:3]]) == SECRET


def test_too_few_shares_are_refused(shares):
    for few in ([], shares[:1], shares[3:]):
        with pytest.raises(TooFewShares):
            combine(few)


def test_duplicate_share_is_refused(shares):
    with pytest.raises(DuplicateShare):
        combine([shares[0], shares[1], shares[0]])


def test_mixed_shares_are_refused(shares):
    other = split(SECRET, threshold=3, holders=HOLDERS)
    with pytest.raises(MixedShares):
        combine([shares[0], shares[1], other[2]])


def test_mixed_shares_of_another_threshold_are_refused(shares):
    with pytest.raises(MixedShares):
        combine([*shares[:2], split(SECRET, threshold=2, holders=HOLDERS)[2]])


def test_mixed_shares_that_drew_the_same_number_are_refused(shares):
    foreign = Slip39Share.from_mnemonic(split(bytes(32), threshold=3, holders=HOLDERS)[2].words)
    disguised = dataclasses.replace(foreign, identifier=shares[0].splitting).mnemonic()
    with pytest.raises(MixedShares):
        combine([*shares[:2], Share.parse(disguised)])
    with pytest.raises(MixedShares):
        combine([shares[0], shares[1], shares[3], Share.parse(disguised)])


def test_a_word_that_is_no_word_is_named_by_position(shares):
    words = shares[0].words.split()
    words[6] = "cardiology"
    with pytest.raises(CorruptShare, match="Word 7 ") as refused:
        Share.parse(" ".join(words))
    assert "cardiology" not in str(refused.value)


def test_a_wrong_word_is_named_by_position(shares):
    for position in range(1, 34):
        with pytest.raises(CorruptShare, match=rf"word {position} is wrong") as refused:
            Share.parse(altered(shares[0], position))
        assert not set(str(refused.value).split()) & set(shares[0].words.split())


def test_several_wrong_words_are_refused(shares):
    twice = Share.parse(shares[0].words)
    words = altered(twice, 3).split()
    words[20], words[24] = words[24], words[20]
    if words[20] == words[24]:
        words[20] = WORDLIST[0] if words[20] != WORDLIST[0] else WORDLIST[1]
    with pytest.raises(CorruptShare):
        Share.parse(" ".join(words))


def test_a_corrupt_share_made_by_hand_is_refused(shares):
    with pytest.raises(CorruptShare):
        combine([*shares[:2], dataclasses.replace(shares[2], words=altered(shares[2], 12))])


@pytest.mark.parametrize("count", [0, 1, 5, 19, 32])
def test_a_share_cut_short_is_refused(shares, count):
    with pytest.raises(CorruptShare):
        Share.parse(" ".join(shares[0].words.split()[:count]))


def test_a_share_of_a_quorum_of_one_is_refused():
    with pytest.raises(CorruptShare):
        Share.parse(generate_mnemonics(1, [(1, 1)], SECRET)[0][0])


def test_a_share_of_groups_is_refused():
    with pytest.raises(CorruptShare):
        Share.parse(generate_mnemonics(2, [(2, 3), (2, 3)], SECRET)[0][0])


@pytest.mark.parametrize(
    ("threshold", "holders"),
    [
        (1, HOLDERS),
        (0, HOLDERS),
        (6, HOLDERS),
        (2, ()),
        (2, tuple(f"O:{n}" for n in range(17))),
        (2, ("O:ada", "O:ada")),
        (2, ("O:ada", " ")),
        (2, ("O:ada", "")),
        (2, ("O:ada", "O:\nben")),
    ],
)
def test_invalid_quorum_is_refused(threshold, holders):
    with pytest.raises(InvalidQuorum):
        split(SECRET, threshold=threshold, holders=holders)


@pytest.mark.parametrize("size_bytes", [0, 14, 15, 17, 33])
def test_invalid_quorum_for_a_secret_of_another_size(size_bytes):
    with pytest.raises(InvalidQuorum):
        split(bytes(size_bytes), threshold=2, holders=HOLDERS)


def test_nothing_secret_is_shown(shares):
    share = shares[0]
    shown = f"Share(holder='O:ada', index=1, threshold=3, splitting={share.splitting})"
    assert (repr(share), str(share)) == (shown, shown)


@pytest.mark.parametrize("value", ["1", "123456", "a" * 15, "a" * 16, "Grüße aus dem Labor", "p" * 255])
def test_a_pin_of_any_length_comes_back(value):
    made = split_pin(Pin(value), threshold=2, holders=HOLDERS)
    assert combine_pin(made[3:]).reveal() == value


def test_short_pins_have_shares_of_one_length():
    lengths = {len(split_pin(Pin("9" * size), threshold=2, holders=HOLDERS)[0].words.split()) for size in (1, 4, 8, 15)}
    assert lengths == {20}


@pytest.mark.parametrize(
    "secret",
    [
        bytes(16),
        b"\xff" * 16,
        bytes([3]) + b"\xff" * 3 + bytes(12),
        bytes([1]) + b"abc" + bytes(12),
        bytes([200]) + b"a" * 15,
    ],
)
def test_shares_of_what_is_no_pin_are_refused_as_mixed(secret):
    with pytest.raises(MixedShares):
        combine_pin(split(secret, threshold=2, holders=HOLDERS))


def test_mixed_shares_are_not_given_out_if_the_library_split_something_else(monkeypatch):
    monkeypatch.setattr(
        quorum, "generate_mnemonics", lambda *given, **more: generate_mnemonics(1, [(2, 5)], bytes(32), **more)
    )
    with pytest.raises(MixedShares):
        split(SECRET, threshold=2, holders=HOLDERS)


def test_a_quorum_unlocks_a_token(make_token_uri):
    made = split_pin(Pin(USER_PIN), threshold=2, holders=HOLDERS)
    with open_token(make_token_uri("quorum"), pin_from_shares([made[4], made[1]])) as token:
        assert len(token.random(8)) == 8


@pytest.mark.parametrize(
    "bad",
    [
        lambda made, other: made[:1],
        lambda made, other: [made[0], made[0]],
        lambda made, other: [made[0], other[1]],
        lambda made, other: [made[0], dataclasses.replace(made[1], words=altered(made[1], 9))],
    ],
    ids=["TOO_FEW_SHARES", "DUPLICATE_SHARE", "MIXED_SHARES", "CORRUPT_SHARE"],
)
def test_bad_shares_are_refused_before_there_is_a_pin(bad, request):
    made, other = (split_pin(Pin(USER_PIN), threshold=2, holders=HOLDERS) for _ in range(2))
    with pytest.raises(KeystoreError) as refused:
        pin_from_shares(bad(made, other))
    assert refused.value.reason == request.node.callspec.id


def test_shares_of_another_tokens_pin_are_refused_as_mixed_by_their_number(make_token_uri):
    made, other = (split_pin(Pin(pin), threshold=2, holders=HOLDERS) for pin in (USER_PIN, "another-pin"))
    with pytest.raises(MixedShares):
        pin_from_shares(other[:2], splitting=made[0].splitting)
    with pytest.raises(PinIncorrect):
        open_token(make_token_uri("quorum"), pin_from_shares(other[:2]))
    assert pin_from_shares(made[:2], splitting=made[0].splitting)().reveal() == USER_PIN
