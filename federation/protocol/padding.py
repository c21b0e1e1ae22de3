"""Padding under a session key: sizes on the wire tell a size class, at most 12 % wide, and no more (docs/protocol.md, 1).

The classes are Padme's (Nikitin et al. 2019, "Reducing metadata leakage from encrypted files and communication with PURBs"),
above one smallest class that all short messages share.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from federation.errors import PaddingInvalid
from keystore.transcript import LENGTH_BYTES, frame

SMALLEST_BYTES = 2048
SLICE_BYTES = 512 * 1024


def padded_size(size: int) -> int:
    """Give padded(n): 2,048, or n rounded up so that its S = floor(log2 E) + 1 bits below the highest may be set."""
    if size <= SMALLEST_BYTES:
        return SMALLEST_BYTES
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def pad_message(message: bytes) -> bytes:
    """Give F(message) || zeros: the plaintext of a last frame."""
    framed = frame(message)
    return framed.ljust(padded_size(len(framed)), b"\x00")


def unpad_message(plaintext: bytes) -> bytes:
    """Give the message out of F(message) || zeros. Raises PaddingInvalid."""
    size = LENGTH_BYTES + int.from_bytes(plaintext[:LENGTH_BYTES], "big")
    return unpad_content(plaintext, size)[LENGTH_BYTES:]


def unpad_content(padded: bytes, size: int) -> bytes:
    """Give the content out of content || zeros. Raises PaddingInvalid unless it is padded as a content of that size is."""
    require_padded(len(padded), size)
    require_zeros(padded[size:])
    return padded[:size]


def require_padded(arrived: int, size: int) -> None:
    """Raise PaddingInvalid unless so many bytes arrived as a content of that size has with its padding."""
    if arrived != padded_size(size):
        raise PaddingInvalid("what is under the session key has not the size of its class")


def require_zeros(padding: bytes) -> None:
    """Raise PaddingInvalid for padding that says something."""
    if any(padding):
        raise PaddingInvalid("the padding under the session key is not zeros")


@dataclass(frozen=True, repr=False)
class Piece:
    """A slice that is to be sent: content, and how many zeros stand after it."""

    content: bytes
    zeros: int = 0

    @property
    def padded(self) -> bytes:
        """Give what goes under the seal."""
        return self.content + bytes(self.zeros)


def pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Cut a byte stream and its padding into slices of SLICE_BYTES; the last may be shorter, none is empty."""
    pending, sent = bytearray(), 0
    for chunk in chunks:
        pending += chunk
        while len(pending) >= SLICE_BYTES:
            yield Piece(bytes(pending[:SLICE_BYTES]))
            del pending[:SLICE_BYTES]
            sent += SLICE_BYTES
    rest, left = bytes(pending), padded_size(sent + len(pending)) - sent
    while left:
        size = min(left, SLICE_BYTES)
        yield Piece(rest, size - len(rest))
        rest, left = b"", left - size
