"""The transcript encoding T: the one form in which anything is signed, hashed, or bound to a seal.

T(label, f1..fn) = "medunion/v1" || 0x00 || F(label) || F(f1) || ... || F(fn), with F(x) = u32be(len x) || x.
The number of fields is fixed per label. A transcript is only ever produced: nothing parses one (docs/protocol.md, 1)
but a judge, who makes again what was signed (7).
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

PREFIX = b"medunion/v1\x00"
LENGTH_BYTES = 4
"""Of the length that F puts before a field."""


def frame(field: bytes) -> bytes:
    """Return F(x): the field behind its length, so that no two lists of fields meet in one string (A1)."""
    return len(field).to_bytes(LENGTH_BYTES, "big") + field


def u64(value: int) -> bytes:
    """Return an integer as 8 bytes, big-endian. Raises OverflowError outside 0..2^64-1."""
    return value.to_bytes(8, "big")


def text(value: str) -> bytes:
    """Return text as ASCII. Raises UnicodeEncodeError for anything else."""
    return value.encode("ascii")


def row(*fields: bytes) -> bytes:
    """Return an element that has several fields as one field: T("row", fields)."""
    return transcript("row", *fields)


def listing(elements: Sequence[bytes]) -> bytes:
    """Return a list as one field: u32be(n) || F(e1) || ... || F(en)."""
    return len(elements).to_bytes(4, "big") + b"".join(map(frame, elements))


def transcript(label: str, *fields: bytes) -> bytes:
    """Return T(label, fields)."""
    parts = [_begun(label)]
    for field in fields:
        parts += len(field).to_bytes(LENGTH_BYTES, "big"), field
    return b"".join(parts)


@lru_cache(256)
def _begun(label: str) -> bytes:
    """Return how the transcripts of a label begin: labels are few, and written in this code."""
    return PREFIX + frame(text(label))


def digest(data: bytes) -> bytes:
    """Return H(x) = SHA-256(x), 32 bytes (the paper's H and h of bytes; X1)."""
    return hashlib.sha256(data).digest()


def statement_digest(label: str, statement: bytes) -> bytes:
    """Return H of a statement: SHA-256(T(name, its exact bytes)), without its signature."""
    return digest(transcript(label, statement))


def signed_digest(label: str, statement: bytes, signature: bytes) -> bytes:
    """Return Hs of a statement: SHA-256(T("signed", name, its exact bytes, its signature))."""
    return digest(transcript("signed", text(label), statement, signature))
