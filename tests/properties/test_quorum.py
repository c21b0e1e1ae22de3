"""Splitting, for any secret, quorum and damage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shamir_mnemonic.wordlist import WORDLIST

from hsm import Pin
from keystore.errors import CorruptShare, TooFewShares
from keystore.quorum import Share, combine, combine_pin, split, split_pin

secrets = st.integers(8, 40).flatmap(lambda half: st.binary(min_size=2 * half, max_size=2 * half))
quorums = st.integers(2, 16).flatmap(lambda count: st.tuples(st.integers(2, count), st.just(count)))


def holders(count):
    return [f"O:officer-{number}" for number in range(count)]


@settings(max_examples=25, deadline=None)
@given(secrets, quorums, st.randoms())
def test_any_quorum_gives_any_secret_back_and_one_share_less_does_not(secret, quorum, random):
    threshold, count = quorum
    shares = split(secret, threshold=threshold, holders=holders(count))
    read = [Share.parse(share.text()) for share in shares]
    assert read == shares
    some = random.sample(read, threshold)
    assert combine(some) == secret
    with pytest.raises(TooFewShares):
        combine(some[1:])


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_any_pin_comes_back(value):
    shares = split_pin(Pin(value), threshold=2, holders=holders(3))
    assert combine_pin(shares[1:]).reveal() == value


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_up_to_three_changed_words_are_refused(data):
    words = split(bytes(32), threshold=2, holders=holders(2))[0].words.split()
    places = data.draw(st.sets(st.integers(0, len(words) - 1), min_size=1, max_size=3))
    for place in places:
        words[place] = data.draw(st.sampled_from([word for word in WORDLIST if word != words[place]]))
    with pytest.raises(CorruptShare):
        Share.parse(" ".join(words))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_no_other_text_is_a_share(text):
    with pytest.raises(CorruptShare):
        Share.parse(text)
