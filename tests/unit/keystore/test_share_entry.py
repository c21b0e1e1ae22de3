"""A share while it is typed: each word judged by its place, mended in its place, and nothing of it in a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic.wordlist import WORDLIST

from hsm import Pin
from keystore.ceremony.share_entry import LEAST_WORDS, ShareEntry
from keystore.errors import CorruptShare
from keystore.quorum import Share, split_pin

SHARES = split_pin(Pin("fifteen-letters"), threshold=2, holders=("Olga", "Omar", "Otto"))
WORDS = SHARES[0].words.split()


def typed(*lines: str) -> ShareEntry:
    entry = ShareEntry()
    for line in lines:
        entry.add(line)
    return entry


def test_pin_of_a_ceremony_gives_shares_of_twenty_words() -> None:
    assert [len(share.words.split()) for share in SHARES] == [LEAST_WORDS] * 3


@given(st.lists(st.integers(1, 7), min_size=1), st.booleans(), st.booleans())
def test_share_comes_back_however_its_lines_are_cut_and_its_words_shortened(
    cuts: list[int], short: bool, numbered: bool
) -> None:
    entry, place = ShareEntry(), 0
    while place < len(WORDS):
        size = cuts[place % len(cuts)]
        words = [word[:4] if short else word.upper() for word in WORDS[place : place + size]]
        if numbered:
            words = [f"{place + offset}. {word}" for offset, word in enumerate(words, 1)]
        entry.add(" ".join(words))
        place += size
        assert entry.is_whole() == (place >= len(WORDS))
    assert entry.share() == Share("", 1, 2, SHARES[0].splitting, SHARES[0].words)


def test_share_with_its_holders_name_before_it_is_taken() -> None:
    assert typed(SHARES[1].text()).share().index == 2


@pytest.mark.parametrize("wrong", ["zebraa", "aca", "acad3mic", "academia", "aci", "académic", "-"])
def test_corrupt_share_names_the_place_of_a_word_that_is_in_no_list_and_keeps_those_before_it(wrong: str) -> None:
    entry = typed(" ".join(WORDS[:4]))
    with pytest.raises(CorruptShare, match=r"^Word 6 is not in the list of words\.$") as refused:
        entry.add(f"{WORDS[4]} {wrong} {WORDS[6]}")
    assert wrong not in str(refused.value) or wrong in {"-", "aci"}
    assert len(entry) == 5
    entry.add(" ".join(WORDS[5:]))
    assert entry.is_whole()


def test_wrong_word_is_mended_in_its_place() -> None:
    other = next(word for word in WORDLIST if word != WORDS[6])
    entry = typed(" ".join([*WORDS[:6], other, *WORDS[7:]]))
    assert not entry.is_whole()
    with pytest.raises(CorruptShare, match="word 7 is wrong, or several are"):
        entry.share()
    entry.add(f"7 {WORDS[6]}")
    assert entry.is_whole()


def test_corrupt_share_if_a_place_is_left_out() -> None:
    entry = typed(" ".join(WORDS[:4]))
    with pytest.raises(CorruptShare, match="Word 5 comes next, not word 7"):
        entry.add(f"7 {WORDS[6]}")
    with pytest.raises(CorruptShare, match="Word 5 comes next, not word 0"):
        entry.add(f"0 {WORDS[6]}")


def test_corrupt_share_if_it_ends_too_soon() -> None:
    with pytest.raises(CorruptShare, match="These are 4 words; a share has 20 at least"):
        typed(" ".join(WORDS[:4])).share()


def test_entry_shows_its_length_alone() -> None:
    assert repr(typed(" ".join(WORDS[:4]))) == "ShareEntry(4 words)"


def test_four_letters_tell_all_words_apart() -> None:
    assert len({word[:4] for word in WORDLIST}) == len(WORDLIST)
