"""A share while somebody types it: each word is looked up as it comes, by its place, so that a slip costs one word.

Words come as many to a line as one likes, whole or by their first four letters, which tell all words of SLIP-39's list apart
(SLIP-0039, section "Wordlist"). A number says the place of the word after it: "12 acid" puts another word in the twelfth place.
No sentence names a word.
"""

import re
from typing import Final

from shamir_mnemonic.wordlist import WORDLIST

from keystore.errors import CorruptShare
from keystore.quorum import Share

LEAST_WORDS: Final = 20
"""Of a share of the shortest secret, 16 bytes."""
_LETTERS: Final = 4
_BY_BEGINNING: Final = {word[:_LETTERS]: word for word in WORDLIST}
_PIECE: Final = re.compile(r"[0-9]{1,3}|[^\W\d_]+")


class ShareEntry:
    """The words so far."""

    def __init__(self) -> None:
        """Begin with none."""
        self._words: list[str] = []

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self._words)

    def __repr__(self) -> str:
        """Show the number of words alone."""
        return f"ShareEntry({len(self)} words)"

    def add(self, line: str) -> None:
        """Take a line; what stands before a wrong word is kept. Raises CorruptShare, naming the place of a wrong word."""
        place = len(self._words) + 1
        for piece in line.rpartition(":")[2].replace(".", " ").replace(",", " ").split():
            if not _PIECE.fullmatch(piece):
                raise CorruptShare(f"Word {place} is not in the list of words.")
            if piece.isdecimal():
                place = int(piece)
                continue
            self._put(place, piece.lower())
            place = len(self._words) + 1

    def _put(self, place: int, typed: str) -> None:
        if not 1 <= place <= len(self._words) + 1:
            raise CorruptShare(f"Word {len(self._words) + 1} comes next, not word {place}.")
        word = _BY_BEGINNING.get(typed[:_LETTERS], "")
        if len(typed) < _LETTERS or not word.startswith(typed):
            raise CorruptShare(f"Word {place} is not in the list of words.")
        self._words[place - 1 : place] = [word]

    def is_whole(self) -> bool:
        """Return whether the words are a share: its checksum says where it ends."""
        try:
            self.share()
        except CorruptShare:
            return False
        return True

    def share(self) -> Share:
        """Return the share. Raises CorruptShare, naming the place of a wrong word if one alone is wrong."""
        if len(self._words) < LEAST_WORDS:
            raise CorruptShare(f"These are {len(self._words)} words; a share has {LEAST_WORDS} at least.")
        return Share.parse(self.text())

    def text(self) -> str:
        """Return the words."""
        return " ".join(self._words)
