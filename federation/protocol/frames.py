"""What travels under a session's keys: frames, their padding, and content in slices.

E_SEK seals frames: the sequence starts at 0 in each direction and must be exactly the next (findings B12). Sizes on the wire tell
a size class, at most 12 % wide, and no more (docs/protocol.md, 1): Padme's (Nikitin et al. 2019, "Reducing metadata leakage from
encrypted files and communication with PURBs"), above one smallest class that all short messages share.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from federation.errors import (
    FieldInvalid,
    Limit,
    MessageTooLarge,
    OutOfOrder,
    PaddingInvalid,
    RecordCutShort,
    RecordDigestMismatch,
    SealInvalid,
    SessionUnknown,
)
from federation.protocol.parsing import check, field_rule, parse, payload_rule
from federation.protocol.sealing import Opened
from federation.protocol.time import Instant, require_same_time
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import Deposit, RecordManifest
from keystore.transcript import LENGTH_BYTES, digest, frame, text, transcript, u64

M = TypeVar("M", bound=Message)

MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024
"""Of M_SD, wherever it goes: what a doctor may diagnose, its hospital may keep."""
MOST_SLICE_BYTES = 1024 * 1024
MOST_SLICES = 1024
"""Of content that a receiver holds in memory until it is whole: work and memory are bounded by the frames too."""


@dataclass(frozen=True, repr=False)
class DirectionKeys:
    """Key (32 bytes) and iv (12 bytes) of one direction."""

    key: bytes
    iv: bytes


@dataclass(frozen=True)
class Direction:
    """One direction of a session, and the sequence of its next frame."""

    session_id: bytes
    keys: DirectionKeys
    sequence: int = 0

    def seal(self, name: str, content: bytes, *, last: bool, sent_at: Instant) -> "tuple[Direction, SessionFrame]":
        """Seal the next frame: a slice as it is, or the message that ends it all, which is padded here."""
        context = self._context(name, sent_at, last=last)
        plaintext = pad_message(content) if last else content
        sealed = AESGCM(self.keys.key).encrypt(self._nonce(), plaintext, context)
        frame = SessionFrame(
            session_id=self.session_id, sequence=self.sequence, last=last, sealed=sealed, sent_at=sent_at
        )
        return replace(self, sequence=self.sequence + 1), frame

    def open(self, name: str, frame: SessionFrame) -> "tuple[Direction, bytes]":
        """Open the next frame: give the slice with what pads it, or the message without.

        Raises MalformedMessage, OutOfOrder, SessionUnknown, SealInvalid.
        """
        check(frame)  # frame.1
        if frame.session_id != self.session_id:
            raise SessionUnknown("the frame belongs to another session")  # frame.2
        if frame.sequence != self.sequence:
            raise OutOfOrder(f"frame {frame.sequence} came where {self.sequence} is next")  # frame.3
        context = self._context(name, frame.sent_at, last=frame.last)
        try:
            plaintext = AESGCM(self.keys.key).decrypt(self._nonce(), frame.sealed, context)
        except InvalidTag as error:
            raise SealInvalid("the frame does not open") from error  # frame.4
        opened = unpad_message(plaintext) if frame.last else _require_slice(plaintext)  # frame.5
        return replace(self, sequence=self.sequence + 1), opened

    def seal_message(self, name: str, message: Message, *, sent_at: Instant) -> "tuple[Direction, SessionFrame]":
        """Seal a message as the last frame."""
        return self.seal(name, message.SerializeToString(deterministic=True), last=True, sent_at=sent_at)

    def open_message(self, name: str, frame: SessionFrame, message_type: type[M]) -> "tuple[Direction, Opened[M]]":
        """Open a message that is one frame, and require the T inside to be the T in clear.

        Raises OutOfOrder for a slice, MalformedMessage, TimeMismatch, and as `open`.
        """
        direction, plaintext = self.open(name, frame)
        if not frame.last:
            raise OutOfOrder(f"{name} is one frame")
        return direction, parse_last(plaintext, frame, message_type)

    def _nonce(self) -> bytes:
        return bytes(a ^ b for a, b in zip(self.keys.iv, self.sequence.to_bytes(12, "big"), strict=True))

    def _context(self, name: str, sent_at: Instant, *, last: bool) -> bytes:
        return transcript(text(name).decode(), self.session_id, u64(self.sequence), u64(sent_at), u64(int(last)))


def parse_last(plaintext: bytes, frame: SessionFrame, message_type: type[M]) -> Opened[M]:
    """Parse what the last frame held, and require the T inside to be the T in clear. Raises MalformedMessage, TimeMismatch."""
    message = parse(message_type, plaintext)
    require_same_time(message.sent_at, frame.sent_at)  # type: ignore[attr-defined] # every message has sent_at
    return Opened(message, plaintext)


def with_slice(pieces: tuple[bytes, ...], piece: bytes, *, most_bytes: int) -> tuple[bytes, ...]:
    """Return the slices with the next one. Raises Limit for more than may be held."""
    if len(pieces) >= MOST_SLICES or sum(map(len, pieces)) + len(piece) > most_bytes:
        raise Limit(f"this may have {most_bytes} bytes in {MOST_SLICES} slices")  # frame.8
    return (*pieces, piece)


def _require_slice(plaintext: bytes) -> bytes:
    if not plaintext:
        raise FieldInvalid("a slice is empty")  # frame.6
    if len(plaintext) > MOST_SLICE_BYTES:
        raise MessageTooLarge(f"a slice has {len(plaintext)} bytes of {MOST_SLICE_BYTES}")  # frame.7
    return plaintext


SMALLEST_BYTES = 2048
SLICE_BYTES = 512 * 1024


def padded_size(size: int) -> int:
    """Return padded(n): 2,048, or n rounded up so that its S = floor(log2 E) + 1 bits below the highest may be set."""
    if size <= SMALLEST_BYTES:
        return SMALLEST_BYTES
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def pad_message(message: bytes) -> bytes:
    """Return F(message) || zeros: the plaintext of a last frame."""
    framed = frame(message)
    return framed.ljust(padded_size(len(framed)), b"\x00")


def unpad_message(plaintext: bytes) -> bytes:
    """Return the message out of F(message) || zeros. Raises PaddingInvalid."""
    size = LENGTH_BYTES + int.from_bytes(plaintext[:LENGTH_BYTES], "big")
    return unpad_content(plaintext, size)[LENGTH_BYTES:]


def unpad_content(padded: bytes, size: int) -> bytes:
    """Return the content out of content || zeros. Raises PaddingInvalid unless it is padded as a content of that size is."""
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
        """Return what goes under the seal."""
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


@dataclass(frozen=True, repr=False)
class IncomingRecord:
    """What came of M_EMR so far. `manifest` and `size_bytes` are known once that is whole; nothing of it is proved yet."""

    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    slices: int = 0
    arrived: int = 0
    head: bytes = b""
    manifest: RecordManifest | None = None
    size_bytes: int | None = None

    def take(self, piece: bytes) -> "tuple[IncomingRecord, bytes]":
        """Return the state after a slice, and what of the slice is content.

        Raises PaddingInvalid, at the first byte too many; MalformedMessage for a manifest that is none, Limit for one in too
        many slices.
        """
        state = self if self.size_bytes is not None else self._with_head(self.head + piece)
        if state.size_bytes is not None and self.arrived + len(piece) > padded_size(state.size_bytes):
            raise PaddingInvalid("more came than the manifest says")  # H2.7
        content = piece if state.size_bytes is None else piece[: max(0, state.size_bytes - self.arrived)]
        require_zeros(piece[len(content) :])  # H2.8
        hasher = self.hasher.copy()
        hasher.update(content)
        came = replace(state, hasher=hasher, slices=self.slices + 1, arrived=self.arrived + len(piece))
        return came, content

    def whole_digest(self) -> bytes:
        """Return H(M_EMR). Raises RecordCutShort, PaddingInvalid unless all of it came, padded as its size is."""
        if self.size_bytes is None or self.arrived < self.size_bytes:
            raise RecordCutShort("the record ends before its manifest says")  # H2.13
        require_padded(self.arrived, self.size_bytes)  # H2.14
        return self.hasher.digest()

    def _with_head(self, head: bytes) -> "IncomingRecord":
        if self.slices >= MOST_SLICES:
            raise Limit(f"a manifest comes in at most {MOST_SLICES} slices")  # H2.4
        most = payload_rule(RecordManifest.DESCRIPTOR).max_size
        end = LENGTH_BYTES + int.from_bytes(head[:LENGTH_BYTES], "big")
        if len(head) < LENGTH_BYTES or (len(head) < end <= LENGTH_BYTES + most):
            return replace(self, head=head)
        if end > LENGTH_BYTES + most:
            raise MessageTooLarge(f"a manifest has at most {most} bytes")  # H2.5
        manifest = parse(RecordManifest, head[LENGTH_BYTES:end])  # H2.6
        parts = (part.size_bytes for entry in manifest.records for part in entry.parts)
        return replace(self, head=b"", manifest=manifest, size_bytes=end + sum(parts))


MOST_DIAGNOSIS_BYTES = field_rule(DiagnosisDelivery, "diagnosis").max_size
MOST_DEPOSIT_BYTES = padded_size(MOST_BIOSIGNAL_BYTES + MOST_DIAGNOSIS_BYTES)
"""Of M_SD || M_DINF || zeros."""


def deposit_content(sto: Deposit, pieces: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Return M_SD and M_DINF out of the slices. Raises Limit, PaddingInvalid, RecordDigestMismatch."""
    if sto.biosignal_size_bytes > MOST_BIOSIGNAL_BYTES or sto.diagnosis_size_bytes > MOST_DIAGNOSIS_BYTES:
        # STO.10
        raise Limit(f"a deposit has at most {MOST_BIOSIGNAL_BYTES} bytes of M_SD, {MOST_DIAGNOSIS_BYTES} of M_DINF")
    content = unpad_content(b"".join(pieces), sto.biosignal_size_bytes + sto.diagnosis_size_bytes)  # STO.11
    biosignal, diagnosis = content[: sto.biosignal_size_bytes], content[sto.biosignal_size_bytes :]
    if digest(biosignal) != sto.biosignal_digest or digest(diagnosis) != sto.diagnosis_digest:
        raise RecordDigestMismatch("the content of the deposit is not what was signed")  # STO.12
    return biosignal, diagnosis
