"""A stable key from a noisy reading: the code-offset construction over Hadamard(64,7) inside Reed-Solomon(32,20).

Hao, Anderson, Daugman 2006, "Combining Crypto with Biometrics Effectively", for 2,048-bit templates: 20 random
symbols of 7 bits (140 bits) become 32 symbols by Reed-Solomon, each symbol a word of 64 bits by Hadamard, and the
template hides the 2,048 bits by exclusive or. Hadamard absorbs scattered flips, Reed-Solomon the words that Hadamard
gets wrong. As in the robust extractors of Boyen and others 2005, a tag over the public data is kept, so that neither
a wrong recovery nor altered helper data goes unnoticed. What the public data gives away: docs/adr/0005-biometric.md.

`reedsolo` keeps its field in module globals: whoever else uses it in this process must use the same field, or a lock.
"""

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from reedsolo import ReedSolomonError, RSCodec

from keystore.errors import KeystoreError
from keystore.transcript import transcript

TEMPLATE_SIZE = 256
"""Bytes of a template: 2,048 bits, the size of an iris code."""

RANDOMNESS_SIZE = 20
"""Fresh random bytes that an enrolment consumes, of which 7 bits each are used."""

KEY_SIZE = 32
WORD_SIZE = 8
CODE_SYMBOLS = TEMPLATE_SIZE // WORD_SIZE
SYMBOL_MASK = 0x7F

VERSION = 1
HELPER_SIZE = 1 + TEMPLATE_SIZE + KEY_SIZE

OUTER = RSCodec(CODE_SYMBOLS - RANDOMNESS_SIZE, nsize=CODE_SYMBOLS, c_exp=7, prim=0x89)
"""Reed-Solomon over GF(2^7), x^7 + x^3 + 1: corrects e wrong and v unreadable symbols while 2e + v <= 12."""


class BiometricMismatch(KeystoreError):
    """The reading isn't close enough to the enrolled template, or the helper data was altered: nothing tells which."""

    reason = "BIOMETRIC_MISMATCH"


class TemplateInvalid(KeystoreError):
    """A template or reading that isn't 256 bytes."""

    reason = "BIOMETRIC_TEMPLATE_INVALID"


class HelperDataInvalid(KeystoreError):
    """Bytes that aren't helper data of a version that we know."""

    reason = "HELPER_DATA_INVALID"


@dataclass(frozen=True, slots=True, repr=False)
class SecretBytes:
    """Secret bytes that no log, traceback or print shows."""

    value: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.value)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class FuzzyKey(SecretBytes):
    """What enrolment and every close enough reading agree on: 32 bytes that hold 140 bits of randomness."""


@dataclass(frozen=True, slots=True, repr=False)
class HelperData:
    """The public part of an enrolment: `offset` is template xor codeword, 256 bytes; `tag` 32 bytes.

    It belongs beside the device secret and is not to be handed about: the key stays safe when it is known, the
    template's privacy may not.
    """

    offset: bytes
    tag: bytes

    def to_bytes(self) -> bytes:
        """Return version 1, offset, tag: 289 bytes."""
        return bytes([VERSION]) + self.offset + self.tag

    @classmethod
    def from_bytes(cls, data: bytes) -> "HelperData":
        """Read what `to_bytes` wrote. Raises HelperDataInvalid."""
        if len(data) != HELPER_SIZE or data[0] != VERSION:
            raise HelperDataInvalid(f"helper data is {HELPER_SIZE} bytes of version {VERSION}")
        return cls(data[1 : 1 + TEMPLATE_SIZE], data[1 + TEMPLATE_SIZE :])

    def __repr__(self) -> str:
        return f"HelperData({HELPER_SIZE} bytes)"


def enrol(template: bytes, randomness: bytes) -> tuple[FuzzyKey, HelperData]:
    """Return a fresh key for this template and the helper data that lets a later reading find it again.

    `randomness` is 20 bytes, fresh and uniform: the key is as secret as they are. Raises TemplateInvalid.
    """
    if len(randomness) != RANDOMNESS_SIZE:
        raise ValueError(f"enrolment takes {RANDOMNESS_SIZE} random bytes")
    message = bytes(byte & SYMBOL_MASK for byte in randomness)
    codeword = b"".join(WORDS[symbol].to_bytes(WORD_SIZE, "big") for symbol in OUTER.encode(message))
    offset = _xor(_template(template), codeword)
    return _key(message, offset), HelperData(offset, _tag(message, offset))


def recover(template: bytes, helper: HelperData) -> FuzzyKey:
    """Return the enrolled key, from a reading with at most about a quarter of its bits flipped.

    Raises BiometricMismatch beyond that, for another person's reading or altered helper data; TemplateInvalid.
    """
    symbols, unreadable = _nearest_symbols(_xor(_template(template), helper.offset))
    try:
        message = bytes(OUTER.decode(symbols, erase_pos=unreadable)[0])
    except ReedSolomonError:
        raise BiometricMismatch("the reading does not match the enrolled template") from None
    if not hmac.compare_digest(_tag(message, helper.offset), helper.tag):
        raise BiometricMismatch("the reading does not match the enrolled template")
    return _key(message, helper.offset)


def _word(symbol: int) -> int:
    """Return the Hadamard word of a 7-bit symbol: bit i is the parity of i & (low 6 bits), inverted if the high bit is 1.

    Any two words differ in 32 or 64 of their 64 bits.
    """
    row, inverted = symbol & 0x3F, symbol >> 6
    return sum(((row & place).bit_count() & 1 ^ inverted) << place for place in range(64))


WORDS = tuple(_word(symbol) for symbol in range(SYMBOL_MASK + 1))


def _nearest_symbols(noisy: bytes) -> tuple[bytes, list[int]]:
    """Return the symbol of the nearest word for each 64 bits, and the places where two words are equally near."""
    symbols, unreadable = bytearray(), []
    for place in range(CODE_SYMBOLS):
        received = int.from_bytes(noisy[place * WORD_SIZE : (place + 1) * WORD_SIZE], "big")
        distances = [(received ^ word).bit_count() for word in WORDS]
        nearest = min(distances)
        symbols.append(distances.index(nearest))
        if distances.count(nearest) > 1:
            unreadable.append(place)
    return bytes(symbols), unreadable


def _key(message: bytes, offset: bytes) -> FuzzyKey:
    return FuzzyKey(_derive(message, transcript("fuzzy-key", offset)))


def _tag(message: bytes, offset: bytes) -> bytes:
    """Bind the public offset to the message: to shift both by a codeword one would have to know the message."""
    return _derive(message, transcript("fuzzy-tag", offset))


def _derive(message: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_SIZE, salt=None, info=info).derive(message)


def _template(template: bytes) -> bytes:
    if len(template) != TEMPLATE_SIZE:
        raise TemplateInvalid(f"a template is {TEMPLATE_SIZE} bytes, not {len(template)}")
    return template


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
