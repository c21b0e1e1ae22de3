"""Shares as words: SLIP-39 mnemonics, read with patience and refused with the place of the fault.

The encoding, its checksum (RS1024) and the word list are `shamir_mnemonic`'s. What is added here is where a fault lies: a
reader has some 33 words to look through. SLIP-39 allows telling the place and advises against telling the right word.
"""

from collections.abc import Sequence

from shamir_mnemonic import MnemonicError
from shamir_mnemonic import Share as Slip39Share
from shamir_mnemonic.constants import CHECKSUM_LENGTH_WORDS, CUSTOMIZATION_STRING_EXTENDABLE, RADIX, RADIX_BITS
from shamir_mnemonic.rs1024 import create_checksum, verify_checksum
from shamir_mnemonic.wordlist import WORD_INDEX_MAP

from keystore.errors import CorruptShare


def decoded(words: str) -> Slip39Share:
    """Read a share's words, whatever their case and spacing. Raises CorruptShare, naming the wrong word's position if it can.

    Only shares as we make them are read: of one group, extendable.
    """
    indices = _indices(words.lower().split())
    if not verify_checksum(indices, CUSTOMIZATION_STRING_EXTENDABLE):
        raise CorruptShare(f"The words of a share do not fit their checksum: {_suspicion(indices)}.")
    try:
        share = Slip39Share.from_mnemonic(words)
    except MnemonicError:
        raise CorruptShare("The words are no share: too few, or too many.") from None  # the cause shows words
    if share.group_count != 1 or share.member_threshold < 2:
        raise CorruptShare("The share is not one of ours: it has groups, or needs no other.")
    return share


def _indices(words: Sequence[str]) -> list[int]:
    for position, word in enumerate(words, start=1):
        if word not in WORD_INDEX_MAP:
            raise CorruptShare(f"Word {position} of a share is not in the list of words.")
    return [WORD_INDEX_MAP[word] for word in words]


def _suspicion(indices: Sequence[int]) -> str:
    positions = wrong_positions(indices)
    return f"word {positions[0] + 1} is wrong, or several are" if len(positions) == 1 else "several words are wrong"


def wrong_positions(indices: Sequence[int]) -> list[int]:
    """Give the places, from 0, where one other word alone would make the checksum right: one place, or none.

    The checksum is linear over GF(2): the difference that a change of one word makes is the sum of its bits' differences.
    """
    body = list(indices[:-CHECKSUM_LENGTH_WORDS])
    if not body:
        return []
    made = _checksum(body)
    wrong = made ^ _joined(indices[-CHECKSUM_LENGTH_WORDS:])
    places = [place for place in range(len(body)) if _explains(_bit_differences(body, place, made), wrong)]
    in_checksum = [index for index, shift in enumerate(_SHIFTS) if wrong >> shift << shift == wrong < RADIX << shift]
    return places + [len(body) + index for index in in_checksum]


_SHIFTS = [RADIX_BITS * power for power in reversed(range(CHECKSUM_LENGTH_WORDS))]


def _checksum(body: Sequence[int]) -> int:
    return _joined(create_checksum(body, CUSTOMIZATION_STRING_EXTENDABLE))


def _joined(words: Sequence[int]) -> int:
    return sum(word << shift for word, shift in zip(words, _SHIFTS, strict=True))


def _bit_differences(body: Sequence[int], place: int, made: int) -> list[int]:
    return [_checksum([*body[:place], body[place] ^ 1 << bit, *body[place + 1 :]]) ^ made for bit in range(RADIX_BITS)]


def _explains(differences: Sequence[int], wrong: int) -> bool:
    """Say whether a sum of some of the differences is the one seen."""
    sums = {0}
    for difference in differences:
        sums |= {seen ^ difference for seen in sums}
    return wrong in sums
