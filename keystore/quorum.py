"""M-of-N: a secret in shares of words, any M of which give it back; fewer say nothing of it (Shamir 1979, by SLIP-39).

The splitting is `shamir_mnemonic`'s, the reference implementation of SLIP-39, which says of itself that it is not hardened
against side channels: so shares are made and put together on an air-gapped ceremony machine only (docs/adr/0017-backup.md).
Whatever is wrong with shares is found here, in memory, before a token is asked for anything: tokens count wrong PINs.

The encoding, its checksum (RS1024) and the word list are `shamir_mnemonic`'s too. What is added here is where a fault lies: a
reader has some 33 words to look through. SLIP-39 allows telling the place and advises against telling the right word.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from shamir_mnemonic import MnemonicError, generate_mnemonics, recover_ems
from shamir_mnemonic import Share as Slip39Share
from shamir_mnemonic.constants import (
    CHECKSUM_LENGTH_WORDS,
    CUSTOMIZATION_STRING_EXTENDABLE,
    MAX_SHARE_COUNT,
    RADIX,
    RADIX_BITS,
)
from shamir_mnemonic.rs1024 import create_checksum, verify_checksum
from shamir_mnemonic.shamir import ShareGroup
from shamir_mnemonic.wordlist import WORD_INDEX_MAP

from hsm import Pin, PinProvider, pin_from_value
from hsm.errors import PinUnavailable
from keystore.errors import CorruptShare, DuplicateShare, InvalidQuorum, MixedShares, TooFewShares


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
    """Return the places, from 0, where one other word alone would make the checksum right: one place, or none.

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
    """Return whether a sum of some of the differences is the one seen."""
    sums = {0}
    for difference in differences:
        sums |= {seen ^ difference for seen in sums}
    return wrong in sums


MIN_SECRET_BYTES: Final = 16
_PIN_BLOCK_BYTES: Final = 16


@dataclass(frozen=True)
class Share:
    """One holder's share. `index` counts from 1; `splitting` (15 random bits) is the same in all shares of one splitting.

    The holder's name is for people: no checksum covers it, and a share without one is as good.
    """

    holder: str
    index: int
    threshold: int
    splitting: int
    words: str = field(repr=False)

    def text(self) -> str:
        """Return "holder: words" to be written down: SLIP-39 words, the last three a checksum."""
        return f"{self.holder}: {self.words}" if self.holder else self.words

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` gave, or the words alone, in any case and spacing.

        Raises CorruptShare, naming a wrong word's position.
        """
        holder, _, words = text.rpartition(":")
        share = decoded(words)
        return cls(holder.strip(), share.index + 1, share.member_threshold, share.identifier, share.mnemonic())


def split(secret: bytes, *, threshold: int, holders: Sequence[str]) -> list[Share]:
    """Split a secret of an even number of bytes, 16 at least, into one share per holder, in their order.

    Raises InvalidQuorum. What is given out has been put together again, by its first and by its last shares.
    """
    _require_quorum(threshold, holders)
    if len(secret) < MIN_SECRET_BYTES or len(secret) % 2:
        raise InvalidQuorum(f"A secret to be split has an even number of bytes, {MIN_SECRET_BYTES} at least.")
    # No passphrase: its slow cipher protects nothing then, so it gets the fewest iterations that SLIP-39 has.
    (words,) = generate_mnemonics(1, [(threshold, len(holders))], secret, iteration_exponent=0)
    shares = [replace(Share.parse(text), holder=holder) for text, holder in zip(words, holders, strict=True)]
    for some in (shares[:threshold], shares[-threshold:]):
        if not hmac.compare_digest(combine(some), secret):
            raise MixedShares("The shares do not give the secret back: none was given out.")
    return shares


def combine(shares: Sequence[Share]) -> bytes:
    """Return the secret back; shares beyond the threshold have to fit too.

    Raises TooFewShares, DuplicateShare, CorruptShare, MixedShares.
    """
    read = [decoded(share.words) for share in shares]
    _require_one_splitting(read)
    if len({share.index for share in read}) != len(read):
        raise DuplicateShare("The same share was given twice.")
    if not read or len(read) < read[0].member_threshold:
        needed = read[0].member_threshold if read else "Some"
        raise TooFewShares(f"{needed} shares are needed; there are {len(read)}.")
    enough = read[0].member_threshold
    for further in read[enough:]:
        _recover([*read[1:enough], further])
    return _recover(read[:enough])


def split_pin(pin: Pin, *, threshold: int, holders: Sequence[str]) -> list[Share]:
    """Split a PIN of any length: its length in one byte, its UTF-8, zeros up to a multiple of 16 bytes. Raises InvalidQuorum."""
    value = pin.reveal().encode()
    size = -(-(1 + len(value)) // _PIN_BLOCK_BYTES) * _PIN_BLOCK_BYTES
    return split((bytes([len(value)]) + value).ljust(size, b"\0"), threshold=threshold, holders=holders)


def combine_pin(shares: Sequence[Share]) -> Pin:
    """Return the PIN back. Raises what `combine` raises; MixedShares if the shares are of something that is no PIN."""
    secret = combine(shares)
    size_bytes, rest = secret[0], secret[1:]
    try:
        if size_bytes > len(rest) or any(rest[size_bytes:]):
            raise MixedShares("These are no shares of a PIN.")
        return Pin(rest[:size_bytes].decode())
    except (UnicodeDecodeError, PinUnavailable):
        raise MixedShares("These are no shares of a PIN.") from None  # the cause would show its bytes


def pin_from_shares(shares: Sequence[Share], *, splitting: int | None = None) -> PinProvider:
    """Unlock by quorum: put the PIN together now, so that bad shares never become a token's wrong PIN.

    With `splitting`, as the ceremony recorded it, shares of another PIN are refused too. Raises what `combine_pin` raises.
    """
    if splitting is not None and any(decoded(share.words).identifier != splitting for share in shares):
        raise MixedShares("These are shares of another PIN.")
    return pin_from_value(combine_pin(shares).reveal())


def _require_quorum(threshold: int, holders: Sequence[str]) -> None:
    if not 2 <= threshold <= len(holders) <= MAX_SHARE_COUNT:
        raise InvalidQuorum(f"A quorum is 2 at least, of at most {MAX_SHARE_COUNT} holders.")
    if len(set(holders)) != len(holders):
        raise InvalidQuorum("Each holder has one share.")
    if not all(holder and holder == holder.strip() and holder.isprintable() for holder in holders):
        raise InvalidQuorum("A holder's name is printable text without blanks at its ends.")


def _require_one_splitting(shares: Sequence[Slip39Share]) -> None:
    if len({(share.group_parameters(), len(share.value)) for share in shares}) > 1:
        raise MixedShares("The shares are of different splittings.")


def _recover(shares: Sequence[Slip39Share]) -> bytes:
    """Interpolate exactly as many shares as are needed; a digest of 4 bytes inside says whether they fit."""
    group = ShareGroup()
    for share in shares:
        group.add(share)
    try:
        return bytes(recover_ems({shares[0].group_index: group}).decrypt(b""))
    except MnemonicError:
        raise MixedShares("The shares do not fit together: one is of another splitting, or forged.") from None
