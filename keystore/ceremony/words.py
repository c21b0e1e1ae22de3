"""Digests for ears: SHA-256 in hexadecimal for the eye, in words to read aloud.

The words are SLIP-39's list, which `shamir-mnemonic` ships: 1024 English words, four to eight letters long, no two with the
same first four letters. One word is ten bits, so a digest is 26 words (docs/adr/0016-ceremonies.md says why not another list).
"""

import hashlib
from pathlib import Path
from typing import Final

from shamir_mnemonic.wordlist import WORDLIST

import hsm
import safefiles

_BITS: Final = 10
_PER_LINE: Final = 6


def words_of(digest: bytes) -> list[str]:
    """Give a digest's words; the last one's low bits are zero where the digest ends inside it."""
    count = -(-len(digest) * 8 // _BITS)
    number = int.from_bytes(digest, "big") << (count * _BITS - len(digest) * 8)
    return [WORDLIST[number >> (_BITS * place) & (1 << _BITS) - 1] for place in reversed(range(count))]


def spoken(digest: bytes) -> list[str]:
    """Give the lines that a person reads aloud, words six to a line."""
    words = words_of(digest)
    return [" ".join(words[start : start + _PER_LINE]) for start in range(0, len(words), _PER_LINE)]


def file_digest(path: Path) -> bytes:
    """Give a file's SHA-256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def source_digest() -> bytes:
    """Return one SHA-256 over the source of this tool, `safefiles`, `hsm` and `keystore`: names and digests of all files."""
    total = hashlib.sha256(f"{file_digest(Path(safefiles.__file__)).hex()}  safefiles.py\n".encode())
    for package in (Path(hsm.__file__).parent, Path(__file__).parents[1]):
        for path in sorted(package.rglob("*.py")):
            total.update(f"{file_digest(path).hex()}  {package.name}/{path.relative_to(package)}\n".encode())
    return total.digest()
